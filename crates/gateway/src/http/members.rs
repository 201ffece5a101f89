//! `POST /v1/members/...`: changes of the ring.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use henge_node::{Change, ChangePlan, ChangeRefused};
use henge_ring::{Copies, NodeId, Weight, Zone, Zoning};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Door, answer::bad_request, answer::problem};
use crate::ring_view::tag_text;

/// What the query may say.
#[derive(Deserialize)]
pub(super) struct Asked {
    node: Option<String>,
    weight: Option<u32>,
    zone: Option<String>,
    /// Bytes of one replica of a partition: what this node's own have, unless somebody knows better.
    replica_bytes: Option<u64>,
    #[serde(default)]
    apply: bool,
}

/// `POST /v1/members/{change}?node=ID[&weight=W][&zone=Z][&replica_bytes=B][&apply=true]`: shows what a
/// change would do, and makes it if told to. `join` and `replace` are only shown. `stay` undoes a leave.
pub(super) async fn change(
    State(door): State<Door>,
    Path(what): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let change = match read(&door, &what, &asked) {
        Ok(change) => change,
        Err(why) => return bad_request(why),
    };
    let replica_bytes = asked.replica_bytes;
    let replica_bytes = replica_bytes.unwrap_or_else(|| door.node.replica_bytes());
    match door.node.change(&change, replica_bytes, asked.apply) {
        Ok(plan) => {
            let mut told = told(&plan);
            told["replica_bytes"] = json!(replica_bytes);
            told["ring"] = json!(tag_text(door.node.ring().tag()));
            Json(told).into_response()
        }
        Err(refused) => {
            let status = match refused {
                ChangeRefused::InMotion { .. } | ChangeRefused::NotLeft(_) => StatusCode::CONFLICT,
                ChangeRefused::NotReady | ChangeRefused::Unreachable(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                ChangeRefused::Stranger(_)
                | ChangeRefused::LastMember
                | ChangeRefused::ByItself => StatusCode::BAD_REQUEST,
            };
            problem(status, "not_changed", &refused.to_string())
        }
    }
}

/// What is asked for, or why it is nothing.
fn read(door: &Door, what: &str, asked: &Asked) -> Result<Change, &'static str> {
    let node = || {
        let found = asked.node.as_deref().and_then(|text| find(door, text));
        found.ok_or("node must be the id of one member, or the beginning of it")
    };
    let left = || {
        let text = asked.node.as_deref().unwrap_or_default();
        let ring = door.node.ring();
        only(
            ring.departed()
                .chain(ring.members().iter().map(|it| &it.id)),
            text,
        )
        .ok_or("node must be the id of one node that leaves or has left, or the beginning of it")
    };
    let weight = || {
        let weight = asked.weight.filter(|weight| *weight <= 65_535);
        let weight = weight.and_then(Weight::new);
        weight.ok_or("weight must be a number from 1 to 65535")
    };
    let zone = || {
        let zone = asked.zone.clone().filter(|zone| !zone.is_empty());
        let zone = zone.and_then(|zone| Zone::new(zone).ok());
        zone.ok_or("zone must be a name of 1 to 64 bytes")
    };
    Ok(match what {
        "leave" => Change::Leave(node()?),
        "reweight" => Change::Reweight(node()?, weight()?),
        "stay" => Change::Stay(left()?),
        "zone" => Change::Rezone(node()?, zone()?),
        "join" => Change::Join(weight()?, zone()?),
        "replace" => Change::Replace(node()?),
        _ => return Err("a change is one of leave, stay, reweight, zone, join, replace"),
    })
}

/// The one member whose id begins like this.
fn find(door: &Door, text: &str) -> Option<NodeId> {
    let ring = door.node.ring();
    only(ring.members().iter().map(|member| &member.id), text)
}

/// The one id that begins like this.
fn only<'a>(ids: impl Iterator<Item = &'a NodeId>, text: &str) -> Option<NodeId> {
    let mut named = ids.filter(|id| !text.is_empty() && id.to_string().starts_with(text));
    let found = named.next()?;
    named.next().is_none().then_some(*found)
}

fn told(plan: &ChangePlan) -> Value {
    let impact = &plan.impact;
    let receives = impact.nodes.iter().filter(|(_, it)| it.receives > 0);
    let receives: serde_json::Map<_, _> = receives
        .map(|(node, it)| (node.to_string(), json!(it.receives)))
        .collect();
    let nodes = impact.nodes.iter();
    let nodes: Vec<Value> = nodes
        .map(|(node, copies)| node_json(*node, copies, plan))
        .collect();
    json!({
        "applied": plan.applied,
        "moves": impact.moved,
        "least": impact.least,
        "bytes": plan.bytes,
        "receives": receives,
        "nodes": nodes,
        "newcomer": plan.newcomer.map(|id| id.to_string()),
        "zones": { "before": zones_json(impact.zones_before), "after": zones_json(impact.zones_after) },
        "duration": { "soonest_ms": plan.span.soonest_ms, "slowest_ms": plan.span.slowest_ms },
    })
}

/// A node that is still to come has no address yet.
fn node_json(node: NodeId, copies: &Copies, plan: &ChangePlan) -> Value {
    let member = plan.members.get(&node);
    let known = member.filter(|_| plan.newcomer != Some(node));
    json!({
        "id": node.to_string(),
        "http": known.map(|it| it.endpoints.http.as_str()),
        "resp": known.map(|it| it.endpoints.resp.as_str()),
        "zone": member.map(|it| it.zone.as_str()),
        "before": copies.before,
        "after": copies.after,
        "receives": copies.receives,
    })
}

fn zones_json(zoning: Zoning) -> Value {
    json!({ "zones": zoning.zones, "replicas": zoning.replicas, "crowded": zoning.crowded })
}

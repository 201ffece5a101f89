//! `POST /v1/members/...`: changes of the ring.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use henge_node::{Change, ChangePlan, ChangeRefused};
use henge_ring::{NodeId, Weight};
use serde::Deserialize;
use serde_json::json;

use super::{Door, answer::bad_request, answer::problem};

/// What the query may say.
#[derive(Deserialize)]
pub(super) struct Asked {
    node: String,
    weight: Option<u32>,
    #[serde(default)]
    apply: bool,
}

/// `POST /v1/members/{leave|reweight}?node=ID[&weight=W][&apply=true]`: shows what would move, and
/// makes the change if told to.
pub(super) async fn change(
    State(door): State<Door>,
    Path(what): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(node) = find(&door, &asked.node) else {
        return bad_request("node must be the id of one member, or the beginning of it");
    };
    let change = match (what.as_str(), asked.weight.and_then(Weight::new)) {
        ("leave", _) => Change::Leave(node),
        ("reweight", Some(weight)) => Change::Reweight(node, weight),
        ("reweight", None) => return bad_request("weight must be a number from 1 to 65535"),
        _ => return bad_request("members can leave or be reweighted; a node joins by itself"),
    };
    match door.node.change(change, asked.apply) {
        Ok(plan) => Json(told(&plan)).into_response(),
        Err(refused) => {
            let status = match refused {
                ChangeRefused::InMotion { .. } => StatusCode::CONFLICT,
                ChangeRefused::NotReady => StatusCode::SERVICE_UNAVAILABLE,
                ChangeRefused::Stranger(_) | ChangeRefused::LastMember => StatusCode::BAD_REQUEST,
            };
            problem(status, "not_changed", &refused.to_string())
        }
    }
}

/// The one member whose id begins like this.
fn find(door: &Door, text: &str) -> Option<NodeId> {
    let ring = door.node.ring();
    let mut named = ring.members().iter().filter(|member| {
        let id = member.id.to_string();
        !text.is_empty() && id.starts_with(text)
    });
    let found = named.next()?.id;
    named.next().is_none().then_some(found)
}

fn told(plan: &ChangePlan) -> serde_json::Value {
    let receives = plan.receives.iter();
    let receives: serde_json::Map<_, _> = receives
        .map(|(node, count)| (node.to_string(), json!(count)))
        .collect();
    json!({
        "applied": plan.applied,
        "moves": plan.receives.values().sum::<u64>(),
        "bytes": plan.bytes,
        "receives": receives,
    })
}

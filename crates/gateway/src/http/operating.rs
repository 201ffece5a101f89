//! `/v1/quorum`, `/v1/repair`, `/v1/export`, `/v1/changes`: one node's own replicas.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use henge_node::{Export, NotShown};

use super::{
    Door,
    answer::{bad_request, problem},
};
use crate::{
    operating::{changes_json, export_json, repair_json},
    quorum_view::quorum_json,
};

/// Changes of a page, unless the query says otherwise.
const CHANGES: u64 = 500;

type Pairs = Query<BTreeMap<String, String>>;

/// `GET /v1/quorum`: what each R and W costs and risks here.
pub(super) async fn quorum(State(door): State<Door>) -> Response {
    Json(quorum_json(&door.node).await).into_response()
}

/// `GET /v1/repair`: how far anti-entropy has come.
pub(super) async fn repair(State(door): State<Door>) -> Response {
    Json(repair_json(&door.node)).into_response()
}

/// `POST /v1/repair`: begins a round with every peer.
pub(super) async fn start_repair(State(door): State<Door>) -> Response {
    door.node.start_repair();
    (StatusCode::ACCEPTED, Json(repair_json(&door.node))).into_response()
}

/// `GET /v1/export?partition=&prefix=&since_ms=&after=`: this node's records.
pub(super) async fn export(State(door): State<Door>, Query(query): Pairs) -> Response {
    let known = ["partition", "prefix", "since_ms", "after"];
    let wanted = read(&query, &known).and_then(|()| {
        Ok(Export {
            partition: number(&query, "partition")?,
            prefix: query.get("prefix").cloned().unwrap_or_default().into(),
            since_ms: number(&query, "since_ms")?.unwrap_or(0),
            after: number(&query, "after")?,
        })
    });
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(text) => return bad_request(&text),
    };
    match door.node.export(&wanted) {
        Ok(page) => Json(export_json(&page, door.node.wall_ms())).into_response(),
        Err(why) => not_shown(&why),
    }
}

/// `GET /v1/changes?partition=&since=&life=&limit=`: what changed in a partition. 410 if that is no
/// longer known, or of another life of this node: export the partition, and go on from `end`.
pub(super) async fn changes(State(door): State<Door>, Query(query): Pairs) -> Response {
    let known = ["partition", "since", "life", "limit"];
    let wanted = read(&query, &known).and_then(|()| {
        let partition = number(&query, "partition")?.ok_or("partition is missing")?;
        let life: Option<u64> = number(&query, "life")?;
        let since = number(&query, "since")?.unwrap_or(0);
        let limit = number(&query, "limit")?.unwrap_or(CHANGES);
        Ok((partition, life, since, limit))
    });
    let (partition, life, since, limit) = match wanted {
        Ok(wanted) => wanted,
        Err(text) => return bad_request(&text),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match door.node.changes(partition, life, since, limit) {
        Ok(page) => Json(changes_json(&page, door.node.wall_ms())).into_response(),
        Err(why) => not_shown(&why),
    }
}

fn not_shown(why: &NotShown) -> Response {
    match why {
        NotShown::UnknownPartition { .. } => bad_request(&why.to_string()),
        NotShown::OtherLife { .. } | NotShown::Gap { .. } => {
            problem(StatusCode::GONE, "gone", &why.to_string())
        }
    }
}

fn read(query: &BTreeMap<String, String>, known: &[&str]) -> Result<(), String> {
    match query.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "{name:?} is unknown; known are {}",
            known.join(", ")
        )),
        None => Ok(()),
    }
}

fn number<T: std::str::FromStr>(
    query: &BTreeMap<String, String>,
    name: &str,
) -> Result<Option<T>, String> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| format!("{name} must be a whole number, not {text:?}"))
    };
    query.get(name).map(parse).transpose()
}

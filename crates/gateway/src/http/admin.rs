//! What machines and operators ask of a node.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Door, answer::problem};
use crate::{replica_state::ReplicaState, ring_view};

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the node serves requests.
pub(super) async fn ready(State(door): State<Door>) -> Response {
    if door.node.is_ready() {
        return "ready\n".into_response();
    }
    let down: Vec<String> = door
        .node
        .peers()
        .iter()
        .filter(|peer| !peer.up)
        .map(|peer| peer.id.short())
        .collect();
    let mut reason = match door.node.unready() {
        Some(why) => format!("this node is {why}"),
        None => "this node was not ready a moment ago".to_owned(),
    };
    if !down.is_empty() {
        reason.push_str(&format!("; no link to {}", down.join(", ")));
    }
    problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", &reason)
}

/// `GET /metrics`, of every layer.
pub(super) async fn metrics(State(door): State<Door>) -> Response {
    let text = door.node.metrics() + &door.doors.metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// `GET /v1/ring`.
pub(super) async fn ring(State(door): State<Door>) -> Json<Value> {
    Json(ring_view::ring_json(&door.node))
}

/// `GET /v1/members`.
pub(super) async fn members(State(door): State<Door>) -> Json<Value> {
    let usage = door.node.usage();
    let info = door.node.info();
    let moving = door.node.transition();
    Json(json!({
        "node": info.id.to_string(),
        "ready": door.node.is_ready(),
        "started_ms": info.started_ms,
        "records": usage.records,
        "bytes": usage.bytes,
        "ring": ring_view::tag_text(door.node.ring().tag()),
        "moving": {
            "partitions": moving.in_motion,
            "to_pull": moving.to_pull,
            "to_drop": moving.to_drop,
            "bytes_pulled": moving.bytes_pulled,
            "left": moving.left,
        },
        "members": ring_view::members_json(&door.node),
    }))
}

/// `GET /v1/explain/{key}`: the whole key, prefix included.
pub(super) async fn explain(State(door): State<Door>, Path(key): Path<String>) -> Response {
    let views = door.node.explain(key.as_bytes()).await;
    let now_ms = door.node.wall_ms();
    let replicas: Vec<ReplicaState> = views
        .iter()
        .map(|view| ReplicaState::of(view, now_ms))
        .collect();
    let bucket = door.node.buckets().of(key.as_bytes()).name.clone();
    Json(json!({ "key": key, "bucket": bucket, "replicas": replicas })).into_response()
}

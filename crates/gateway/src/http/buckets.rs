//! `/v1/buckets`: the rules of buckets, shown and changed.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use henge_node::{BucketChange, BucketRefused};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Door,
    answer::{bad_request, problem},
};
use crate::{
    bucket_view::{bucket_json, buckets_json, changed, rules_json},
    ring_view::tag_text,
};

/// What the query may say.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    apply: bool,
}

/// `GET /v1/buckets`.
pub(super) async fn list(State(door): State<Door>) -> Response {
    Json(buckets_json(&door.node)).into_response()
}

/// `GET /v1/buckets/{bucket}`.
pub(super) async fn show(State(door): State<Door>, Path(name): Path<String>) -> Response {
    match door.node.buckets().definition(&name) {
        Some(bucket) => Json(bucket_json(&bucket, &door.node)).into_response(),
        None => {
            let text = format!("there is no bucket {name:?}");
            problem(StatusCode::NOT_FOUND, "no_bucket", &text)
        }
    }
}

/// `PUT /v1/buckets/{bucket}?apply=`: the body's rules change, the others stay. Only shown unless
/// `apply` is true.
pub(super) async fn set(
    State(door): State<Door>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    body: Bytes,
) -> Response {
    let Ok(changes) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return bad_request("the body must be a JSON object of rules");
    };
    let present = door.node.buckets().definition(&name);
    match changed(&name, present, &changes) {
        Ok(bucket) => change(&door, BucketChange::Set(bucket), asked.apply).await,
        Err(text) => bad_request(&text),
    }
}

/// `DELETE /v1/buckets/{bucket}?apply=`: what was set of it is taken back.
pub(super) async fn remove(
    State(door): State<Door>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    change(&door, BucketChange::Remove(name), asked.apply).await
}

async fn change(door: &Door, change: BucketChange, apply: bool) -> Response {
    match door.node.change_bucket(change, apply).await {
        Ok(plan) => Json(json!({
            "applied": plan.applied,
            "before": plan.before.as_ref().map(rules_json),
            "after": plan.after.as_ref().map(rules_json),
            "ring": tag_text(door.node.ring().tag()),
        }))
        .into_response(),
        Err(refused) => {
            let status = match refused {
                BucketRefused::Bad(_) | BucketRefused::NoPrefix { .. } => StatusCode::BAD_REQUEST,
                BucketRefused::Unset { .. } => StatusCode::NOT_FOUND,
                BucketRefused::InUse { .. } => StatusCode::CONFLICT,
                BucketRefused::NotReady | BucketRefused::Silent { .. } => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            };
            problem(status, "not_changed", &refused.to_string())
        }
    }
}

//! `POST …/rotate?to=`: a session gets a new id.

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use henge_node::rotation::{GRACE_MS, Rotated};
use serde_json::json;

use super::{
    Door,
    answer::{absent, bad_request, failed, problem},
    params::Params,
    target::Target,
};

/// The new key is in the same bucket. 404: there is no session; 409: it has another id already, or the new
/// one is taken.
pub(super) async fn rotate(
    State(door): State<Door>,
    Path((bucket, name)): Path<(String, String)>,
    query: RawQuery,
) -> Response {
    let rotate = async {
        let params = Params::read(query)?;
        let new = params
            .to
            .ok_or_else(|| Box::new(bad_request("to is missing")))?;
        let new =
            String::from_utf8(new).map_err(|_| Box::new(bad_request("to is no text in UTF-8")))?;
        let buckets = door.node.buckets();
        let target = |name: &str| {
            let found = Target::find(&buckets, &bucket, name);
            found.map_err(|text| Box::new(bad_request(&text)))
        };
        let (old, new) = (target(&name)?, target(&new)?);
        let grace_ms = params.grace_ms.unwrap_or(GRACE_MS);
        let rotated = door
            .node
            .rotate(&old.key, &new.key, grace_ms, params.options);
        Ok(match rotated.await {
            Ok(rotated) => told(rotated, door.node.wall_ms()),
            Err(failure) => failed(&failure, None),
        })
    };
    rotate
        .await
        .unwrap_or_else(|refused: Box<Response>| *refused)
}

fn told(rotated: Rotated, now_ms: u64) -> Response {
    match rotated {
        Rotated::Done { until_ms } => {
            Json(json!({ "rotated": true, "grace_ms": until_ms.saturating_sub(now_ms) }))
                .into_response()
        }
        Rotated::Gone => absent(),
        other => {
            let why = other.why_not().unwrap_or_default();
            problem(StatusCode::CONFLICT, "not_rotated", why)
        }
    }
}

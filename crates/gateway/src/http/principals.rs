//! All sessions of one user: `GET` lists those that live, `DELETE` ends them all.
//!
//! Sessions are those that `PUT` or `PATCH` wrote with `?principal=`.

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use henge_node::principals::OwnSession;
use henge_versioning::NEVER;
use serde_json::{Value, json};

use super::{Door, answer::failed, params::Params};

/// `GET`: keys with the milliseconds that are left (-1: no deadline).
pub(super) async fn sessions(
    State(door): State<Door>,
    Path(principal): Path<String>,
    query: RawQuery,
) -> Response {
    let params = match Params::read(query) {
        Ok(params) => params,
        Err(refused) => return *refused,
    };
    let found = door
        .node
        .sessions(principal.as_bytes(), params.options)
        .await;
    match found {
        Ok(found) => {
            let now_ms = door.node.wall_ms();
            let sessions = found.iter().map(|session| shown(session, now_ms));
            Json(json!({ "sessions": sessions.collect::<Vec<_>>() })).into_response()
        }
        Err(failure) => failed(&failure, None),
    }
}

/// `DELETE`.
pub(super) async fn logout_all(
    State(door): State<Door>,
    Path(principal): Path<String>,
    query: RawQuery,
) -> Response {
    let params = match Params::read(query) {
        Ok(params) => params,
        Err(refused) => return *refused,
    };
    let done = door
        .node
        .logout_all(principal.as_bytes(), params.options)
        .await;
    match done {
        Ok(done) => {
            let body = json!({ "sessions": done.sessions, "destroyed": done.destroyed });
            Json(body).into_response()
        }
        Err(failure) => failed(&failure, None),
    }
}

fn shown(session: &OwnSession, now_ms: u64) -> Value {
    let left = match session.deadline {
        NEVER => -1,
        at => i64::try_from(at.saturating_sub(now_ms)).unwrap_or(i64::MAX),
    };
    json!({ "key": String::from_utf8_lossy(&session.key), "ttl_ms": left })
}

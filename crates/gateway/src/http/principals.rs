//! All sessions of one user: `GET` lists those that live, `DELETE` ends them all.
//!
//! Sessions are those that `PUT` or `PATCH` wrote with `?principal=`.

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use henge_node::{Failure, Options, principals::OwnSession};
use henge_versioning::NEVER;
use serde_json::{Value, json};

use super::{Door, answer::failed, params::Params};

/// `GET`: keys with the milliseconds that are left (-1: no deadline).
pub(super) async fn sessions(
    State(door): State<Door>,
    Path(principal): Path<String>,
    query: RawQuery,
) -> Response {
    let listed = async |options| {
        let found = door.node.sessions(principal.as_bytes(), options).await?;
        let now_ms = door.node.wall_ms();
        let sessions = found.iter().map(|session| shown(session, now_ms));
        Ok(json!({ "sessions": sessions.collect::<Vec<_>>() }))
    };
    answer(query, listed).await
}

/// `DELETE`.
pub(super) async fn logout_all(
    State(door): State<Door>,
    Path(principal): Path<String>,
    query: RawQuery,
) -> Response {
    let ended = async |options| {
        let done = door.node.logout_all(principal.as_bytes(), options).await?;
        Ok(json!({ "sessions": done.sessions, "destroyed": done.destroyed }))
    };
    answer(query, ended).await
}

/// Carries out what a query asks for, and tells what came of it.
async fn answer(
    query: RawQuery,
    carry_out: impl AsyncFnOnce(Options) -> Result<Value, Failure>,
) -> Response {
    let params = match Params::read(query) {
        Ok(params) => params,
        Err(refused) => return *refused,
    };
    match carry_out(params.options).await {
        Ok(body) => Json(body).into_response(),
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

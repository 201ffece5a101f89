//! Responses: errors from the one table, values with their headers, receipts.

use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use henge_node::{Failure, Receipt, ReplicaRole};
use henge_versioning::{Form, NEVER, RecordRef};
use serde_json::{Value, json};

use crate::{error::refusal, resp::answer_name};

/// The context that a read has to show; `?after=` says the same.
pub(super) const AFTER: HeaderName = HeaderName::from_static("henge-after");
/// Causal context, in and out.
pub(super) const CONTEXT: HeaderName = HeaderName::from_static("henge-context");
/// Milliseconds left; -1 without a deadline.
const TTL: HeaderName = HeaderName::from_static("henge-ttl-ms");
/// Which replicas took part, as JSON.
const RECEIPT: HeaderName = HeaderName::from_static("henge-receipt");

/// An error that is not a failure of the node.
pub(super) fn problem(status: StatusCode, error: &'static str, message: &str) -> Response {
    (status, Json(json!({ "error": error, "message": message }))).into_response()
}

/// 400.
pub(super) fn bad_request(message: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid", message)
}

/// 404 for paths that are no routes.
pub(super) async fn not_found() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "no_route",
        "there is nothing at this path",
    )
}

/// 404 for keys.
pub(super) fn absent() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "absent",
        "there is no live value under this key",
    )
}

/// A failure, from the table that both doors share.
pub(super) fn failed(failure: &Failure, receipt: Option<&Receipt>) -> Response {
    let refusal = refusal(failure);
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(&refusal.body)).into_response();
    if let Some(seconds) = refusal.retry_after_s {
        set(&mut response, header::RETRY_AFTER, &seconds.to_string());
    }
    with_receipt(response, receipt)
}

/// What a write did.
pub(super) fn written(applied: bool, absorbed: bool, receipt: Option<&Receipt>) -> Response {
    let body = Json(json!({ "applied": applied, "absorbed": absorbed }));
    with_receipt(body.into_response(), receipt)
}

/// A live record: the bytes of its one value; several siblings as 300 and a record with fields as
/// 200, both as JSON with base64 values.
pub(super) fn value(record: &RecordRef<'_>, now_ms: u64) -> Response {
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let siblings: Vec<&[u8]> = record.siblings().collect();
    let mut response = match (record.form(), siblings.as_slice()) {
        (Form::Fields, _) => {
            let fields: serde_json::Map<String, Value> = record
                .fields()
                .map(|(name, value)| (String::from_utf8_lossy(name).into(), base64(value).into()))
                .collect();
            Json(json!({ "fields": fields })).into_response()
        }
        (_, [one]) => {
            let mut response = Response::new(Body::from(one.to_vec()));
            set(
                &mut response,
                header::CONTENT_TYPE,
                "application/octet-stream",
            );
            response
        }
        (_, several) => {
            let values: Vec<String> = several.iter().map(|value| base64(value)).collect();
            (
                StatusCode::MULTIPLE_CHOICES,
                Json(json!({ "siblings": values })),
            )
                .into_response()
        }
    };
    let ttl = match record.deadline().at {
        NEVER => "-1".to_owned(),
        at => at.saturating_sub(now_ms).to_string(),
    };
    set(&mut response, TTL, &ttl);
    response
}

/// Adds a context, if there is one.
pub(super) fn with_context(mut response: Response, token: Option<&str>) -> Response {
    if let Some(token) = token {
        set(&mut response, CONTEXT, token);
    }
    response
}

/// Adds a receipt, if there is one.
pub(super) fn with_receipt(mut response: Response, receipt: Option<&Receipt>) -> Response {
    if let Some(receipt) = receipt {
        set(&mut response, RECEIPT, &receipt_json(receipt).to_string());
    }
    response
}

fn receipt_json(receipt: &Receipt) -> Value {
    let places = receipt.places.iter().map(|place| {
        let (role, stands_for) = match place.role {
            ReplicaRole::Primary => ("primary", None),
            ReplicaRole::FallbackFor(primary) => ("fallback", Some(primary.to_string())),
        };
        let answer = answer_name(place.answer);
        json!({ "node": place.node.to_string(), "role": role, "for": stands_for, "answer": answer })
    });
    json!({ "needed": receipt.needed, "places": places.collect::<Vec<_>>() })
}

/// Sets a header, unless the text cannot be one.
fn set(response: &mut Response, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

//! Reading a request's body: bounded in bytes and in time.
//!
//! A client that announces a body and sends none, or a byte a minute, would otherwise keep its
//! connection, of which there are only so many, for ever.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use bytes::BytesMut;
use futures::StreamExt;

use super::{
    Door,
    answer::{bad_request, problem},
};

/// Why a body was not taken.
enum Refused {
    /// It has more bytes than a value may have.
    TooLarge,
    /// The connection failed, or the body's encoding is wrong.
    Broken(axum::Error),
}

/// Hands the request on once its body is here.
pub(super) async fn receive(State(door): State<Door>, request: Request, next: Next) -> Response {
    let limits = &door.shared().limits;
    let (parts, body) = request.into_parts();
    let limit = Duration::from_secs(limits.http_body_s.into());
    match tokio::time::timeout(limit, read(body, limits.value)).await {
        Ok(Ok(bytes)) => {
            let request = Request::from_parts(parts, Body::from(bytes));
            next.run(request).await
        }
        Ok(Err(Refused::TooLarge)) => {
            let text = format!("a body has at most {} bytes", limits.value);
            problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &text)
        }
        Ok(Err(Refused::Broken(error))) => bad_request(&error.to_string()),
        Err(_) => {
            let text = format!("the body did not arrive within {limit:?}");
            problem(StatusCode::REQUEST_TIMEOUT, "slow", &text)
        }
    }
}

/// The whole body. Reserves nothing for what is only announced.
async fn read(body: Body, most: usize) -> Result<Bytes, Refused> {
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(Refused::Broken)?;
        if read.len() + chunk.len() > most {
            return Err(Refused::TooLarge);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

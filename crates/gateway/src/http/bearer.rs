//! The password, as a bearer token.

use axum::{
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};

use super::{Door, answer::problem, serve::ClientAddress};

/// Lets a request pass if no password is set or it carries the right one.
pub(super) async fn require(State(door): State<Door>, request: Request, next: Next) -> Response {
    let auth = &door.shared().auth;
    if !auth.is_required() {
        return next.run(request).await;
    }
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    let verdict = auth.check(&address(&request), b"default", token);
    if let Some(delay) = verdict.delay {
        tokio::time::sleep(delay).await;
    }
    if verdict.right {
        return next.run(request).await;
    }
    door.shared().metrics.wrong_password();
    let text = "send the password as 'Authorization: Bearer <password>'";
    let mut response = problem(StatusCode::UNAUTHORIZED, "unauthorized", text);
    let challenge = axum::http::HeaderValue::from_static("Bearer");
    response.headers_mut().insert("www-authenticate", challenge);
    response
}

/// Whose failures are counted together: the client's address, where the server knows it.
fn address(request: &Request) -> String {
    let from = request.extensions().get::<ClientAddress>();
    from.map_or_else(|| "http:0".to_owned(), |from| from.0.to_string())
}

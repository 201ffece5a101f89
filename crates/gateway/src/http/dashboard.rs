//! The page at `/`: three static files, nothing from elsewhere, no inline script.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::Door;

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'";

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// The page's routes.
pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route(
            "/",
            get(|| async { file("text/html; charset=utf-8", include_str!("page/page.html")) }),
        )
        .route(
            "/page.js",
            get(|| async { file("text/javascript", include_str!("page/page.js")) }),
        )
        .route(
            "/page.css",
            get(|| async { file("text/css", include_str!("page/page.css")) }),
        )
}

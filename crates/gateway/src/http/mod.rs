//! The HTTP door: single keys with their consistency, contexts and receipts, and what operators
//! look at.
//!
//! | | |
//! |---|---|
//! | `GET PUT PATCH DELETE /v1/buckets/{bucket}/keys/{key}` | one key; see [`keys`] |
//! | `POST /v1/buckets/{bucket}/keys/{key}/touch?ttl_ms=` | its deadline |
//! | `GET DELETE /v1/principals/{principal}/sessions` | all sessions of one user; see [`principals`] |
//! | `GET /v1/buckets`, `GET PUT DELETE /v1/buckets/{bucket}?apply=` | the rules of buckets |
//! | `GET /v1/ring`, `/v1/members`, `/v1/explain/{key}` | placement, reachability, each replica's copy |
//! | `GET /v1/quorum` | what each R and W costs and risks |
//! | `GET POST /v1/repair`, `GET /v1/export`, `/v1/changes` | anti-entropy; this node's own records |
//! | `POST /v1/members/{leave,stay,reweight,zone}?node=&weight=&zone=&apply=` | what a change of the ring does; makes it |
//! | `POST /v1/members/{join,replace}?node=&weight=&zone=` | what a node that comes would do |
//! | `GET /healthz`, `/readyz`, `/metrics` | for machines |
//! | `GET /` | a page for people |
//!
//! With a password set, everything but `/healthz`, `/readyz` and the (empty) page itself wants
//! `Authorization: Bearer <password>`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use henge_node::Handle;

use crate::{resp::Doors, shared::Shared};

mod admin;
mod answer;
mod bearer;
mod body;
mod buckets;
mod dashboard;
mod keys;
mod members;
mod operating;
mod params;
mod principals;
mod rotation;
mod serve;
mod target;

pub use serve::serve_http;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Door {
    node: Handle,
    doors: Doors,
}

impl Door {
    fn shared(&self) -> &Arc<Shared> {
        &self.doors.shared
    }
}

/// All routes of the door to this node. [`serve_http`] serves them; embedding programs may nest
/// them in their own.
pub fn http_routes(node: Handle, doors: &Doors) -> Router {
    let door = Door {
        node,
        doors: doors.clone(),
    };
    let guarded = Router::new()
        .route(
            "/v1/buckets/{bucket}/keys/{key}",
            get(keys::read)
                .put(keys::put)
                .patch(keys::patch)
                .delete(keys::delete),
        )
        .route("/v1/buckets/{bucket}/keys/{key}/touch", post(keys::touch))
        .route(
            "/v1/buckets/{bucket}/keys/{key}/rotate",
            post(rotation::rotate),
        )
        .route(
            "/v1/principals/{principal}/sessions",
            get(principals::sessions).delete(principals::logout_all),
        )
        .route("/v1/buckets", get(buckets::list))
        .route(
            "/v1/buckets/{bucket}",
            get(buckets::show).put(buckets::set).delete(buckets::remove),
        )
        .route("/v1/ring", get(admin::ring))
        .route("/v1/members", get(admin::members))
        .route("/v1/members/{change}", post(members::change))
        .route("/v1/explain/{key}", get(admin::explain))
        .route("/v1/quorum", get(operating::quorum))
        .route(
            "/v1/repair",
            get(operating::repair).post(operating::start_repair),
        )
        .route("/v1/export", get(operating::export))
        .route("/v1/changes", get(operating::changes))
        .route("/metrics", get(admin::metrics))
        .route_layer(middleware::from_fn_with_state(door.clone(), body::receive))
        .route_layer(middleware::from_fn_with_state(
            door.clone(),
            bearer::require,
        ));
    Router::new()
        .route("/healthz", get(admin::health))
        .route("/readyz", get(admin::ready))
        .merge(dashboard::routes())
        .merge(guarded)
        .fallback(answer::not_found)
        // `body::receive` holds the limit; axum's own is lower than that.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(door.clone(), count))
        .with_state(door)
}

/// Counts requests by route, never by what a client put into the path.
async fn count(State(door): State<Door>, request: Request, next: Next) -> Response {
    let route = match request.uri().path() {
        path if path.starts_with("/v1/buckets/") && path.ends_with("/touch") => "touch",
        path if path.starts_with("/v1/buckets/") && path.ends_with("/rotate") => "rotate",
        path if path.starts_with("/v1/principals/") => "principals",
        path if path.starts_with("/v1/buckets/") && path.contains("/keys/") => "keys",
        path if path.starts_with("/v1/buckets") => "buckets",
        path if path.starts_with("/v1/explain/") => "explain",
        "/v1/ring" => "ring",
        "/v1/members" => "members",
        "/v1/quorum" => "quorum",
        "/v1/repair" => "repair",
        "/v1/export" => "export",
        "/v1/changes" => "changes",
        path if path.starts_with("/v1/members/") => "change",
        "/metrics" => "metrics",
        "/healthz" => "healthz",
        "/readyz" => "readyz",
        "/" | "/page.js" | "/page.css" => "page",
        _ => "unknown",
    };
    let response = next.run(request).await;
    door.shared()
        .metrics
        .http(route, response.status().as_u16());
    response
}

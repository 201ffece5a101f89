//! The accept loop: bounded in connections, time and header size.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use henge_node::Handle;

use super::http_routes;
use crate::{limits::Limits, resp::Doors};

/// Pause after a failed accept: out of file descriptors, mostly, which waiting may cure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) SocketAddr);

/// Serves this node's routes on a listener, until the future is dropped; requests under way then
/// still end, and idle connections close.
///
/// A connection has [`Limits::http_head_s`] seconds for each request's head and
/// [`Limits::http_head`] bytes for it, then [`Limits::http_body_s`] seconds for the body; with [`Limits::http_connections`] open, further ones wait in
/// the listener's backlog.
pub async fn serve_http(listener: TcpListener, node: Handle, doors: Arc<Doors>) {
    let limits = doors.shared.limits;
    let routes = http_routes(node, &doors);
    let room = Arc::new(Semaphore::new(limits.http_connections));
    // Never sent to: connections see that it is dropped.
    let (_open, closing) = watch::channel(());
    loop {
        // The semaphore is never closed.
        let permit = Arc::clone(&room).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, from)) => {
                let (routes, closing) = (routes.clone(), closing.clone());
                let doors = Arc::clone(&doors);
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, from, routes, limits, closing).await {
                        ended_early(&doors, &error);
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "HTTP connections cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    routes: Router,
    limits: Limits,
    mut closing: watch::Receiver<()>,
) -> hyper::Result<()> {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ClientAddress(from));
        tower::Service::call(&mut routes.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.http_head_s.into()))
        .max_buf_size(limits.http_head.max(8192))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => ended,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Counts what no route has seen. Clients that merely went away are not counted.
fn ended_early(doors: &Doors, error: &hyper::Error) {
    tracing::debug!(%error, "an HTTP connection ended early");
    let reason = match () {
        () if error.is_timeout() => "slow_head",
        () if error.is_parse_too_large() => "head_too_large",
        () if error.is_parse() => "malformed",
        () => return,
    };
    doors.shared.metrics.http_cut(reason);
}

/// Waits until the door closes.
async fn closed(closing: &mut watch::Receiver<()>) {
    while closing.changed().await.is_ok() {}
}

//! Taking in connections: peers' go to the data thread of their lane, clients' to each in turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use henge_rpc::{Acceptor, Connection, Listener};

use crate::Handle;

/// Connections of clients at most, over all data threads.
const MOST_CONNECTIONS: usize = 10_000;

/// Accepts peers and hands each connection to the data thread of its lane.
pub(crate) async fn accept_peers(mut acceptor: Acceptor, handle: Handle) {
    loop {
        let accepted = acceptor.accept().await;
        let thread = usize::from(accepted.hello.lane);
        handle.run_on(thread, move |shard| {
            Box::pin(async move {
                let Some(peers) = shard.peers() else { return };
                if let Err(error) = peers.adopt_accepted(accepted).await {
                    tracing::warn!(%error, "a peer's connection was lost on its way to its thread");
                }
            })
        });
    }
}

/// Accepts clients and spreads them over the data threads in turn.
pub(crate) async fn accept_clients(mut listener: Box<dyn Listener>, handle: Handle) {
    let open = Arc::new(AtomicUsize::new(0));
    let crowded = AtomicBool::new(false);
    for turn in 0.. {
        let (connection, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, as a rule: trying again at once would spin.
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if open.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
            handle
                .shared()
                .refused_connections
                .fetch_add(1, Ordering::Relaxed);
            if !crowded.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    most = MOST_CONNECTIONS,
                    "too many clients: closing new connections"
                );
            }
            continue;
        }
        crowded.store(false, Ordering::Relaxed);
        serve_client(&handle, turn, connection, from, &open);
    }
}

fn serve_client(
    handle: &Handle,
    turn: usize,
    connection: Box<dyn Connection>,
    from: String,
    open: &Arc<AtomicUsize>,
) {
    let Ok(detached) = connection.detach() else {
        return;
    };
    open.fetch_add(1, Ordering::Relaxed);
    let open = OpenConnection(Arc::clone(open));
    handle.run_on(turn, move |shard| {
        Box::pin(async move {
            let _open = open;
            let (Some(door), Ok(io)) = (shard.door(), detached.attach()) else {
                return;
            };
            door.connection(io, from).await;
        })
    });
}

/// Counts an open connection for as long as it lives.
struct OpenConnection(Arc<AtomicUsize>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

//! Starts real nodes in one process.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use henge_node::{Config, Node, NodeBuilder, Settings};

/// Addresses that were free a moment ago. Another program may take one before the node binds it;
/// the test then fails with "address in use", which says what happened.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let bound: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    bound
        .iter()
        .map(|listener| listener.local_addr().expect("an address"))
        .collect()
}

pub(crate) fn config(at: SocketAddr, all: &[SocketAddr], threads: usize) -> Config {
    let peers: Vec<_> = all.iter().map(|address| format!("\"{address}\"")).collect();
    let text = format!(
        "listen_peer = \"{at}\"\npeers = [{}]\ndata_threads = {threads}\ntimeout = \"2s\"\n",
        peers.join(", ")
    );
    Config::check(&Settings::parse("test", &text).expect("parses")).expect("right")
}

/// What makes one of these nodes.
pub(crate) fn builder(at: SocketAddr, all: &[SocketAddr], threads: usize) -> NodeBuilder {
    Node::builder(config(at, all, threads))
}

pub(crate) fn start(at: SocketAddr, all: &[SocketAddr], threads: usize) -> Node {
    builder(at, all, threads).start().expect("starts")
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

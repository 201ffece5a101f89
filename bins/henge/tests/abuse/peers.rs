//! The peer port: strangers, and peers that hold the cluster's key.

use std::{net::SocketAddr, time::Duration};

use henge_ring::NodeId;
use henge_rpc::{
    ClusterId, ClusterKey, Entropy, HELLO_TIME, HelloError, Identity, WIRE_NUMBER, dial_hello,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    clients::{exchange, http},
    node::Node,
};

const SECRET: &str = "the secret of these tests";
const FLAGS: [&str; 2] = ["--cluster-key", SECRET];

const APPLY: u32 = 0;
const PING: u32 = 4;

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

fn identity(cluster: ClusterId, secret: &str) -> Identity {
    Identity {
        cluster,
        node: NodeId([0xbb; 16]),
        key: ClusterKey::from_secret(secret.as_bytes()).expect("long enough"),
        wire: WIRE_NUMBER,
        lanes: 1,
    }
}

async fn dial(to: SocketAddr, me: &Identity) -> Result<TcpStream, HelloError> {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    dial_hello(&mut stream, me, 0, None, &Entropy::os(), HELLO_TIME).await?;
    Ok(stream)
}

/// The id of a node's cluster, which it tells whoever names another one.
async fn cluster_of(to: SocketAddr) -> ClusterId {
    match dial(to, &identity(ClusterId([0; 16]), SECRET)).await {
        Err(HelloError::OtherCluster { theirs, .. }) => theirs,
        other => panic!("let in under a wrong name, or not told: {other:?}"),
    }
}

/// Who holds what, and the tag of the log that says so.
fn ring(node: &Node) -> serde_json::Value {
    let body = http(node.http, "GET /v1/ring", &[], b"").body;
    let ring: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    serde_json::json!([ring["tag"], ring["partitions"]])
}

/// A write that needs every node, by way of this one.
fn replicates(node: &Node) {
    assert_eq!(node.replicates_to(3), "OK");
    node.serves_others();
}

#[test]
fn strangers_are_refused_counted_and_change_nothing() {
    let nodes = Node::cluster(3, &FLAGS);
    let node = &nodes[0];
    replicates(node);
    let before = ring(node);
    block_on(async {
        let cluster = cluster_of(node.peer).await;
        node.counts("henge_link_hellos_other_cluster_total", 1);
        let guess = dial(node.peer, &identity(cluster, "a guess of some length")).await;
        assert!(
            matches!(guess, Err(HelloError::KeyRefused { .. })),
            "{guess:?}"
        );
        node.counts("henge_link_hellos_bad_key_total", 1);
    });
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"*1\r\n$4\r\nPING\r\n",
        &[0xff; 70_000],
        &[0; 8],
    ] {
        assert_eq!(
            exchange(node.peer, garbage),
            b"",
            "strangers are told nothing"
        );
    }
    node.counts("henge_link_hellos_malformed_total", 4);
    replicates(node);
    assert!(ring(node) == before, "the ring has changed");
    assert_eq!(node.metric("henge_link_panics_total"), 0);
}

#[test]
fn a_node_with_another_key_or_name_stays_outside() {
    let nodes = Node::cluster(3, &FLAGS);
    let before = ring(&nodes[0]);
    let other_key = Node::intruder(&nodes, &["--cluster-key", "another secret, as long"]);
    let other_name = Node::intruder(&nodes, &["--cluster", "other", "--cluster-key", SECRET]);
    for node in &nodes {
        node.counts("henge_link_hellos_bad_key_total", 1);
        node.counts("henge_link_hellos_other_cluster_total", 1);
        replicates(node);
        assert!(ring(node) == before, "the ring has changed");
    }
    for intruder in [&other_key, &other_name] {
        assert_eq!(http(intruder.http, "GET /readyz", &[], b"").status, 503);
    }
}

#[test]
fn silent_strangers_do_not_keep_peers_out() {
    let nodes = Node::cluster(3, &FLAGS);
    let node = &nodes[0];
    block_on(async {
        let cluster = cluster_of(node.peer).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(node.peer).await.expect("it listens"));
        }
        let peer = dial(node.peer, &identity(cluster, SECRET)).await;
        assert!(peer.is_ok(), "{peer:?}");
        drop(silent);
    });
    node.counts("henge_link_hellos_slow_total", 100 - 64);
    replicates(node);
}

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 1;
    [&length.to_le_bytes(), &[tag][..], body].concat()
}

/// A request as tarpc's client would encode it, with a deadline of our choice.
fn request(id: u64, seconds: u64, method: u32, payload: &[u8]) -> Vec<u8> {
    let (trace_id, span_id, unsampled) = ([0u8; 16], 0u64, 1u32);
    let context = ((seconds, 0u32), (trace_id, span_id, unsampled));
    let head = postcard::to_allocvec(&(0u32, context, id, method)).expect("plain data");
    framed(1, &[&head, payload].concat())
}

/// Reads until the node answers the request with this id (below 128).
async fn answered(stream: &mut TcpStream, id: u8) {
    loop {
        let length = stream.read_u32_le().await.expect("the link is up");
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.expect("the link is up");
        if frame.starts_with(&[2, id]) {
            return;
        }
    }
}

/// Reads until the node closes the link.
async fn closed(mut stream: TcpStream) {
    let mut piece = [0; 4096];
    let read = async { while matches!(stream.read(&mut piece).await, Ok(read) if read > 0) {} };
    let read = tokio::time::timeout(Duration::from_secs(10), read).await;
    read.expect("the node closes the link");
}

#[test]
fn a_peer_with_the_key_can_harm_its_own_link_only() {
    let nodes = Node::cluster(3, &FLAGS);
    let node = &nodes[0];
    replicates(node);
    let before = ring(node);
    let lost = node.metric("henge_batches_lost_total");
    block_on(async {
        let me = identity(cluster_of(node.peer).await, SECRET);

        let mut link = dial(node.peer, &me).await.expect("it has the key");
        let three_years = 3 * 365 * 24 * 3600;
        for (id, seconds) in [(7, three_years), (8, 1 << 62), (9, u64::MAX)] {
            let ping = request(u64::from(id), seconds, PING, &[1]);
            link.write_all(&ping).await.expect("the link is up");
            answered(&mut link, id).await;
        }
        assert_eq!(node.metric("henge_link_deadlines_clamped_total"), 3);
        // A batch that is none is counted and answered with what was understood: nothing.
        // 255 is no message's tag, and new ones are given out from below.
        let batch = request(10, 1, APPLY, &[3, 255, 255, 255]);
        link.write_all(&batch).await.expect("the link is up");
        answered(&mut link, 10).await;
        node.counts("henge_bad_messages_total", 1);
        replicates(node);

        let four_gigabytes = u32::MAX.to_le_bytes();
        link.write_all(&four_gigabytes)
            .await
            .expect("the link is up");
        closed(link).await;
        node.counts("henge_link_frames_oversized_total", 1);
        replicates(node);

        for garbage in [
            framed(9, b"x"),
            framed(1, &[0xff; 64]),
            framed(2, &[0xff; 64]),
        ] {
            let mut link = dial(node.peer, &me).await.expect("it has the key");
            link.write_all(&garbage).await.expect("the link is up");
            closed(link).await;
        }
        node.counts("henge_link_frames_malformed_total", 3);
    });
    replicates(node);
    assert!(ring(node) == before, "the ring has changed");
    assert_eq!(node.metric("henge_link_panics_total"), 0);
    assert_eq!(node.metric("henge_batches_lost_total"), lost);
    for node in &nodes {
        assert_eq!(node.metric("henge_peers_up"), 2);
    }
}

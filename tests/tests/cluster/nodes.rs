//! Starts, kills and asks nodes.

use std::{
    net::TcpListener,
    process::Child,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    doors::{self, Reply, Resp},
    programs::program,
};

/// How long anything may take that has to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of a node's three ports.
#[derive(Clone, Copy)]
pub(crate) enum Port {
    Resp,
    Http,
    Peer,
}

/// One `henge serve`, running or not.
struct Node {
    ports: [u16; 3],
    /// How it comes into a cluster: the flag, and peers' addresses.
    entry: [String; 2],
    child: Option<Child>,
}

/// Some nodes on ports that were free a moment ago. They are killed when it is dropped.
pub(crate) struct Cluster(Vec<Node>);

fn free_ports(nodes: usize) -> Vec<[u16; 3]> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").expect("a free port");
    let held: Vec<[TcpListener; 3]> = (0..nodes).map(|_| [0, 1, 2].map(bind)).collect();
    let port = |held: &TcpListener| held.local_addr().expect("it is bound").port();
    held.iter().map(|node| node.each_ref().map(port)).collect()
}

fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Cluster {
    /// Starts nodes that found a cluster, and waits until they serve.
    pub(crate) fn start(count: usize) -> Self {
        let ports = free_ports(count);
        let peers: Vec<String> = ports.iter().map(|[_, _, peer]| at(*peer)).collect();
        let founder = |ports| Node {
            ports,
            entry: ["--peers".to_owned(), peers.join(",")],
            child: None,
        };
        let mut cluster = Self(ports.into_iter().map(founder).collect());
        (0..count).for_each(|node| cluster.spawn(node));
        (0..count).for_each(|node| cluster.wait_until_ready(node));
        cluster
    }

    /// A further node joins; its number, when it serves.
    pub(crate) fn join(&mut self) -> usize {
        let members: Vec<String> = self
            .running()
            .map(|node| self.address(node, Port::Peer))
            .collect();
        self.0.push(Node {
            ports: free_ports(1)[0],
            entry: ["--join".to_owned(), members.join(",")],
            child: None,
        });
        let node = self.0.len() - 1;
        self.restart(node);
        node
    }

    /// Kills a node's process without warning.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.0[node].child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Starts a node that was killed, on its old ports and with nothing in memory, and waits until
    /// it serves.
    pub(crate) fn restart(&mut self, node: usize) {
        self.spawn(node);
        self.wait_until_ready(node);
    }

    /// Those that were not killed.
    pub(crate) fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len()).filter(|node| self.0[*node].child.is_some())
    }

    /// Where a node listens.
    pub(crate) fn address(&self, node: usize, port: Port) -> String {
        at(self.port(node, port))
    }

    pub(crate) fn port(&self, node: usize, port: Port) -> u16 {
        self.0[node].ports[port as usize]
    }

    /// A connection to a node's Redis-protocol door.
    pub(crate) fn resp(&self, node: usize) -> Resp {
        Resp::connect(self.port(node, Port::Resp))
    }

    /// One HTTP request: status and body.
    pub(crate) fn http(&self, node: usize, verb: &str, path: &str, body: &str) -> (u16, String) {
        doors::http(self.port(node, Port::Http), verb, path, body).expect("it answers")
    }

    /// What a node answers to a GET, which must succeed.
    pub(crate) fn json(&self, node: usize, path: &str) -> Value {
        let (status, body) = self.http(node, "GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("it is JSON")
    }

    /// A node's id.
    pub(crate) fn id(&self, node: usize) -> String {
        let members = self.json(node, "/v1/members");
        members["node"].as_str().expect("it has an id").to_owned()
    }

    /// Waits until a node no longer counts on another: a write to all of them is refused at once.
    pub(crate) fn wait_until_noticed(&self, node: usize, dead: usize) {
        let probe = "/v1/buckets/sessions/keys/sess:probe?w=3&timeout_ms=200";
        wait(&format!("node {node} notices that {dead} is gone"), || {
            let (_, body) = self.http(node, "PUT", probe, "x");
            body.contains("nothing was changed")
        });
    }

    /// Waits until all running nodes know the same ring of so many members and no partition moves.
    pub(crate) fn wait_until_settled(&self, members: usize) {
        wait(&format!("{members} members, nothing moves"), || {
            let mut said = self.running().map(|node| self.json(node, "/v1/members"));
            said.all(|it| {
                let moving = [&it["moving"]["partitions"], &it["moving"]["to_pull"]];
                let count = it["members"].as_array().map(Vec::len);
                count == Some(members) && moving.iter().all(|left| **left == 0)
            })
        });
    }

    /// Waits until a node that has left says that its data is elsewhere.
    pub(crate) fn wait_until_left(&self, node: usize) {
        wait(&format!("node {node} has left"), || {
            self.json(node, "/v1/members")["moving"]["left"] == true
        });
    }

    /// Checks that a node shows all these, asking so many replicas.
    pub(crate) fn holds(&self, node: usize, r: usize, expected: &[(String, String)]) {
        let mut client = self.resp(node);
        let asked = client.call(&["HENGE.QUORUM", "R", &r.to_string()]);
        assert_eq!(asked, Reply::text("OK"));
        let answers = expected.iter().map(|(key, value)| {
            let answer = client.call(&["GET", key]);
            (key, answer != Reply::bulk(value), answer)
        });
        let lost: Vec<_> = answers.filter(|(_, lost, _)| *lost).collect();
        assert!(
            lost.is_empty(),
            "node {node} lacks {} of {} at R={r}: {:?} ...",
            lost.len(),
            expected.len(),
            lost[0]
        );
    }

    fn spawn(&mut self, node: usize) {
        let [resp, http, peer] = self.0[node].ports.map(at);
        let child = program("henge")
            .args(["serve", "--listen-resp", &resp, "--listen-http", &http])
            .args(["--listen-peer", &peer, "--replicas", "3"])
            .args(["--data-threads", "1", "--log", "error"])
            .args(&self.0[node].entry)
            .env("HENGE_CLUSTER_KEY", "a key for nothing but these tests")
            .spawn();
        self.0[node].child = Some(child.expect("it starts"));
    }

    fn wait_until_ready(&mut self, node: usize) {
        let port = self.port(node, Port::Http);
        let child = &mut self.0[node].child;
        wait(&format!("node {node} is ready"), || {
            let child = child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "node {node} has ended: {ended:?}");
            doors::http(port, "GET", "/readyz", "").is_some_and(|(status, _)| status == 200)
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.0.len()).for_each(|node| self.kill(node));
    }
}

/// Looks again and again until something has come about.
pub(crate) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! Nodes as processes of their own, whose logs are shown if the test fails.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::clients::{Client, http};

/// How long a node may take to serve.
const START: Duration = Duration::from_secs(20);

/// How long another client may wait for its answer while an attack is on. Generous: the machine
/// runs several tests and nodes at a time, and a node that suffers stops answering altogether.
const PROMPT: Duration = Duration::from_secs(2);

/// Pause between two looks at something that is to come about.
const LOOK: Duration = Duration::from_millis(20);

/// What a process has written to stderr so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        self.more.notify_all();
    }

    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.join("\n")
    }

    /// Waits for a line with this text; false if it did not come.
    fn wait_for(&self, wanted: &str, limit: Duration) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let absent = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(wanted));
        let waited = self.more.wait_timeout_while(lines, limit, absent);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// One running `henge serve`; killed when dropped.
pub(crate) struct Node {
    process: Child,
    log: Arc<Log>,
    password: Option<String>,
    pub(crate) resp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) peer: SocketAddr,
}

/// Ports that were free a moment ago, all different.
fn free_ports(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().expect("it is bound"))
        .collect()
}

impl Node {
    /// A cluster of one, serving.
    pub(crate) fn alone(flags: &[&str]) -> Self {
        Self::cluster(1, flags).remove(0)
    }

    /// A cluster, serving.
    pub(crate) fn cluster(nodes: usize, flags: &[&str]) -> Vec<Self> {
        let ports = free_ports(3 * nodes);
        let peers: Vec<String> = (0..nodes).map(|at| ports[3 * at + 2].to_string()).collect();
        let started: Vec<Self> = (0..nodes)
            .map(|at| Self::start(&ports[3 * at..][..3], &peers, flags))
            .collect();
        for node in &started {
            assert!(node.logs("serving", START), "a node does not serve");
            assert_eq!(http(node.http, "GET /readyz", &[], b"").status, 200);
        }
        // Every pair has dialled each other and keeps one of the two links. What is under way on
        // the other one at that moment is lost: an attack would be blamed for it.
        let settled = || started.iter().all(|node| node.replicates_to(nodes) == "OK");
        eventually("the links settle", START, settled);
        started
    }

    /// A node with the given addresses (RESP, HTTP, peer), which may never come to serve.
    pub(crate) fn start(at: &[SocketAddr], peers: &[String], flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_henge"))
            .env_clear()
            // Freed memory goes back at once, so that the resident size is what is in use.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .env("NO_COLOR", "1")
            .args(["serve", "--log", "henge=debug,henge_node=debug,warn"])
            .args(["--listen-resp", &at[0].to_string()])
            .args(["--listen-http", &at[1].to_string()])
            .args(["--listen-peer", &at[2].to_string()])
            .args(["--peers", &peers.join(",")])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(process.stderr.take().expect("it is piped"));
        let log = Arc::<Log>::default();
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writer.push(line);
            }
        });
        let password = flags.iter().skip_while(|flag| **flag != "--password");
        Self {
            process,
            log,
            password: password.skip(1).map(ToString::to_string).next(),
            resp: at[0],
            http: at[1],
            peer: at[2],
        }
    }

    /// A further node that dials these and is given other flags.
    pub(crate) fn intruder(peers: &[Self], flags: &[&str]) -> Self {
        let peers: Vec<String> = peers.iter().map(|node| node.peer.to_string()).collect();
        Self::start(&free_ports(3), &peers, flags)
    }

    /// Waits for a line of its log.
    pub(crate) fn logs(&self, wanted: &str, limit: Duration) -> bool {
        self.log.wait_for(wanted, limit)
    }

    /// The value of a metric, by its name with its labels; 0 if it is not there yet.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let bearer = format!("Bearer {}", self.password.as_deref().unwrap_or_default());
        let answer = http(
            self.http,
            "GET /metrics",
            &[("Authorization", &bearer)],
            b"",
        );
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).expect("metrics are text");
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value).unwrap_or(0)
    }

    /// Waits until a metric has at least this value.
    pub(crate) fn counts(&self, name: &str, least: u64) {
        eventually(&format!("{name} {least}"), Duration::from_secs(15), || {
            self.metric(name) >= least
        });
    }

    /// Bytes of memory that the process occupies.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.expect("a number of kB") * 1024
    }

    /// A client that may do everything.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::connect(self.resp);
        if let Some(password) = &self.password {
            assert_eq!(client.ask(&["AUTH", password]), "OK");
        }
        client
    }

    /// What becomes of a write that so many nodes must keep.
    pub(crate) fn replicates_to(&self, nodes: usize) -> String {
        let mut client = self.client();
        let quorum = nodes.to_string();
        assert_eq!(client.ask(&["HENGE.QUORUM", "W", &quorum]), "OK");
        client.ask(&["SET", "everywhere", "here"])
    }

    /// Another client comes, writes, reads what it wrote, and does not have to wait.
    pub(crate) fn serves_others(&self) {
        let begun = Instant::now();
        let mut client = self.client();
        assert_eq!(client.ask(&["SET", "bystander", "here"]), "OK");
        assert_eq!(client.ask(&["GET", "bystander"]), "here");
        let took = begun.elapsed();
        assert!(took < PROMPT, "another client waited for {took:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Gone already: then its log says why.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- node at {} ---\n{}", self.resp, self.log.text());
        }
    }
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

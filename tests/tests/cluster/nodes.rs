//! Starts, kills and asks nodes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test, built if need be.
fn henge() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "-p", "henge"])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "henge does not build"
        );
        // This test lies in target/debug/deps, the binary two floors up.
        let test = std::env::current_exe().expect("this test has a path");
        let folder = test
            .parent()
            .and_then(|deps| deps.parent())
            .expect("in target/debug/deps");
        folder.join("henge")
    })
}

/// Some nodes on ports that were free a moment ago. They are killed when it is dropped.
pub(crate) struct Cluster {
    ports: Vec<[u16; 3]>,
    children: Vec<Option<Child>>,
}

impl Cluster {
    /// Starts nodes and waits until they serve.
    pub(crate) fn start(count: usize) -> Self {
        let held: Vec<TcpListener> = (0..3 * count)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let port = |at: usize| held[at].local_addr().expect("it is bound").port();
        let ports = (0..count)
            .map(|node| [0, 1, 2].map(|door| port(3 * node + door)))
            .collect();
        drop(held);
        let mut cluster = Self {
            ports,
            children: (0..count).map(|_| None).collect(),
        };
        for node in 0..count {
            cluster.spawn(node);
        }
        for node in 0..count {
            cluster.wait_until_ready(node);
        }
        cluster
    }

    /// Kills a node's process without warning.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node].take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Starts a node that was killed, and waits until it serves.
    pub(crate) fn restart(&mut self, node: usize) {
        self.spawn(node);
        self.wait_until_ready(node);
    }

    /// A connection to a node's Redis-protocol door.
    pub(crate) fn resp(&self, node: usize) -> Resp {
        let stream = TcpStream::connect(("127.0.0.1", self.ports[node][0])).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out can be set");
        Resp(BufReader::new(stream))
    }

    /// One HTTP request: status and body.
    pub(crate) fn http(&self, node: usize, verb: &str, path: &str, body: &str) -> (u16, String) {
        self.try_http(node, verb, path, body).expect("it answers")
    }

    /// Waits until a node no longer counts on another: a write to all of them is refused at once.
    pub(crate) fn wait_until_noticed(&self, node: usize, dead: usize) {
        let probe = "/v1/buckets/sessions/keys/sess:probe?w=3&timeout_ms=200";
        self.wait(&format!("node {node} notices that {dead} is gone"), || {
            let (_, body) = self.http(node, "PUT", probe, "x");
            body.contains("nothing was changed")
        });
    }

    /// Checks that a node shows all these.
    pub(crate) fn holds(&self, node: usize, expected: &[(String, String)]) {
        let mut client = self.resp(node);
        let lost: Vec<_> = expected
            .iter()
            .filter(|(key, value)| client.call(&["GET", key]) != Reply::bulk(value))
            .collect();
        assert!(
            lost.is_empty(),
            "node {node} lacks {} of {}",
            lost.len(),
            expected.len()
        );
    }

    fn spawn(&mut self, node: usize) {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let peers: Vec<_> = self.ports.iter().map(|[_, _, peer]| at(*peer)).collect();
        let [resp, http, peer] = self.ports[node].map(at);
        let child = Command::new(henge())
            .args(["serve", "--listen-resp", &resp, "--listen-http", &http])
            .args(["--listen-peer", &peer, "--peers", &peers.join(",")])
            .args(["--replicas", "3", "--log", "error"])
            .env("HENGE_CLUSTER_KEY", "a key for nothing but these tests")
            .stdin(Stdio::null())
            .spawn()
            .expect("it starts");
        self.children[node] = Some(child);
    }

    fn wait_until_ready(&self, node: usize) {
        self.wait(&format!("node {node} is ready"), || {
            self.try_http(node, "GET", "/readyz", "")
                .is_some_and(|(status, _)| status == 200)
        });
    }

    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < PATIENCE, "in vain: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_http(&self, node: usize, verb: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[node][1])).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let length = body.len();
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, body.to_owned()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.children.len() {
            self.kill(node);
        }
    }
}

/// A client of the Redis protocol, as small as can be.
pub(crate) struct Resp(BufReader<TcpStream>);

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(String),
    Error(String),
    Integer(i64),
    Bulk(String),
    Nothing,
}

impl Reply {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn bulk(text: &str) -> Self {
        Self::Bulk(text.to_owned())
    }
}

impl Resp {
    /// Sends a command and waits for its answer.
    pub(crate) fn call(&mut self, words: &[&str]) -> Reply {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .expect("the connection is open");
        let line = self.line();
        let rest = line[1..].to_owned();
        match line.as_bytes()[0] {
            b'+' => Reply::Text(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Integer(rest.parse().expect("a number")),
            b'$' if rest == "-1" => Reply::Nothing,
            b'$' => {
                let mut bytes = vec![0; rest.parse::<usize>().expect("a length") + 2];
                self.0.read_exact(&mut bytes).expect("the whole value");
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(String::from_utf8(bytes).expect("what was written was text"))
            }
            _ => panic!("an answer of an unexpected kind: {line}"),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer comes");
        assert!(
            line.ends_with("\r\n"),
            "the connection ended within {line:?}"
        );
        line.truncate(line.len() - 2);
        line
    }
}

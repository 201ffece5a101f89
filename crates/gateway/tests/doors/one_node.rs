//! A node in this process with its doors on free ports, and a client that speaks raw RESP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use henge_gateway::{Doors, Limits};
use henge_node::{Config, Node, NodeBuilder, Settings};

/// A running node; stops when dropped.
pub(crate) struct Served {
    pub(crate) node: Node,
    pub(crate) doors: Doors,
}

/// A one-node cluster.
pub(crate) fn serve(password: Option<&str>, limits: Limits) -> Served {
    let any = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        listen_resp: any,
        listen_http: any,
        listen_peer: any,
        data_threads: 1,
        ..Config::check(&Settings::default()).unwrap()
    };
    let doors = Doors::new(password.map(str::to_owned), limits, b"secret of the tests");
    let node = NodeBuilder::new(config)
        .door(Arc::new(doors.clone()))
        .start()
        .unwrap();
    let begun = Instant::now();
    while !node.handle().is_ready() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it does not get ready"
        );
        std::thread::yield_now();
    }
    Served { node, doors }
}

impl Served {
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.node.handle().info().endpoints.resp)
    }
}

/// One connection. Replies are shown as text: `"bulk"`, `+simple`, `-error`, `:7`, `nil`,
/// `[a, b]`, `{k: v}`, `~[a]`, `>[a]`.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    pub(crate) fn send_args<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let mut out = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            out.extend_from_slice(format!("${}\r\n", arg.as_ref().len()).as_bytes());
            out.extend_from_slice(arg.as_ref());
            out.extend_from_slice(b"\r\n");
        }
        self.send(&out);
    }

    /// Sends words (separated by spaces) as one command and reads its reply.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send_args(&line.split(' ').collect::<Vec<_>>());
        self.reply()
    }

    /// Writes from another thread, while this one reads; a closed connection is no error.
    pub(crate) fn sender(&self) -> impl FnMut(&[u8]) + Send + use<> {
        let mut stream = self.stream.get_ref().try_clone().unwrap();
        move |bytes| drop(stream.write_all(bytes))
    }

    /// Closes this side's half.
    pub(crate) fn send_no_more(&self) {
        self.stream
            .get_ref()
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).unwrap();
        assert!(read > 0, "the connection was closed");
        line.trim_end_matches("\r\n").to_owned()
    }

    pub(crate) fn reply(&mut self) -> String {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().unwrap();
        match kind {
            "+" | "-" | ":" => line.clone(),
            "_" => "nil".to_owned(),
            "$" | "=" | "*" if number() < 0 => "nil".to_owned(),
            "$" | "=" => {
                let mut bytes = vec![0; number() as usize + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len() - 2]))
            }
            "*" => format!("[{}]", self.replies(number()).join(", ")),
            "~" | ">" => format!("{kind}[{}]", self.replies(number()).join(", ")),
            "%" => {
                let items = self.replies(number() * 2);
                let pairs: Vec<String> = items
                    .chunks(2)
                    .map(|pair| format!("{}: {}", pair[0], pair[1]))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            }
            other => panic!("what is {other}{rest}?"),
        }
    }

    fn replies(&mut self, count: i64) -> Vec<String> {
        (0..count).map(|_| self.reply()).collect()
    }
}

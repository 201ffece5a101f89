//! Clients that send whatever they are told to.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use henge_client::{Value, decode};

/// How long a read may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Largest reply the tests ask for.
const LARGEST: usize = 16 << 20;

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// A connection to the Redis door.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let (stream, input) = (connect(to), Vec::new());
        Self { stream, input }
    }

    /// Sends bytes. The node may have closed the connection: then the reads tell.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends one command.
    pub(crate) fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send(&command(args));
    }

    /// Sends one command and tells its reply.
    pub(crate) fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> String {
        self.command(args);
        self.reply()
    }

    /// The next reply as text: strings as they are, errors with a leading `-`, `nil`.
    pub(crate) fn reply(&mut self) -> String {
        match self
            .value()
            .expect("a reply, but the connection was closed")
        {
            Value::Error(text) => format!("-{}", String::from_utf8_lossy(&text)),
            Value::Null => "nil".to_owned(),
            Value::Integer(number) => number.to_string(),
            other => other.text().expect("a string"),
        }
    }

    /// Whether the node has closed the connection, without a further reply.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.value().is_none()
    }

    /// The next reply; `None` if the connection was closed instead.
    fn value(&mut self) -> Option<Value> {
        loop {
            if let Some((value, used)) = decode(&self.input, LARGEST).expect("the node's replies") {
                self.input.drain(..used);
                return Some(value);
            }
            let mut piece = [0; 16 * 1024];
            let read = match self.stream.read(&mut piece) {
                Ok(read) => read,
                Err(error) if is_closed(&error) => 0,
                Err(error) => panic!("no reply: {error}"),
            };
            if read == 0 {
                return None;
            }
            self.input.extend_from_slice(&piece[..read]);
        }
    }

    /// The socket, for writing from another thread.
    pub(crate) fn socket(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket")
    }
}

/// The encoding of one command.
pub(crate) fn command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args.iter().map(AsRef::as_ref) {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionReset | ConnectionAborted | BrokenPipe
    )
}

/// Sends bytes on a fresh connection and gives back all that comes until the node closes it.
pub(crate) fn exchange(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(to);
    // The node may close before it has read everything; what it said can still be read.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if is_closed(&error) => answer,
        Err(error) => panic!("{to} does not close the connection: {error}"),
    }
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// One HTTP request, given as `METHOD /path`, on a connection of its own.
pub(crate) fn http(to: SocketAddr, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = format!("{what} HTTP/1.1\r\nHost: henge\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n", body.len());
    parse_answer(&exchange(to, &[request.as_bytes(), body].concat()))
}

/// Status and body of an answer.
pub(crate) fn parse_answer(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|text| text.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    Answer {
        status: status.unwrap_or_else(|| panic!("no HTTP answer: {text:?}")),
        body: end.map_or_else(Vec::new, |end| answer[end + 4..].to_vec()),
    }
}

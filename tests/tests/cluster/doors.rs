//! The smallest clients there can be, of both doors.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One HTTP request: status and body; `None` if the port does not answer.
pub(crate) fn http(port: u16, verb: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
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

/// A client of the Redis protocol.
pub(crate) struct Resp(BufReader<TcpStream>);

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(String),
    Error(String),
    Integer(i64),
    Bulk(String),
    Nothing,
    /// Also a map: names and values in turn.
    List(Vec<Reply>),
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
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out can be set");
        Self(BufReader::new(stream))
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(&mut self, words: &[&str]) -> Reply {
        self.0
            .get_mut()
            .write_all(request(words).as_bytes())
            .expect("the connection is open");
        self.reply()
    }

    /// Sends commands without waiting for answers in between.
    pub(crate) fn pipeline(&mut self, commands: &[Vec<&str>]) -> Vec<Reply> {
        let mut out = self.0.get_ref().try_clone().expect("a second handle");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for words in commands {
                    out.write_all(request(words).as_bytes())
                        .expect("the connection is open");
                }
            });
            commands.iter().map(|_| self.reply()).collect()
        })
    }

    fn reply(&mut self) -> Reply {
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
            b'*' => {
                let length = rest.parse::<usize>().expect("a length");
                Reply::List((0..length).map(|_| self.reply()).collect())
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

fn request(words: &[&str]) -> String {
    let arguments = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let arguments: String = arguments.collect();
    format!("*{}\r\n{arguments}", words.len())
}

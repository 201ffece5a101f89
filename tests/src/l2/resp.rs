//! A client's connection to a simulated node: the Redis protocol, with a bound on every wait.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use turmoil::net::TcpStream;

/// Longest answer taken: far more than a node of these runs can have to say.
const LONGEST: usize = 1 << 20;

/// An answer, as RESP2 tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A simple string.
    Text(String),
    /// An error's line.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string of bytes; these runs write text only.
    Bulk(String),
    /// Nothing.
    Null,
    /// Several; a map is its names and values in turn.
    Array(Vec<Reply>),
}

impl Reply {
    /// The value under a name of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Reply> {
        let Self::Array(items) = self else {
            return None;
        };
        let pairs = items.chunks_exact(2);
        let mut found = pairs.filter(|pair| matches!(&pair[0], Self::Bulk(it) if it == name));
        found.next().map(|pair| &pair[1])
    }

    /// The items of an array.
    pub(super) fn items(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// A string's text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Bulk(text) => Some(text),
            _ => None,
        }
    }
}

/// One connection. After an error it is of no further use.
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: &str, patience: Duration) -> io::Result<Self> {
        let stream = timeout(patience, TcpStream::connect(address)).await??;
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn call(&mut self, words: &[String], patience: Duration) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        timeout(patience, async {
            self.stream.write_all(&bytes).await?;
            self.answer().await
        })
        .await?
    }

    async fn answer(&mut self) -> io::Result<Reply> {
        loop {
            let mut rest = self.read.as_slice();
            if let Some(reply) = parse(&mut rest)? {
                let used = self.read.len() - rest.len();
                self.read.drain(..used);
                return Ok(reply);
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).await?;
            if count == 0 || self.read.len() > LONGEST {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.read.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Takes one whole answer off the front; `None`: it is not all there yet.
fn parse(bytes: &mut &[u8]) -> io::Result<Option<Reply>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut rest = &bytes[end + 2..];
    let (Some(kind), Some(word)) = (line.get(..1), line.get(1..)) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let number = || word.parse::<i64>().map_err(|_| io::ErrorKind::InvalidData);
    let reply = match kind {
        "+" => Reply::Text(word.to_owned()),
        "-" => Reply::Error(word.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" if number()? < 0 => Reply::Null,
        "$" => {
            let len = number()? as usize;
            let Some(body) = rest.get(..len + 2) else {
                return Ok(None);
            };
            rest = &rest[len + 2..];
            Reply::Bulk(String::from_utf8_lossy(&body[..len]).into_owned())
        }
        "*" => {
            let mut items = Vec::new();
            for _ in 0..number()? {
                match parse(&mut rest)? {
                    Some(item) => items.push(item),
                    None => return Ok(None),
                }
            }
            Reply::Array(items)
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    *bytes = rest;
    Ok(Some(reply))
}

#[cfg(test)]
mod tests {
    use super::{Reply, parse};

    #[test]
    fn an_answer_is_taken_only_when_it_is_whole() {
        let whole = b"*4\r\n$1\r\na\r\n:7\r\n$1\r\nb\r\n$-1\r\n+OK\r\n";
        let answer = whole.len() - "+OK\r\n".len();
        for cut in 0..answer {
            let mut part = &whole[..cut];
            assert_eq!(parse(&mut part).expect("no nonsense"), None, "{cut}");
        }
        let mut rest = whole.as_slice();
        let map = parse(&mut rest).expect("no nonsense").expect("whole");
        assert_eq!(map.get("a"), Some(&Reply::Integer(7)));
        assert_eq!(map.get("b"), Some(&Reply::Null));
        assert_eq!(map.get("c"), None);
        assert_eq!(parse(&mut rest).ok(), Some(Some(Reply::Text("OK".into()))));
        assert!(rest.is_empty());
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in ["?\r\n", "\r\n", ":x\r\n", "$x\r\n"] {
            assert!(parse(&mut bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}

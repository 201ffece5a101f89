//! From replies to bytes, for RESP2 and RESP3.
//!
//! A [`Writer`] appends to the connection's output buffer directly: a reply to a hot command is a
//! few copies and no allocation. Where RESP2 has no type of its own it falls back the way Redis
//! does (a map is a flat array, text for people is a bulk).

use bytes::{BufMut, BytesMut};

/// Which protocol a connection speaks; `HELLO` changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// RESP2: what a connection starts with.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

impl Protocol {
    /// Its number, as `HELLO` has it.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Appends replies to a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut BytesMut,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// A writer of `protocol`.
    pub(crate) fn new(out: &'a mut BytesMut, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// `+text`. The text must not contain a line end.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `-text`. Line ends in it, which would break the protocol, become spaces.
    pub(crate) fn error(&mut self, text: &str) {
        self.out.put_u8(b'-');
        self.out.extend(
            text.bytes()
                .map(|byte| if byte < b' ' { b' ' } else { byte }),
        );
        self.out.put_slice(b"\r\n");
    }

    /// `:n`.
    pub(crate) fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// `$n` and the bytes.
    #[inline]
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 32);
        self.header(b'$', bytes.len() as i64);
        self.out.put_slice(bytes);
        self.out.put_slice(b"\r\n");
    }

    /// The absent value: `$-1`, or `_`.
    pub(crate) fn null(&mut self) {
        self.out.put_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The absent array: `*-1`, or `_`.
    pub(crate) fn null_array(&mut self) {
        self.out.put_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array of `length` replies that follow.
    pub(crate) fn array(&mut self, length: usize) {
        self.header(b'*', length as i64);
    }

    /// The head of a set of `length` replies that follow.
    pub(crate) fn set(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(length),
            Protocol::Resp3 => self.header(b'~', length as i64),
        }
    }

    /// The head of a map of `pairs` pairs of replies that follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// The head of a message of `length` replies that follow.
    pub(crate) fn push(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(length),
            Protocol::Resp3 => self.header(b'>', length as i64),
        }
    }

    /// Text for people.
    pub(crate) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.out.put_slice(b"txt:");
                self.out.put_slice(text.as_bytes());
                self.out.put_slice(b"\r\n");
            }
        }
    }

    /// Replies encoded before.
    pub(crate) fn encoded(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.put_u8(kind);
        self.out.put_slice(text);
        self.out.put_slice(b"\r\n");
    }

    /// A type byte, a decimal number and the line end, in one append.
    fn header(&mut self, kind: u8, value: i64) {
        let mut line = [0_u8; 24];
        let mut at = line.len() - 2;
        line[at..].copy_from_slice(b"\r\n");
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            line[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            line[at] = b'-';
        }
        line[at - 1] = kind;
        self.out.put_slice(&line[at - 1..]);
    }
}

#[cfg(test)]
mod tests;

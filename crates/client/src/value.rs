//! The RESP reply decoder: both versions, bounded in size, depth and elements.
//!
//! An own one, because the library at hand recurses without a limit on nested arrays and has no
//! limit on lengths: a peer could end the process with 40 KB.

use bytes::Bytes;

/// Deepest nesting of arrays and maps accepted; the protocol's deepest reply has 4.
pub const MAX_DEPTH: u32 = 8;

/// Most elements of one array or map; the largest honest reply is a few thousand.
pub const MAX_ELEMENTS: usize = 1 << 20;

/// Longest line (simple string, error, number) accepted, in bytes.
const MAX_LINE: usize = 64 << 10;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nil of either protocol version.
    Null,
    /// A simple string.
    Simple(Bytes),
    /// An error line or bulk error.
    Error(Bytes),
    /// An integer.
    Integer(i64),
    /// A double.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// A bulk or verbatim string.
    Bulk(Bytes),
    /// An array, set or push.
    Array(Vec<Value>),
    /// A map, in the order sent.
    Map(Vec<(Value, Value)>),
}

/// The bytes are not a reply this client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Unknown type byte.
    #[error("unknown reply type byte {0:#04x}")]
    Type(u8),
    /// A number or boolean that is none, or a missing line end.
    #[error("malformed reply line")]
    Line,
    /// Longer than the limit.
    #[error("reply of {got} bytes or elements, limit {limit}")]
    TooLarge {
        /// Length announced or reached.
        got: usize,
        /// The limit it broke.
        limit: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("reply nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Decodes the first reply in `buf`: the value and how many bytes it took, or `None` while it is
/// incomplete. Refuses a reply longer than `max` bytes as soon as that is known, and whether or not
/// all of it is there.
pub fn decode(buf: &[u8], max: usize) -> Result<Option<(Value, usize)>, DecodeError> {
    let mut cursor = Cursor { buf, at: 0, max };
    match cursor.value(0) {
        Ok(_) if cursor.at > max => Err(DecodeError::TooLarge {
            got: cursor.at,
            limit: max,
        }),
        Ok(value) => Ok(Some((value, cursor.at))),
        Err(Stop::Wrong(error)) => Err(error),
        Err(Stop::Incomplete) if buf.len() > max => Err(DecodeError::TooLarge {
            got: buf.len(),
            limit: max,
        }),
        Err(Stop::Incomplete) => Ok(None),
    }
}

enum Stop {
    Incomplete,
    Wrong(DecodeError),
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Wrong(error)
    }
}

struct Cursor<'a> {
    buf: &'a [u8],
    at: usize,
    max: usize,
}

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: u32) -> Result<Value, Stop> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep.into());
        }
        let line = self.line()?;
        let Some((&kind, rest)) = line.split_first() else {
            return Err(DecodeError::Line.into());
        };
        Ok(match kind {
            b'+' | b'(' => Value::Simple(Bytes::copy_from_slice(rest)),
            b'-' => Value::Error(Bytes::copy_from_slice(rest)),
            b':' => Value::Integer(number(rest)?),
            b',' => Value::Double(number(rest)?),
            b'#' => Value::Boolean(boolean(rest)?),
            b'_' => Value::Null,
            b'$' => self.bulk(rest)?.map_or(Value::Null, Value::Bulk),
            b'!' => self.bulk(rest)?.map_or(Value::Null, Value::Error),
            b'=' => self.bulk(rest)?.map_or(Value::Null, |text| {
                Value::Bulk(text.slice(text.len().min(4)..))
            }),
            b'*' | b'~' | b'>' => self.array(rest, depth)?,
            b'%' => self.map(rest, depth)?,
            other => return Err(DecodeError::Type(other).into()),
        })
    }

    fn array(&mut self, count: &[u8], depth: u32) -> Result<Value, Stop> {
        let Some(count) = length(count, MAX_ELEMENTS)? else {
            return Ok(Value::Null);
        };
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, count: &[u8], depth: u32) -> Result<Value, Stop> {
        let count = length(count, MAX_ELEMENTS)?.ok_or(DecodeError::Line)?;
        let mut pairs = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(Value::Map(pairs))
    }

    fn bulk(&mut self, len: &[u8]) -> Result<Option<Bytes>, Stop> {
        let Some(len) = length(len, self.max)? else {
            return Ok(None);
        };
        let rest = &self.buf[self.at..];
        if rest.len() < len + 2 {
            return Err(Stop::Incomplete);
        }
        if &rest[len..len + 2] != b"\r\n" {
            return Err(DecodeError::Line.into());
        }
        self.at += len + 2;
        Ok(Some(Bytes::copy_from_slice(&rest[..len])))
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.buf[self.at..];
        let window = &rest[..rest.len().min(MAX_LINE)];
        match window.iter().position(|b| *b == b'\n') {
            Some(end) if end > 0 && rest[end - 1] == b'\r' => {
                self.at += end + 1;
                Ok(&rest[..end - 1])
            }
            Some(_) => Err(DecodeError::Line.into()),
            None if rest.len() >= MAX_LINE => Err(DecodeError::TooLarge {
                got: rest.len(),
                limit: MAX_LINE,
            }
            .into()),
            None => Err(Stop::Incomplete),
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, DecodeError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(DecodeError::Line)
}

fn boolean(text: &[u8]) -> Result<bool, DecodeError> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(DecodeError::Line),
    }
}

/// A length line: `None` for -1 (nil).
fn length(text: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    let len: i64 = number(text)?;
    if len == -1 {
        return Ok(None);
    }
    let len = usize::try_from(len).map_err(|_| DecodeError::Line)?;
    if len > limit {
        Err(DecodeError::TooLarge { got: len, limit })
    } else {
        Ok(Some(len))
    }
}

impl Value {
    /// The bytes of a bulk or simple string.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bulk(bytes) | Self::Simple(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// An integer, also where it was sent as text or boolean.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Boolean(flag) => Some(i64::from(*flag)),
            other => std::str::from_utf8(other.bytes()?).ok()?.parse().ok(),
        }
    }

    /// Text, with foreign bytes replaced.
    pub fn text(&self) -> Option<String> {
        self.bytes()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The value stored under `key` in a map, or in a flat array as RESP2 sends maps.
    pub fn field(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(k, _)| is(k, key)).map(|(_, v)| v),
            Self::Array(flat) => flat
                .chunks_exact(2)
                .find(|pair| is(&pair[0], key))
                .map(|pair| &pair[1]),
            _ => None,
        }
    }

    /// The pairs of a map of either protocol version; nothing for any other value.
    pub fn pairs(&self) -> Vec<(&Value, &Value)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(k, v)| (k, v)).collect(),
            Self::Array(flat) => flat
                .chunks_exact(2)
                .map(|pair| (&pair[0], &pair[1]))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn is(value: &Value, key: &str) -> bool {
    value.bytes().is_some_and(|bytes| bytes == key.as_bytes())
}

#[cfg(test)]
mod tests;

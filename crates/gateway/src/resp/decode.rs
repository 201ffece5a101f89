//! From bytes to commands: a bounded, resumable decoder for what a Redis client may send.
//!
//! A client sends either an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or an inline
//! command (a line of words). The decoder never copies an argument: it remembers *where* in the
//! connection's read buffer each one lies. It keeps its position between calls, so a command that
//! arrives in a thousand pieces is looked at once, and it never reserves memory because a header
//! announced it: what is announced is checked against [`DecodeLimits`] and then waited for.
//!
//! Words of errors and the order of checks are those of Redis 7 (`processMultibulkBuffer`,
//! `processInlineBuffer`), because clients print them and Redis' own protocol tests compare them.
//! Left out: nested arrays, which no client sends and Redis refuses too.

use std::ops::Range;

use smallvec::SmallVec;

mod inline;

/// Longest line that announces a count or a length, in bytes (Redis: `PROTO_INLINE_MAX_SIZE`).
const MAX_HEADER: usize = 64 * 1024;

/// Arguments of one command by default, as in Redis: clients delete and read thousands of keys at
/// once. What they occupy is bounded by the bytes of a whole command.
const MAX_ARGS: usize = 1024 * 1024;

/// Arguments most commands have: more of them spill to the heap.
const USUAL_ARGS: usize = 8;

/// What the decoder accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Arguments of one command, its name included.
    pub args: usize,
    /// Bytes of one argument.
    pub bulk: usize,
    /// Bytes of one inline command.
    pub inline: usize,
    /// Whether the client has yet to authenticate: changes the words of the refusal.
    pub before_auth: bool,
}

impl DecodeLimits {
    /// What a client may send before it has authenticated: 10 arguments of 16 KiB, as Redis does
    /// since CVE-2021-32675.
    pub const BEFORE_AUTH: Self = Self {
        args: 10,
        bulk: 16 * 1024,
        inline: 16 * 1024,
        before_auth: true,
    };
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            args: MAX_ARGS,
            bulk: 8 * 1024 * 1024,
            inline: 64 * 1024,
            before_auth: false,
        }
    }
}

/// The bytes are not the protocol, or pass a limit. The connection is closed after the reply;
/// `Display` is Redis' text without the leading `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// An array header that is not a number, or too large a number.
    #[error("Protocol error: invalid multibulk length")]
    ArrayLength,
    /// More arguments than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    ArrayLengthBeforeAuth,
    /// An array header without an end.
    #[error("Protocol error: too big mbulk count string")]
    ArrayHeader,
    /// A bulk header that is not a number, negative, or too large a number.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// A longer argument than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    BulkLengthBeforeAuth,
    /// A bulk header without an end.
    #[error("Protocol error: too big bulk count string")]
    BulkHeader,
    /// Something other than a bulk string within an array.
    #[error("Protocol error: expected '$', got '{}'", .got.escape_ascii())]
    NotABulk {
        /// The byte found.
        got: u8,
    },
    /// An inline command without an end.
    #[error("Protocol error: too big inline request")]
    InlineLength,
    /// An inline command whose quotes do not match.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
}

impl ProtocolError {
    /// Its name in metrics.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ArrayLength | Self::ArrayHeader => "array_length",
            Self::ArrayLengthBeforeAuth | Self::BulkLengthBeforeAuth => "before_auth",
            Self::BulkLength | Self::BulkHeader => "bulk_length",
            Self::NotABulk { .. } => "not_a_bulk",
            Self::InlineLength => "inline_length",
            Self::Quotes => "quotes",
        }
    }
}

/// The arguments of one command, borrowed from the read buffer. Number 0 is the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Args<'a> {
    /// How many there are, the name included; never 0 for a decoded command.
    #[inline]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// One of them, if there are that many.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&'a [u8]> {
        self.ranges.get(at).map(|range| &self.bytes[range.clone()])
    }

    /// Argument `at`, or an empty string: for positions that the command's arity guarantees.
    #[inline]
    pub fn at(&self, at: usize) -> &'a [u8] {
        self.get(at).unwrap_or_default()
    }

    /// Those from number `from` on.
    pub fn from(&self, from: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.ranges[from.min(self.ranges.len())..]
            .iter()
            .map(move |range| &bytes[range.clone()])
    }
}

/// Arguments with memory of their own, for commands that outlive the read buffer.
#[derive(Clone, Debug)]
pub(crate) struct OwnedArgs {
    bytes: Box<[u8]>,
    ranges: Box<[Range<usize>]>,
}

impl OwnedArgs {
    /// Copies arguments of so many bytes, about.
    pub(crate) fn collect(bytes: usize, args: impl Iterator<Item: AsRef<[u8]>>) -> Self {
        let mut bytes = Vec::with_capacity(bytes);
        let ranges = args.map(|arg| {
            let start = bytes.len();
            bytes.extend_from_slice(arg.as_ref());
            start..bytes.len()
        });
        Self {
            ranges: ranges.collect(),
            bytes: bytes.into_boxed_slice(),
        }
    }

    /// The same arguments, borrowed.
    pub(crate) fn borrow(&self) -> Args<'_> {
        Args {
            bytes: &self.bytes,
            ranges: &self.ranges,
        }
    }

    /// Bytes of all arguments together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        let bytes = args.ranges.iter().map(ExactSizeIterator::len).sum();
        Self::collect(bytes, args.from(0))
    }
}

/// Where in a command the decoder stands.
///
/// ```text
///            '*n'                 '$len'
///   Start ──────────► Header ◄──────────────► Body
///     │                  │  n arguments read
///     │ a line           ▼
///     └──────────────► Complete ── release() ──► Start
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a command.
    Start,
    /// Before a bulk's header; this many bulks are missing.
    Header { missing: usize },
    /// Within a bulk of this length; `missing` counts it too.
    Body { missing: usize, length: usize },
    /// A command is there; its arguments lie in the buffer.
    Complete,
    /// An inline command is there; its arguments lie in `words`.
    CompleteInline,
}

/// Decodes the commands of one connection.
///
/// Call [`Decoder::advance`] with all unconsumed bytes, starting at the same byte until it says
/// that a command is complete; look at [`Decoder::args`]; then [`Decoder::release`] tells how many
/// bytes to drop.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    state: State,
    /// Bytes of the present command that are understood.
    position: usize,
    /// Bytes in which the end of the present line was looked for in vain.
    searched: usize,
    ranges: SmallVec<[Range<usize>; USUAL_ARGS]>,
    /// An inline command's words without their quotes.
    words: Vec<u8>,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: DecodeLimits) -> Self {
        Self {
            limits,
            state: State::Start,
            position: 0,
            searched: 0,
            ranges: SmallVec::new(),
            words: Vec::new(),
        }
    }

    /// What it accepts.
    #[inline]
    pub fn limits(&self) -> &DecodeLimits {
        &self.limits
    }

    /// Changes the limits from the next command on.
    pub fn set_limits(&mut self, limits: DecodeLimits) {
        self.limits = limits;
    }

    /// Looks at what has arrived. `Ok(true)`: a command is complete. `Ok(false)`: more is needed.
    /// After an error the connection is beyond repair.
    pub fn advance(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        loop {
            let more = match self.state {
                State::Start => self.start(buffer)?,
                State::Header { missing } => self.header(buffer, missing)?,
                State::Body { missing, length } => self.body(buffer, missing, length),
                State::Complete | State::CompleteInline => return Ok(true),
            };
            if !more {
                return Ok(false);
            }
        }
    }

    /// The complete command's arguments; `buffer` must be the one that completed it.
    pub fn args<'a>(&'a self, buffer: &'a [u8]) -> Args<'a> {
        let bytes = if self.state == State::CompleteInline {
            &self.words
        } else {
            buffer
        };
        Args {
            bytes,
            ranges: &self.ranges,
        }
    }

    /// Forgets the complete command and tells how many bytes it (with empty lines before it) took.
    pub fn release(&mut self) -> usize {
        self.ranges.clear();
        self.words.clear();
        if self.words.capacity() > MAX_HEADER {
            self.words = Vec::new();
        }
        self.state = State::Start;
        self.searched = 0;
        std::mem::take(&mut self.position)
    }

    /// Between commands: how many bytes of empty lines and empty arrays can be dropped already.
    pub fn skip(&mut self) -> usize {
        if self.state != State::Start {
            return 0;
        }
        self.searched -= self.position;
        std::mem::take(&mut self.position)
    }

    /// Whether a command has begun and is not complete.
    pub fn is_within(&self, buffered: usize) -> bool {
        match self.state {
            State::Start => buffered > self.position,
            State::Header { .. } | State::Body { .. } => true,
            State::Complete | State::CompleteInline => false,
        }
    }

    /// Reads an array's header, or an inline command. Returns whether to go on.
    fn start(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        match buffer.get(self.position) {
            None => Ok(false),
            Some(b'*') => self.array(buffer),
            Some(_) => self.line(buffer),
        }
    }

    fn array(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        let Some(end) = self.header_end(buffer, ProtocolError::ArrayHeader)? else {
            return Ok(false);
        };
        let count = decimal(&buffer[self.position + 1..end]).ok_or(ProtocolError::ArrayLength)?;
        let too_many = usize::try_from(count).is_ok_and(|count| count > self.limits.args);
        if too_many && self.limits.before_auth {
            return Err(ProtocolError::ArrayLengthBeforeAuth);
        } else if too_many {
            return Err(ProtocolError::ArrayLength);
        }
        self.take_line(end + 2);
        if count > 0 {
            self.state = State::Header {
                missing: count as usize,
            };
        }
        Ok(true)
    }

    fn header(&mut self, buffer: &[u8], missing: usize) -> Result<bool, ProtocolError> {
        let Some(&first) = buffer.get(self.position) else {
            return Ok(false);
        };
        if first != b'$' {
            return Err(ProtocolError::NotABulk { got: first });
        }
        let Some(end) = self.header_end(buffer, ProtocolError::BulkHeader)? else {
            return Ok(false);
        };
        let length = decimal(&buffer[self.position + 1..end])
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(ProtocolError::BulkLength)?;
        if length > self.limits.bulk {
            return Err(match self.limits.before_auth {
                true => ProtocolError::BulkLengthBeforeAuth,
                false => ProtocolError::BulkLength,
            });
        }
        self.take_line(end + 2);
        self.state = State::Body { missing, length };
        Ok(true)
    }

    /// Waits for a bulk's bytes and its line end (whose two bytes, like Redis, it does not look at).
    fn body(&mut self, buffer: &[u8], missing: usize, length: usize) -> bool {
        let end = self.position + length;
        if buffer.len() < end + 2 {
            return false;
        }
        self.ranges.push(self.position..end);
        self.position = end + 2;
        self.searched = self.position;
        self.state = match missing {
            1 => State::Complete,
            _ => State::Header {
                missing: missing - 1,
            },
        };
        true
    }

    fn line(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        let from = self.searched.max(self.position);
        let Some(found) = buffer[from..].iter().position(|&byte| byte == b'\n') else {
            self.searched = buffer.len();
            let too_long = buffer.len() - self.position > self.limits.inline;
            return if too_long {
                Err(ProtocolError::InlineLength)
            } else {
                Ok(false)
            };
        };
        let line = &buffer[self.position..from + found];
        if line.len() > self.limits.inline {
            return Err(ProtocolError::InlineLength);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut self.words, &mut self.ranges).ok_or(ProtocolError::Quotes)?;
        self.take_line(from + found + 1);
        if self.ranges.len() > self.limits.args {
            return Err(ProtocolError::InlineLength);
        }
        if !self.ranges.is_empty() {
            self.state = State::CompleteInline;
        }
        Ok(true)
    }

    /// Where the header line that starts at `position` ends (its `\r`), once its `\n` is there too.
    fn header_end(
        &mut self,
        buffer: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(self.position);
        match buffer[from..].iter().position(|&byte| byte == b'\r') {
            Some(found) if from + found - self.position > MAX_HEADER => Err(too_long),
            Some(found) if from + found + 1 < buffer.len() => Ok(Some(from + found)),
            Some(found) => {
                self.searched = from + found;
                Ok(None)
            }
            None if buffer.len() - self.position > MAX_HEADER => Err(too_long),
            None => {
                self.searched = buffer.len();
                Ok(None)
            }
        }
    }

    fn take_line(&mut self, next: usize) {
        self.position = next;
        self.searched = next;
    }
}

/// A signed decimal number as Redis reads it: no plus sign, no leading zero, no spaces.
pub(crate) fn decimal(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [] | [b'0', ..] => return None,
        _ if digits.len() > 19 => return None,
        _ => {}
    }
    digits.iter().try_fold(0_i64, |sum, byte| {
        let digit = i64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        let sum = sum.checked_mul(10)?;
        if negative {
            sum.checked_sub(digit)
        } else {
            sum.checked_add(digit)
        }
    })
}

#[cfg(test)]
mod tests;

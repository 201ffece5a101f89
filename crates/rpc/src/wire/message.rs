//! What a node asks of another.

use bytes::BufMut;
use henge_ring::NodeId;

use super::{
    Limits, OverLimit, WireError,
    fields::{Cursor, check, put_long_len, put_short_len},
};

const WRITE: u8 = 1;
const WRITE_FOR: u8 = 2;
const READ: u8 = 3;
const REPAIR: u8 = 4;
const FORWARD: u8 = 5;
const FORWARDED: u8 = 6;
const VIEW: u8 = 7;
const UNDER: u8 = 8;
const DECIDED: u8 = 9;

/// The most replica sets that a request can name.
pub const MAX_SETS: usize = 8;

/// One message of a batch, borrowed from it (decoding) or from wherever its parts lie (encoding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Merge this record into the key's. Answered by `Wrote` or `Refused`.
    Write {
        /// Chosen by the sender, echoed in the answer.
        op: u64,
        /// The primary for which the receiver is to hold this as a hint; `None` for its own copy.
        hint_for: Option<NodeId>,
        /// The key.
        key: &'a [u8],
        /// The encoded record.
        record: &'a [u8],
    },
    /// What do you hold? A replica with an equal digest answers `Same`, one with nothing `Absent`,
    /// any other sends its `Record` at once, so that a read takes one round trip in every case.
    Read {
        /// Chosen by the sender, echoed in the answer.
        op: u64,
        /// The digest of the reader's own record; 0 if it has none.
        digest: u64,
        /// The key.
        key: &'a [u8],
    },
    /// Merge this record into the key's; a repair that nobody waits for. Not answered.
    Repair {
        /// The key.
        key: &'a [u8],
        /// The encoded record.
        record: &'a [u8],
    },
    /// A client's request for the receiver to coordinate. Answered later, by a [`Self::Forwarded`]
    /// in a batch of the other direction.
    Forward {
        /// Chosen by the sender, echoed in the answer.
        op: u64,
        /// The encoded request.
        request: &'a [u8],
    },
    /// What became of a [`Self::Forward`].
    Forwarded {
        /// The op of the request.
        op: u64,
        /// The encoded outcome.
        outcome: &'a [u8],
    },
    /// What follows was sent under the ring with this tag: unless said otherwise, a request counts
    /// its quorum in the one set that the key's partition has there. Begins every batch. Not
    /// answered.
    View {
        /// The hash of the ring's tag.
        tag: u64,
    },
    /// The next message counts its quorum in each of these sets, for its partition moves. Not
    /// answered.
    Under {
        /// Their digests, 8 bytes each, little-endian; at most [`MAX_SETS`].
        sets: &'a [u8],
    },
    /// The next write was made of what the key's decider found there: it is to be kept only by who counts in
    /// the same sets, no more and no fewer, for in others somebody else may decide. Not answered.
    Decided,
}

impl<'a> Message<'a> {
    /// Appends the message, within [`Limits::DEFAULT`]; appends nothing on an error.
    pub fn encode(&self, out: &mut impl BufMut) -> Result<(), OverLimit> {
        let limits = Limits::DEFAULT;
        match *self {
            Self::Write {
                op,
                hint_for,
                key,
                record,
            } => {
                check("key", key.len(), limits.key)?;
                check("record", record.len(), limits.record)?;
                out.put_u8(if hint_for.is_some() { WRITE_FOR } else { WRITE });
                out.put_u64_le(op);
                if let Some(node) = hint_for {
                    out.put_slice(&node.0);
                }
                put_keyed(out, key, record);
            }
            Self::Read { op, digest, key } => {
                check("key", key.len(), limits.key)?;
                out.put_u8(READ);
                out.put_u64_le(op);
                out.put_u64_le(digest);
                put_short_len(out, key);
                out.put_slice(key);
            }
            Self::Repair { key, record } => {
                check("key", key.len(), limits.key)?;
                check("record", record.len(), limits.record)?;
                out.put_u8(REPAIR);
                put_keyed(out, key, record);
            }
            Self::View { tag } => {
                out.put_u8(VIEW);
                out.put_u64_le(tag);
            }
            Self::Under { sets } => {
                check("sets", sets.len(), 8 * MAX_SETS)?;
                out.put_u8(UNDER);
                out.put_u8((sets.len() / 8) as u8);
                out.put_slice(&sets[..sets.len() / 8 * 8]);
            }
            Self::Decided => out.put_u8(DECIDED),
            Self::Forward { op, request: blob } => put_blob(out, FORWARD, "request", op, blob)?,
            Self::Forwarded { op, outcome: blob } => put_blob(out, FORWARDED, "outcome", op, blob)?,
        }
        Ok(())
    }

    #[inline]
    fn decode(tag: u8, from: &mut Cursor<'a>, limits: &Limits) -> Result<Self, WireError> {
        match tag {
            WRITE | WRITE_FOR => {
                let op = from.u64()?;
                let hint_for = if tag == WRITE_FOR {
                    Some(from.node()?)
                } else {
                    None
                };
                let (key, record) = take_keyed(from, limits)?;
                Ok(Self::Write {
                    op,
                    hint_for,
                    key,
                    record,
                })
            }
            READ => {
                let (op, digest) = (from.u64()?, from.u64()?);
                let key = from.short_len("key", limits.key)?;
                Ok(Self::Read {
                    op,
                    digest,
                    key: from.bytes(key)?,
                })
            }
            REPAIR => {
                let (key, record) = take_keyed(from, limits)?;
                Ok(Self::Repair { key, record })
            }
            FORWARD => {
                let op = from.u64()?;
                let request = from.long_len("request", limits.request)?;
                Ok(Self::Forward {
                    op,
                    request: from.bytes(request)?,
                })
            }
            FORWARDED => {
                let op = from.u64()?;
                let outcome = from.long_len("outcome", limits.request)?;
                Ok(Self::Forwarded {
                    op,
                    outcome: from.bytes(outcome)?,
                })
            }
            VIEW => Ok(Self::View { tag: from.u64()? }),
            UNDER => {
                let count = usize::from(from.u8()?);
                if count > MAX_SETS {
                    return Err(from.unknown(tag));
                }
                Ok(Self::Under {
                    sets: from.bytes(8 * count)?,
                })
            }
            DECIDED => Ok(Self::Decided),
            _ => Err(from.unknown(tag)),
        }
    }
}

fn put_keyed(out: &mut impl BufMut, key: &[u8], record: &[u8]) {
    put_short_len(out, key);
    put_long_len(out, record);
    out.put_slice(key);
    out.put_slice(record);
}

fn put_blob(
    out: &mut impl BufMut,
    tag: u8,
    part: &'static str,
    op: u64,
    blob: &[u8],
) -> Result<(), OverLimit> {
    check(part, blob.len(), Limits::DEFAULT.request)?;
    out.put_u8(tag);
    out.put_u64_le(op);
    put_long_len(out, blob);
    out.put_slice(blob);
    Ok(())
}

fn take_keyed<'a>(
    from: &mut Cursor<'a>,
    limits: &Limits,
) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let key = from.short_len("key", limits.key)?;
    let record = from.long_len("record", limits.record)?;
    Ok((from.bytes(key)?, from.bytes(record)?))
}

/// The messages of a batch. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    cursor: Cursor<'a>,
    limits: Limits,
}

impl<'a> Messages<'a> {
    /// Within [`Limits::DEFAULT`].
    pub fn new(batch: &'a [u8]) -> Self {
        Self::with_limits(batch, Limits::DEFAULT)
    }

    /// Within limits of the caller's.
    pub fn with_limits(batch: &'a [u8], limits: Limits) -> Self {
        Self {
            cursor: Cursor::new(batch),
            limits,
        }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.cursor.next_tag()?;
        let message = Message::decode(tag, &mut self.cursor, &self.limits);
        if message.is_err() {
            self.cursor.skip_to_end();
        }
        Some(message)
    }
}

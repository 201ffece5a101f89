//! What the other node answers.

use bytes::BufMut;

use super::{
    Limits, OverLimit, WireError,
    fields::{Cursor, check, put_long_len},
};

const APPLIED: u8 = 1;
const ABSORBED: u8 = 2;
const REFUSED: u8 = 3;
const SAME: u8 = 4;
const RECORD: u8 = 5;
const ABSENT: u8 = 6;

/// What a write did at a replica. Both count towards W: the replica holds the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteStatus {
    /// The record was merged.
    Applied,
    /// The session is dead at the replica, and stays so.
    Absorbed,
}

/// Why a replica did not do what it was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// Memory or disk is full.
    Full = 1,
    /// The replica does not hold this partition yet (starting, or being transferred).
    NotReady = 2,
    /// The asking node's layout is older than the replica can serve.
    Stale = 3,
    /// The merged record would be over its limit.
    TooLarge = 4,
    /// The stamp lies too far in the future of the replica's clock.
    Skew = 5,
    /// Anything else, and codes of later versions.
    Other = 255,
}

impl Refusal {
    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Full,
            2 => Self::NotReady,
            3 => Self::Stale,
            4 => Self::TooLarge,
            5 => Self::Skew,
            _ => Self::Other,
        }
    }
}

/// One reply, borrowed like a [`Message`](super::Message). Each echoes the op it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To a write: done.
    Wrote {
        /// The op answered.
        op: u64,
        /// What it did.
        status: WriteStatus,
    },
    /// To a write or a read: not done.
    Refused {
        /// The op answered.
        op: u64,
        /// Why.
        reason: Refusal,
    },
    /// To a read: the digest given is that of the replica's record.
    Same {
        /// The op answered.
        op: u64,
    },
    /// To a read: the replica's record. To a write: the record that overrules it, a later life of the
    /// session; nothing was changed, and it does not count towards W.
    Record {
        /// The op answered.
        op: u64,
        /// The encoded record.
        record: &'a [u8],
    },
    /// To a read: the replica holds nothing under this key.
    Absent {
        /// The op answered.
        op: u64,
    },
}

impl<'a> Reply<'a> {
    /// The op this answers.
    pub fn op(&self) -> u64 {
        match *self {
            Self::Wrote { op, .. }
            | Self::Refused { op, .. }
            | Self::Same { op }
            | Self::Record { op, .. }
            | Self::Absent { op } => op,
        }
    }

    /// Appends the reply, within [`Limits::DEFAULT`]; appends nothing on an error.
    pub fn encode(&self, out: &mut impl BufMut) -> Result<(), OverLimit> {
        if let Self::Record { record, .. } = self {
            check("record", record.len(), Limits::DEFAULT.record)?;
        }
        out.put_u8(match self {
            Self::Wrote {
                status: WriteStatus::Applied,
                ..
            } => APPLIED,
            Self::Wrote {
                status: WriteStatus::Absorbed,
                ..
            } => ABSORBED,
            Self::Refused { .. } => REFUSED,
            Self::Same { .. } => SAME,
            Self::Record { .. } => RECORD,
            Self::Absent { .. } => ABSENT,
        });
        out.put_u64_le(self.op());
        match self {
            Self::Refused { reason, .. } => out.put_u8(*reason as u8),
            Self::Record { record, .. } => {
                put_long_len(out, record);
                out.put_slice(record);
            }
            Self::Wrote { .. } | Self::Same { .. } | Self::Absent { .. } => {}
        }
        Ok(())
    }

    fn decode(tag: u8, from: &mut Cursor<'a>, limits: &Limits) -> Result<Self, WireError> {
        if !(APPLIED..=ABSENT).contains(&tag) {
            return Err(from.unknown(tag));
        }
        let op = from.u64()?;
        Ok(match tag {
            APPLIED => Self::Wrote {
                op,
                status: WriteStatus::Applied,
            },
            ABSORBED => Self::Wrote {
                op,
                status: WriteStatus::Absorbed,
            },
            REFUSED => Self::Refused {
                op,
                reason: Refusal::from_code(from.u8()?),
            },
            SAME => Self::Same { op },
            RECORD => {
                let record = from.long_len("record", limits.record)?;
                Self::Record {
                    op,
                    record: from.bytes(record)?,
                }
            }
            _ => Self::Absent { op },
        })
    }
}

/// The replies of a batch. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Replies<'a> {
    cursor: Cursor<'a>,
    limits: Limits,
}

impl<'a> Replies<'a> {
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

impl<'a> Iterator for Replies<'a> {
    type Item = Result<Reply<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.cursor.next_tag()?;
        let reply = Reply::decode(tag, &mut self.cursor, &self.limits);
        if reply.is_err() {
            self.cursor.skip_to_end();
        }
        Some(reply)
    }
}

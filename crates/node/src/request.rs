//! What a client may ask of one key.

use henge_versioning::{Context, VersionVector};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{Modification, rotation::Step};

/// One request on one key.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The key; its prefix names the bucket.
    pub key: &'a [u8],
    /// What to do.
    pub operation: Operation<'a>,
    /// With which consistency.
    pub options: Options,
}

/// Names with their new values; `None` removes the field.
pub type FieldWrites<'a> = SmallVec<[(&'a [u8], Option<&'a [u8]>); 4]>;

/// The operations on one key.
#[derive(Clone, Debug)]
pub enum Operation<'a> {
    /// Read.
    Get,
    /// Read what holds all that the context names, or something later: the other replicas are asked
    /// too while R of them do not show it, and the read fails rather than show older state. A
    /// replica that misses a client's login is passed over so, whatever R is.
    GetAfter {
        /// What the reader has seen or written.
        context: Box<Context>,
    },
    /// Read what R replicas would have shown so long ago, or something later: a replica that has read
    /// the key from R of them within that time answers alone. With R=1, or a bound of 0, it is a read
    /// like any other. A session that names its user is looked up in the user's index at R all the same.
    GetWithin {
        /// How long ago, in milliseconds.
        max_staleness_ms: u64,
    },
    /// Set the whole value.
    Put {
        /// The new value.
        value: &'a [u8],
        /// What becomes of the deadline.
        expiry: Expiry,
        /// Only if.
        condition: Condition,
    },
    /// Set or remove single fields; the others stay.
    PutFields {
        /// The fields.
        fields: FieldWrites<'a>,
        /// What becomes of the deadline.
        expiry: Expiry,
    },
    /// Set one field if it still has the value that the writer saw; the other fields and the deadline
    /// stay. Compare and set for one field: changes to others do not get in its way.
    ReplaceField {
        /// The field.
        name: &'a [u8],
        /// What the writer saw there; `None`: no such field.
        before: Option<&'a [u8]>,
        /// The new value.
        after: &'a [u8],
    },
    /// Make a new value of the one that is there when the write is decided; the other fields stay, and the
    /// deadline does. However many do this to one key at once, none is in another's way.
    ///
    /// The outcome carries what was written: a record with this value alone. Where nothing was done it
    /// carries, as that of other conditional writes, the record that was in the way: its value is unfit
    /// ([`Unfit`](crate::Unfit)), the condition does not hold, or it is of another kind. A field is not
    /// modified in a record with a plain value, nor where names begin with a zero byte, which doors
    /// take for members of sets; a plain value not in a record with fields.
    Modify {
        /// The field; `None`: the whole value.
        field: Option<&'a [u8]>,
        /// What is made of it.
        by: Modification<'a>,
        /// The deadline, if there was nothing before.
        expiry: Expiry,
        /// Only if.
        condition: Condition,
    },
    /// Put a plain value in the place of another, or of nothing, or take it away, and tell what was there:
    /// of however many at once, each is told what the one before it has left.
    ///
    /// The outcome carries the record before, whether anything was done or not. Nothing is if the condition
    /// does not hold, if the record has fields, or if there is nothing to take away.
    Exchange {
        /// The new value; `None`: destroy.
        value: Option<&'a [u8]>,
        /// What becomes of the deadline.
        expiry: Expiry,
        /// Only if.
        condition: Condition,
    },
    /// Destroy: a session that is destroyed never comes back.
    Delete {
        /// Only if.
        condition: Condition,
    },
    /// Move the deadline; never creates.
    Expire {
        /// New deadline, milliseconds since 1970, or `henge_versioning::NEVER`. One in the past
        /// deletes.
        at: u64,
        /// Only if.
        condition: Condition,
    },
    /// Add a value to a sibling set, replacing those that `context` has seen.
    PutSibling {
        /// The new value.
        value: &'a [u8],
        /// What the writer has read.
        context: VersionVector,
        /// What becomes of the deadline.
        expiry: Expiry,
    },
    /// Remove the siblings that `context` has seen.
    DeleteSiblings {
        /// What the writer has read.
        context: VersionVector,
    },
    /// A step of a rotation, which only the node itself may ask for.
    Rotate(Step<'a>),
}

impl Operation<'_> {
    /// When it applies; what a field must hold stands in the operation itself.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Put { condition, .. }
            | Self::Modify { condition, .. }
            | Self::Exchange { condition, .. }
            | Self::Delete { condition }
            | Self::Expire { condition, .. } => *condition,
            Self::Get
            | Self::GetAfter { .. }
            | Self::GetWithin { .. }
            | Self::PutFields { .. }
            | Self::ReplaceField { .. }
            | Self::PutSibling { .. }
            | Self::DeleteSiblings { .. }
            | Self::Rotate(_) => Condition::Always,
        }
    }

    /// Whether it depends on what is there: such a write has one decider per key, and its outcome
    /// carries the record before.
    pub fn is_conditional(&self) -> bool {
        matches!(
            self,
            Self::ReplaceField { .. } | Self::Modify { .. } | Self::Exchange { .. }
        ) || self.condition() != Condition::Always
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            Self::Get | Self::GetAfter { .. } | Self::GetWithin { .. } | Self::Rotate(Step::Whole)
        )
    }

    /// Bytes of value it carries.
    pub fn value_len(&self) -> usize {
        match self {
            Self::Put { value, .. } | Self::PutSibling { value, .. } => value.len(),
            Self::Exchange { value, .. } => value.map_or(0, <[u8]>::len),
            Self::PutFields { fields, .. } => fields
                .iter()
                .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
                .sum(),
            Self::ReplaceField { name, after, .. } => name.len() + after.len(),
            Self::Modify { field, by, .. } => field.map_or(0, <[u8]>::len) + by.len(),
            Self::Get
            | Self::GetAfter { .. }
            | Self::GetWithin { .. }
            | Self::Delete { .. }
            | Self::Expire { .. }
            | Self::DeleteSiblings { .. }
            | Self::Rotate(_) => 0,
        }
    }
}

/// What a write does to the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// Leave it as it is (KEEPTTL).
    Keep,
    /// Remove it, or take the bucket's default (a plain SET).
    Clear,
    /// Milliseconds since 1970.
    At(u64),
}

/// When a write applies. Every condition but `Always` is decided by one coordinator per key (its
/// first reachable primary) after a quorum read: one winner, except across a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Unconditionally.
    Always,
    /// The key is absent (NX; for deadlines: has no deadline).
    Absent,
    /// The key is there (XX; for deadlines: has a deadline).
    Present,
    /// The key's record has this digest (0: is absent): compare and set.
    Digest(u64),
    /// For deadlines: only if the new one is later (GT).
    Later,
    /// For deadlines: only if the new one is earlier (LT).
    Earlier,
}

/// Consistency of one request; what is `None` comes from the connection, the bucket or the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Replies a read waits for.
    pub r: Option<u64>,
    /// Replicas a write waits for.
    pub w: Option<u64>,
    /// Only primaries count (true), or fallbacks too (false).
    pub strict: Option<bool>,
    /// Milliseconds until the answer must be given.
    pub timeout_ms: Option<u64>,
    /// Whether the outcome carries a receipt.
    pub receipt: bool,
}

impl Options {
    /// Whether everything comes from the defaults.
    #[inline]
    pub fn is_usual(&self) -> bool {
        let Self {
            r,
            w,
            strict,
            timeout_ms,
            receipt: _,
        } = self;
        r.is_none() && w.is_none() && strict.is_none() && timeout_ms.is_none()
    }
}

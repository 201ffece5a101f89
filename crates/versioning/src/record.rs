//! The record: what lies under a key, in its canonical encoding.

use crate::Stamp;

/// A deadline that never comes.
pub const NEVER: u64 = u64::MAX;

/// When a record stops being visible: a last-writer-wins register of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Who set it last, and when.
    pub stamp: Stamp,
    /// Milliseconds since 1970, or [`NEVER`].
    pub at: u64,
}

/// What kind of body a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No body: dead, or a delta that only moves the deadline.
    Empty,
    /// One unnamed register: a string value.
    Value,
    /// Named fields.
    Fields,
    /// Opaque concurrent values with their dots.
    Siblings,
}

/// The bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {0}")]
pub struct DecodeError(pub &'static str);

/// What a merge did to the local record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The incoming record held nothing new.
    Unchanged,
    /// The incoming record is the result as it stands; `out` was not written.
    Incoming,
    /// `out` holds the join of both.
    Joined,
}

/// A record, borrowed from its encoding.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    bytes: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Checks and wraps an encoded record. Never panics, whatever the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError("it is empty"));
        }
        Ok(Self { bytes })
    }

    /// Its encoding.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What kind of body it has.
    pub fn form(&self) -> Form {
        unimplemented!()
    }

    /// The life it belongs to: a greater epoch wins entirely.
    pub fn epoch(&self) -> Stamp {
        unimplemented!()
    }

    /// Whether it was destroyed. Dead wins over everything in the same epoch.
    pub fn is_dead(&self) -> bool {
        unimplemented!()
    }

    /// When it stops being visible.
    pub fn deadline(&self) -> Deadline {
        unimplemented!()
    }

    /// The greatest deadline ever set in this epoch: no copy of it can be live later than this, so
    /// a replica keeps the record (also dead or expired) until then plus a margin.
    pub fn horizon(&self) -> u64 {
        unimplemented!()
    }

    /// Whether a reader at `now_ms` may see it: not dead, not past its deadline, and with a body.
    pub fn is_live(&self, now_ms: u64) -> bool {
        let _ = now_ms;
        unimplemented!()
    }

    /// The unnamed register's value; `None` for other forms.
    pub fn value(&self) -> Option<&'a [u8]> {
        unimplemented!()
    }

    /// One named field's value.
    pub fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        let _ = name;
        unimplemented!()
    }

    /// The named fields that are present, in canonical order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        std::iter::empty()
    }

    /// The concurrent values of a sibling set, newest first; one value for the value form.
    pub fn siblings(&self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }

    /// The greatest hybrid time in it: a reader merges it into its clock, so that what it writes
    /// next is stamped later.
    pub fn newest(&self) -> Stamp {
        unimplemented!()
    }

    /// 64-bit hash of the canonical encoding: equal digests mean equal records.
    pub fn digest(&self) -> u64 {
        unimplemented!()
    }
}

/// Joins two records. `out` is cleared and written only when the answer is [`Merge::Joined`].
pub fn merge(local: &[u8], incoming: &[u8], out: &mut Vec<u8>) -> Result<Merge, DecodeError> {
    let _ = (local, incoming, out);
    unimplemented!()
}

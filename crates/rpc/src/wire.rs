//! The data plane's messages, packed one after another into the opaque batches that tarpc carries.
//!
//! Encoded by hand, little-endian, each record behind a one-byte tag; decoded without copying: what
//! is decoded borrows from the batch. Golden bytes pin the format (see the tests); a change of
//! meaning needs a new tag or a new [`WIRE_NUMBER`](crate::WIRE_NUMBER).
//!
//! ```text
//! messages                                          replies
//! 1 write     op key.u16 record.u32                 1 wrote, applied   op
//! 2 write     op node[16] key.u16 record.u32        2 wrote, absorbed  op
//!   (held for another node)                         3 refused          op reason.u8
//! 3 read      op digest.u64 key.u16                 4 same             op
//! 4 repair    key.u16 record.u32                    5 record           op record.u32
//! 5 forward   op request.u32                        6 absent           op
//! 6 forwarded op outcome.u32
//! ```
//! `op` is a u64 that the asking node chose and the reply echoes, so that duplicates and reorderings
//! do no harm. `key.u16` is a length whose bytes stand at the end, in the order of the lengths.
//!
//! Decoding never panics, never allocates, and takes no length beyond its [`Limits`]. After an error
//! the rest of a batch cannot be found, and the iterator ends.

mod condition;
pub use condition::Condition;

mod fields;

mod message;
pub use message::{MAX_SETS, Message, Messages};

mod reply;
pub use reply::{Refusal, Replies, Reply, WriteStatus};

#[cfg(test)]
mod tests;

/// The most bytes that parts of a message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a key; at most 65,535.
    pub key: usize,
    /// Bytes of an encoded record.
    pub record: usize,
    /// Bytes of a forwarded request or outcome.
    pub request: usize,
}

impl Limits {
    /// What nodes use: 1 KiB keys; records of 2 MiB (a session with its tombstoned fields) and
    /// 64 KiB for the record's own structure; requests that carry such a record and a key.
    pub const DEFAULT: Self = Self {
        key: 1024,
        record: (2 << 20) + (64 << 10),
        request: (2 << 20) + (128 << 10),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A part of a message is too long. Nothing was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} of {len} bytes, at most {cap} allowed")]
pub struct OverLimit {
    /// Which part.
    pub part: &'static str,
    /// Its bytes.
    pub len: usize,
    /// The most allowed.
    pub cap: usize,
}

/// A batch cannot be decoded from here on. What was decoded before stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No message has this tag.
    #[error("unknown tag {tag} at byte {at}")]
    UnknownTag {
        /// The tag found.
        tag: u8,
        /// Its offset in the batch.
        at: usize,
    },
    /// The batch ends within a message.
    #[error("batch ends within the message at byte {at}: {needed} bytes needed, {left} left")]
    Truncated {
        /// The message's offset in the batch.
        at: usize,
        /// Bytes of the part that is cut.
        needed: usize,
        /// Bytes left of the batch.
        left: usize,
    },
    /// A length is beyond its limit.
    #[error("message at byte {at}: {over}")]
    OverLimit {
        /// The message's offset in the batch.
        at: usize,
        /// Which length, and how long.
        over: OverLimit,
    },
}

//! What the calls of hinted handoff answer, and the count of it all.

use std::sync::Arc;

use henge_ring::NodeId;

/// What became of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The key had no hint for this target and has one now.
    New,
    /// The key had one; it now stands for this write too.
    Merged,
    /// No room: nothing was kept. Counted, and the key's partition is owed anti-entropy.
    Overflow,
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The hint is gone: the target has everything it stood for.
    Removed,
    /// The key was written again since; the hint waits again.
    Newer,
    /// There is no such hint (any more).
    Unknown,
}

/// One key to send to a target, with the record that the store holds for it *now*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSend {
    /// The key.
    pub key: Arc<[u8]>,
    /// Which version of the hint: to be handed back to [`Hints::acked`](crate::Hints::acked).
    pub generation: u64,
}

/// A hint that was given up. If hints are kept on disk, this one can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Whose it was.
    pub target: NodeId,
    /// Which key.
    pub key: Arc<[u8]>,
}

/// How many hints took which way since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintCounts {
    /// Added as new.
    pub stored: u64,
    /// Added to one that was there.
    pub merged: u64,
    /// Acknowledged by their target and dropped.
    pub delivered: u64,
    /// Refused for lack of room.
    pub overflowed: u64,
    /// Given up for their age.
    pub expired: u64,
    /// Given up because their target left the ring.
    pub forgotten: u64,
}

//! Reconciling one partition with one peer: what is asked, what is answered, what is done with it.
//!
//! ```text
//!               roll-ups of many partitions at once: equal → nothing more to do
//!                                   │ differs
//!  peer was away ──► log ──gap──► sketch ──larger than a list──► list
//!                     │             │ decoded                     │
//!                     └─────────► fetch the peer's records ◄──────┘
//!                                   ▼
//!                                 push our records that the peer lacks
//! ```
//!
//! * **Roll-up**: 8 bytes a partition. Equal roll-ups are equal sets.
//! * **Log**: the peer's own op log of the partition, from where we were last level with it: for
//!   each key that has changed since, token and digest, 16 bytes. Nothing is scanned on either
//!   side. It misses nothing: a replica's log has every change of its store, whoever sent it.
//! * **Sketch**: coded symbols ([`crate::sketch`]), 16 bytes each, in steps of a half more, until
//!   they show the difference: about 1.5 symbols for each id that only one side has.
//! * **List**: token and digest of every record, 16 bytes each: never more than a sketch that did
//!   not work out, and without scanning of its own for an empty replica.
//!
//! Values travel only for what differs; each is merged like any other write. Where the merge holds
//! more than the peer sent, the peer is sent the result. So a session leaves both sides with every
//! record that either had when it began, and the log position of the peer *before* its scan is
//! where the next log begins ([`Mark`]).
//!
//! **Why no dots on writes.** A dotted clock per partition would name lost messages exactly, for
//! some bytes on every message, some nanoseconds on every write, and state for each coordinator that
//! ever was. The log of the peer names the same keys, after an outage, at 16 bytes each, half of
//! which a dot would cost too; and it costs nothing until then. What it lacks is notice of a *single*
//! lost message: that is a hint's business, and the next roll-up's.
//!
//! Both sides are here: [`Session`] asks, [`answer()`] answers; [`Replica`] is what they need of a
//! store. Left out: ranges within a partition. A partition is a thousand records in a cluster of a
//! million keys, and a list of it 16 KiB.

use henge_ring::Partition;
use serde::{Deserialize, Serialize};

mod wire;
pub use wire::{Answer, Ask, Compared, Malformed, Records, Refusal, Wanted, Words, limits};

mod answer;
pub use answer::{Answering, answer};

mod session;
pub use session::{Abort, Begin, Findings, Local, Next, Session};

/// One record as a replica holds it, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its key's token.
    pub token: u64,
    /// Its digest.
    pub digest: u64,
    /// When a replica may remove it, in milliseconds since 1970. A function of the record alone:
    /// the same on every replica.
    pub removable_at_ms: u64,
}

/// What became of a record that a peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// This replica holds exactly that now, and did not before.
    Merged,
    /// This replica held exactly that already.
    Same,
    /// This replica holds more than that: the peer lacks something.
    Ahead,
    /// It is past its time and this replica holds nothing under the key: left out.
    Past,
    /// It could not be kept: no room, not a record, stamped too far ahead.
    Refused,
}

/// Is shown keys with their records, each under the lock of its key: it must be short and must not
/// call the replica.
pub type Show<'a> = dyn FnMut(&[u8], &[u8], Held) + 'a;

/// What reconciling needs of a store. Every method concerns one node's own copy.
pub trait Replica {
    /// Names this life of the store: positions in the logs of another life mean nothing.
    fn life(&self) -> u64;

    /// The position after the last change of a partition.
    fn log_end(&self, partition: Partition) -> u64;

    /// Tokens of up to `limit` changes from position `since` on; `None` if the log does not reach
    /// back so far, or was never there.
    fn changes(&self, partition: Partition, since: u64, limit: usize) -> Option<Vec<u64>>;

    /// Shows a partition's records in token order, from after the token `after`, until at least
    /// `limit` were shown; equal tokens stay together. Returns the last token shown, `None` at the
    /// end.
    fn scan(
        &self,
        partition: Partition,
        after: Option<u64>,
        limit: usize,
        visit: &mut dyn FnMut(Held),
    ) -> Option<u64>;

    /// Shows the records under every key with this token.
    fn at(&self, token: u64, visit: &mut Show<'_>);

    /// Merges a record. One that may be removed before `until_ms` begins nothing here: it is merged
    /// only into what the key holds already, which it may end.
    fn take(&mut self, partition: Partition, key: &[u8], record: &[u8], until_ms: u64) -> Took;
}

/// Up to where a replica is level with a peer's log of one partition: whatever the peer held when
/// its log ended there, this replica holds, but for what does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The life of the peer's store.
    pub life: u64,
    /// The first position that is not known to be level.
    pub position: u64,
}

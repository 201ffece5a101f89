//! What replicas owe each other after an operation was answered, and how it is paid.
//!
//! * [`read_repair()`] decides, after a read that found replicas in disagreement, which of them get
//!   the merged record.
//! * [`Hints`] remembers which keys a peer has missed while it was away, hands them over when it is
//!   back ([hinted handoff]), and forgets a key only when the peer has acknowledged that very
//!   version.
//! * [`anti_entropy`] makes replicas equal whatever the two others left out: it compares whole
//!   partitions, finds the records that differ by [`reconcile`]ing logs, [`sketch`]es or lists, and
//!   moves those alone.
//! * [`transfer`] moves partitions to new owners while they serve.
//!
//! None of them holds a record. Records are joined, never replaced, so the newest one in the local
//! store stands for everything a peer has missed: it is read when it is sent, and a thousand writes
//! to one session while a peer is away are one hint.
//!
//! Read repair and hints are bounded and may give up; giving up is counted, and the partition
//! concerned is marked as owed anti-entropy.
//!
//! **Architecture invariants.** Nothing here does I/O, reads a clock or draws random numbers. Times
//! are milliseconds of one monotonic clock.
//!
//! [hinted handoff]: https://www.allthingsdistributed.com/files/amazon-dynamo-sosp2007.pdf

mod read_repair;
pub use read_repair::{Answered, Merged, read_repair};

mod hints;
pub use hints::{Acked, Added, Dropped, HintCounts, HintLimits, Hints, ToSend};

mod backoff;

mod throttle;
pub use throttle::Throttle;

pub mod anti_entropy;
pub mod reconcile;
pub mod sketch;
pub mod snapshot;
pub mod transfer;

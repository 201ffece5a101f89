//! Versions and values: what replicas compare and merge.
//!
//! Everything stored under a key is a [`record`]: a join-semilattice element in one canonical
//! encoding. A write is a small record too (a *delta*); a replica applies it by [`merge`]. Merging
//! is commutative, associative and idempotent, so messages may be late, doubled or reordered.
//!
//! Nothing here does I/O or reads a clock: time and randomness are arguments.

mod codec;

mod stamp;
pub use stamp::{ActorId, HlcTime, Stamp};

mod clock;
pub use clock::{Clock, SkewError};

mod record;
pub use record::{
    Deadline, DecodeError, Form, GRACE_MS, Merge, NEVER, RecordRef, merge, merge_records,
};

pub mod delta;
pub mod siblings;

mod vector;
pub use vector::VersionVector;

mod context;
pub use context::{Context, ContextError, ContextKey, Life};

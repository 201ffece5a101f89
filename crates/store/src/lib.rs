//! What a replica keeps: the [`Store`] trait and the in-memory engine behind it.
//!
//! A store maps keys to records (see `henge-versioning`) and knows nothing of replicas, quorums or
//! time-outs. Its one write operation is an atomic read-decide-write on a single key; everything
//! else (merge, put, touch) is that operation with another decision. It never drops what is live:
//! a full store refuses.

mod store;
pub use store::{
    Change, Cursor, Decision, Key, OpLogGap, Store, StoreError, Stored, Swept, Usage, Warm, Written,
};

mod limits;
pub use limits::{Limits, MAX_KEYS_PER_TOKEN};

mod memory;
pub use memory::MemoryStore;

#[cfg(any(test, feature = "suite"))]
pub mod suite;

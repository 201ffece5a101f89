//! One read or write against the replicas of a key.
//!
//! A coordinator asks three questions over and over, and this crate answers each in its own pure
//! piece: *is it enough?* ([`Tally`]), *what do we answer?* ([`Write`], [`Read`]), *what is still
//! owed once we have answered?* ([`Write::owed`], [`Read::repair_owed`]). The driver decides nothing:
//! it carries messages to replicas, tells the machine what came of each, and does what it returns.
//!
//! The life of a write, as a driver sees it:
//!
//! 1. [`Defaults::resolve`] turns what the request asked into a checked [`Consistency`].
//! 2. [`Write::begin`] takes the key's places and refuses at once if too few can be reached.
//! 3. [`Operations::insert`] keeps the machine under an [`OpId`] until its deadline.
//! 4. The record goes to every place in [`Write::unanswered`]; each answer becomes
//!    [`Write::acked`], [`Write::refused`] or [`Write::lost`]. One of these calls returns the
//!    answer for the client; all others return `None`.
//! 5. The operation lingers for late acknowledgements; then each of [`Write::owed`] becomes a hint.
//!
//! ```
//! use henge_coordinator::{Asked, Defaults, Kept, Owed, PlaceInfo, PlaceSet, Write};
//!
//! let consistency = Defaults::default().resolve(&Asked::default(), 3)?; // N=3 R=2 W=2
//! let places = [PlaceInfo::primary(4), PlaceInfo::fallback(9, 1), PlaceInfo::primary(7)];
//! let mut write = Write::begin(&places, PlaceSet::first(3), &consistency)?;
//! assert_eq!(write.acked(0, Kept::Durable), None);
//! assert_eq!(write.acked(2, Kept::Durable), Some(Ok(()))); // two distinct places: answer now
//! assert_eq!(write.lost(1), None);
//! assert!(write.owed().eq([Owed { place: 1, target: 1 }])); // a hint, for the primary
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A read asks only as many replicas as it needs ([`Read::next_to_ask`]), best first, and one more
//! when a [`HedgePolicy`] and its [`HedgeBudget`] agree that waiting is worse. The bytes of records
//! never pass through here: the driver merges them, the machine compares digests.
//!
//! There is one [`Operations`] per data thread and it holds every operation in flight there, so that
//! an operation costs no allocation, task, channel or timer of its own.
//!
//! **Architecture invariants.** Nothing here does I/O, reads a clock or draws random numbers: times
//! are arguments, in milliseconds of one monotonic clock. A place of the preference list counts
//! once, whoever answers for it and however often. In strict mode a fallback counts for nothing.
//!
//! While a partition moves from one replica set to another, an operation needs its quorum in each of
//! them ([`Write::begin_jointly`], [`Read::begin_jointly`]).
//!
//! Apart from the machines stands what tells an operator which R and W to choose: the [`Cluster`]
//! model, run on measured [`Histogram`]s, and the [`Probes`] that keep it honest.

mod place;
pub use place::{MAX_PLACES, PlaceInfo, PlaceSet, Places};

mod quorum;
pub use quorum::{Asked, Consistency, Defaults, Knob, MAX_DEADLINE_MS, Mode, QuorumError};

mod tally;
pub use tally::{Tally, Verdict};

mod write;
pub use write::{Kept, Owed, Refusal, Write, WriteAnswer, WriteError};

mod receipt;
pub use receipt::{PlaceReceipt, PlaceStatus, Receipt};

mod read;
pub use read::{Held, Read, ReadError, ReadStep};

mod hedge;
pub use hedge::{HedgeBudget, HedgePolicy};

mod operations;
pub use operations::{Busy, OpId, OperationLimits, Operations};

mod wheel;

mod histogram;
pub use histogram::{Gather, Histogram, Recent};

mod model;
pub use model::{Cluster, Distribution, ModelError, PeerLegs, Prediction, ReplicaSet, Trip};

mod probes;
pub use probes::{Compared, Probed, Probes};

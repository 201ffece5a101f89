//! Placement: which nodes hold which keys.
//!
//! A key hashes to a [`Token`]; the token's top bits name its [`Partition`]; a [`Ring`] says which
//! nodes hold each partition, in which order, and who stands in for whom. A ring is a pure function
//! of the membership [`Log`], a grow-only set of [`Event`]s, so that two nodes with the same events
//! have the same ring and concurrent changes merge by union.
//!
//! The fold from log to ring places exactly as many replicas on each node as its weight and zone
//! allow (nested water-filling, integer quotas, then as few moves as possible), which neither hashing of nodes nor any other pure function of the *member set* can
//! do without moving far more data than needed.
//!
//! Nothing here does I/O, reads a clock or draws random numbers; whatever decides a placement is
//! integer arithmetic over ordered collections, so that every node on every machine agrees.

mod token;
pub use token::{PARTITION_BITS, Partition, Token};

mod node_id;
pub use node_id::{NodeId, ParseNodeIdError};

mod member;
pub use member::{Endpoints, MAX_ADDRESS, MAX_ZONE, Member, Weight, Zone, ZoneTooLong};

mod bucket;
pub use bucket::{
    BadBucket, BucketDefinition, BucketDefinitions, BucketKind, MAX_BUCKET_NAME, MAX_BUCKETS,
    MAX_LIFETIME_MS, MAX_PREFIX, MAX_PREFIXES, MAX_SIBLINGS, OnDead,
};

mod event;
pub use event::{ChangeId, Event, Op};

mod log;
pub use log::{Log, LogTooLong, RingTag};

mod ring;
pub use ring::{NodeIndex, Ring};

mod preference;
pub use preference::{Fallbacks, Place, PreferenceList};

mod layout;
pub use layout::{
    ALGO_VERSION, DEFAULT_N, MAX_MEMBERS, MAX_N, MAX_PARTITION_BITS, MIN_PARTITION_BITS,
};

mod assignment;
pub use assignment::{
    Assignment, AssignmentId, Facts, PartitionConfig, Sources, Synced, ViewOrder, set_digest,
};

mod views;
pub use views::Views;

mod roster;
mod score;
mod step;

mod impact;
pub use impact::{Copies, Impact, Zoning};

mod plan;
pub use plan::{Balance, Move, balance, minimum_moves, moves};

//! One node assembled, and the way to embed one.
//!
//! The heart is the [`Engine`]: one machine per data thread that coordinates requests, answers
//! other nodes as a replica and remembers what is still owed. It does no I/O and reads no clock; a
//! data thread (here) or the simulator (in `tests/`) drives it with events and carries out what it
//! says. Doors (RESP, HTTP) and embedding programs reach it through [`LocalNode`] on the data
//! thread, or through [`Handle`] from anywhere else.

mod bucket;
pub use bucket::{Bucket, Buckets, KEY_MARK, KEY_MARK_LEN, KEY_MARKS, Kind, unmarked};
pub use henge_ring::{BucketDefinition, OnDead};

mod bucket_change;
pub use bucket_change::{BucketChange, BucketPlan, BucketRefused};

mod modification;
pub use modification::{Modification, Unfit, fraction, whole};

mod request;
pub use request::{Condition, Expiry, FieldWrites, Operation, Options, Request};

pub mod principals;

pub mod rotation;

mod hidden;

mod outcome;
pub use outcome::{
    Done, Failure, Outcome, Receipt, ReceiptPlace, ReplicaAnswer, ReplicaRole, Shortage, Unready,
};

mod config;
pub use config::{
    Config, ConfigError, Origin, Setting, Settings, SettingsFileError, parse_duration_ms,
    parse_size,
};

mod engine;
pub use engine::{Count, Counters, Engine, EngineParts, Measured, Now, PeerMeasured, Ticket};

pub use henge_coordinator::{Defaults, Mode};
pub use henge_repair::anti_entropy::{PeerProgress, Totals as RepairTotals};
pub use henge_repair::transfer::{Span, TransferLimits};
pub use henge_store::Warm;

mod local;
pub use local::{ConnectionDoor, DoorShard, LocalNode, ScanPage, Sink, SinkId};

mod export;
pub use export::{ChangesPage, Export, ExportPage, Exported, NotShown};

mod handle;
pub use handle::{Handle, NodeInfo, PeerInfo, ReplicaView};

mod change;
pub use change::{Change, ChangePlan, ChangeRefused};

mod node;
pub use node::{Node, NodeBuilder, StartError};

mod quorum;
pub use quorum::{
    Availability, Choice, Latency, Measurement, PeerReport, QuorumReport, STALE_AFTER_US, Staleness,
};

mod shared;
pub use shared::{Clocks, SystemClocks};

mod accept;
mod anti_entropy;
pub use anti_entropy::StoreReplica;

mod buffers;
mod evict;
mod gossip;
mod looking;
mod membership;
mod metrics;
mod scan;
mod shard;
mod sweep;

mod wall_clock;
pub use henge_membership::{ClockGuard, PeerOffset, Reading, Standing};
pub use wall_clock::ClockReport;

mod value_sessions;
pub use value_sessions::{ValueSession, ValueSessions};

mod transition;
pub use transition::{Transition, TransitionStatus};

//! How a request ended. Both doors answer from this one table.

use henge_ring::NodeId;
use henge_versioning::{Clock, Context};
use serde::{Deserialize, Serialize};

/// How a request ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done, or why not.
    pub result: Result<Done, Failure>,
    /// Which replicas answered, where it was asked for. Boxed, since it rarely is and every outcome
    /// is moved a few times.
    pub receipt: Option<Box<Receipt>>,
}

impl Outcome {
    /// For whoever has told the outcome: its memory serves the next one on this thread.
    #[inline]
    pub fn recycle(self) {
        if let Ok(Done {
            record: Some(record),
            ..
        }) = self.result
        {
            crate::buffers::take_back(record);
        }
    }
}

/// A request that was carried out with the consistency asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// For writes: the condition held, or there was something to delete or to touch.
    pub applied: bool,
    /// The write was taken and changed nothing, because the session is dead.
    pub absorbed: bool,
    /// Reads: the merged record as encoded, if any (dead or expired ones included: ask
    /// `RecordRef::is_live`). Conditional writes and deletes: the record before.
    pub record: Option<Vec<u8>>,
}

/// A request that was not, or perhaps not, carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// It did not happen and will not: too few replicas could be reached or accepted it.
    #[error("needed {needed} got {got}: {why}")]
    Failed {
        /// Replies needed.
        needed: u8,
        /// Replies there were.
        got: u8,
        /// Why there were no more.
        why: Shortage,
    },
    /// It may or may not have happened: some replica may hold it, too few said so in time.
    #[error("needed {needed} got {got}: it may or may not have happened")]
    Unknown {
        /// Replies needed.
        needed: u8,
        /// Replies there were.
        got: u8,
    },
    /// The request makes no sense; nothing was done.
    #[error("{0}")]
    Invalid(String),
    /// Too many requests are in flight; nothing was done.
    #[error("{in_flight} requests are in flight, no more are taken now")]
    Busy {
        /// How many.
        in_flight: u64,
    },
    /// The store is full; nothing was done.
    #[error("{0}")]
    Full(String),
    /// The node is not serving (starting, or stopping); nothing was done.
    #[error("this node is {0}")]
    NotReady(Unready),
    /// The session was destroyed, and its bucket says that this is told; nothing was done.
    #[error("this session was destroyed; nothing was changed")]
    Dead,
}

/// Why too few replicas took part, though nothing was written anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Shortage {
    /// The others cannot be reached.
    #[error("no more replicas can be reached; nothing was changed")]
    Unreachable,
    /// They were asked and did not answer in time.
    #[error("no more replicas answered in time; nothing was changed")]
    Silent,
    /// This node holds no replica of the key and no node that does can be reached.
    #[error("no node that holds the key can be reached; nothing was changed")]
    NoCoordinator,
    /// What the reader has seen before is in none of the answers.
    #[error("those that answered do not hold what has been seen before")]
    Older,
    /// What was copied had changed each time before the copy could take its place.
    #[error("the session changes faster than it can be copied; nothing was changed")]
    Changing,
}

/// Why a node does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unready {
    /// Not every configured peer is known yet.
    #[error("waiting for its peers")]
    Starting,
    /// It lost its data and is fetching it from the other replicas.
    #[error("fetching its data from the other replicas")]
    Filling,
    /// It is shutting down.
    #[error("stopping")]
    Stopping,
    /// Its clock is not what its peers' clocks are, or nobody has confirmed it yet.
    #[error(
        "without a clock that its peers confirm: it is {offset_ms} ms off, {bound_ms} ms are allowed"
    )]
    Clock {
        /// How far it is off, as far as that is known, in milliseconds; positive: ahead.
        offset_ms: i64,
        /// How far it may be, in milliseconds.
        bound_ms: u64,
    },
    /// Its key is moving to other nodes, of which another one decides it.
    #[error("not the one that decides this key, which is moving to other nodes")]
    Moving,
}

impl Unready {
    /// That of a node whose clock must not stamp; costs one load.
    #[inline]
    pub(crate) fn of_clock(clock: &Clock) -> Option<Self> {
        let offset_ms = clock.astray_ms()?;
        let bound_ms = clock.max_skew_ms();
        Some(Self::Clock {
            offset_ms,
            bound_ms,
        })
    }
}

/// Which replicas answered, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Replies needed.
    pub needed: u8,
    /// Every place of the key's preference list.
    pub places: Vec<ReceiptPlace>,
    /// Of a write that was applied: what it wrote, for reads that must show it. `None` if it set more
    /// than a context can name, or a node of an older build coordinated it.
    #[serde(skip)]
    pub written: Option<Box<Context>>,
}

/// One place of the preference list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptPlace {
    /// The node that was asked.
    pub node: NodeId,
    /// Primary, or fallback for another node.
    pub role: ReplicaRole,
    /// What it said by the time of the answer.
    pub answer: ReplicaAnswer,
}

/// In which capacity a node was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaRole {
    /// It owns the key.
    Primary,
    /// It stands in for this primary.
    FallbackFor(NodeId),
}

/// What a replica had said when the request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaAnswer {
    /// It holds the write, or answered the read, in memory.
    InMemory,
    /// It holds the write on disk.
    Durable,
    /// Nothing yet.
    Pending,
    /// It refused, or could not be reached.
    Failed,
}

//! Membership events: what an operator (or an explicit policy) decided, never what a failure
//! detector suspects.

use serde::{Deserialize, Serialize};

use crate::{BucketDefinition, Endpoints, NodeId, Weight, Zone};

/// Names one decision. Its events are folded in one step, so that ten nodes added at once move
/// data once. Drawn at random by the proposer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ChangeId(pub u64);

/// One entry of the membership log.
///
/// Events are totally ordered by `(lamport, change, proposer, op)`: the order of the fields here,
/// which is also their order on the wire. All events of one change carry the same `lamport`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    /// One more than the largest the proposer knew: [`Log::next_lamport`](crate::Log::next_lamport).
    pub lamport: u64,
    /// The decision it is part of.
    pub change: ChangeId,
    /// Who wrote it.
    pub proposer: NodeId,
    /// What is to happen.
    pub op: Op,
}

/// What an event does. An operation that makes no sense where it sorts (a leave of a stranger, a
/// join under an id that has left) has no effect: the log keeps it and every fold ignores it.
///
/// The order of the variants is wire format and sorting order: append only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Op {
    /// Sets the number of partitions to 2^bits (within
    /// [`MIN_PARTITION_BITS`](crate::MIN_PARTITION_BITS)` ..= `
    /// [`MAX_PARTITION_BITS`](crate::MAX_PARTITION_BITS)). Only the first one counts, and only
    /// before any member was placed: it belongs into the change that founds the cluster. A cluster
    /// without one has [`PARTITION_BITS`](crate::PARTITION_BITS).
    Genesis {
        /// Partition bits.
        bits: u8,
    },
    /// A node joins. If it is a member already, only its endpoints are replaced (a node that comes
    /// back under another address). An id that left does not join again: see [`Op::Return`].
    Join {
        /// The new member.
        node: NodeId,
        /// Its share in proportion to others.
        weight: Weight,
        /// What it fails together with.
        zone: Zone,
        /// Where it listens.
        endpoints: Endpoints,
    },
    /// A node leaves for good.
    Leave {
        /// The member that goes.
        node: NodeId,
    },
    /// Changes a member's weight.
    SetWeight {
        /// The member.
        node: NodeId,
        /// Its new weight.
        weight: Weight,
    },
    /// Changes a member's zone.
    SetZone {
        /// The member.
        node: NodeId,
        /// Its new zone.
        zone: Zone,
    },
    /// `new` takes over every place of `old`, and its weight and zone; `old` has left for good.
    /// Moves exactly the replicas of `old`.
    Replace {
        /// The member that goes.
        old: NodeId,
        /// The node that takes its places; not yet a member.
        new: NodeId,
        /// Where the new node listens.
        endpoints: Endpoints,
    },
    /// Doubles the number of partitions: both halves keep their parent's replicas, nothing moves.
    /// Without effect at [`MAX_PARTITION_BITS`](crate::MAX_PARTITION_BITS).
    SplitQ,
    /// Sets the number of replicas N, `1 ..= `[`MAX_N`](crate::MAX_N); others have no effect.
    SetN {
        /// Replicas per partition.
        n: u8,
    },
    /// From here on the log is folded by rules `v` (never goes back). A build that does not know
    /// them stops folding here; see [`Ring::unsupported`](crate::Ring::unsupported).
    AlgoVersion {
        /// Number of the rules.
        v: u16,
    },
    /// A leave is undone: a node that has left, and still has its memory, is a member again. Without
    /// effect for a member and for a stranger. A join would not do: logs merge, and the join that the
    /// node once came with must not bring it back. For the partitions it gets it is a newcomer, which
    /// fetches what it lacks.
    Return {
        /// The node that left.
        node: NodeId,
        /// Its share in proportion to others.
        weight: Weight,
        /// What it fails together with.
        zone: Zone,
        /// Where it listens.
        endpoints: Endpoints,
    },
    /// Sets the rules of a bucket, in the place of those it had. Moves nothing. Without effect if it
    /// [cannot be](BucketDefinition::check), if one of its prefixes is another bucket's, or beyond
    /// [`MAX_BUCKETS`](crate::MAX_BUCKETS) and [`MAX_PREFIXES`](crate::MAX_PREFIXES).
    SetBucket {
        /// All of its rules.
        bucket: BucketDefinition,
    },
    /// Takes back what was set of a bucket; a built-in one is as it was. Moves nothing.
    RemoveBucket {
        /// Its name.
        name: String,
    },
}

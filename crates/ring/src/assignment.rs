//! Assignments: the replica sets a partition has while it moves, as each replica knows them.
//!
//! While a partition moves from one replica set to the next, both are *active*, and an operation
//! needs its quorum in every active set (joint quorum). Which sets are active is a grow-only
//! [`PartitionConfig`] that travels with every request; a replica refuses a request whose sender
//! has not heard of a set that the replica knows to be active (the fence). Configs merge by union,
//! so concurrent changes of the ring need no agreement.
//!
//! This module holds the data and its laws. Who may add which fact, and when (synchronisation,
//! retirement), is the transfer protocol's business.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::{ChangeId, NodeId};

/// One replica set of one partition: the change that made it, and the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssignmentId {
    /// Lamport of the change that last altered the partition's set.
    pub lamport: u64,
    /// That change.
    pub change: ChangeId,
    /// xxh3-64 of the replicas' ids in ascending order.
    pub replicas: u64,
}

impl AssignmentId {
    /// The assignment of a replica set, in whatever order it is given.
    pub fn new(lamport: u64, change: ChangeId, replicas: impl Iterator<Item = NodeId>) -> Self {
        let mut ids: smallvec::SmallVec<[NodeId; 8]> = replicas.collect();
        ids.sort_unstable();
        let bytes: smallvec::SmallVec<[u8; 128]> = ids.iter().flat_map(|id| id.0).collect();
        Self {
            lamport,
            change,
            replicas: XxHash3_64::oneshot(&bytes),
        }
    }
}

/// A fact: `joiner`, a member of `to` but not of `from`, holds what `from` had acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Synced {
    /// Who caught up.
    pub joiner: NodeId,
    /// The set it pulled from.
    pub from: AssignmentId,
    /// The set it joins.
    pub to: AssignmentId,
}

/// What a node knows of one partition's assignments. All three parts only grow.
///
/// Laws (tested): [`merge`](Self::merge) is commutative, associative, idempotent, and never loses a
/// fact; a retired assignment is never active again, in whatever order the facts arrive.
///
/// Architecture invariant: made durable together with the partition's data, or lost with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionConfig {
    known: BTreeSet<AssignmentId>,
    retired: BTreeSet<AssignmentId>,
    synced: BTreeSet<Synced>,
}

impl PartitionConfig {
    /// The config of a partition that never moved.
    pub fn new(assignment: AssignmentId) -> Self {
        Self {
            known: BTreeSet::from([assignment]),
            ..Self::default()
        }
    }

    /// Adds an assignment; says whether it was new.
    pub fn learn(&mut self, assignment: AssignmentId) -> bool {
        self.known.insert(assignment)
    }

    /// Adds that an assignment is no longer needed for any quorum; says whether that was new.
    pub fn retire(&mut self, assignment: AssignmentId) -> bool {
        self.retired.insert(assignment)
    }

    /// Adds that a joiner has caught up; says whether that was new.
    pub fn record_synced(&mut self, fact: Synced) -> bool {
        self.synced.insert(fact)
    }

    /// Adds every fact of `other`; says whether any was new.
    pub fn merge(&mut self, other: &Self) -> bool {
        let facts = |c: &Self| c.known.len() + c.retired.len() + c.synced.len();
        let before = facts(self);
        self.known.extend(&other.known);
        self.retired.extend(&other.retired);
        self.synced.extend(&other.synced);
        facts(self) > before
    }

    /// Every assignment heard of.
    pub fn known(&self) -> &BTreeSet<AssignmentId> {
        &self.known
    }

    /// Those no longer needed.
    pub fn retired(&self) -> &BTreeSet<AssignmentId> {
        &self.retired
    }

    /// Who has caught up with what.
    pub fn synced(&self) -> &BTreeSet<Synced> {
        &self.synced
    }

    /// The assignments in each of which an operation needs its quorum: known and not retired. One
    /// in the steady state, two during a move.
    pub fn active(&self) -> impl Iterator<Item = &AssignmentId> {
        self.known.difference(&self.retired)
    }

    /// The fence: whether a replica whose own config (with the request's merged in) is this one may
    /// serve the request, that is whether the sender counts a quorum in every set active here.
    /// If not, the sender merges this config and starts counting anew.
    pub fn admits(&self, request: &Self) -> bool {
        self.active()
            .all(|a| request.known.contains(a) && !request.retired.contains(a))
    }

    /// A replica's whole answer to the config of a request: merge it, then ask the fence. The
    /// caller makes the merged config durable before it serves.
    pub fn merge_and_admit(&mut self, request: &Self) -> bool {
        self.merge(request);
        self.admits(request)
    }

    /// xxh3-64 over all facts: equal configs need not be sent in full.
    pub fn digest(&self) -> u64 {
        // Writing integers and arrays into a Vec has no way to fail.
        let bytes = postcard::to_stdvec(self).expect("configs are plain data");
        XxHash3_64::oneshot(&bytes)
    }
}

//! Assignments: the replica sets a partition has while it moves, and when an old one may go.
//!
//! While a partition moves from one replica set to the next, both are *active*, and an operation
//! needs its quorum in every active set (joint quorum). A replica refuses a request that counts no
//! quorum in a set which the replica knows to be active (the [fence](PartitionConfig::admits)). A
//! joiner then pulls what the old set holds from several of its members, each fenced before it is
//! read, and once every joiner has done so the old set is [retired](PartitionConfig::retire_what_may).
//!
//! ```text
//!  known ──▶ active ──every node of the next set that must has synced──▶ retired
//! ```
//!
//! Nothing is agreed upon: facts only grow and merge by union, so concurrent changes of the ring need
//! no order between them. This module holds the facts and the rules of one partition; who pulls
//! what, and when, is `henge-repair`'s `transfer`. It is reconfigurable storage without consensus
//! (DynaStore, Aguilera et al., J. ACM 2011; SmartMerge, Jehl et al., DISC 2015), cut to what a
//! Dynamo-style store needs.
//!
//! The rules hold for operations with R + W > N whose R and W do not exceed
//! [`Sources::wanted`]; R or W beyond it, sloppy quorums, and W = 1 when a member loses its memory
//! are outside.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::{NodeId, RingTag};

/// The digest of a replica set: xxh3-64 of its ids in ascending order.
pub fn set_digest(replicas: impl Iterator<Item = NodeId>) -> u64 {
    let mut ids: smallvec::SmallVec<[NodeId; 8]> = replicas.collect();
    ids.sort_unstable();
    let bytes: smallvec::SmallVec<[u8; 128]> = ids.iter().flat_map(|id| id.0).collect();
    XxHash3_64::oneshot(&bytes)
}

/// Names one replica set of one partition by the view that brought it, so that a set which comes
/// back later has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssignmentId {
    /// The tag of the ring in which the partition first had this set.
    pub view: RingTag,
    /// The [`set_digest`] of the set.
    pub set: u64,
}

/// One replica set of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its name.
    pub id: AssignmentId,
    /// Its members, in the ring's order.
    pub replicas: Vec<NodeId>,
}

impl Assignment {
    /// The set that a partition first has in this view.
    pub fn new(view: RingTag, replicas: Vec<NodeId>) -> Self {
        let set = set_digest(replicas.iter().copied());
        Self {
            id: AssignmentId { view, set },
            replicas,
        }
    }

    /// Whether a node is in the set.
    pub fn has(&self, node: &NodeId) -> bool {
        self.replicas.contains(node)
    }
}

/// The order of views: which were computed from fewer events than which.
pub trait ViewOrder {
    /// Whether every event behind `a` is behind `b` too, and not the other way round. False for
    /// views that are concurrent or not known.
    fn precedes(&self, a: RingTag, b: RingTag) -> bool;
}

/// A fact: `joiner`, who has to hold `to`'s data, holds what `from` had acknowledged. Only `joiner`
/// itself finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Synced {
    /// Who caught up.
    pub joiner: NodeId,
    /// The set it pulled from.
    pub from: AssignmentId,
    /// The set it pulled for.
    pub to: AssignmentId,
}

/// What has been found out about one partition's assignments. Only grows.
///
/// Laws (tested): [`merge`](Self::merge) is commutative, associative, idempotent, and never loses a
/// fact; a retired assignment is never active again, in whatever order the facts arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    retired: BTreeSet<AssignmentId>,
    synced: BTreeSet<Synced>,
}

impl Facts {
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
        let facts = |it: &Self| it.retired.len() + it.synced.len();
        let before = facts(self);
        self.retired.extend(&other.retired);
        self.synced.extend(&other.synced);
        facts(self) > before
    }

    /// The assignments no longer needed.
    pub fn retired(&self) -> &BTreeSet<AssignmentId> {
        &self.retired
    }

    /// Who has caught up with what.
    pub fn synced(&self) -> &BTreeSet<Synced> {
        &self.synced
    }

    /// Whether nothing has been found out.
    pub fn is_empty(&self) -> bool {
        self.retired.is_empty() && self.synced.is_empty()
    }
}

/// From how many members of an old set a joiner has to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// max(R, W) of the operations to be protected: every write quorum has a member that the joiner
    /// read, and every read quorum one that is fenced.
    pub wanted: u8,
    /// Members that lost their memory and were replaced. They hold nothing and answer nothing under
    /// their old id: all others of their set are as good as all of it.
    pub lost: BTreeSet<NodeId>,
}

impl Sources {
    /// How many members of this set have to be read, at most all that can be.
    pub fn needed(&self, set: &Assignment) -> usize {
        let there = set.replicas.iter().filter(|id| !self.lost.contains(id));
        usize::from(self.wanted).min(there.count())
    }
}

/// What a node knows of one partition: the sets it has had in the views the node knows, and the
/// facts about them.
///
/// Architecture invariant: durable together with the partition's data, or lost with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionConfig {
    known: Vec<Assignment>,
    facts: Facts,
}

impl PartitionConfig {
    /// What follows from these assignments and facts.
    pub fn new(known: Vec<Assignment>, facts: Facts) -> Self {
        Self { known, facts }
    }

    /// Every assignment heard of.
    pub fn known(&self) -> &[Assignment] {
        &self.known
    }

    /// Adds an assignment; says whether it was new.
    pub fn learn(&mut self, assignment: Assignment) -> bool {
        let new = self.known.iter().all(|known| known.id != assignment.id);
        if new {
            self.known.push(assignment);
        }
        new
    }

    /// What has been found out.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// For adding facts.
    pub fn facts_mut(&mut self) -> &mut Facts {
        &mut self.facts
    }

    /// The assignment of this name.
    pub fn find(&self, id: AssignmentId) -> Option<&Assignment> {
        self.known.iter().find(|known| known.id == id)
    }

    /// The assignments in each of which an operation needs its quorum: known and not retired. One
    /// in the steady state, two during a move.
    pub fn active(&self) -> impl Iterator<Item = &Assignment> + Clone {
        let retired = &self.facts.retired;
        self.known.iter().filter(|it| !retired.contains(&it.id))
    }

    /// Whether more than one set is active.
    pub fn is_in_motion(&self) -> bool {
        self.active().nth(1).is_some()
    }

    /// Whether a node is in an active set.
    pub fn holds(&self, node: &NodeId) -> bool {
        self.active().any(|set| set.has(node))
    }

    /// The fence: whether a replica with this config may serve a request whose sender counts a quorum
    /// in each set of these digests. If not, the sender has to learn of the others first. What
    /// counts is the set, not how it came about.
    pub fn admits(&self, counted: &[u64]) -> bool {
        self.active().all(|active| counted.contains(&active.id.set))
    }

    /// Whether a member of `from` may be pulled from for a later set: nothing can still flow into
    /// `from` out of older sets, for all of these are retired here. Otherwise data that reached
    /// `from` after it was read would be missed.
    pub fn is_base(&self, from: AssignmentId, order: &impl ViewOrder) -> bool {
        let mut older = self.known.iter();
        older
            .all(|it| !order.precedes(it.id.view, from.view) || self.facts.retired.contains(&it.id))
    }

    /// The members of `to` that have to pull from `from` before it can be retired: those that are
    /// new, and all of them if the set, and so perhaps its quorum, became smaller.
    pub fn must_sync<'a>(
        from: &'a Assignment,
        to: &'a Assignment,
    ) -> impl Iterator<Item = NodeId> + 'a {
        let shrinks = to.replicas.len() < from.replicas.len();
        let pulls = move |id: &&NodeId| shrinks || !from.has(id);
        to.replicas.iter().filter(pulls).copied()
    }

    /// What `me` has to pull, if anything: from which set, and for which. Always for a set that
    /// comes after all others, and from one that is a base.
    pub fn to_pull(
        &self,
        me: &NodeId,
        order: &impl ViewOrder,
    ) -> Option<(&Assignment, &Assignment)> {
        let to = self.newest(order)?;
        let from = self.active().find(|from| {
            let fact = Synced {
                joiner: *me,
                from: from.id,
                to: to.id,
            };
            order.precedes(from.id.view, to.id.view)
                && Self::must_sync(from, to).any(|id| id == *me)
                && !self.facts.synced.contains(&fact)
                && self.is_base(from.id, order)
        })?;
        Some((from, to))
    }

    /// The assignment that comes after every other active one, if there is one and it is in motion.
    pub fn newest(&self, order: &impl ViewOrder) -> Option<&Assignment> {
        let after_all = |to: &&Assignment| {
            self.active()
                .all(|it| it.id == to.id || order.precedes(it.id.view, to.id.view))
        };
        self.active().find(after_all)
    }

    /// Notes that `me`, in the old set and in the newest and not obliged to pull, knows of the
    /// newest: it is fenced for it. Where nobody has to pull, enough of these retire the old set.
    /// Says whether anything was new.
    pub fn vouch(&mut self, me: &NodeId, order: &impl ViewOrder) -> bool {
        let Some(to) = self.newest(order) else {
            return false;
        };
        let facts: Vec<Synced> = self
            .active()
            .filter(|from| from.id != to.id && from.has(me) && to.has(me))
            .filter(|from| Self::must_sync(from, to).next().is_none())
            .map(|from| Synced {
                joiner: *me,
                from: from.id,
                to: to.id,
            })
            .collect();
        let mut new = false;
        for fact in facts {
            new |= self.facts.record_synced(fact);
        }
        new
    }

    /// Retires every set that a later one has taken over from; says whether there was any.
    pub fn retire_what_may(&mut self, order: &impl ViewOrder, sources: &Sources) -> bool {
        let may: Vec<AssignmentId> = self
            .active()
            .filter(|from| {
                self.known
                    .iter()
                    .any(|to| self.took_over(from, to, order, sources))
            })
            .map(|from| from.id)
            .collect();
        let mut new = false;
        for id in may {
            new |= self.facts.retire(id);
        }
        new
    }

    /// Whether `to` holds everything that was acknowledged in `from`, and enough members of `from`
    /// are fenced for `to` that no quorum is left in `from` alone.
    fn took_over(
        &self,
        from: &Assignment,
        to: &Assignment,
        order: &impl ViewOrder,
        sources: &Sources,
    ) -> bool {
        let synced = |joiner: NodeId| {
            let fact = Synced {
                joiner,
                from: from.id,
                to: to.id,
            };
            self.facts.synced.contains(&fact)
        };
        if !order.precedes(from.id.view, to.id.view) {
            return false;
        }
        let mut pulling = Self::must_sync(from, to).peekable();
        if pulling.peek().is_some() {
            return pulling.all(synced);
        }
        let vouched = from.replicas.iter().filter(|id| synced(**id)).count();
        vouched >= sources.needed(from)
    }
}

//! What a change would do to the ring, told before it is made: fold the log, fold the log with the
//! change, compare.
//!
//! A fold is exact, so what is told here is what will move, unless another change comes first.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Event, Log, NodeId, Partition, Ring, balance, minimum_moves, moves,
    plan::{holders, partitions_at},
};

/// What becomes of one node's copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Partitions it holds now.
    pub before: u64,
    /// Partitions it will hold.
    pub after: u64,
    /// Those that it does not hold yet, and has to receive.
    pub receives: u64,
}

/// How well the replicas of each partition are spread over zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zoning {
    /// Zones that have members.
    pub zones: usize,
    /// Replicas of each partition: N, or all members if they are fewer.
    pub replicas: usize,
    /// Partitions of which one zone holds more replicas than an even spread would give it. With as
    /// many zones as replicas: those of which two replicas share a zone.
    pub crowded: usize,
}

/// The difference between two rings. Counts are of replicas: a partition that two nodes have to
/// receive counts twice. Where the rings have different numbers of partitions, the larger counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Replicas that some node has to receive.
    pub moved: u64,
    /// Replicas that any layout as good as the new one would have to move; see [`Impact::between`].
    pub least: u64,
    /// Every member of either ring.
    pub nodes: BTreeMap<NodeId, Copies>,
    /// Zones of the present ring.
    pub zones_before: Zoning,
    /// Zones of the ring that comes.
    pub zones_after: Zoning,
}

impl Impact {
    /// What these events would do, were they added to the log: see [`Log::propose`].
    pub fn of(log: &Log, events: &[Event]) -> Self {
        let mut changed = log.clone();
        changed.extend(events.iter().cloned());
        let before = Ring::fold(log);
        Self::between(&before, &before.advance(&changed))
    }

    /// What differs between ring `a` and the ring `b` that follows it.
    ///
    /// The least is the greater of two bounds, neither of which knows the other's reason: what the
    /// nodes' fair shares grow by ([`minimum_moves`]), and what cannot stay where it is whatever the
    /// shares are, because its holder leaves or its zone would hold too much of the partition.
    pub fn between(a: &Ring, b: &Ring) -> Self {
        let bits = a.bits().max(b.bits());
        let mut nodes: BTreeMap<NodeId, Copies> = BTreeMap::new();
        for partition in partitions_at(bits) {
            for id in holders(a, bits, partition) {
                nodes.entry(id).or_default().before += 1;
            }
            for id in holders(b, bits, partition) {
                nodes.entry(id).or_default().after += 1;
            }
        }
        for member in a.members().iter().chain(b.members()) {
            nodes.entry(member.id).or_default();
        }
        let moved = moves(a, b);
        for step in &moved {
            nodes.entry(step.to).or_default().receives += 1;
        }
        let moved = moved.len() as u64;
        // Shares are fractions, and rounding them to whole replicas can save part of one.
        let grown = minimum_moves(a, b).floor() as u64;
        Self {
            moved,
            least: grown.max(displaced(a, b, bits)).min(moved),
            nodes,
            zones_before: Zoning::of(a),
            zones_after: Zoning::of(b),
        }
    }
}

impl Zoning {
    fn of(ring: &Ring) -> Self {
        Self {
            zones: ring.zone_count(),
            replicas: ring.replicas_per_partition(),
            crowded: balance(ring).crowded,
        }
    }
}

/// How many replicas of `b` cannot be where `a` has them, in any layout that keeps no more of a
/// partition in one zone than `b` does.
fn displaced(a: &Ring, b: &Ring, bits: u8) -> u64 {
    let of_partition = |partition| {
        let most = most_in_a_zone(b, bits, partition);
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for id in holders(a, bits, partition) {
            if let Some(node) = b.index_of(&id) {
                *kept.entry(b.member(node).zone.as_str()).or_default() += 1;
            }
        }
        let kept: usize = kept.values().map(|count| (*count).min(most)).sum();
        b.replicas_per_partition().saturating_sub(kept) as u64
    };
    // A node that takes over a departed one's places has them all to receive: it is no survivor.
    partitions_at(bits).map(of_partition).sum()
}

fn most_in_a_zone(ring: &Ring, bits: u8, partition: Partition) -> usize {
    let ids = holders(ring, bits, partition);
    let zones: Vec<&str> = ids
        .iter()
        .filter_map(|id| ring.index_of(id))
        .map(|node| ring.member(node).zone.as_str())
        .collect();
    let distinct: BTreeSet<&str> = zones.iter().copied().collect();
    let count = |zone: &str| zones.iter().filter(|other| **other == zone).count();
    distinct.into_iter().map(count).max().unwrap_or(0)
}

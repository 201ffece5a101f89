//! What a change of the ring costs and how good the result is: for previews, reports and tests.
//!
//! Ratios are floats, for people to read. Nothing here decides a placement.

use crate::{Member, NodeId, NodeIndex, Partition, Ring, step::fair_shares};

/// A replica that changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// The partition, in the numbering of whichever ring has more of them.
    pub partition: Partition,
    /// Who has to receive it.
    pub to: NodeId,
    /// Whose place that is; `None` if the partition gains a replica.
    pub from: Option<NodeId>,
}

/// The replicas some node has to receive on the way from ring `a` to ring `b`, by partition.
pub fn moves(a: &Ring, b: &Ring) -> Vec<Move> {
    let bits = a.bits().max(b.bits());
    partitions_at(bits)
        .flat_map(|partition| moves_of(a, b, bits, partition))
        .collect()
}

fn moves_of(a: &Ring, b: &Ring, bits: u8, partition: Partition) -> Vec<Move> {
    let (old, new) = (holders(a, bits, partition), holders(b, bits, partition));
    let mut gone = old.iter().filter(|id| !new.contains(id));
    let come = new.iter().filter(|id| !old.contains(id));
    come.map(|&to| Move {
        partition,
        to,
        from: gone.next().copied(),
    })
    .collect()
}

/// All partitions when there are 2^bits of them, at most 14 bits.
pub(crate) fn partitions_at(bits: u8) -> impl Iterator<Item = Partition> {
    (0..1u16 << bits).map(Partition)
}

/// Who holds the partition that has the given number when there are 2^bits of them.
pub(crate) fn holders(ring: &Ring, bits: u8, partition: Partition) -> Vec<NodeId> {
    let own = Partition(partition.0 >> (bits - ring.bits()));
    ring.primaries(own)
        .iter()
        .map(|&node| ring.member(node).id)
        .collect()
}

/// The least that any placement of the same quality must move from ring `a` to ring `b`: what the
/// growing shares grow by, `Σ max(0, share in b − share in a)`. Not a whole number, as shares are
/// not; what is moved can be less by the rounding of shares to whole replicas.
pub fn minimum_moves(a: &Ring, b: &Ring) -> f64 {
    let bits = a.bits().max(b.bits());
    let scaled = |share: f64, ring: &Ring| share * f64::from(1u32 << (bits - ring.bits()));
    let before = shares(a);
    let growth = |(member, share): (&Member, f64)| {
        let had = a
            .index_of(&member.id)
            .map_or(0.0, |node| before[node.index()]);
        (scaled(share, b) - scaled(had, a)).max(0.0)
    };
    b.members().iter().zip(shares(b)).map(growth).sum()
}

/// How evenly a ring is laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// The most loaded node's replicas ÷ its fair share (which respects weights, zones, and that a
    /// node holds a partition at most once). 1 is perfect.
    pub max_over_share: f64,
    /// The most replicas any node holds beyond its fair share; below 1 right after a rebalance.
    pub surplus: f64,
    /// Partitions of which one zone holds more than N' ÷ zones replicas, rounded up. Not 0 only if
    /// the other zones have too few nodes to hold their part.
    pub crowded: usize,
}

/// How evenly a ring is laid out. Perfect if it has no members.
pub fn balance(ring: &Ring) -> Balance {
    let nodes: Vec<(f64, f64)> = loads(ring)
        .into_iter()
        .map(f64::from)
        .zip(shares(ring))
        .collect();
    let worst = |measure: fn(&(f64, f64)) -> f64| nodes.iter().map(measure).reduce(f64::max);
    let even = ring
        .replicas_per_partition()
        .div_ceil(ring.zone_count().max(1));
    let crowded = |partition: &Partition| fullest_zone(ring, *partition) > even;
    Balance {
        max_over_share: worst(|(load, share)| load / share).unwrap_or(1.0),
        surplus: worst(|(load, share)| load - share).unwrap_or(0.0),
        crowded: ring.partitions().filter(crowded).count(),
    }
}

/// The most replicas of a partition that lie in one zone.
fn fullest_zone(ring: &Ring, partition: Partition) -> usize {
    let zone_of = |&node: &NodeIndex| ring.zone_number(node);
    let zones: Vec<u16> = ring.primaries(partition).iter().map(zone_of).collect();
    let count = |zone: &u16| zones.iter().filter(|other| *other == zone).count();
    zones.iter().map(count).max().unwrap_or(0)
}

/// The exact fair share of each member, in replicas.
fn shares(ring: &Ring) -> Vec<f64> {
    let width = ring.replicas_per_partition();
    fair_shares(ring.members(), ring.partition_count(), width).as_floats()
}

/// How many replicas each member holds.
fn loads(ring: &Ring) -> Vec<u32> {
    let mut loads = vec![0; ring.members().len()];
    for partition in ring.partitions() {
        for node in ring.primaries(partition) {
            loads[node.index()] += 1;
        }
    }
    loads
}

impl Ring {
    /// How many replicas a member holds.
    pub fn load(&self, node: NodeIndex) -> usize {
        self.partitions()
            .filter(|&partition| self.is_primary(partition, node))
            .count()
    }
}

//! Preference lists: which nodes one operation goes to, and for whom each of them stands.

use std::ops::Deref;

use smallvec::SmallVec;

use crate::{MAX_N, NodeIndex, Partition, Ring, score::score};

/// One place of a preference list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Who is asked.
    pub node: NodeIndex,
    /// The primary a fallback stands for: it keeps a hint for it. `None`: `node` is the primary.
    pub stands_for: Option<NodeIndex>,
}

impl Place {
    /// The primary whose place this is.
    pub fn primary(self) -> NodeIndex {
        self.stands_for.unwrap_or(self.node)
    }
}

/// The places of one operation, in the order of the primaries they belong to. All nodes in it are
/// distinct. Never allocates: it has room for [`MAX_N`] places inline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreferenceList(SmallVec<[Place; MAX_N as usize]>);

impl Deref for PreferenceList {
    type Target = [Place];

    fn deref(&self) -> &[Place] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a PreferenceList {
    type Item = &'a Place;
    type IntoIter = std::slice::Iter<'a, Place>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Where a node stands in the order of a partition's fallbacks; the largest comes first.
type Rank = (bool, u64, NodeIndex);

/// The fallbacks of a partition in order. Each step costs one pass over the members.
#[derive(Clone, Debug)]
pub struct Fallbacks<'a> {
    ring: &'a Ring,
    partition: Partition,
    below: Option<Rank>,
}

impl Iterator for Fallbacks<'_> {
    type Item = NodeIndex;

    fn next(&mut self) -> Option<NodeIndex> {
        let next = self
            .ring
            .next_fallback(self.partition, self.below, |_| true)?;
        self.below = Some(next);
        Some(next.2)
    }
}

impl Ring {
    /// The nodes that are not primaries of the partition, in the order in which they stand in:
    /// nodes of zones that hold no primary first, then by rendezvous score. A change of members
    /// leaves the others in their order.
    pub fn fallbacks(&self, partition: Partition) -> Fallbacks<'_> {
        Fallbacks {
            ring: self,
            partition,
            below: None,
        }
    }

    /// The places of an operation on `n` replicas of a partition (at most
    /// [`replicas_per_partition`](Self::replicas_per_partition)), given who is `up`.
    ///
    /// A primary that is up stands for itself. For one that is down the next live fallback not yet
    /// used stands in (sloppy quorum); if there is none, the primary keeps its place. Whoever wants
    /// a strict quorum passes `|_| true`.
    ///
    /// One pass over the members per absent primary; as that concerns only a share N'/n of the
    /// partitions per absent node, the average cost per operation does not grow with the cluster.
    pub fn preference(
        &self,
        partition: Partition,
        n: usize,
        up: impl Fn(NodeIndex) -> bool,
    ) -> PreferenceList {
        let primaries = self.primaries(partition);
        let mut below = None;
        let place = |&primary: &NodeIndex| {
            let own = Place {
                node: primary,
                stands_for: None,
            };
            if up(primary) {
                return own;
            }
            match self.next_fallback(partition, below, &up) {
                None => own,
                Some(next) => {
                    below = Some(next);
                    Place {
                        node: next.2,
                        stands_for: Some(primary),
                    }
                }
            }
        };
        PreferenceList(primaries.iter().take(n).map(place).collect())
    }

    /// The fast path of [`preference`](Self::preference): if the first `n` primaries are all up
    /// they are the preference list, and nothing needs to be copied. Otherwise `None`.
    #[inline]
    pub fn primaries_if_up(
        &self,
        partition: Partition,
        n: usize,
        up: impl Fn(NodeIndex) -> bool,
    ) -> Option<&[NodeIndex]> {
        let primaries = self.primaries(partition);
        let primaries = &primaries[..n.min(primaries.len())];
        primaries.iter().all(|&node| up(node)).then_some(primaries)
    }

    /// The highest-ranked fallback below `below` that is `fit`.
    fn next_fallback(
        &self,
        partition: Partition,
        below: Option<Rank>,
        fit: impl Fn(NodeIndex) -> bool,
    ) -> Option<Rank> {
        let primaries = self.primaries(partition);
        let zones: SmallVec<[u16; MAX_N as usize]> = primaries
            .iter()
            .map(|&primary| self.zone_number(primary))
            .collect();
        let rank = |node: NodeIndex| {
            let other_zone = !zones.contains(&self.zone_number(node));
            (
                other_zone,
                score(partition, &self.members()[node.index()].id),
                node,
            )
        };
        (0..self.members().len() as u16)
            .map(NodeIndex)
            .filter(|node| !primaries.contains(node) && fit(*node))
            .map(rank)
            .filter(|rank| below.is_none_or(|below| *rank < below))
            .max()
    }
}

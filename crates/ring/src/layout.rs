//! The state of the fold: members and who holds what, and how one change takes it to the next.

use std::collections::BTreeSet;

use crate::{
    BucketDefinitions, Event, Member, NodeId, NodeIndex, PARTITION_BITS, Partition,
    assignment::set_digest,
    roster::{Outcome, Roster},
    step,
};

/// Fewest partition bits: two partitions.
pub const MIN_PARTITION_BITS: u8 = 1;

/// Most partition bits: 16,384 partitions, good to about 1,600 nodes.
pub const MAX_PARTITION_BITS: u8 = 14;

/// Replicas per partition unless the log says otherwise.
pub const DEFAULT_N: u8 = 3;

/// Most replicas per partition. Beyond it more copies cost every write and help no one.
pub const MAX_N: u8 = 7;

/// Most members: what a [`NodeIndex`] can number. Joins beyond it have no effect.
pub const MAX_MEMBERS: usize = u16::MAX as usize;

/// The newest fold rules this build knows, and those every log starts with.
pub const ALGO_VERSION: u16 = 1;

/// Members and places after some prefix of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) bits: u8,
    /// Configured replicas per partition.
    pub(crate) n: u8,
    pub(crate) algo: u16,
    /// Whether the number of partitions is settled: by a genesis event or a first member.
    pub(crate) founded: bool,
    /// Sorted by id.
    pub(crate) members: Vec<Member>,
    /// Ids that were members once; they never come back.
    pub(crate) departed: BTreeSet<NodeId>,
    /// Rules of buckets; no part of any placement.
    pub(crate) buckets: BucketDefinitions,
    /// `width` places for each partition, partition after partition.
    pub(crate) places: Vec<NodeIndex>,
    /// The digest of each partition's replica set; empty while there are no members.
    pub(crate) sets: Vec<u64>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            bits: PARTITION_BITS,
            n: DEFAULT_N,
            algo: ALGO_VERSION,
            founded: false,
            members: Vec::new(),
            departed: BTreeSet::new(),
            buckets: BucketDefinitions::default(),
            places: Vec::new(),
            sets: Vec::new(),
        }
    }
}

impl Layout {
    /// Places per partition: N' = min(N, members).
    pub(crate) fn width(&self) -> usize {
        usize::from(self.n).min(self.members.len())
    }

    pub(crate) fn partition_count(&self) -> usize {
        1 << self.bits
    }

    /// The places of one partition.
    pub(crate) fn row(&self, partition: Partition) -> &[NodeIndex] {
        let width = self.width();
        &self.places[partition.index() * width..][..width]
    }

    /// Folds in the events of one change. If they demand rules this build does not know, returns
    /// their number and leaves the layout as it was.
    pub(crate) fn apply(&mut self, change: &[&Event]) -> Result<(), u16> {
        let mut roster = Roster::of(self);
        for event in change {
            roster.apply(&event.op)?;
        }
        let Outcome {
            mut layout,
            origins,
            splits,
            rebalance,
        } = roster.finish();
        layout.places = self.carried_over(&layout.members, &origins, splits);
        if rebalance {
            layout.places = step::rebalance(&layout, self.width());
        }
        layout.sets = layout.digests();
        *self = layout;
        Ok(())
    }

    /// The places of this layout renamed to the new members (`origins`: who each of them was here),
    /// with holes where the holder is gone, each row repeated for the partitions it was split into.
    fn carried_over(
        &self,
        members: &[Member],
        origins: &[Option<NodeIndex>],
        splits: u8,
    ) -> Vec<NodeIndex> {
        let mut renamed = vec![NodeIndex::HOLE; self.members.len()];
        // At most MAX_MEMBERS members, so their indices fit.
        for (new, origin) in (0..members.len() as u16).zip(origins) {
            if let Some(old) = origin {
                renamed[old.index()] = NodeIndex(new);
            }
        }
        let row = |old: &[NodeIndex]| -> Vec<NodeIndex> {
            old.iter().map(|node| renamed[node.index()]).collect()
        };
        let width = self.width().max(1);
        self.places
            .chunks(width)
            .flat_map(|old| row(old).repeat(1 << splits))
            .collect()
    }

    fn digests(&self) -> Vec<u64> {
        if self.members.is_empty() {
            return Vec::new();
        }
        let digest = |partition: u16| {
            let row = self.row(Partition(partition)).iter();
            set_digest(row.map(|node| self.members[node.index()].id))
        };
        (0..self.partition_count() as u16).map(digest).collect()
    }
}

//! The places of all partitions while a step rearranges them.

use crate::{Member, NodeId, NodeIndex, Partition, layout::Layout, score::score};

use super::shares::Shares;

/// Rows of places, and who holds how much against which quota.
pub(super) struct Board<'a> {
    members: &'a [Member],
    pub(super) shares: Shares,
    partitions: u16,
    /// Places per row.
    width: usize,
    rows: Vec<NodeIndex>,
    /// Which places were filled in this step: their data moves anyway, so handing them on again
    /// costs nothing.
    fresh: Vec<bool>,
    /// The partitions of each node.
    held: Vec<Vec<Partition>>,
    quotas: Vec<usize>,
}

impl<'a> Board<'a> {
    /// The board of a layout whose rows still have the width of the one before.
    pub(super) fn new(layout: &'a Layout, width: usize, shares: Shares) -> Self {
        let mut board = Self {
            members: &layout.members,
            shares,
            // At most 2^14.
            partitions: layout.partition_count() as u16,
            width,
            rows: layout.places.clone(),
            fresh: vec![false; layout.places.len()],
            held: vec![Vec::new(); layout.members.len()],
            quotas: Vec::new(),
        };
        for partition in board.partitions() {
            for slot in 0..width {
                if let Some(node) = board.holder(partition, slot) {
                    board.held[node.index()].push(partition);
                }
            }
        }
        let loads: Vec<usize> = board.held.iter().map(Vec::len).collect();
        board.quotas = board.shares.quotas(&loads);
        board
    }

    pub(super) fn into_rows(self) -> Vec<NodeIndex> {
        self.rows
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions).map(Partition)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        // At most MAX_MEMBERS members, so their indices fit.
        (0..self.members.len() as u16).map(NodeIndex)
    }

    pub(super) fn row(&self, partition: Partition) -> &[NodeIndex] {
        &self.rows[partition.index() * self.width..][..self.width]
    }

    /// Who is at a place; `None` for a hole.
    pub(super) fn holder(&self, partition: Partition, slot: usize) -> Option<NodeIndex> {
        Some(self.row(partition)[slot]).filter(|&node| node != NodeIndex::HOLE)
    }

    pub(super) fn has_hole(&self, partition: Partition) -> bool {
        self.row(partition).contains(&NodeIndex::HOLE)
    }

    pub(super) fn held(&self, node: NodeIndex) -> &[Partition] {
        &self.held[node.index()]
    }

    /// Replicas held beyond the quota; negative if there is room.
    pub(super) fn excess(&self, node: NodeIndex) -> isize {
        // Both are at most 2^14.
        self.held[node.index()].len() as isize - self.quotas[node.index()] as isize
    }

    pub(super) fn has_room(&self, node: NodeIndex) -> bool {
        self.excess(node) < 0
    }

    pub(super) fn id(&self, node: NodeIndex) -> &NodeId {
        &self.members[node.index()].id
    }

    pub(super) fn score(&self, partition: Partition, node: NodeIndex) -> u64 {
        score(partition, self.id(node))
    }

    pub(super) fn zone(&self, node: NodeIndex) -> u16 {
        self.shares.zone_of[node.index()]
    }

    /// Replicas of a partition in a zone.
    pub(super) fn in_zone(&self, partition: Partition, zone: u16) -> usize {
        let row = self.row(partition).iter();
        row.filter(|&&node| node != NodeIndex::HOLE && self.zone(node) == zone)
            .count()
    }

    /// Whether a node of `zone` may take the place that `leaving` (or a hole) has.
    pub(super) fn zone_allows(&self, partition: Partition, leaving: NodeIndex, zone: u16) -> bool {
        let same = leaving != NodeIndex::HOLE && self.zone(leaving) == zone;
        same || self.in_zone(partition, zone) < self.shares.zone_cap
    }

    /// Whether `node` may take the place that `leaving` (or a hole) has.
    pub(super) fn allows(&self, partition: Partition, leaving: NodeIndex, node: NodeIndex) -> bool {
        !self.row(partition).contains(&node)
            && self.zone_allows(partition, leaving, self.zone(node))
    }

    /// Whether the node's place in the partition was filled in this step.
    pub(super) fn is_fresh(&self, partition: Partition, node: NodeIndex) -> bool {
        self.slot_of(partition, node)
            .is_some_and(|slot| self.fresh[slot])
    }

    /// Puts `to` where `from` (or a hole) is. No effect if `from` is not there.
    pub(super) fn replace(&mut self, partition: Partition, from: NodeIndex, to: NodeIndex) {
        let Some(slot) = self.slot_of(partition, from) else {
            return;
        };
        self.rows[slot] = to;
        if from != NodeIndex::HOLE {
            self.held[from.index()].retain(|&other| other != partition);
        }
        if to != NodeIndex::HOLE {
            self.held[to.index()].push(partition);
            self.fresh[slot] = true;
        }
    }

    /// Changes the places per row: holes are cut off from the end, or added there. Rows must not
    /// hold more than `width` replicas.
    pub(super) fn set_width(&mut self, width: usize) {
        let mut rows = Vec::with_capacity(usize::from(self.partitions) * width);
        for partition in self.partitions() {
            let row = self.row(partition);
            let mut cut = self.width.saturating_sub(width);
            let kept: Vec<NodeIndex> = row
                .iter()
                .rev()
                .copied()
                .filter(|&node| {
                    let is_cut = cut > 0 && node == NodeIndex::HOLE;
                    cut -= usize::from(is_cut);
                    !is_cut
                })
                .collect();
            rows.extend(kept.iter().rev());
            rows.resize((partition.index() + 1) * width, NodeIndex::HOLE);
        }
        self.fresh = vec![false; rows.len()];
        self.rows = rows;
        self.width = width;
    }

    fn slot_of(&self, partition: Partition, node: NodeIndex) -> Option<usize> {
        let at = self
            .row(partition)
            .iter()
            .position(|&holder| holder == node)?;
        Some(partition.index() * self.width + at)
    }
}

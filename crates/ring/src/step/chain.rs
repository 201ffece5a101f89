//! Chains of hand-overs, for when no direct one is possible: A takes a place from B, which takes
//! one from C, which has room.
//!
//! An edge leads from node to node if the first holds a partition that the second may take over.
//! The search is breadth-first by *moves*: handing on a place that was filled in this same step is
//! free. It finds a chain whenever there is one, and no two hand-overs of a chain found this way get
//! into each other's way: two in the same partition would have offered a shorter one.

use crate::{NodeIndex, Partition};

use super::board::Board;

/// One hand-over of a chain.
struct Hop {
    partition: Partition,
    from: NodeIndex,
    to: NodeIndex,
}

/// Fills the holes that are left.
pub(super) fn fill(board: &mut Board<'_>) {
    for partition in board.partitions() {
        while board.has_hole(partition) {
            let fit = |&node: &NodeIndex| board.allows(partition, NodeIndex::HOLE, node);
            let sources: Vec<NodeIndex> = board.nodes().filter(fit).collect();
            let Some((first, hops)) = Search::new(board).run(sources) else {
                // Quotas are feasible, so there always is a chain.
                debug_assert!(false, "no chain fills a hole of {partition:?}");
                return;
            };
            board.replace(partition, NodeIndex::HOLE, first);
            make(board, &hops);
        }
    }
}

/// Takes from nodes above their quota what is left above it.
pub(super) fn shed(board: &mut Board<'_>) {
    loop {
        let over: Vec<NodeIndex> = board
            .nodes()
            .filter(|&node| board.excess(node) > 0)
            .collect();
        if over.is_empty() {
            return;
        }
        let Some((_, hops)) = Search::new(board).run(over) else {
            // Quotas are feasible and sum to what is held, so there always is a chain.
            debug_assert!(false, "no chain relieves an overloaded node");
            return;
        };
        make(board, &hops);
    }
}

fn make(board: &mut Board<'_>, hops: &[Hop]) {
    for hop in hops {
        board.replace(hop.partition, hop.from, hop.to);
    }
}

struct Search<'b, 'a> {
    board: &'b Board<'a>,
    /// Nodes not reached yet, zone by zone.
    unreached: Vec<(u16, Vec<NodeIndex>)>,
    /// How each reached node was reached; `None` for where the search began.
    reached_by: Vec<Option<(Partition, NodeIndex)>>,
}

impl<'b, 'a> Search<'b, 'a> {
    fn new(board: &'b Board<'a>) -> Self {
        let mut unreached: Vec<(u16, Vec<NodeIndex>)> = Vec::new();
        let mut nodes: Vec<NodeIndex> = board.nodes().collect();
        nodes.sort_by_key(|&node| board.zone(node));
        for zone in nodes.chunk_by(|&a, &b| board.zone(a) == board.zone(b)) {
            unreached.push((board.zone(zone[0]), zone.to_vec()));
        }
        let reached_by = vec![None; nodes.len()];
        Self {
            board,
            unreached,
            reached_by,
        }
    }

    /// The chain of fewest moves from one of `sources` to a node with room: where it begins, and
    /// its hand-overs.
    fn run(mut self, sources: Vec<NodeIndex>) -> Option<(NodeIndex, Vec<Hop>)> {
        for (_, nodes) in &mut self.unreached {
            nodes.retain(|node| !sources.contains(node));
        }
        let mut level = sources;
        while !level.is_empty() {
            let mut at = 0;
            while at < level.len() {
                if self.board.has_room(level[at]) {
                    return Some(self.trace(level[at]));
                }
                let further = self.expand(level[at], true);
                level.extend(further);
                at += 1;
            }
            level = level
                .iter()
                .flat_map(|&node| self.expand(node, false))
                .collect();
        }
        None
    }

    /// Reaches every node that can take over a place of `node`: one filled in this step if `fresh`,
    /// else one from before.
    fn expand(&mut self, node: NodeIndex, fresh: bool) -> Vec<NodeIndex> {
        let Self {
            board,
            unreached,
            reached_by,
        } = self;
        let mut reached = Vec::new();
        for &partition in board.held(node) {
            if unreached.is_empty() {
                break;
            }
            if board.is_fresh(partition, node) != fresh {
                continue;
            }
            let row = board.row(partition);
            for (zone, nodes) in unreached.iter_mut() {
                if board.zone_allows(partition, node, *zone) {
                    reached.extend(
                        nodes
                            .extract_if(.., |other| !row.contains(other))
                            .inspect(|other| reached_by[other.index()] = Some((partition, node))),
                    );
                }
            }
            unreached.retain(|(_, nodes)| !nodes.is_empty());
        }
        reached
    }

    fn trace(&self, end: NodeIndex) -> (NodeIndex, Vec<Hop>) {
        let mut hops = Vec::new();
        let mut to = end;
        while let Some((partition, from)) = self.reached_by[to.index()] {
            hops.push(Hop {
                partition,
                from,
                to,
            });
            to = from;
        }
        hops.reverse();
        (to, hops)
    }
}

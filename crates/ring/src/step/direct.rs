//! Direct hand-overs: one replica moves, from a node above its quota (or a hole) to one below.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{NodeIndex, Partition};

use super::board::Board;

/// Fills holes with nodes that have room.
pub(super) fn fill(board: &mut Board<'_>) {
    let hole = NodeIndex::HOLE;
    hand_over(board, |board, partition, to| {
        let fits = board.has_hole(partition) && board.allows(partition, hole, to);
        fits.then_some(hole)
    });
}

/// Moves replicas from nodes above their quota to nodes that have room. Of several such holders of
/// a partition the one furthest above its quota gives: that keeps the most choices open.
pub(super) fn shed(board: &mut Board<'_>) {
    hand_over(board, |board, partition, to| {
        let over = |&node: &NodeIndex| node != NodeIndex::HOLE && board.excess(node) > 0;
        let givers = board.row(partition).iter().copied().filter(over);
        givers
            .filter(|&from| board.allows(partition, from, to))
            .max_by_key(|&from| (board.excess(from), Reverse(board.score(partition, from))))
    });
}

/// A possible hand-over. The greatest is made first: the highest score, the rest only so that the
/// order is total.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    score: u64,
    partition: Partition,
    to: NodeIndex,
}

/// Makes hand-overs to nodes with room, best first, until none is possible. `giver` says which
/// place of a partition a node may have, if any.
///
/// Each partition keeps only its best offer in the heap; when that has gone stale (the taker is
/// full, or in the row by now) the next best takes its turn.
fn hand_over(
    board: &mut Board<'_>,
    giver: impl Fn(&Board<'_>, Partition, NodeIndex) -> Option<NodeIndex>,
) {
    let mut takers: Vec<NodeIndex> = board.nodes().filter(|&node| board.has_room(node)).collect();
    let best = |board: &Board<'_>, takers: &[NodeIndex], partition| {
        let fit = takers
            .iter()
            .filter(|&&to| giver(board, partition, to).is_some());
        fit.map(|&to| Offer {
            score: board.score(partition, to),
            partition,
            to,
        })
        .max()
    };
    let mut offers: BinaryHeap<Offer> = board
        .partitions()
        .filter_map(|partition| best(board, &takers, partition))
        .collect();
    while let Some(Offer { partition, to, .. }) = offers.pop() {
        if board.has_room(to)
            && let Some(from) = giver(board, partition, to)
        {
            board.replace(partition, from, to);
            if !board.has_room(to) {
                takers.retain(|&taker| taker != to);
            }
        }
        offers.extend(best(board, &takers, partition));
    }
}

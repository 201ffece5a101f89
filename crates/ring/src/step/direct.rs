//! Direct hand-overs: one replica moves, from a node above its quota (or a hole) to one below.

use std::collections::BinaryHeap;

use crate::{NodeIndex, Partition};

use super::board::Board;

/// A possible hand-over. The greatest is made first: the highest score, the rest only so that the
/// order is total.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Offer {
    score: u64,
    partition: Partition,
    to: NodeIndex,
    from: NodeIndex,
}

/// Fills holes with nodes that have room.
pub(super) fn fill(board: &mut Board<'_>) {
    let holes: Vec<_> = board
        .partitions()
        .filter(|&partition| board.has_hole(partition))
        .map(|partition| (partition, NodeIndex::HOLE))
        .collect();
    hand_over(board, &holes);
}

/// Moves replicas from nodes above their quota to nodes that have room.
pub(super) fn shed(board: &mut Board<'_>) {
    let over = board.nodes().filter(|&node| board.excess(node) > 0);
    let places: Vec<_> = over
        .flat_map(|node| {
            board
                .held(node)
                .iter()
                .map(move |&partition| (partition, node))
        })
        .collect();
    hand_over(board, &places);
}

/// Makes hand-overs of the given places, best first, until none is possible.
///
/// Each place keeps only its best offer in the heap; when that has gone stale (the taker is full,
/// or in the row by now) the next best takes its turn. Scores only decrease that way, so the order
/// is that of a heap of all offers, at a fraction of the memory.
fn hand_over(board: &mut Board<'_>, places: &[(Partition, NodeIndex)]) {
    let mut takers: Vec<NodeIndex> = board.nodes().filter(|&node| board.has_room(node)).collect();
    let best = |board: &Board<'_>, takers: &[NodeIndex], partition, from| {
        let allowed = takers
            .iter()
            .filter(|&&to| board.allows(partition, from, to));
        allowed
            .map(|&to| Offer {
                score: board.score(partition, to),
                partition,
                to,
                from,
            })
            .max()
    };
    let mut offers: BinaryHeap<Offer> = places
        .iter()
        .filter_map(|&(partition, from)| best(board, &takers, partition, from))
        .collect();
    while let Some(Offer {
        partition,
        to,
        from,
        ..
    }) = offers.pop()
    {
        if !wants_to_leave(board, partition, from) {
            continue;
        }
        if board.has_room(to) && board.allows(partition, from, to) {
            board.replace(partition, from, to);
            if !board.has_room(to) {
                takers.retain(|&taker| taker != to);
            }
        }
        if wants_to_leave(board, partition, from) {
            offers.extend(best(board, &takers, partition, from));
        }
    }
}

/// Whether the row still has a hole, or still has a place of a node above its quota.
fn wants_to_leave(board: &Board<'_>, partition: Partition, from: NodeIndex) -> bool {
    let there = board.row(partition).contains(&from);
    there && (from == NodeIndex::HOLE || board.excess(from) > 0)
}

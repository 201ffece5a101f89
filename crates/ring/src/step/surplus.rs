//! Takes away the places that the new members and parameters no longer allow.

use std::cmp::Reverse;

use crate::{NodeIndex, Partition};

use super::board::Board;

/// Leaves in each row at most as many replicas per zone as the zone rule allows, and at most N'
/// replicas. Who is furthest above its quota goes first; among equals the lowest score.
pub(super) fn clear(board: &mut Board<'_>, width: usize) {
    for partition in board.partitions() {
        while let Some(node) = surplus(board, partition, width) {
            board.replace(partition, node, NodeIndex::HOLE);
        }
    }
}

fn surplus(board: &Board<'_>, partition: Partition, width: usize) -> Option<NodeIndex> {
    let holders = || {
        board
            .row(partition)
            .iter()
            .copied()
            .filter(|&node| node != NodeIndex::HOLE)
    };
    let crowded =
        |&node: &NodeIndex| board.in_zone(partition, board.zone(node)) > board.shares.zone_cap;
    let rank = |&node: &NodeIndex| (board.excess(node), Reverse(board.score(partition, node)));
    let too_many = holders().count() > width;
    let worst = holders().filter(crowded).max_by_key(rank);
    worst.or_else(|| holders().filter(|_| too_many).max_by_key(rank))
}

//! One step of the fold: from who held what to who holds what, given new members.
//!
//! 1. [`shares`]: the exact fair share of each node, by nested water-filling over zones and nodes,
//!    as rational numbers; then whole quotas, each the share rounded down or up.
//! 2. [`surplus`]: places of departed nodes are already holes; places that break the zone rule or
//!    exceed N' become holes too.
//! 3. [`direct`]: holes go to nodes below their quota, and nodes above their quota hand places to
//!    nodes below theirs, highest rendezvous score first.
//! 4. [`chain`]: where no direct hand-over is possible, the shortest chain of them.
//! 5. [`leads`]: reorder each row so that every node comes first in its share of partitions.
//!
//! Quotas are feasible by construction (shares are a fractional solution of a transport problem
//! whose capacities are whole numbers, so a whole solution with these quotas exists), and chains
//! are augmenting paths: the step always ends with every node exactly at its quota.
//!
//! What is left out: which nodes share partitions is left to the score. Limiting the pairs that do
//! (copysets) would make losing N random nodes rarer but dearer.

use crate::{NodeIndex, layout::Layout};

mod board;
mod chain;
mod direct;
mod leads;
mod shares;
mod surplus;

pub(crate) use shares::fair_shares;

use board::Board;

/// New places for the members and parameters of `layout`, whose own places are rows of `old_width`
/// with holes where the holder is gone.
pub(crate) fn rebalance(layout: &Layout, old_width: usize) -> Vec<NodeIndex> {
    let width = layout.width();
    if width == 0 {
        return Vec::new();
    }
    let shares = fair_shares(&layout.members, layout.partition_count(), width);
    let mut board = Board::new(layout, old_width, shares);
    surplus::clear(&mut board, width);
    board.set_width(width);
    direct::fill(&mut board);
    chain::fill(&mut board);
    direct::shed(&mut board);
    chain::shed(&mut board);
    let mut rows = board.into_rows();
    leads::spread(&mut rows, width, layout.members.len());
    rows
}

//! How faults strike a simulated cluster, and how they end.

use super::{marks::Mark, plan::FaultKind, world::World};

/// The fault begins.
pub(super) fn begin<A>(world: &mut World<A>, kind: &FaultKind) {
    match kind {
        FaultKind::Crash(nodes) => {
            for node in nodes
                .iter()
                .filter(|node| world.nodes[**node].is_alive())
                .copied()
                .collect::<Vec<_>>()
            {
                world.crash(node);
            }
        }
        FaultKind::Pause(node) => {
            world.marks.hit(Mark::NodePaused);
            world.pause(*node);
        }
        FaultKind::Change(change) => world.change(change),
        FaultKind::ClockJump(node, by_ms) => {
            world.marks.hit(Mark::ClockJumped);
            world.jump(*node, *by_ms);
        }
        FaultKind::Uninformed(node) => world.inform(*node, false),
        kind => {
            if matches!(kind, FaultKind::OneWay(..)) {
                world.marks.hit(Mark::OneWayCut);
            }
            world.cut(&paths(kind, world.nodes.len()));
        }
    }
}

/// It ends. Faults may overlap: a node that died twice starts once.
pub(super) fn end<A>(world: &mut World<A>, kind: &FaultKind) {
    match kind {
        FaultKind::Crash(nodes) => {
            for node in nodes {
                if !world.nodes[*node].is_alive() && !world.is_gone(*node) {
                    world.marks.hit(Mark::NodeRestarted);
                    world.start(*node);
                }
            }
        }
        FaultKind::Pause(node) => world.resume(*node),
        FaultKind::Change(_) => {}
        FaultKind::ClockJump(node, _) => world.jump(*node, 0),
        FaultKind::Uninformed(node) => world.inform(*node, true),
        kind => world.mend(&paths(kind, world.nodes.len())),
    }
}

/// The directed paths that a fault cuts.
fn paths(kind: &FaultKind, nodes: usize) -> Vec<(usize, usize)> {
    let all = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
    let all = all.filter(|(from, to)| from != to);
    match kind {
        FaultKind::Partition(side) => all
            .filter(|(from, to)| side.contains(from) != side.contains(to))
            .collect(),
        FaultKind::MajoritiesRing => {
            let apart = |from: usize, to: usize| (from + nodes - to) % nodes;
            all.filter(|(from, to)| !matches!(apart(*from, *to), 0 | 1) && apart(*to, *from) != 1)
                .collect()
        }
        FaultKind::OneWay(from, to) => vec![(*from, *to)],
        FaultKind::Crash(_)
        | FaultKind::Pause(_)
        | FaultKind::ClockJump(..)
        | FaultKind::Uninformed(_)
        | FaultKind::Change(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FaultKind, paths};

    #[test]
    fn a_partition_cuts_both_ways_and_only_across() {
        let cut = paths(&FaultKind::Partition(vec![0, 2]), 3);
        assert_eq!(cut, [(0, 1), (1, 0), (1, 2), (2, 1)]);
    }

    #[test]
    fn on_the_ring_everybody_keeps_two_neighbours() {
        let cut = paths(&FaultKind::MajoritiesRing, 5);
        for node in 0..5 {
            let lost = cut.iter().filter(|(from, _)| *from == node).count();
            assert_eq!(lost, 2, "node {node} of {cut:?}");
        }
    }
}

//! Wall clocks that jump, and nodes that compare theirs.

use super::World;

impl<A> World<A> {
    /// A node's wall clock jumps, to so much from where it would be; 0: back again.
    pub fn jump(&mut self, node: usize, by_ms: i64) {
        self.note(node, b'j', "has another time");
        self.nodes[node].clock.jumped_ms = by_ms;
    }

    /// A node hears what time it is at every node that it has a link to and that can answer.
    pub(super) fn compare_clocks(&mut self, node: usize) {
        for other in self.others(node) {
            let there = &self.nodes[other];
            let answers = there.is_running()
                && self.network.is_up(node, other)
                && self.network.passes(node, other)
                && self.network.passes(other, node);
            if answers {
                let (wall_ms, is_astray) = (
                    there.clock.machine(self.now).wall_ms,
                    there.clock.is_astray(),
                );
                let peer = self.ids[other];
                self.nodes[node].hear_clock(self.now, peer, wall_ms, is_astray);
            }
        }
    }
}

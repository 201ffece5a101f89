//! Clients that are users: each operation takes a step or several, at one node.

use henge_node::Outcome as Ended;

use super::{Alarm, OpId, PATIENCE, Run, TIMEOUT_MS};
use crate::sim::principals::{Next, OwnStep};

impl Run<'_> {
    /// A client that is a user's: it logs in, looks, or logs out everywhere.
    pub(super) fn user_asks(&mut self, number: usize) {
        let at = self.world.now;
        let node = self.rng.below(self.plan.nodes as u64) as usize;
        let op = self.next;
        self.next += 1;
        let quorum = self.plan.session_quorum;
        let asked = (op, number, node);
        let step = self
            .principals
            .begin(asked, at, quorum, TIMEOUT_MS, &mut self.rng);
        self.world.alarm(at + PATIENCE, Alarm::GiveUp(op));
        self.user_steps(node, op, step);
    }

    fn user_steps(&mut self, node: usize, op: OpId, step: OwnStep) {
        // What is a user's: the keys of sessions and of indexes are text.
        self.keys.extend(String::from_utf8(step.key()).ok());
        let is_asked = self.world.ask_own(node, step, op);
        if !is_asked && let Some(client) = self.principals.give_up(op) {
            self.client_thinks(client);
        }
    }

    pub(super) fn user_ended(&mut self, node: usize, op: OpId, ended: Ended) {
        let at = self.world.now;
        let now_ms = self.world.nodes[node].now(at).wall_ms;
        let broken = &mut self.broken;
        match self.principals.ended(op, at, now_ms, ended, broken) {
            Some(Next::Step(node, step)) => self.user_steps(node, op, step),
            Some(Next::Done(client)) => self.client_thinks(client),
            None => {}
        }
    }

    pub(super) fn client_thinks(&mut self, number: usize) {
        let wait = 1 + self.rng.wait(self.plan.think);
        self.world
            .alarm(self.world.now + wait, Alarm::Client(number));
    }
}

//! Changes of the ring that an operator decides: what they would move, and making them.

use std::collections::BTreeMap;

use henge_ring::{ChangeId, NodeId, Op, Ring, Token, Weight, moves};

use crate::{Handle, TransitionStatus};

/// What is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A member leaves; it serves until its data is elsewhere.
    Leave(NodeId),
    /// A member gets another share of the partitions.
    Reweight(NodeId, Weight),
}

/// What a change moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangePlan {
    /// Replicas that each node has to receive.
    pub receives: BTreeMap<NodeId, u64>,
    /// Bytes that move, judged by what this node holds.
    pub bytes: u64,
    /// Whether the change was made.
    pub applied: bool,
}

/// Why a change is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The ring has no such member.
    #[error("{} is no member", .0.short())]
    Stranger(NodeId),
    /// Nobody would be left.
    #[error("the last member cannot leave")]
    LastMember,
    /// Changes at once multiply the sets in which every operation has to count.
    #[error("{in_motion} partitions still move: wait until they have arrived")]
    InMotion {
        /// How many.
        in_motion: u64,
    },
    /// The node does not serve.
    #[error("this node does not serve yet")]
    NotReady,
}

impl Handle {
    /// How far partitions that move have come, as this node knows it.
    pub fn transition(&self) -> TransitionStatus {
        self.shared().transition.status()
    }

    /// What a change would move; with `apply`, makes it. The data moves in the background:
    /// [`Handle::transition`] tells how far it is.
    ///
    /// # Errors
    /// [`ChangeRefused`]; nothing was changed.
    pub fn change(&self, change: Change, apply: bool) -> Result<ChangePlan, ChangeRefused> {
        if !self.is_ready() {
            return Err(ChangeRefused::NotReady);
        }
        let before = self.ring();
        let (node, op) = match change {
            Change::Leave(node) => (node, Op::Leave { node }),
            Change::Reweight(node, weight) => (node, Op::SetWeight { node, weight }),
        };
        if before.index_of(&node).is_none() {
            return Err(ChangeRefused::Stranger(node));
        }
        if before.members().len() == 1 && matches!(change, Change::Leave(_)) {
            return Err(ChangeRefused::LastMember);
        }
        let in_motion = self.transition().in_motion;
        if apply && in_motion > 0 {
            return Err(ChangeRefused::InMotion { in_motion });
        }
        let mut log = self.shared().log();
        let seed = format!("{}{:?}{change:?}", self.info().id, log.tag());
        let name = ChangeId(Token::of(seed.as_bytes()).0);
        let events = log.propose(self.info().id, name, [op]);
        log.extend(events.iter().cloned());
        let mut plan = self.plan_of(&before, &before.advance(&log));
        if apply && let Some(ring) = self.shared().edit_log(|log| log.extend(events)) {
            self.publish(&ring);
            plan.applied = true;
        }
        Ok(plan)
    }

    fn plan_of(&self, before: &Ring, after: &Ring) -> ChangePlan {
        let mut plan = ChangePlan::default();
        let moved = moves(before, after);
        for step in &moved {
            *plan.receives.entry(step.to).or_default() += 1;
        }
        let own = before.index_of(&self.info().id);
        let held = own.map_or(0, |own| before.load(own)) as u64;
        plan.bytes = self.usage().bytes / held.max(1) * moved.len() as u64;
        plan
    }
}

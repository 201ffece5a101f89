//! Letting go, after long enough, of a member that is down: the one exception to the rule that failure
//! detection never changes who is a member. Off unless an operator says for how long.
//!
//! [`Eviction::look`] is asked now and then, with how this node sees every member, and names whom to let
//! go. It names nobody
//!
//! * that this node has a link to, or that the cluster does not hold to be down. The cluster's word is that
//!   of all whom this node can hear: a member that any of them reaches refutes it ([`Swim`](crate::Swim));
//! * that was seen, or was only doubtful, at any time since it went down: who flaps is never let go;
//! * while this node sees no majority of the members, itself included. Time in a minority counts for
//!   nothing: a node that was cut off begins to count when it is back;
//! * after a pause of its own, be it a process that stood still: what it knew is old;
//! * unless it has the lowest id of those in sight, so that one node decides;
//! * if fewer than N members would be left. Nobody could take the places, and quorums of fewer replicas
//!   bear no further loss.
//!
//! Two nodes that see different members may both decide. Both then say the same, and a node leaves once.
//!
//! Left out: letting go of several in one step. Each costs a transfer of its own; who should move data
//! once lets them go by hand.

use std::collections::BTreeMap;

use henge_ring::NodeId;

/// The shortest time that a policy should say, in milliseconds: what a restart takes, or a switch.
/// Anything shorter moves data for what is over soon.
pub const SHORTEST_EVICTION_MS: u64 = 60_000;

/// A look this much after the one before begins anew, in milliseconds: in between anything may have
/// happened.
pub const LONGEST_PAUSE_MS: u64 = 10_000;

/// How a node sees a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It has a link to it, and the cluster holds it to be up. Also itself.
    Up,
    /// Without a link, or held to be down, but not both.
    Doubtful,
    /// Without a link, and held to be down.
    Down,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Eviction {
    me: NodeId,
    after_ms: u64,
    down_since: BTreeMap<NodeId, u64>,
    looked_ms: Option<u64>,
}

impl Eviction {
    /// Of this node, of members that are down for so long.
    pub fn new(me: NodeId, after_ms: u64) -> Self {
        Self {
            me,
            after_ms,
            down_since: BTreeMap::new(),
            looked_ms: None,
        }
    }

    /// How this node sees all members now, and how many replicas the ring is to have. Answers whom to
    /// let go, and since when that one is down. It is named again at the next look, unless it is no
    /// member any more.
    pub fn look(
        &mut self,
        members: &BTreeMap<NodeId, Sight>,
        replicas: usize,
        now_ms: u64,
    ) -> Option<(NodeId, u64)> {
        let last_ms = self.looked_ms.replace(now_ms).unwrap_or(now_ms);
        let has_paused = now_ms.saturating_sub(last_ms) > LONGEST_PAUSE_MS;
        let in_sight = || members.iter().filter(|(_, sight)| **sight == Sight::Up);
        if has_paused || in_sight().count() * 2 <= members.len() {
            self.down_since.clear();
        }
        if in_sight().count() * 2 <= members.len() {
            return None;
        }
        let is_down = |id: &NodeId| members.get(id) == Some(&Sight::Down);
        self.down_since.retain(|id, _| is_down(id));
        for (id, _) in members.iter().filter(|(id, _)| is_down(id)) {
            self.down_since.entry(*id).or_insert(now_ms);
        }
        let decides = in_sight().next().is_some_and(|(id, _)| *id == self.me);
        if !decides || members.len() <= replicas {
            return None;
        }
        let longest = self.down_since.iter().min_by_key(|(_, since)| **since)?;
        let (id, since_ms) = (*longest.0, *longest.1);
        (now_ms.saturating_sub(since_ms) >= self.after_ms).then_some((id, since_ms))
    }
}

#[cfg(test)]
mod tests;

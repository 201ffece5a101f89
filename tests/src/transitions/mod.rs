//! Every interleaving of two concurrent changes of one partition's set, up to a bound.
//!
//! Five nodes, N=3, R=W=2, one write, two events that nobody has ordered. In each state every node may
//! tell any other what it knows, a newcomer may ask a source and get its answer later, a replica may
//! get the write's request, an event may happen. States are visited once each ([`explore`]). What
//! follows from what a node knows is decided by the real `PartitionConfig`; who pulls from whom by
//! its `to_pull`, with every order of sources.
//!
//! Once the write is acknowledged it is asked in every state whether some node, with what it knows,
//! could now complete a read that misses it. Reads are taken to happen at one instant, and there is one
//! write: more of either would find nothing that a longer schedule does not, but neither is proven
//! here. Random schedules with many of both are in `crates/repair/tests/transfer.rs`.

mod model;
mod rules;

use std::collections::HashSet;

use model::{Shape, State};
use rules::Rules;

/// Two changes that happen at once. Node 3 and 4 are new to the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// Two nodes join, each taking another member's place.
    JoinJoin,
    /// A node joins; another member leaves.
    JoinLeave,
    /// Two members leave; the same node is next in line for both.
    LeaveLeave,
    /// A member's machine is lost and replaced; a node joins.
    ReplaceJoin,
}

impl Pair {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::JoinJoin,
        Self::JoinLeave,
        Self::LeaveLeave,
        Self::ReplaceJoin,
    ];
}

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Replicas serve whoever asks.
    NoFence,
    /// Newcomers read one member.
    OneSource,
    /// Sources answer with what they held before they heard of the newcomer.
    SnapshotBeforeFence,
    /// Newcomers pull from sets into which older data may still flow.
    NoBase,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NoFence,
        Self::OneSource,
        Self::SnapshotBeforeFence,
        Self::NoBase,
    ];
}

/// What an exploration has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Different states visited.
    pub states: u64,
    /// Steps taken between them.
    pub steps: u64,
    /// States in which the write was acknowledged.
    pub acknowledged: u64,
    /// States in which a read could miss it. Exploring ends with the first.
    pub violations: u64,
    /// Whether there was nothing left to visit.
    pub complete: bool,
}

/// Visits the states of a pair of changes, depth first, at most so many; `coordinator` writes. `salt`
/// decides which way is taken first: a bounded search sees other parts with another. States
/// are told apart by 64 bits of hash: of a million, one is missed by mistake with probability
/// below 10^-7.
pub fn explore(pair: Pair, coordinator: usize, flaw: Option<Flaw>, salt: u64, most: u64) -> Found {
    let shape = Shape::of(pair, coordinator);
    let mut rules = Rules::new(shape.clone(), flaw);
    let mut found = Found::default();
    let mut visited = HashSet::new();
    let first = State::first(&shape, &mut rules);
    visited.insert(first.hash());
    let mut stack = vec![first];
    let mut next = Vec::new();
    while let Some(state) = stack.pop() {
        found.states += 1;
        if state.is_acknowledged() {
            found.acknowledged += 1;
            if state.may_be_missed(&shape, &mut rules) {
                found.violations += 1;
                return found;
            }
        }
        if found.states >= most {
            return found;
        }
        state.successors(&shape, &mut rules, &mut next);
        found.steps += next.len() as u64;
        let mut fresh: Vec<_> = next.drain(..).map(|it| (it.hash(), it)).collect();
        fresh.retain(|(hash, _)| visited.insert(*hash));
        // In no order: otherwise a bounded search sees only what follows one way of beginning.
        fresh.sort_unstable_by_key(|(hash, _)| (hash ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        stack.extend(fresh.into_iter().map(|(_, state)| state));
    }
    found.complete = true;
    found
}

//! Actors that forget: Riak's issue 679 as a simulation.
//!
//! A node dropped its copy of a key (a fallback after its handoff, say) and coordinates a write of
//! it later, counting its events from too low. Its peers take the new value for one they have seen
//! replaced, and drop it. Three ways to name actors are tried on the same random histories; the two
//! wrong ones must be caught losing values, or this test shows nothing.

use std::collections::BTreeSet;

use super::*;

/// How a node names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// Always the same.
    Reused,
    /// Afresh for the one write that finds no record; the same as ever after that.
    FreshWhenAbsent,
    /// Afresh from each loss of state on.
    FreshAfterLoss,
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn node(&mut self) -> usize {
        self.below(3) as usize
    }
}

/// Three replicas and one client. Every write reaches two replicas before it is acknowledged, and
/// at most one replica loses its record before all have been repaired: no value need ever be lost.
struct World {
    naming: Naming,
    replicas: [Replica; 3],
    losses: [u64; 3],
    serial: u64,
    seen: (VersionVector, BTreeSet<u64>),
    /// Acknowledged, and replaced by nothing.
    expected: BTreeSet<u64>,
    may_forget: bool,
}

impl World {
    fn new(naming: Naming) -> Self {
        Self {
            naming,
            replicas: Default::default(),
            losses: [0; 3],
            serial: 0,
            seen: Default::default(),
            expected: BTreeSet::new(),
            may_forget: true,
        }
    }

    fn actor(&mut self, node: usize) -> ActorId {
        let id = [node as u8; 16];
        let absent = self.replicas[node].record().is_none();
        match self.naming {
            Naming::FreshAfterLoss if self.losses[node] > 0 => {
                ActorId::derive_fresh(id, 0, self.losses[node])
            }
            Naming::FreshWhenAbsent if absent => {
                self.serial += 1;
                ActorId::derive_fresh(id, 0, self.serial)
            }
            _ => ActorId::derive(id, 0),
        }
    }

    fn put(&mut self, node: usize, other: usize, value: u64) {
        let actor = self.actor(node);
        self.replicas[node].put(&self.seen.0, actor, value);
        self.send(node, other);
        self.expected = &self.expected - &self.seen.1;
        self.expected.insert(value);
    }

    fn send(&mut self, from: usize, to: usize) {
        let record = self.replicas[from].clone();
        if record.record().is_some() {
            self.replicas[to].receive(&record.0);
        }
    }

    fn repair_all(&mut self) {
        for (from, to) in [(0, 1), (1, 2), (2, 1), (1, 0)] {
            self.send(from, to);
        }
        self.may_forget = true;
    }

    fn step(&mut self, random: &mut Random, value: u64) {
        let (node, other) = (random.node(), random.node());
        match random.below(10) {
            0..=3 => self.put(
                node,
                if node == other { (node + 1) % 3 } else { other },
                value,
            ),
            4 | 5 => {
                let replica = &self.replicas[node];
                self.seen = (replica.context(), replica.values().into_iter().collect());
            }
            6 => self.seen = Default::default(),
            7 => self.send(node, other),
            8 if self.may_forget => {
                self.replicas[node] = Replica::default();
                self.losses[node] += 1;
                self.may_forget = false;
            }
            _ => self.repair_all(),
        }
    }
}

/// In how many of the histories values were lost.
fn histories_with_losses(naming: Naming) -> usize {
    let loses = |seed: &u64| {
        let (mut random, mut world) = (Random(*seed), World::new(naming));
        (1..=40).for_each(|value| world.step(&mut random, value));
        world.repair_all();
        let left: BTreeSet<_> = world.replicas[0].values().into_iter().collect();
        if naming == Naming::FreshAfterLoss {
            assert_eq!(left, world.expected, "seed {seed}");
        }
        !left.is_superset(&world.expected)
    };
    (0..300).filter(loses).count()
}

#[test]
fn an_actor_that_outlives_its_record_loses_values() {
    assert_eq!(histories_with_losses(Naming::Reused), 93);
}

#[test]
fn a_fresh_actor_only_while_the_key_is_absent_is_not_enough() {
    assert_eq!(histories_with_losses(Naming::FreshWhenAbsent), 26);
}

#[test]
fn a_fresh_actor_from_each_loss_on_loses_nothing() {
    assert_eq!(histories_with_losses(Naming::FreshAfterLoss), 0);
}

/// The figure itself, step by step.
#[test]
fn the_shortest_loss() {
    let node = [7; 16];
    let blind = VersionVector::new();
    let run = |first: ActorId, second: ActorId| {
        let (mut forgetful, mut peer) = (Replica::default(), Replica::default());
        forgetful.put(&blind, first, 1);
        forgetful.put(&forgetful.context(), first, 2);
        peer.receive(&forgetful.0);
        forgetful = Replica::default();
        forgetful.put(&blind, second, 3);
        peer.receive(&forgetful.0);
        peer.values()
    };
    let old = ActorId::derive(node, 0);
    assert_eq!(run(old, old), [2], "3 was acknowledged and is gone");
    assert_eq!(run(old, ActorId::derive_fresh(node, 0, 1)), [2, 3]);
}

#[test]
fn actors_differ_by_node_boot_and_serial() {
    let (a, b) = ([1; 16], [2; 16]);
    let actors = [
        ActorId::derive(a, 0),
        ActorId::derive(a, 1),
        ActorId::derive(b, 0),
        ActorId::derive_fresh(a, 0, 0),
        ActorId::derive_fresh(a, 0, 1),
        ActorId::derive_fresh(a, 1, 0),
        ActorId::derive_fresh(b, 0, 0),
    ];
    assert_eq!(BTreeSet::from(actors).len(), actors.len());
}

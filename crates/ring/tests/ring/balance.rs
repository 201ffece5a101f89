//! How even the layout is and how little moves: the figures the design promises.

use henge_ring::{Op, Ring, balance, minimum_moves, moves};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest::{prelude::*, strategy::ValueTree};

use crate::topology::{Cluster, any_op, check_even, check_rules, id, join, weight};

/// Most a layout may be off, and a change may move, for a cluster of a size.
struct Promise {
    nodes: u16,
    bits: u8,
    max_over_share: f64,
    moves_over_minimum: f64,
}

impl Promise {
    fn check(&self, zones: u16) {
        let cluster = Cluster::even(self.bits, self.nodes, zones);
        let ring = cluster.ring();
        self.check_ring(&ring, "founded");
        let middle = id(self.nodes / 2);
        for op in [
            join(self.nodes, 100, self.nodes % zones),
            Op::Leave { node: middle },
            Op::SetWeight {
                node: middle,
                weight: weight(200),
            },
            Op::SetWeight {
                node: middle,
                weight: weight(50),
            },
        ] {
            let after = ring.advance(&cluster.with(op.clone()).log);
            self.check_ring(&after, &format!("{op:?}"));
            let moved = moves(&ring, &after).len() as f64;
            let ratio = moved / minimum_moves(&ring, &after);
            assert!(
                ratio <= self.moves_over_minimum,
                "{op:?} with {zones} zones: {moved} moves are {ratio:.4} of the minimum"
            );
            assert!(
                ratio > 0.9,
                "{op:?} with {zones} zones: moved less than it takes, {ratio:.4}"
            );
        }
    }

    fn check_ring(&self, ring: &Ring, when: &str) {
        check_rules(ring);
        check_even(ring);
        let even = balance(ring);
        assert!(
            even.max_over_share <= self.max_over_share,
            "{when}: {even:?}"
        );
        assert_eq!(even.crowded, 0, "{when}");
    }
}

#[test]
fn fifty_nodes() {
    let promise = Promise {
        nodes: 50,
        bits: 10,
        max_over_share: 1.02,
        moves_over_minimum: 1.03,
    };
    promise.check(1);
    promise.check(3);
    promise.check(5);
}

#[test]
fn a_thousand_nodes() {
    let promise = Promise {
        nodes: 1000,
        bits: 12,
        max_over_share: 1.07,
        moves_over_minimum: 1.02,
    };
    promise.check(1);
    promise.check(3);
}

#[test]
fn five_nodes() {
    let promise = Promise {
        nodes: 5,
        bits: 10,
        max_over_share: 1.02,
        moves_over_minimum: 1.03,
    };
    promise.check(1);
}

#[test]
fn up_to_n_nodes_hold_everything() {
    for nodes in 1..=3 {
        let ring = Cluster::even(10, nodes, 1).ring();
        check_rules(&ring);
        check_even(&ring);
        assert_eq!(ring.load(henge_ring::NodeIndex(0)), 1024);
    }
}

#[test]
fn one_join_moves_only_what_the_joiner_takes() {
    for zones in [1, 3] {
        let cluster = Cluster::even(10, 30, zones);
        let (before, after) = (cluster.ring(), cluster.with(join(30, 100, 0)).ring());
        let moved = moves(&before, &after);
        assert!(
            moved.iter().all(|m| m.to == id(30)),
            "data moves between old nodes"
        );
        let joiner = after.index_of(&id(30)).expect("it joined");
        assert_eq!(moved.len(), after.load(joiner));
        let first = |ring: &Ring, p| ring.member(ring.primaries(p)[0]).id;
        let changed = before
            .partitions()
            .filter(|&p| first(&before, p) != first(&after, p));
        let led = after
            .partitions()
            .filter(|&p| first(&after, p) == id(30))
            .count();
        let changed = changed.count();
        assert!(
            changed <= led + 12,
            "{changed} coordinators change for a joiner that has {led}"
        );
    }
}

#[test]
fn one_leave_moves_only_what_the_leaver_had() {
    for zones in [1, 3] {
        let cluster = Cluster::even(10, 30, zones);
        let (before, after) = (
            cluster.ring(),
            cluster.with(Op::Leave { node: id(7) }).ring(),
        );
        let left = before.index_of(&id(7)).expect("a member before");
        let moved = moves(&before, &after);
        assert!(moved.iter().all(|m| m.from == Some(id(7))));
        assert_eq!(moved.len(), before.load(left));
    }
}

/// A long life: the sum of all moves stays close to the sum of the minima, and no event leaves
/// anyone a whole replica off, whatever weights and zones there are.
#[test]
fn two_hundred_random_changes_stay_even_and_cheap() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]),
    );
    let relevant = any_op().prop_filter("places anew", |op| {
        matches!(
            op,
            Op::Join { .. } | Op::Leave { .. } | Op::SetWeight { .. }
        )
    });
    let mut cluster = Cluster::even(10, 12, 4);
    let mut ring = cluster.ring();
    let (mut moved, mut minimum) = (0.0, 0.0);
    for number in 0..200 {
        let op = match relevant
            .new_tree(&mut runner)
            .expect("not too picky")
            .current()
        {
            // Ids do not return, so each join is of a new one.
            Op::Join {
                weight,
                zone,
                endpoints,
                ..
            } => Op::Join {
                node: id(100 + number),
                weight,
                zone,
                endpoints,
            },
            other => other,
        };
        cluster.change([op]);
        let next = ring.advance(&cluster.log);
        check_rules(&next);
        check_even(&next);
        moved += moves(&ring, &next).len() as f64;
        minimum += minimum_moves(&ring, &next);
        ring = next;
    }
    assert!(minimum > 1000.0, "the history does nothing: {minimum}");
    assert!(
        moved <= 1.03 * minimum,
        "{moved} moves for a minimum of {minimum}"
    );
}

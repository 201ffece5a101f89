//! The laws of the fold: from the same events everyone makes the same, sound ring.

use henge_ring::{ChangeId, Event, Log, Member, NodeIndex, Op, Partition, Ring, balance, moves};
use proptest::{collection::vec, prelude::*, sample::subsequence};

use crate::topology::{
    Cluster, any_history, any_node, any_op, check_even, check_rules, cluster_of, endpoints, id,
    join, weight, zone,
};

/// Events of proposers that know nothing of each other: any lamport, any change.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event =
        (1u64..6, 0u64..6, any_node(), any_op()).prop_map(|(lamport, change, who, op)| Event {
            lamport,
            change: ChangeId(change),
            proposer: who,
            op,
        });
    let genesis = (2u8..7).prop_map(|bits| Event {
        lamport: 0,
        change: ChangeId(0),
        proposer: id(0),
        op: Op::Genesis { bits },
    });
    (genesis, vec(event, 0..24)).prop_map(|(genesis, mut events)| {
        events.push(genesis);
        events
    })
}

/// Whether a change must have rebalanced: unlike a split or a replacement, it altered how many
/// members there are, N, or a member's weight or zone.
fn places_anew(before: &Ring, after: &Ring) -> bool {
    let differs = |member: &Member| {
        let old = before.index_of(&member.id).map(|node| before.member(node));
        old.is_some_and(|old| old.weight != member.weight || old.zone != member.zone)
    };
    before.members().len() != after.members().len()
        || before.n() != after.n()
        || after.members().iter().any(differs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_step_keeps_the_rules_and_the_quotas(history in any_history(8)) {
        let mut cluster = Cluster::default();
        let mut ring = cluster.ring();
        for ops in history {
            cluster.change(ops.iter().cloned());
            let next = ring.advance(&cluster.log);
            check_rules(&next);
            if places_anew(&ring, &next) {
                check_even(&next);
            }
            ring = next;
        }
    }

    #[test]
    fn arrival_order_makes_no_difference(
        (events, shuffled) in any_events().prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        })
    ) {
        let batch: Log = events.into_iter().collect();
        let mut trickle = Log::new();
        for event in shuffled {
            trickle.insert(event);
        }
        prop_assert_eq!(batch.tag(), trickle.tag());
        prop_assert_eq!(Ring::fold(&batch), Ring::fold(&trickle));
    }

    #[test]
    fn it_matters_to_nobody_who_merges(left in any_events(), right in any_events()) {
        let (mut left, mut right): (Log, Log) =
            (left.into_iter().collect(), right.into_iter().collect());
        let (ring_left, ring_right) = (Ring::fold(&left), Ring::fold(&right));
        let before = left.clone();
        left.union(&right);
        right.union(&before);
        let merged = Ring::fold(&left);
        prop_assert_eq!(merged.tag(), right.tag());
        prop_assert_eq!(&merged, &ring_left.advance(&left));
        prop_assert_eq!(&merged, &ring_right.advance(&right));
    }

    #[test]
    fn from_any_part_of_the_log_one_advances_to_the_ring_of_all(
        (events, some) in any_events().prop_flat_map(|events| {
            let count = events.len();
            (Just(events.clone()), subsequence(events, 0..=count))
        })
    ) {
        let (all, some): (Log, Log) = (events.into_iter().collect(), some.into_iter().collect());
        prop_assert_eq!(Ring::fold(&some).advance(&all), Ring::fold(&all));
    }

    /// Also from the middle of a change, which is one step and must be folded anew.
    #[test]
    fn from_every_prefix_one_advances_to_the_ring_of_all(
        events in any_events(),
        cut in any::<prop::sample::Index>(),
    ) {
        let all: Log = events.into_iter().collect();
        let prefix: Log = all.events().take(cut.index(all.len())).cloned().collect();
        prop_assert_eq!(Ring::fold(&prefix).advance(&all), Ring::fold(&all));
    }

    #[test]
    fn split_moves_nothing(history in any_history(5)) {
        let mut cluster = cluster_of(&history);
        let before = cluster.ring();
        cluster.change([Op::SplitQ]);
        let after = cluster.ring();
        prop_assert_eq!(after.bits(), before.bits() + 1);
        prop_assert!(moves(&before, &after).is_empty());
        for partition in after.partitions() {
            let parent = Partition(partition.0 / 2);
            prop_assert_eq!(after.primaries(partition), before.primaries(parent));
            prop_assert_eq!(after.replica_set(partition), before.replica_set(parent));
        }
        let emptied = before.members().is_empty();
        prop_assert_eq!(balance(&after).max_over_share, balance(&before).max_over_share);
        prop_assert!(emptied || after.load(NodeIndex(0)) == 2 * before.load(NodeIndex(0)));
    }

    #[test]
    fn replace_moves_exactly_the_replicas_of_the_old_node(
        history in any_history(5),
        which in any::<prop::sample::Index>(),
    ) {
        let mut cluster = cluster_of(&history);
        let before = cluster.ring();
        prop_assume!(!before.members().is_empty());
        let old = NodeIndex(which.index(before.members().len()) as u16);
        let (old_id, new_id) = (before.member(old).id, id(500));
        cluster.change([Op::Replace { old: old_id, new: new_id, endpoints: endpoints("new") }]);
        let after = cluster.ring();
        let moved = moves(&before, &after);
        prop_assert_eq!(moved.len(), before.load(old));
        prop_assert!(moved.iter().all(|m| m.from == Some(old_id) && m.to == new_id));
        let new = after.index_of(&new_id).expect("it joined");
        prop_assert_eq!(&after.member(new).zone, &before.member(old).zone);
        prop_assert_eq!(after.member(new).weight, before.member(old).weight);
        prop_assert!(after.has_departed(&old_id));
    }

    #[test]
    fn set_digests_change_exactly_where_the_replica_set_does(history in any_history(4)) {
        let Some((last, first)) = history.split_last() else { return Ok(()) };
        let mut cluster = cluster_of(first);
        let before = cluster.ring();
        cluster.change(last.iter().cloned());
        let after = cluster.ring();
        prop_assume!(before.bits() == after.bits() && !before.members().is_empty());
        let moved = moves(&before, &after);
        for partition in after.partitions() {
            let gains = moved.iter().any(|m| m.partition == partition);
            let loses = after.replicas_per_partition() < before.replicas_per_partition();
            let same = before.replica_set(partition) == after.replica_set(partition);
            prop_assert_eq!(same, !gains && !loses);
        }
    }
}

#[test]
fn an_id_that_left_never_comes_back() {
    let mut cluster = Cluster::even(4, 4, 1);
    cluster.change([Op::Leave { node: id(1) }]);
    let replace = Op::Replace {
        old: id(2),
        new: id(1),
        endpoints: endpoints("x"),
    };
    let before = cluster.ring();
    for op in [join(1, 100, 0), replace, Op::Leave { node: id(1) }] {
        cluster.change([op]);
        assert_eq!(cluster.ring().layout_hash(), before.layout_hash());
    }
    assert_eq!(cluster.ring().index_of(&id(1)), None);
    assert_ne!(
        cluster.ring().tag(),
        before.tag(),
        "ignored events are events all the same"
    );
}

#[test]
fn joining_again_only_moves_the_address() {
    let mut cluster = Cluster::even(4, 4, 1);
    let before = cluster.ring();
    let elsewhere = Op::Join {
        node: id(1),
        weight: weight(700),
        zone: zone(3),
        endpoints: endpoints("elsewhere"),
    };
    cluster.change([elsewhere]);
    let after = cluster.ring();
    let member = after.member(after.index_of(&id(1)).expect("still a member"));
    assert_eq!(member.endpoints, endpoints("elsewhere"));
    assert_eq!((member.weight, &member.zone), (weight(100), &zone(0)));
    assert_eq!(after.layout_hash(), before.layout_hash());
}

#[test]
fn events_of_one_change_are_one_step() {
    let joins = |numbers: std::ops::Range<u16>| numbers.map(|number| join(number, 100, 0));
    let base = Cluster::even(10, 10, 1);
    let mut together = base.clone();
    together.change(joins(10..20));
    let mut apart = base.clone();
    joins(10..20).for_each(|op| apart.change([op]));
    let before = base.ring();
    let (one, ten) = (
        moves(&before, &together.ring()).len(),
        moves(&before, &apart.ring()).len(),
    );
    assert!(one < 1550, "half of 3072 replicas move, not {one}");
    assert!(one <= ten);
}

#[test]
fn the_first_genesis_counts_and_only_before_the_first_member() {
    let bits = |ops: Vec<Vec<Op>>| cluster_of(&ops).ring().bits();
    let genesis = |bits| vec![Op::Genesis { bits }];
    assert_eq!(bits(vec![]), henge_ring::PARTITION_BITS);
    assert_eq!(bits(vec![genesis(4), genesis(5)]), 4);
    assert_eq!(bits(vec![genesis(4), vec![join(1, 1, 0)], genesis(5)]), 4);
    assert_eq!(
        bits(vec![vec![join(1, 1, 0)], genesis(5)]),
        henge_ring::PARTITION_BITS
    );
    assert_eq!(
        bits(vec![genesis(0), genesis(15), genesis(14), vec![Op::SplitQ]]),
        14
    );
}

#[test]
fn unknown_rules_stop_the_fold_in_front_of_them() {
    let mut cluster = Cluster::even(4, 4, 1);
    let known = cluster.ring();
    cluster.change([Op::AlgoVersion { v: 2 }, join(9, 100, 0)]);
    cluster.change([join(10, 100, 0)]);
    let stopped = known.advance(&cluster.log);
    assert_eq!(stopped, cluster.ring());
    assert_eq!(stopped.unsupported(), Some(2));
    assert_eq!(stopped.tag(), known.tag());
    assert_eq!(stopped.layout_hash(), known.layout_hash());
    assert_eq!(known.unsupported(), None);
}

#[test]
fn a_cluster_can_empty_and_fill_again() {
    let mut cluster = Cluster::even(4, 2, 1);
    cluster.change([Op::Leave { node: id(0) }, Op::Leave { node: id(1) }]);
    let empty = cluster.ring();
    assert!(empty.members().is_empty() && empty.replica_set(Partition(0)).is_none());
    cluster.change([join(2, 1, 0)]);
    check_rules(&cluster.ring());
    check_even(&cluster.ring());
}

#[test]
fn a_node_that_left_returns_as_it_was_and_takes_the_places_it_had() {
    let cluster = Cluster::even(10, 5, 5);
    let was = cluster.ring();
    let heavier = cluster.with(Op::SetWeight {
        node: id(2),
        weight: weight(100),
    });
    let left = heavier.with(Op::Leave { node: id(2) });
    let member = Ring::as_it_left(&left.log, &id(2)).expect("it has left");
    assert_eq!(Some(&member), was.index_of(&id(2)).map(|at| was.member(at)));
    let back = left.with(Op::Return {
        node: member.id,
        weight: member.weight,
        zone: member.zone,
        endpoints: member.endpoints,
    });
    let now = back.ring();
    check_rules(&now);
    check_even(&now);
    assert!(!now.has_departed(&id(2)) && now.departed().next().is_none());
    assert_eq!(Ring::as_it_left(&back.log, &id(2)), None);
    let kept = |p: &Partition| now.replica_ids(*p).any(|it| it == id(2));
    let had = |p: &Partition| was.replica_ids(*p).any(|it| it == id(2));
    let had: Vec<_> = was.partitions().filter(had).collect();
    let kept = had.iter().filter(|p| kept(p)).count();
    assert!(kept * 2 > had.len(), "{kept} of {}", had.len());
}

#[test]
fn only_who_has_left_returns() {
    let cluster = Cluster::even(6, 4, 2);
    let returning = |number: u16| Op::Return {
        node: id(number),
        weight: weight(7),
        zone: zone(3),
        endpoints: endpoints("elsewhere"),
    };
    let same = |cluster: &Cluster, number| {
        let after = cluster.with(returning(number)).ring();
        assert_eq!(after.members(), cluster.ring().members());
        assert_eq!(after.layout_hash(), cluster.ring().layout_hash());
    };
    same(&cluster, 1); // a member
    same(&cluster, 9); // a stranger
    assert_eq!(Ring::as_it_left(&cluster.log, &id(1)), None);
    assert_eq!(Ring::as_it_left(&cluster.log, &id(9)), None);
    // The join that it came with does not bring it back, nor does another one.
    let left = cluster.with(Op::Leave { node: id(1) });
    assert_eq!(left.with(join(1, 100, 0)).ring().members().len(), 3);
    assert_eq!(left.with(returning(1)).ring().members().len(), 4);
    // Whoever returned can leave again.
    let gone = left.with(returning(1)).with(Op::Leave { node: id(1) });
    assert_eq!(gone.ring().members().len(), 3);
    let member = Ring::as_it_left(&gone.log, &id(1)).expect("it has left");
    assert_eq!((member.weight.get(), member.zone.as_str()), (7, "z3"));
}

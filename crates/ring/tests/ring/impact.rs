//! What a change is said to do is what it does.

use henge_ring::{ChangeId, Copies, Impact, Op, Ring, moves};
use proptest::prelude::*;

use crate::topology::{Cluster, any_change, any_history, cluster_of, endpoints, id, weight, zone};

fn impact(cluster: &Cluster, op: Op) -> Impact {
    let events = cluster.log.propose(id(0), ChangeId(u64::MAX), [op]);
    Impact::of(&cluster.log, &events)
}

#[test]
fn a_leave_moves_what_the_leaver_holds_and_no_more() {
    let cluster = Cluster::even(8, 5, 5);
    let told = impact(&cluster, Op::Leave { node: id(2) });
    let gone = told.nodes[&id(2)];
    assert_eq!((gone.after, gone.receives), (0, 0));
    assert_eq!((told.moved, told.least), (gone.before, gone.before));
    let after: Vec<u64> = told.nodes.values().map(|copies| copies.after).collect();
    assert_eq!(after.iter().sum::<u64>(), 3 * 256);
    assert_eq!(told.zones_before.zones, 5);
    assert_eq!(told.zones_after.zones, 4);
}

#[test]
fn a_replacement_moves_the_old_nodes_places_and_nothing_else() {
    let cluster = Cluster::even(8, 6, 3);
    let (old, new) = (id(1), id(20));
    let endpoints = endpoints("new");
    let told = impact(
        &cluster,
        Op::Replace {
            old,
            new,
            endpoints,
        },
    );
    let held = told.nodes[&old].before;
    let took = Copies {
        before: 0,
        after: held,
        receives: held,
    };
    assert_eq!(told.nodes[&new], took);
    assert_eq!((told.moved, told.least), (held, held));
    let others = told.nodes.iter().filter(|(id, _)| ![old, new].contains(id));
    others.for_each(|(id, it)| assert_eq!((it.before, it.receives), (it.after, 0), "{id}"));
}

#[test]
fn nothing_moves_if_nothing_changes() {
    let cluster = Cluster::even(6, 4, 2);
    let heavy = Op::SetWeight {
        node: id(1),
        weight: weight(100),
    };
    let told = impact(&cluster, heavy);
    assert_eq!((told.moved, told.least), (0, 0));
}

/// Node 3 is the only one of zone z3: with it in z0 there are three zones for three replicas, and
/// what z0 has twice must move although no share grows by as much.
#[test]
fn a_new_zone_moves_what_would_share_it() {
    let cluster = Cluster::even(8, 4, 4);
    let told = impact(
        &cluster,
        Op::SetZone {
            node: id(3),
            zone: zone(0),
        },
    );
    assert_eq!(
        (told.zones_before.crowded, told.zones_after.crowded),
        (0, 0)
    );
    assert_eq!((told.zones_before.zones, told.zones_after.zones), (4, 3));
    let shared = cluster.ring();
    let both = |p: &henge_ring::Partition| {
        let ids: Vec<_> = shared.replica_ids(*p).collect();
        ids.contains(&id(0)) && ids.contains(&id(3))
    };
    let both = shared.partitions().filter(both).count() as u64;
    assert!(both > 0 && told.least >= both, "{both} {told:?}");
}

#[test]
fn with_fewer_zones_than_replicas_crowded_means_uneven() {
    let cluster = Cluster::even(6, 4, 2);
    // Zone z1 loses one of its two nodes: each partition has at most one replica there, and the
    // two others share z0, which is the even spread.
    let told = impact(&cluster, Op::Leave { node: id(1) });
    assert_eq!(told.zones_after.zones, 2);
    assert_eq!(told.zones_after.crowded, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every copy is accounted for, and the least is a bound.
    #[test]
    fn copies_add_up(history in any_history(6), change in any_change()) {
        let cluster = cluster_of(&history);
        let events = cluster.log.propose(id(0), ChangeId(u64::MAX), change);
        let told = Impact::of(&cluster.log, &events);
        let mut changed = cluster.log.clone();
        changed.extend(events);
        let (a, b) = (cluster.ring(), Ring::fold(&changed));
        let partitions = 1u64 << a.bits().max(b.bits());
        let copies = told.nodes.values();
        let sum = |of: fn(&Copies) -> u64| copies.clone().map(of).sum::<u64>();
        prop_assert_eq!(sum(|it| it.before), partitions * a.replicas_per_partition() as u64);
        prop_assert_eq!(sum(|it| it.after), partitions * b.replicas_per_partition() as u64);
        prop_assert_eq!(sum(|it| it.receives), told.moved);
        prop_assert_eq!(moves(&a, &b).len() as u64, told.moved);
        prop_assert!(told.least <= told.moved);
        for it in told.nodes.values() {
            prop_assert!(it.after <= it.before + it.receives, "a copy from nowhere: {:?}", it);
            prop_assert!(it.receives <= it.after);
        }
    }

    /// An even cluster's changes move next to nothing beyond what any layout must.
    #[test]
    fn the_least_is_nearly_reached(nodes in 3u16..12, leaver in 0u16..3) {
        let cluster = Cluster::even(8, nodes, 1);
        let told = impact(&cluster, Op::Leave { node: id(leaver) });
        prop_assert!(told.moved <= told.least + u64::from(nodes), "{:?}", told);
    }
}

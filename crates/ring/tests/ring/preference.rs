//! Preference lists: who is asked, and for whom.

use std::collections::BTreeSet;

use henge_ring::{NodeIndex, Op, Partition, Place, Ring, Token};
use proptest::prelude::*;

use crate::topology::{Cluster, any_history, cluster_of, id};

/// A ring, one of its partitions, and who is up.
fn any_outage() -> impl Strategy<Value = (Ring, Partition, Vec<bool>)> {
    let up = prop::collection::vec(prop::bool::weighted(0.6), 32);
    (any_history(3), any::<u64>(), up).prop_map(|(history, token, up)| {
        let ring = cluster_of(&history).ring();
        let partition = ring.partition_of(Token(token));
        (ring, partition, up)
    })
}

proptest! {
    #[test]
    fn each_absent_primary_gets_the_next_live_fallback(
        (ring, partition, up) in any_outage(),
        n in 0usize..9,
    ) {
        let up = |node: NodeIndex| up[node.index()];
        let primaries = ring.primaries(partition);
        let mut stand_ins = ring.fallbacks(partition).filter(|&node| up(node));
        let expected: Vec<Place> = primaries
            .iter()
            .take(n)
            .map(|&primary| match up(primary) {
                true => Place { node: primary, stands_for: None },
                false => stand_ins.next().map_or(
                    Place { node: primary, stands_for: None },
                    |node| Place { node, stands_for: Some(primary) },
                ),
            })
            .collect();
        let list = ring.preference(partition, n, up);
        prop_assert_eq!(&list[..], &expected[..]);
        prop_assert!(list.iter().map(|place| place.primary()).eq(primaries.iter().copied().take(n)));
        let distinct: BTreeSet<_> = list.iter().map(|place| place.node).collect();
        prop_assert_eq!(distinct.len(), list.len());
    }

    #[test]
    fn the_fast_path_agrees((ring, partition, up) in any_outage(), n in 0usize..9) {
        let up = |node: NodeIndex| up[node.index()];
        let list = ring.preference(partition, n, up);
        match ring.primaries_if_up(partition, n, up) {
            Some(primaries) => {
                prop_assert!(list.iter().map(|place| place.node).eq(primaries.iter().copied()));
                prop_assert!(list.iter().all(|place| place.stands_for.is_none()));
            }
            None => prop_assert!(list.iter().any(|place| !up(place.primary()))),
        }
    }

    #[test]
    fn fallbacks_are_all_the_others_with_other_zones_first((ring, partition, _) in any_outage()) {
        let fallbacks: Vec<NodeIndex> = ring.fallbacks(partition).collect();
        let primaries = ring.primaries(partition);
        let all: BTreeSet<_> = fallbacks.iter().chain(primaries).collect();
        prop_assert_eq!(all.len(), ring.members().len());
        prop_assert_eq!(fallbacks.len() + primaries.len(), ring.members().len());
        let zone = |node: &NodeIndex| &ring.member(*node).zone;
        let has_primary = |node: &NodeIndex| primaries.iter().any(|p| zone(p) == zone(node));
        prop_assert!(fallbacks.iter().map(has_primary).is_sorted());
    }
}

#[test]
fn the_order_of_fallbacks_outlives_the_members() {
    let cluster = Cluster::even(8, 20, 1);
    let (before, after) = (
        cluster.ring(),
        cluster.with(Op::Leave { node: id(7) }).ring(),
    );
    let names = |ring: &Ring, nodes: &mut dyn Iterator<Item = NodeIndex>| -> Vec<_> {
        nodes
            .map(|node| ring.member(node).id)
            .filter(|other| *other != id(7))
            .collect()
    };
    let mut compared = 0;
    for partition in before.partitions() {
        let primaries = |ring: &Ring| names(ring, &mut ring.primaries(partition).iter().copied());
        if primaries(&before) == primaries(&after) {
            compared += 1;
            let order = |ring: &Ring| names(ring, &mut ring.fallbacks(partition));
            assert_eq!(order(&before), order(&after));
        }
    }
    assert!(
        compared > 150,
        "only {compared} partitions kept their primaries"
    );
}

#[test]
fn the_partitions_of_a_dead_node_go_to_many() {
    let ring = Cluster::even(10, 20, 1).ring();
    let dead = NodeIndex(3);
    let mut stood_in = vec![0; 20];
    for partition in ring.partitions() {
        for place in &ring.preference(partition, 3, |node| node != dead) {
            if place.stands_for == Some(dead) {
                stood_in[place.node.index()] += 1;
            }
        }
    }
    assert_eq!(stood_in.iter().sum::<usize>(), ring.load(dead));
    let most = stood_in.iter().max().expect("twenty nodes");
    assert!(
        most * 19 < ring.load(dead) * 3,
        "one node stands in for {most}: {stood_in:?}"
    );
}

#[test]
fn tokens_fall_into_partitions_by_their_top_bits() {
    let ring = Cluster::even(4, 3, 1).ring();
    assert_eq!(ring.partition_of(Token(0)), Partition(0));
    assert_eq!(ring.partition_of(Token(u64::MAX)), Partition(15));
    assert_eq!(
        ring.partition_of(Token(0x7000_0000_0000_0000)),
        Partition(7)
    );
}

//! Views: whoever knows the same, knows the same sets.

use henge_ring::{ChangeId, Log, Op, Partition, ViewOrder, Views};
use proptest::{collection::vec, prelude::*};

use crate::topology::{Cluster, id, join};

/// Four nodes that hold eight partitions.
fn founding() -> Log {
    Cluster::even(3, 4, 1).log
}

fn with(log: &Log, name: u64, op: Op) -> Log {
    let mut log = log.clone();
    let events = log.propose(id(0), ChangeId(name), [op]);
    log.extend(events);
    log
}

/// Some logs that grew out of the founding one, some of them concurrently.
fn logs(steps: &[(usize, u16)]) -> Vec<Log> {
    let mut logs = vec![founding()];
    for (step, (from, number)) in steps.iter().enumerate() {
        let op = match number % 3 {
            0 => Op::Leave {
                node: id(*number % 4),
            },
            _ => join(10 + number, 100, 0),
        };
        logs.push(with(&logs[from % logs.len()], 100 + step as u64, op));
    }
    logs
}

fn known(views: &Views) -> Vec<Vec<henge_ring::Assignment>> {
    let partitions = views.newest().partitions();
    partitions.map(|p| views.assignments(p)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_learning_does_not_matter(
        (steps, order) in vec((0usize..4, 0u16..12), 1..5).prop_flat_map(|steps| {
            let order: Vec<usize> = (0..=steps.len()).collect();
            (Just(steps), Just(order).prop_shuffle())
        })
    ) {
        let logs = logs(&steps);
        let (mut one, mut two) = (Views::new(logs[0].clone()), Views::new(logs[0].clone()));
        one.merge(&logs, &[]);
        let shuffled: Vec<Log> = order.iter().map(|at| logs[*at].clone()).collect();
        two.merge(&shuffled, &[]);
        prop_assert_eq!(one.digest(), two.digest());
        prop_assert_eq!(known(&one), known(&two));
        for partition in one.moved() {
            prop_assert!(one.assignments(partition).len() > 1);
        }
    }

    #[test]
    fn the_newest_view_comes_after_every_other(steps in vec((0usize..4, 0u16..12), 1..5)) {
        let logs = logs(&steps);
        let mut views = Views::new(logs[0].clone());
        views.merge(&logs, &[]);
        let newest = views.newest_log().tag();
        for log in &logs {
            prop_assert!(log.tag() == newest || views.precedes(log.tag(), newest));
        }
        for sets in known(&views) {
            let last = sets.last().expect("every partition has a set");
            let current = views.newest().replica_set(Partition(0)).is_some();
            prop_assert!(current);
            prop_assert!(sets.iter().all(|it| it.id == last.id
                || views.precedes(it.id.view, last.id.view)));
        }
    }

    #[test]
    fn what_is_below_the_floor_never_comes_back(steps in vec((0usize..4, 0u16..12), 1..5)) {
        let logs = logs(&steps);
        let mut views = Views::new(logs[0].clone());
        views.merge(&logs, &[]);
        views.settle();
        prop_assert_eq!(views.len(), 1);
        prop_assert!(!views.merge(&logs, &[]));
        prop_assert!(views.moved().is_empty());
        // Another node hears of the floor and forgets too.
        let mut other = Views::new(logs[0].clone());
        let (told, floors) = views.told();
        prop_assert!(other.merge(&told, &floors) || steps.is_empty());
        prop_assert_eq!(other.digest(), views.digest());
    }
}

#[test]
fn a_view_in_which_nothing_changes_brings_no_set() {
    let logs = [founding(), with(&founding(), 5, join(9, 100, 0))];
    let mut views = Views::new(logs[0].clone());
    views.merge(&logs, &[]);
    let moved = views.moved();
    assert!(!moved.is_empty() && moved.len() < 8 + 1);
    for partition in views.newest().partitions() {
        let sets = views.assignments(partition).len();
        assert_eq!(sets, 1 + usize::from(moved.contains(&partition)));
    }
}

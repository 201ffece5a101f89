//! Ids, bounds and deadlines of operations in flight.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn operations(capacity: usize) -> Operations<u32> {
    Operations::new(
        OperationLimits {
            capacity,
            tick_ms: 5,
        },
        1_000,
    )
}

fn expired(operations: &mut Operations<u32>, now_ms: u64) -> Vec<OpId> {
    let mut due = Vec::new();
    operations.expired(now_ms, &mut due);
    due
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        delay: u64,
    },
    Remove {
        which: prop::sample::Index,
    },
    Move {
        which: prop::sample::Index,
        delay: u64,
    },
    Wait {
        ms: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = prop_oneof![0u64..40, 0u64..2_000, 15_000u64..70_000];
    let step = prop_oneof![
        4 => delay.clone().prop_map(|delay| Step::Insert { delay }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Remove { which }),
        2 => (any::<prop::sample::Index>(), delay)
            .prop_map(|(which, delay)| Step::Move { which, delay }),
        3 => prop_oneof![0u64..50, 0u64..30_000].prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Against a sorted map: nothing comes early, nothing later than one tick, nothing twice, and
    /// an id that is gone finds nothing.
    #[test]
    fn agrees_with_a_sorted_map(steps in steps()) {
        const CAPACITY: usize = 24;
        let mut operations = operations(CAPACITY);
        let mut now = 1_003;
        let mut model: BTreeMap<OpId, (u32, Option<u64>)> = BTreeMap::new();
        let mut gone = Vec::new();
        for (name, step) in (0u32..).zip(steps) {
            let pick = |which: prop::sample::Index| {
                (!model.is_empty()).then(|| *model.keys().nth(which.index(model.len())).unwrap())
            };
            match step {
                Step::Insert { delay } => match operations.insert(name, now + delay) {
                    Ok(id) => {
                        prop_assert!(!gone.contains(&id), "an id was used again");
                        prop_assert!(model.insert(id, (name, Some(now + delay))).is_none());
                    }
                    Err(busy) => {
                        prop_assert_eq!(model.len(), CAPACITY);
                        prop_assert_eq!((busy.operation, busy.in_flight), (name, CAPACITY));
                    }
                },
                Step::Remove { which } => if let Some(id) = pick(which) {
                    let (name, _) = model.remove(&id).unwrap();
                    prop_assert_eq!(operations.remove(id), Some(name));
                    gone.push(id);
                },
                Step::Move { which, delay } => if let Some(id) = pick(which) {
                    model.get_mut(&id).unwrap().1 = Some(now + delay);
                    prop_assert!(operations.set_deadline(id, now + delay));
                },
                Step::Wait { ms } => {
                    now += ms;
                    for id in expired(&mut operations, now) {
                        let deadline = model.get_mut(&id).unwrap().1.take();
                        prop_assert!(deadline.is_some_and(|at| at <= now), "early or twice");
                    }
                    let overdue = |(_, at): &(u32, Option<u64>)| at.is_some_and(|at| at + 5 <= now);
                    // What was set while its tick was being served comes with the next one.
                    prop_assert!(ms < 5 || !model.values().any(overdue), "late");
                }
            }
            let first = model.values().filter_map(|(_, at)| *at).min();
            prop_assert_eq!(operations.next_deadline().is_some(), first.is_some());
            if let (Some(next), Some(first)) = (operations.next_deadline(), first) {
                prop_assert!(next <= first.max(now) + 5, "the driver would oversleep");
            }
            prop_assert_eq!(operations.len(), model.len());
            for id in &gone {
                prop_assert_eq!(operations.get_mut(*id), None);
                prop_assert!(!operations.set_deadline(*id, now));
                prop_assert_eq!(operations.remove(*id), None);
            }
        }
    }
}

#[test]
fn a_stale_id_does_not_find_the_slots_next_operation() {
    let mut operations = operations(4);
    let first = operations.insert(1, 2_000).unwrap();
    assert_eq!(operations.remove(first), Some(1));
    let second = operations.insert(2, 2_000).unwrap();
    assert_eq!(first.index(), second.index(), "same slot");
    assert_ne!(first, second);
    assert_eq!(operations.get(first), None);
    assert_eq!(operations.get(second), Some(&2));
    assert_eq!(operations.get(OpId(u64::MAX)), None);
    assert_eq!(operations.remove(OpId(77)), None);
}

#[test]
fn more_than_the_bound_is_refused_with_the_number() {
    let mut operations = operations(2);
    operations.insert(1, 2_000).unwrap();
    let second = operations.insert(2, 2_000).unwrap();
    let busy = operations.insert(3, 2_000).unwrap_err();
    assert_eq!(busy.operation, 3);
    assert_eq!(
        busy.to_string(),
        "busy: 2 operations are in flight, the most this node holds"
    );
    operations.remove(second);
    assert!(operations.insert(3, 2_000).is_ok());
}

#[test]
fn an_operation_goes_from_hedge_to_answer_to_lingering() {
    let mut operations = operations(4);
    let id = operations.insert(1, 1_010).unwrap();
    assert_eq!(expired(&mut operations, 1_009), []);
    assert_eq!(expired(&mut operations, 1_010), [id]);
    operations.set_deadline(id, 2_000);
    operations.set_deadline(id, 1_500);
    assert_eq!(expired(&mut operations, 1_502), [id]);
    assert_eq!(
        expired(&mut operations, 5_000),
        [],
        "a deadline that came is set no more"
    );
    assert_eq!(operations.next_deadline(), None);
    assert_eq!(operations.remove(id), Some(1));
    assert!(operations.is_empty());
}

#[test]
fn operations_of_one_tick_come_in_the_order_they_were_set() {
    let mut operations = operations(8);
    let ids: Vec<_> = (0..5)
        .map(|name| operations.insert(name, 1_200).unwrap())
        .collect();
    operations.set_deadline(ids[1], 1_200);
    operations.remove(ids[3]);
    assert_eq!(
        expired(&mut operations, 1_200),
        [ids[0], ids[2], ids[4], ids[1]]
    );
}

#[test]
fn every_operation_can_be_visited() {
    let mut operations = operations(8);
    let ids: Vec<_> = (0..3)
        .map(|name| operations.insert(name, 1_200).unwrap())
        .collect();
    operations.remove(ids[1]);
    operations
        .iter_mut()
        .for_each(|(_, operation)| *operation += 10);
    let visited: Vec<_> = operations
        .iter_mut()
        .map(|(id, operation)| (id, *operation))
        .collect();
    assert_eq!(visited, [(ids[0], 10), (ids[2], 12)]);
}

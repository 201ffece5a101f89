//! The laws of merging, seen through a store.

use std::thread;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{
    Make,
    model::deltas,
    records::{get, merge, name, put, unlimited, value},
};
use crate::{Decision, StoreError, Written};

/// Merging what a key has already got is [`Written::Kept`], changes no byte, and is not logged.
pub fn merging_again_changes_nothing(make: Make<'_>) {
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(deltas(), 1..12), |deltas| {
        let (store, name) = (make(unlimited()), name(0, 5, 0));
        for delta in &deltas {
            merge(&*store, &name, delta).expect("there is no limit");
        }
        let (record, usage) = (get(&*store, &name), store.usage());
        for delta in &deltas {
            prop_assert_eq!(merge(&*store, &name, delta), Ok(Written::Kept));
        }
        prop_assert_eq!(
            put(&*store, &name, &record.clone().unwrap().0),
            Ok(Written::Kept)
        );
        prop_assert_eq!((get(&*store, &name), store.usage()), (record, usage));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The same deltas, merged in another order by each of four threads at once, give one record.
pub fn merging_in_any_order_gives_one_record(make: Make<'_>) {
    let orders = vec(deltas(), 1..24).prop_flat_map(|deltas| {
        let shuffled = Just(deltas.clone()).prop_shuffle();
        (
            Just(deltas),
            [
                shuffled.clone(),
                shuffled.clone(),
                shuffled.clone(),
                shuffled,
            ],
        )
    });
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&orders, |(deltas, orders)| {
        let (store, alone, together) = (make(unlimited()), name(0, 5, 0), name(0, 5, 1));
        for delta in &deltas {
            merge(&*store, &alone, delta).expect("there is no limit");
        }
        thread::scope(|scope| {
            for order in &orders {
                scope.spawn(|| {
                    order.iter().for_each(|delta| {
                        merge(&*store, &together, delta).expect("there is no limit");
                    })
                });
            }
        });
        prop_assert_eq!(get(&*store, &together), get(&*store, &alone));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Bytes that are no record are refused with [`StoreError::Decode`], on a new key and on an old
/// one.
pub fn merging_what_is_no_record_changes_nothing(make: Make<'_>) {
    let (store, old, new) = (make(unlimited()), name(1, 5, 0), name(1, 6, 0));
    put(&*store, &old, &value(1, 10, b"kept")).expect("there is no limit");
    let (record, usage) = (get(&*store, &old), store.usage());
    for name in [&old, &new] {
        let refused = store.update(super::records::key(name), &mut |_, _| Decision::Write);
        assert!(matches!(refused, Err(StoreError::Decode(_))), "{refused:?}");
    }
    assert_eq!((get(&*store, &old), get(&*store, &new)), (record, None));
    assert_eq!(store.usage(), usage);
}

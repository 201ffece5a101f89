//! Limits: one byte less, exactly, one byte more; and what a full store still does.

use henge_versioning::NEVER;

use super::{
    Make,
    records::{Name, dead, get, name, put, scan, unlimited, value},
};
use crate::{Limits, Store, StoreError, Written};

/// Only records count: no op log.
fn records_only(bytes: u64) -> Limits {
    Limits {
        bytes,
        op_log_bytes: 0,
        ..unlimited()
    }
}

fn nth(n: u64) -> (Name, Vec<u8>) {
    (
        name(0, n << 9, 0),
        value(1, 50, &vec![n as u8; 100 + n as usize]),
    )
}

/// Writes the first `count` records.
fn filled(store: &dyn Store, count: u64) {
    for (name, record) in (0..count).map(nth) {
        assert_eq!(put(store, &name, &record), Ok(Written::Changed));
    }
}

/// Writes records until one is refused; returns how many were taken.
fn fill(store: &dyn Store) -> u64 {
    for n in 0.. {
        let (name, record) = nth(n);
        match put(store, &name, &record) {
            Ok(_) => {}
            Err(StoreError::Full { .. }) => return n,
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("a limited store fills up")
}

/// Tries a write at its need less one byte (refused, nothing changed), exactly, and one more.
fn probe(make: Make<'_>, prepare: &dyn Fn(&dyn Store), name: &Name, record: &[u8]) {
    let free = make(records_only(u64::MAX));
    prepare(&*free);
    let before = free.usage().bytes;
    put(&*free, name, record).expect("there is no limit");
    let after = free.usage().bytes;

    let full = make(records_only(after - 1));
    prepare(&*full);
    let (usage, rows, newest) = (full.usage(), scan(&*full, 0, 9), full.newest());
    let refusal = StoreError::Full {
        used: before,
        limit: after - 1,
        needed: after - before,
    };
    assert_eq!(put(&*full, name, record), Err(refusal));
    assert_eq!(
        (full.usage(), scan(&*full, 0, 9), full.newest()),
        (usage, rows, newest)
    );

    for limit in [after, after + 1] {
        let store = make(records_only(limit));
        prepare(&*store);
        assert_eq!(
            put(&*store, name, record),
            Ok(Written::Changed),
            "limit {limit}"
        );
        assert_eq!(store.usage().bytes, after);
        assert_eq!(
            get(&*store, name).map(|found| found.0).as_deref(),
            Some(record)
        );
    }
}

/// A new record passes when it just fits and is refused one byte before, with nothing changed.
/// Tried at many fillings, since tables grow in jumps.
pub fn a_full_store_refuses_and_keeps_what_it_has(make: Make<'_>) {
    for count in [0, 1, 2, 3, 5, 13, 14, 28, 40, 57] {
        let (name, record) = nth(count);
        probe(make, &|store| filled(store, count), &name, &record);
    }
}

/// A record that grows needs only what it grows by.
pub fn a_longer_record_is_weighed_by_its_growth(make: Make<'_>) {
    let (name, _) = nth(4);
    for len in [200, 1_000, 70_000] {
        probe(
            make,
            &|store| filled(store, 9),
            &name,
            &value(2, 50, &vec![7; len]),
        );
    }
}

/// In a full store every record can be overwritten with one of the same length and destroyed; and
/// what that frees can be used.
pub fn a_full_store_lets_records_shrink(make: Make<'_>) {
    let empty = make(records_only(u64::MAX)).usage().bytes;
    let store = make(records_only(empty + 20_000));
    let count = fill(&*store);
    assert!(count > 20, "only {count} records were taken");
    for n in 0..count {
        let same_length = value(2, 50, &vec![0xee; 100 + n as usize]);
        assert_eq!(put(&*store, &nth(n).0, &same_length), Ok(Written::Changed));
    }
    let full = store.usage();
    for n in 0..count {
        assert_eq!(put(&*store, &nth(n).0, &dead(2, 50)), Ok(Written::Changed));
    }
    assert_eq!(store.usage().records, full.records);
    assert!(store.usage().bytes < full.bytes);
    let (name, record) = nth(count);
    assert_eq!(put(&*store, &name, &record), Ok(Written::Changed));
}

/// What is held can be destroyed although the store is full, even where the dead record is the
/// longer.
pub fn a_full_store_lets_go_of_the_shortest_records(make: Make<'_>) {
    let prepare = |store: &dyn Store| {
        for n in 0..32 {
            let shortest = value(1, NEVER, &[0; 40][..n as usize]);
            put(store, &name(0, n, 0), &shortest).expect("they fit");
        }
    };
    let free = make(records_only(u64::MAX));
    prepare(&*free);
    let store = make(records_only(free.usage().bytes));
    prepare(&*store);
    assert!(matches!(
        put(&*store, &nth(9).0, &nth(9).1),
        Err(StoreError::Full { .. })
    ));
    for n in 0..32 {
        assert_eq!(
            put(&*store, &name(0, n, 0), &dead(1, 50)),
            Ok(Written::Changed)
        );
    }
}

/// However large its budget, the op log takes only what records leave: the logged store takes as
/// many records as the one without a log, less what was logged before they came.
pub fn the_op_log_never_takes_the_place_of_records(make: Make<'_>) {
    let empty = make(records_only(u64::MAX)).usage().bytes;
    let limit = empty + 20_000;
    let store = make(Limits {
        op_log_bytes: u64::MAX,
        ..records_only(limit)
    });
    fill(&*store);
    assert!(store.usage().bytes <= limit);
    // Now the log cannot grow; equal lengths are written all the same, and what is left of the log
    // is its newest part.
    for round in 0..200_u8 {
        let (name, _) = nth(3);
        let record = value(2 + u64::from(round), 50, &[round; 103]);
        assert_eq!(put(&*store, &name, &record), Ok(Written::Changed));
        assert!(store.usage().bytes <= limit);
    }
}

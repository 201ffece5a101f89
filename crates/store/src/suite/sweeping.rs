//! What a sweep takes, and what it leaves.

use henge_ring::Partition;
use henge_versioning::NEVER;

use super::{
    Make,
    records::{GRACE, dead, extension, get, merge, name, put, scan, sibling, unlimited, value},
};
use crate::{Store, Swept};

/// Horizons around a given time, and the latest there are.
const HORIZONS: [u64; 6] = [1, 99, 100, 101, 1 << 47, NEVER];

fn names_left(store: &dyn Store, partition: u16) -> Vec<u64> {
    let rows = scan(store, partition, 10);
    rows.iter()
        .map(|row| super::records::token(&row.0).0 & 0xffff)
        .collect()
}

/// What has moved away is removed, unless it has changed since; nothing else is.
pub fn a_record_is_removed_as_it_was_seen(make: Make<'_>) {
    let store = make(unlimited());
    let empty = store.usage().records;
    let key = |number| name(0, number, 0);
    for number in 0..3 {
        put(&*store, &key(number), &value(1, 9, b"v")).expect("there is no limit");
    }
    let digest = |number| store.digest(super::records::key(&key(number)));
    let seen = digest(1).expect("it was put");
    put(&*store, &key(2), &value(2, 9, b"other")).expect("there is no limit");
    assert!(
        !store.remove(super::records::key(&key(2)), seen),
        "it has changed"
    );
    assert!(store.remove(super::records::key(&key(1)), seen));
    assert!(
        !store.remove(super::records::key(&key(1)), seen),
        "it is gone"
    );
    assert_eq!(
        (get(&*store, &key(1)), store.usage().records),
        (None, empty + 2)
    );
    assert_eq!(names_left(&*store, 0), [0, 2]);
}

/// Up to and at the time given, dead or alive; never one whose horizon is never; no other
/// partition.
pub fn a_sweep_takes_what_is_due_and_nothing_else(make: Make<'_>) {
    let store = make(unlimited());
    for partition in [0, 1] {
        for (number, horizon) in (0..).zip(HORIZONS) {
            let alive = value(1, horizon, b"v");
            put(&*store, &name(partition, number, 0), &alive).expect("there is no limit");
            put(&*store, &name(partition, number + 10, 0), &dead(1, horizon))
                .expect("there is no limit");
        }
    }
    let logged = store.changes(Partition(0), 0, usize::MAX);
    assert_eq!(store.sweep(Partition(0), 0, GRACE), Swept::default());
    assert_eq!(store.sweep(Partition(0), 100, GRACE).records, 6);
    assert_eq!(names_left(&*store, 0), [3, 4, 5, 13, 14, 15]);
    assert_eq!(
        store.sweep(Partition(0), 100, GRACE),
        Swept::default(),
        "there is nothing left to take"
    );
    assert_eq!(store.sweep(Partition(0), NEVER, GRACE).records, 4);
    assert_eq!(names_left(&*store, 0), [5, 15], "never means never");
    assert_eq!(
        names_left(&*store, 1).len(),
        12,
        "the other partition is as it was"
    );
    assert_eq!(
        store.changes(Partition(0), 0, usize::MAX),
        logged,
        "an expiry is not a change"
    );
    // What comes after a sweep is found by the next.
    put(&*store, &name(0, 30, 0), &value(9, 7, b"v")).expect("there is no limit");
    assert_eq!(store.sweep(Partition(0), 7, GRACE).records, 1);
    assert_eq!(get(&*store, &name(0, 30, 0)), None);
}

/// A deadline that was brought forward brings removal forward no further than the grace after it;
/// but it does so also for a life that began without one.
pub fn a_life_cut_short_is_kept_for_the_grace(make: Make<'_>) {
    const CUT: u64 = 90;
    let store = make(unlimited());
    for (number, horizon) in (0..).zip([CUT + GRACE - 1, 500, NEVER]) {
        let name = name(0, number, 0);
        put(&*store, &name, &value(1, horizon, b"v")).expect("there is no limit");
        merge(&*store, &name, &extension(1, 2, CUT)).expect("there is no limit");
    }
    let sweep = |before_ms| store.sweep(Partition(0), before_ms, GRACE).records;
    assert_eq!([CUT, CUT + GRACE - 2].map(sweep), [0, 0]);
    assert_eq!(sweep(CUT + GRACE - 1), 1, "the horizon comes first");
    assert_eq!(sweep(CUT + GRACE), 2);
    assert_eq!(names_left(&*store, 0), []);
}

/// Sibling sets among what was removed are counted, and nothing else is.
pub fn a_sweep_counts_the_siblings_it_took(make: Make<'_>) {
    let store = make(unlimited());
    for number in 0..6 {
        let record = match number % 2 {
            0 => sibling(1, 10 + number, b"v"),
            _ => value(1, 10 + number, b"v"),
        };
        put(&*store, &name(0, number, 0), &record).expect("there is no limit");
    }
    for (before_ms, records, siblings) in [(9, 0, 0), (12, 3, 2), (NEVER, 3, 1)] {
        let swept = store.sweep(Partition(0), before_ms, GRACE);
        assert_eq!((swept.records, swept.siblings), (records, siblings));
    }
}

/// The figures of a sweep are the differences of the usage before and after.
pub fn a_sweep_tells_what_it_gave_back(make: Make<'_>) {
    let store = make(unlimited());
    for number in 0..500 {
        let twin = u8::from(number % 4 == 0);
        let record = value(1, number % 50, &vec![0; number as usize]);
        put(&*store, &name(2, number / 2, twin), &record).expect("there is no limit");
    }
    for before_ms in [5, 6, 30, 48, 49] {
        let (before, swept) = (store.usage(), store.sweep(Partition(2), before_ms, GRACE));
        let after = store.usage();
        assert!(swept.records > 0 && swept.bytes > 0);
        assert_eq!(before.records - after.records, swept.records);
        assert_eq!(before.bytes - after.bytes, swept.bytes);
    }
    assert_eq!(store.usage().records, 0);
}

/// A partition that was large and is empty again takes hardly more than a new one.
pub fn swept_tables_give_their_memory_back(make: Make<'_>) {
    let store = make(crate::Limits {
        op_log_bytes: 0,
        ..unlimited()
    });
    let empty = store.usage().bytes;
    for number in 0..2_000 {
        put(&*store, &name(0, number, 0), &value(1, 9, b"value")).expect("there is no limit");
    }
    let full = store.usage().bytes;
    assert_eq!(store.sweep(Partition(0), 9, GRACE).records, 2_000);
    assert!(
        store.usage().bytes - empty <= (full - empty) / 100,
        "{:?}",
        store.usage()
    );
    put(&*store, &name(0, 7, 0), &value(2, 20, b"value")).expect("there is no limit");
    assert_eq!(names_left(&*store, 0), [7]);
}

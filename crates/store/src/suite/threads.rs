//! Many threads on one store.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use henge_ring::Partition;
use henge_versioning::{NEVER, RecordRef};

use super::{
    Make,
    records::{GRACE, Name, extension, get, key, merge, name, put, scan, unlimited, value},
};
use crate::{Decision, Store, Written};

const THREADS: u64 = 4;

/// Adds one to the number that a record's value is. Each sum is a life of its own.
fn increment(store: &dyn Store, name: &Name) {
    let written = store.update(key(name), &mut |present, out| {
        let sum = present.map_or(0, |stored| number(stored.record())) + 1;
        out.extend_from_slice(&value(sum, NEVER, &sum.to_le_bytes()));
        Decision::Write
    });
    assert_eq!(written, Ok(Written::Changed));
}

fn number(record: RecordRef<'_>) -> u64 {
    let bytes = record.value().and_then(|value| value.try_into().ok());
    u64::from_le_bytes(bytes.expect("the value is a number"))
}

fn read_number(store: &dyn Store, name: &Name) -> u64 {
    let mut sum = 0;
    store.read(key(name), &mut |stored| {
        sum = stored.map_or(0, |stored| number(stored.record()))
    });
    sum
}

/// [`Store::update`] is atomic: of many threads' increments none is lost, and each is logged.
pub fn no_update_is_lost_between_threads(make: Make<'_>) {
    const EACH: u64 = 2_000;
    let store = make(unlimited());
    // Two of the keys share a token, and thus whatever an engine locks.
    let names = [name(0, 1, 0), name(0, 1, 1), name(0, 2, 0)];
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|n| increment(&*store, &names[n as usize % 3])));
        }
    });
    let sum: u64 = names.iter().map(|name| read_number(&*store, name)).sum();
    assert_eq!(sum, THREADS * EACH);
    let logged = store
        .changes(Partition(0), 0, usize::MAX)
        .expect("the log is long enough");
    assert!(logged.iter().map(|change| change.seq).eq(0..THREADS * EACH));
}

/// Whoever sees a change in the log reads a record at least as new as it.
pub fn a_change_in_the_log_can_be_read(make: Make<'_>) {
    const COUNT: u64 = 4_000;
    let (store, name) = (make(unlimited()), name(2, 1, 0));
    thread::scope(|scope| {
        scope.spawn(|| (0..COUNT).for_each(|_| increment(&*store, &name)));
        let mut seen = 0;
        while seen < COUNT {
            let changes = store
                .changes(Partition(2), seen, 100)
                .expect("the log is long enough");
            seen += changes.len() as u64;
            assert!(
                read_number(&*store, &name) >= seen,
                "change {seen} was logged before it was made"
            );
        }
    });
}

/// A scan shows every record that is there from its start to its end exactly once, whatever comes
/// and goes around it.
pub fn a_scan_shows_what_stays_while_others_write(make: Make<'_>) {
    const STAYING: u64 = 200;
    const SCANS: usize = 40;
    let store = make(unlimited());
    let staying: Vec<Name> = (0..STAYING).map(|n| name(1, n * 10, 0)).collect();
    for name in &staying {
        put(&*store, name, &value(1, NEVER, b"stays")).expect("there is no limit");
    }
    let done = AtomicBool::new(false);
    let churned = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0_u64..).take_while(|_| !done.load(Ordering::Relaxed)) {
                let passing = name(1, n % (STAYING * 10), 1);
                put(&*store, &passing, &value(n + 2, 5, b"passes")).expect("there is no limit");
                // Overwritten in place, and moved.
                let longer = vec![b'x'; (n % 3) as usize];
                let again = &staying[n as usize % staying.len()];
                put(&*store, again, &value(n + 2, NEVER, &longer)).expect("there is no limit");
                if n % 64 == 0 {
                    store.sweep(Partition(1), 5, GRACE);
                }
                churned.fetch_add(1, Ordering::Relaxed);
            }
        });
        while churned.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        for limit in (1..=SCANS).map(|n| 1 + n % 7 * 40) {
            let rows = scan(&*store, 1, limit);
            let shown = rows
                .iter()
                .filter(|row| row.0[8] == 0)
                .map(|row| row.0.as_slice());
            assert!(
                shown.eq(staying.iter().map(|name| name.as_slice())),
                "limit {limit}"
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A record whose horizon moves on is not swept by its old one.
pub fn a_sweep_spares_what_is_extended_meanwhile(make: Make<'_>) {
    const RECORDS: u64 = 3_000;
    let store = make(unlimited());
    let names: Vec<Name> = (0..RECORDS).map(|n| name(3, n, 0)).collect();
    for name in &names {
        put(&*store, name, &value(1, 10, b"due")).expect("there is no limit");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.sweep(Partition(3), 10, GRACE);
            }
        });
        for name in &names {
            merge(&*store, name, &extension(1, 2, 1_000)).expect("there is no limit");
            assert!(get(&*store, name).is_some(), "just extended");
        }
        done.store(true, Ordering::Relaxed);
    });
    store.sweep(Partition(3), 999, GRACE);
    assert_eq!(store.usage().records, RECORDS, "all are kept until 1000");
    assert_eq!(store.sweep(Partition(3), 1_000, GRACE).records, RECORDS);
}

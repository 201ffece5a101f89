//! What the in-memory engine says it takes, against what it takes from the allocator.

use allocation_counter::{AllocationInfo, measure};
use henge_store::{Decision, Key, Limits, MemoryStore, Store, Written};
use henge_versioning::{ActorId, HlcTime, RecordRef, Stamp, delta};

fn record(ms: u64, deadline: u64, len: usize) -> Vec<u8> {
    let stamp = Stamp {
        time: HlcTime::new(ms, 0),
        actor: ActorId(1),
    };
    let mut out = Vec::new();
    delta::begin(&mut out, stamp, deadline, &vec![ms as u8; len]);
    out
}

fn put(store: &MemoryStore, n: u32, record: &[u8]) {
    let key = format!("sess:{n:032}");
    let written = store.update(Key::new(key.as_bytes()), &mut |_, out| {
        out.extend_from_slice(record);
        Decision::Write
    });
    assert_eq!(written, Ok(Written::Changed));
}

/// Bytes that allocations take with their headers, where each size modulo 16 is as likely as any
/// other: 8 bytes in front, and 7.5 on average at the end.
fn taken(info: &AllocationInfo) -> f64 {
    info.bytes_current as f64 + 15.5 * info.count_current as f64
}

/// Checks that what `step` takes or gives back shows in the account, within 1 %.
fn check(store: &MemoryStore, total: &mut f64, name: &str, step: impl FnOnce()) {
    *total += taken(&measure(step));
    let accounted = store.usage().bytes as f64;
    let apart = (accounted - *total).abs() / *total;
    println!(
        "{name}: {accounted} accounted, {total} taken, {:.2} % apart",
        100.0 * apart
    );
    assert!(
        apart < 0.01,
        "after {name}: {accounted} accounted, {total} taken"
    );
}

#[test]
fn the_account_is_what_the_allocator_gave() {
    let limits = Limits {
        partition_bits: 4,
        ..Limits::default()
    };
    for (least, spread) in [(1, 200), (100, 1_000), (5_000, 5_000)] {
        let len = |n: u32, round: u32| {
            least + (n.wrapping_mul(2_654_435_761).wrapping_add(round * 7919) % spread) as usize
        };
        let store = MemoryStore::new(limits);
        // The scratch buffer that this makes is the thread's, not the store's.
        put(&store, 0, &record(1, 10, 10_000));
        let mut total = store.usage().bytes as f64;
        let each = |step: &dyn Fn(u32)| (1..6_000).for_each(step);
        check(&store, &mut total, "insertions", || {
            each(&|n| put(&store, n, &record(1, u64::from(n % 10), len(n, 0))));
        });
        check(&store, &mut total, "overwriting with as much", || {
            each(&|n| put(&store, n, &record(2, u64::from(n % 10), len(n, 0))));
        });
        check(&store, &mut total, "overwriting with other lengths", || {
            each(&|n| put(&store, n, &record(3, u64::from(n % 10), len(n, 1))));
        });
        for before_ms in [1, 4, 9] {
            check(&store, &mut total, "a sweep", || {
                for p in 0..16 {
                    store.sweep(henge_ring::Partition(p), before_ms, 0);
                }
            });
        }
    }
}

#[test]
fn reading_and_overwriting_allocate_nothing() {
    let store = MemoryStore::new(Limits {
        op_log_bytes: 0,
        ..Limits::default()
    });
    let (first, second) = (record(1, 10, 512), record(2, 10, 512));
    let key = Key::new(b"session");
    let write = |record: &[u8]| {
        store
            .merge(key, RecordRef::parse(record).expect("it is one"))
            .expect("there is no limit")
    };
    write(&first);
    let mut seen = 0;
    let read = measure(|| {
        store.read(key, &mut |stored| {
            seen = stored
                .and_then(|stored| stored.record().value())
                .map_or(0, <[u8]>::len);
        });
    });
    assert_eq!((seen, read.count_total), (512, 0));
    let mut written = Written::Kept;
    let overwrite = measure(|| written = write(&second));
    assert_eq!((written, overwrite.count_total), (Written::Changed, 0));
    let again = measure(|| written = write(&second));
    assert_eq!((written, again.count_total), (Written::Kept, 0));
}

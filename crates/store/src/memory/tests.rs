//! The suite, and what is the in-memory engine's own.

use std::sync::Arc;

use henge_ring::{Partition, Token};
use henge_versioning::{ActorId, HlcTime, Stamp, delta};

use super::MemoryStore;
use crate::{Decision, Key, Limits, Store};

crate::engine_suite!(|limits| Arc::new(MemoryStore::new(limits)));

fn put(store: &MemoryStore, key: Key<'_>, len: usize) {
    let stamp = Stamp {
        time: HlcTime::new(1, 0),
        actor: ActorId(1),
    };
    let written = store.update(key, &mut |_, out| {
        delta::begin(out, stamp, 1_000, &vec![7; len]);
        Decision::Write
    });
    written.expect("there is no limit");
}

#[test]
fn an_idle_partition_takes_400_bytes() {
    for bits in [1, 10, 16] {
        let limits = Limits {
            partition_bits: bits,
            ..Limits::default()
        };
        let bytes = MemoryStore::new(limits).usage().bytes;
        assert!(
            bytes >> bits <= 400,
            "{bytes} bytes for 2^{bits} partitions"
        );
    }
}

/// A post-mortem: with shards of equal size, a million sessions in 1,024 partitions met every table
/// just doubled, at 2.1 slots of 33 bytes a record; the mean over all sizes is 1.65.
#[test]
fn tables_do_not_all_double_at_once() {
    const SLOT: f64 = 33.0;
    let store = MemoryStore::new(Limits {
        partition_bits: 2,
        op_log_bytes: 0,
        ..Limits::default()
    });
    let empty = store.usage().bytes;
    let (mut entry, mut most) = (u64::MAX, 0.0_f64);
    for n in 0..60_000_u64 {
        let before = store.usage().bytes;
        put(&store, Key::new(&n.to_le_bytes()), 3);
        let usage = store.usage();
        entry = entry.min(usage.bytes - before);
        if n > 4_000 {
            let slots = usage.bytes - empty - entry * usage.records;
            most = most.max(slots as f64 / usage.records as f64 / SLOT);
        }
    }
    assert!((1.5..2.05).contains(&most), "{most} slots a record");
}

#[test]
fn keys_go_to_the_partition_of_their_token() {
    for bits in [1, 7, 16] {
        let store = MemoryStore::new(Limits {
            partition_bits: bits,
            ..Limits::default()
        });
        for token in [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
            put(
                &store,
                Key {
                    bytes: b"key",
                    token: Token(token),
                },
                3,
            );
            let mut shown = 0;
            let partition = Token(token).partition(bits);
            store.scan(partition, None, 10, &mut |_, _| shown += 1);
            assert!(shown > 0, "token {token} with {bits} bits");
        }
        assert_eq!(store.usage().records, 5);
    }
}

#[test]
#[should_panic(expected = "partition_bits is 17")]
fn more_than_65536_partitions_are_refused() {
    MemoryStore::new(Limits {
        partition_bits: 17,
        ..Limits::default()
    });
}

#[test]
fn a_callback_that_panics_spoils_nothing() {
    let store = MemoryStore::new(Limits::default());
    let key = Key::new(b"key");
    put(&store, key, 10);
    let usage = store.usage();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.update(key, &mut |_, out| {
            out.extend_from_slice(b"half a record");
            panic!("in a callback")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(store.usage(), usage);
    put(&store, key, 20);
    let changes = store.changes(key.token.partition(10), 0, 10);
    assert_eq!(changes.map(|changes| changes.len()), Ok(2));
}

#[test]
fn a_sweep_with_nothing_due_does_not_look_at_the_records() {
    let store = MemoryStore::new(Limits {
        partition_bits: 1,
        ..Limits::default()
    });
    let key = Key {
        bytes: b"key",
        token: Token(5),
    };
    put(&store, key, 10);
    let earliest = || store.trails[0].lock().earliest_due;
    assert_eq!(earliest(), 1_000);
    store.sweep(Partition(0), 999, 0);
    assert_eq!(earliest(), 1_000);
    store.sweep(Partition(0), 1_000, 0);
    assert_eq!(earliest(), henge_versioning::NEVER);
}

//! Time per operation on records that no cache holds: three stores (as three nodes on one machine)
//! of 100,000 sessions each, used in turn, keys at random. What counts here is how many cache lines
//! an operation waits for, one after the other.
//!
//! `cargo run --release -p henge-store --example cold`

use std::{error::Error, fs, hint::black_box};

use henge_ring::Token;
use henge_store::{Decision, Key, Limits, MemoryStore, Store, Warm};
use henge_versioning::{ActorId, HlcTime, Stamp, delta};

/// As in the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 100_000;
const OPERATIONS: u64 = 1_000_000;
const VALUE: [u8; 512] = [b'v'; 512];
const DEADLINE: u64 = 1_900_000_000_000;

type Name = [u8; 40];
type Operation<'a> = &'a mut dyn FnMut(&MemoryStore, Key<'_>);

/// The nth key. Cheap to make, so that it hardly shows in the figures.
fn name(n: u64) -> Name {
    let mut name = *b"session:0123456789abcdef0123456789abcdef";
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (at, byte) in name[24..].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(mixed >> (4 * at)) as usize & 15];
    }
    name
}

/// The keys of one operation after the other, without a pattern that a processor could foresee.
fn names(batch: usize) -> impl FnMut() -> Vec<Name> {
    let mut state = 88_172_645_463_325_252_u64;
    move || {
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            name(state % RECORDS)
        };
        std::iter::repeat_with(next).take(batch).collect()
    }
}

/// Nanoseconds this process has run on a processor: other work on the machine does not count.
fn processor_ns() -> Result<u64, Box<dyn Error>> {
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    let first = schedstat.split_whitespace().next();
    Ok(first.ok_or("schedstat has a first column")?.parse()?)
}

/// Nanoseconds for each operation, batches of keys going to the stores in turn.
fn each(
    stores: &[MemoryStore],
    batch: usize,
    warm: Option<Warm>,
    operation: Operation<'_>,
) -> Result<f64, Box<dyn Error>> {
    let mut next = names(batch);
    let start = processor_ns()?;
    for (_, store) in (0..OPERATIONS / batch as u64).zip(stores.iter().cycle()) {
        let names = next();
        let keys: Vec<Key<'_>> = names.iter().map(|name| Key::new(name)).collect();
        if let Some(wanted) = warm {
            let tokens: Vec<Token> = keys.iter().map(|key| key.token).collect();
            store.warm(&tokens, wanted);
        }
        keys.iter().for_each(|key| operation(store, *key));
    }
    Ok((processor_ns()? - start) as f64 / OPERATIONS as f64)
}

/// Prints an operation's time, less that of making its key.
fn report(
    what: &str,
    stores: &[MemoryStore],
    wanted: Warm,
    operation: Operation<'_>,
) -> Result<(), Box<dyn Error>> {
    print!("{what:<28}");
    for (batch, warm) in [
        (1, None),
        (16, None),
        (16, Some(wanted)),
        (64, Some(wanted)),
    ] {
        let keys = each(stores, batch, None, &mut |_, key| {
            black_box(key);
        })?;
        let all = each(stores, batch, warm, operation)?;
        print!("{:>12.0}", all - keys);
    }
    println!();
    Ok(())
}

fn put(store: &MemoryStore, key: Key<'_>, ms: u64) {
    let written = store.update(key, &mut |present, out| {
        let stamp = Stamp {
            time: HlcTime::new(ms, 0),
            actor: ActorId(7),
        };
        assert!(present.is_none_or(|present| present.record().newest() < stamp));
        delta::begin(out, stamp, DEADLINE, &VALUE);
        Decision::Write
    });
    written.expect("there is no limit");
}

fn main() -> Result<(), Box<dyn Error>> {
    // The op logs are full after a second, so that their growth does not show.
    let limits = Limits {
        op_log_bytes: 2 << 20,
        ..Limits::default()
    };
    let stores = [(); 3].map(|()| MemoryStore::new(limits));
    for n in 0..RECORDS {
        stores
            .iter()
            .for_each(|store| put(store, Key::new(&name(n)), 1));
    }
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>12}",
        "ns each", "one by one", "of 16", "warmed 16", "warmed 64"
    );
    let (mut copy, mut found) = (Vec::with_capacity(1_000), 0);
    report(
        "read, copying the record",
        &stores,
        Warm::Records,
        &mut |store, key| {
            store.read(key, &mut |stored| {
                copy.clear();
                copy.extend_from_slice(stored.map_or(b"", |stored| stored.bytes));
            });
        },
    )?;
    report("digest", &stores, Warm::Digests, &mut |store, key| {
        found += u64::from(store.digest(key).is_some());
    })?;
    let mut ms = 2;
    report("update", &stores, Warm::Updates, &mut |store, key| {
        put(store, key, ms);
        ms += 1;
    })?;
    assert_eq!(found, 4 * OPERATIONS, "every key is there");
    Ok(())
}

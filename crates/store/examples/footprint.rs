//! Memory per record, and time per operation, of the in-memory engine: a million sessions with keys
//! of 40 bytes and values of 512, the case for which Redis 7.0 takes 757 resident bytes each.
//!
//! `cargo run --release -p henge-store --example footprint`

use std::{error::Error, fs};

use henge_ring::Partition;
use henge_store::{Decision, Key, Limits, MemoryStore, Store};
use henge_versioning::{ActorId, HlcTime, Stamp, delta};

const RECORDS: u64 = 1_000_000;
const VALUE_LEN: usize = 512;
const DEADLINE: u64 = 1_900_000_000_000;

/// Resident bytes of this process.
fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm
        .split_whitespace()
        .nth(1)
        .ok_or("statm has a second column")?;
    Ok(pages.parse::<u64>()? * 4096)
}

/// The nth key, of 40 bytes. Cheap to make, so that it hardly shows in the figures.
fn name(n: u64) -> [u8; 40] {
    let mut name = *b"session:0123456789abcdef0123456789abcdef";
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (at, byte) in name[24..].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(mixed >> (4 * at)) as usize & 15];
    }
    name
}

/// Spreads the order of operations over all records.
fn shuffled(n: u64) -> u64 {
    n.wrapping_mul(2_654_435_761) % RECORDS
}

fn put(store: &MemoryStore, n: u64, ms: u64, value: &[u8]) {
    let stamp = Stamp {
        time: HlcTime::new(ms, 0),
        actor: ActorId(7),
    };
    let written = store.update(Key::new(&name(n)), &mut |_, out| {
        delta::begin(out, stamp, DEADLINE, value);
        Decision::Write
    });
    written.expect("there is no limit");
}

/// Nanoseconds this process has run on a processor: other work on the machine does not count. To
/// within a few milliseconds.
fn processor_ns() -> Result<u64, Box<dyn Error>> {
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    let first = schedstat.split_whitespace().next();
    Ok(first.ok_or("schedstat has a first column")?.parse()?)
}

fn timed(what: &str, count: u64, mut step: impl FnMut(u64)) -> Result<(), Box<dyn Error>> {
    let start = processor_ns()?;
    (0..count).for_each(&mut step);
    let each = (processor_ns()? - start) as f64 / count as f64;
    println!("{what:<28} {each:>7.0} ns");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let store = MemoryStore::new(Limits::default());
    let value = [b'v'; VALUE_LEN];
    timed("insert", RECORDS, |n| put(&store, n, 1, &value))?;
    let (resident, usage) = (resident()? - before, store.usage());
    println!(
        "resident per record          {:>7.0} bytes",
        resident as f64 / RECORDS as f64
    );
    println!(
        "accounted per record         {:>7.0} bytes",
        usage.bytes as f64 / RECORDS as f64
    );

    timed("key and token alone", RECORDS, |n| {
        std::hint::black_box(Key::new(&name(shuffled(n))));
    })?;
    let mut found = 0;
    timed("get, over all records", RECORDS, |n| {
        store.read(Key::new(&name(shuffled(n))), &mut |stored| {
            found += u64::from(stored.is_some())
        });
    })?;
    timed("overwrite, over all records", RECORDS, |n| {
        put(&store, shuffled(n), 2 + n, &value)
    })?;
    let warm: Vec<_> = (0..512).map(name).collect();
    timed("get, warm", RECORDS, |n| {
        let key = Key::new(&warm[n as usize % warm.len()]);
        store.read(key, &mut |stored| found += u64::from(stored.is_some()));
    })?;
    timed("overwrite, warm", RECORDS, |n| {
        put(&store, n % 512, 2 * RECORDS + n, &value)
    })?;
    assert_eq!(found, 2 * RECORDS, "every key is there");

    timed("sweep, nothing due", RECORDS, |p| {
        store.sweep(Partition((p % 1024) as u16), DEADLINE - 1, 0);
    })?;
    timed("scan of one partition", 1024, |p| {
        store.scan(Partition(p as u16), None, usize::MAX, &mut |_, _| {
            found += 1
        });
    })?;
    timed("sweep, all due", 1024, |p| {
        store.sweep(Partition(p as u16), DEADLINE, 0);
    })?;
    Ok(())
}

//! What the operations of the hot path cost, in nanoseconds, on records of a 512-byte value.
//!
//! ```text
//! cargo run --release -p henge-versioning --example record_cost
//! ```
//!
//! Each figure is the least of several rounds: noise of the machine only ever adds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use henge_versioning::{ActorId, HlcTime, Merge, RecordRef, Stamp, delta, merge};

const ROUNDS: usize = 20;
const CALLS: u32 = 100_000;
const VALUE: [u8; 512] = [0x5a; 512];
const DEADLINE: u64 = 1_790_001_800_000;

fn measure(what: &str, mut call: impl FnMut()) {
    let round = |_| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed()
    };
    let least = (0..ROUNDS).map(round).min().unwrap_or(Duration::ZERO);
    println!(
        "{what:<44}{:>8.1} ns",
        least.as_secs_f64() * 1e9 / f64::from(CALLS)
    );
}

fn stamp(count: u16) -> Stamp {
    Stamp {
        time: HlcTime::new(1_790_000_000_000, count),
        actor: ActorId(7),
    }
}

fn record(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// Measures one merge, and says which answer it gives.
fn measure_merge(what: &str, local: &[u8], incoming: &[u8]) {
    let mut out = Vec::with_capacity(1024);
    let answer = merge(local, incoming, &mut out);
    let answer = answer.map_or("refused", |it| match it {
        Merge::Unchanged => "unchanged",
        Merge::Incoming => "incoming",
        Merge::Joined => "joined",
    });
    measure(&format!("merge: {what} ({answer})"), || {
        let _ = black_box(merge(black_box(local), black_box(incoming), &mut out));
    });
}

fn main() {
    let begun = record(|out| delta::begin(out, stamp(0), DEADLINE, &VALUE));
    let touch = record(|out| delta::expire(out, stamp(0), stamp(1), DEADLINE + 1));
    let update = record(|out| delta::put(out, stamp(0), stamp(2), Some(DEADLINE + 2), &VALUE));
    let silent = record(|out| delta::put(out, stamp(0), stamp(2), None, &VALUE));
    let next_life = record(|out| delta::begin(out, stamp(3), DEADLINE, &VALUE));
    let names: Vec<_> = (0..10).map(|i| format!("field{i}")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_bytes(), &VALUE[..50]))
        .collect();
    let hash = record(|out| delta::begin_fields(out, stamp(0), DEADLINE, &fields));
    let one = record(|out| {
        delta::put_fields(out, stamp(0), stamp(1), None, &[(b"field5", Some(b"new"))]);
    });
    println!(
        "512-byte value: {} bytes encoded; 10 fields: {}",
        begun.len(),
        hash.len()
    );

    let mut out = Vec::with_capacity(1024);
    measure("begin", || {
        out.clear();
        delta::begin(&mut out, black_box(stamp(0)), DEADLINE, black_box(&VALUE));
    });
    measure("parse", || {
        let _ = black_box(RecordRef::parse(black_box(&begun)));
    });
    measure("parse and is_live", || {
        let live = RecordRef::parse(black_box(&begun)).map(|it| it.is_live(black_box(1)));
        let _ = black_box(live);
    });
    measure("parse and digest", || {
        let _ = black_box(RecordRef::parse(black_box(&begun)).map(|it| it.digest()));
    });
    measure("parse, 10 fields", || {
        let _ = black_box(RecordRef::parse(black_box(&hash)));
    });
    measure_merge("same bytes", &begun, &begun);
    measure_merge("next life", &begun, &next_life);
    measure_merge("update with deadline", &begun, &update);
    measure_merge("update", &begun, &silent);
    measure_merge("touch", &begun, &touch);
    measure_merge("touch of 10 fields", &hash, &touch);
    measure_merge("one of 10 fields", &hash, &one);
}

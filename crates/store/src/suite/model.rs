//! Random histories, each told to the engine and to the reference: every answer must be equal.

use henge_ring::Partition;
use henge_versioning::{NEVER, Stamp, delta};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use super::{
    Make, Reference,
    records::{GRACE, Name, get, key, merge, name, page, put, scan, stamp, unlimited},
};
use crate::{Cursor, Decision, Store, Warm};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Merge(Name, Vec<u8>),
    Put(Name, Vec<u8>),
    Keep(Name),
    Read(Name),
    Page(u16, Option<Cursor>, usize),
    Sweep(u16, u64),
    Changes(u16, u64, usize),
}

/// A small world, so that steps meet: tokens at both ends of partitions and side by side, some with
/// several keys.
fn names() -> impl Strategy<Value = Name> + Clone {
    let number = select(vec![
        0,
        1,
        2,
        1 << 20,
        1 << 61,
        (1 << 62) - 2,
        (1 << 62) - 1,
    ]);
    (0..3_u16, number, 0..3_u8).prop_map(|(partition, number, twin)| name(partition, number, twin))
}

/// Deltas of three lives. Equal stamps mean equal content: all of it follows from `at`, and each
/// kind has an actor of its own.
pub(super) fn deltas() -> impl Strategy<Value = Vec<u8>> {
    (0..5_u8, 1..4_u64, 10..60_u64).prop_map(|(kind, life, at)| {
        let mut out = Vec::new();
        let (epoch, now) = (stamp(life, 1), stamp(at, 10 + u64::from(kind)));
        let deadline = if at % 7 == 0 { NEVER } else { at * 37 % 100 };
        let bytes = vec![at as u8; (at * 13 % 40) as usize];
        match kind {
            0 => delta::begin(&mut out, epoch, 20 * life, &[life as u8; 9]),
            1 => delta::put(&mut out, epoch, now, Some(deadline), &bytes),
            2 => put_field(&mut out, epoch, now, &bytes),
            3 => delta::expire(&mut out, epoch, now, deadline),
            _ => delta::bury(&mut out, epoch, deadline),
        }
        out
    })
}

fn put_field(out: &mut Vec<u8>, epoch: Stamp, now: Stamp, bytes: &[u8]) {
    let field = if bytes.len().is_multiple_of(2) {
        b"even"
    } else {
        b"odd!"
    };
    delta::put_fields(out, epoch, now, None, &[(field, Some(bytes))]);
}

fn steps() -> impl Strategy<Value = Step> {
    let partition = 0..4_u16;
    let time = prop_oneof![0..100_u64, Just(NEVER)];
    let cursor = proptest::option::of(names().prop_map(|name| Cursor(key(&name).token.0)));
    prop_oneof![
        8 => (names(), deltas()).prop_map(|(name, delta)| Step::Merge(name, delta)),
        2 => (names(), deltas()).prop_map(|(name, delta)| Step::Put(name, delta)),
        1 => names().prop_map(Step::Keep),
        3 => names().prop_map(Step::Read),
        2 => (partition.clone(), cursor, 0..9_usize).prop_map(|(p, c, n)| Step::Page(p, c, n)),
        1 => (partition.clone(), time).prop_map(|(p, t)| Step::Sweep(p, t)),
        1 => (partition, 0..40_u64, 0..20_usize).prop_map(|(p, s, n)| Step::Changes(p, s, n)),
    ]
}

/// Takes a step in both stores and compares what they answer.
fn step(engine: &dyn Store, reference: &dyn Store, step: &Step) {
    let both = [engine, reference];
    match step {
        Step::Merge(name, record) => same(both.map(|store| merge(store, name, record))),
        Step::Put(name, record) => same(both.map(|store| put(store, name, record))),
        Step::Keep(name) => same(both.map(|store| {
            store.update(key(name), &mut |_, out| {
                out.extend_from_slice(b"not used");
                Decision::Keep
            })
        })),
        Step::Read(name) => {
            same(both.map(|store| get(store, name)));
            agrees(engine, name);
        }
        Step::Page(partition, from, limit) => {
            same(both.map(|store| page(store, *partition, *from, *limit)));
        }
        Step::Sweep(partition, before_ms) => {
            same(both.map(|store| {
                let swept = store.sweep(Partition(*partition), *before_ms, GRACE);
                (swept.records, swept.siblings)
            }));
        }
        Step::Changes(partition, from, limit) => {
            same(both.map(|store| store.changes(Partition(*partition), *from, *limit)));
        }
    }
    same(both.map(|store| (store.usage().records, store.newest())));
}

/// The engine's digest is the record's, or, where nothing is under the key, nothing or another's.
fn agrees(engine: &dyn Store, name: &Name) {
    let record = get(engine, name);
    let digest = engine.digest(key(name));
    for wanted in [Warm::Digests, Warm::Outlines, Warm::Records, Warm::Updates] {
        engine.warm(&[key(name).token; 2], wanted);
    }
    assert_eq!(get(engine, name), record, "warming changes nothing");
    if let Some((_, kept)) = record {
        assert_eq!(digest, Some(kept));
    }
}

fn same<T: PartialEq + std::fmt::Debug>([engine, reference]: [T; 2]) {
    assert_eq!(
        engine, reference,
        "the engine's answer, and what it should be"
    );
}

/// Whatever is done to it, an engine answers as the [`Reference`] does, and holds the same records.
pub fn it_answers_as_the_reference(make: Make<'_>) {
    let config = Config {
        cases: 192,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(steps(), 0..120), |history| {
        let (engine, reference) = (make(unlimited()), Reference::new(unlimited()));
        history
            .iter()
            .for_each(|taken| step(&*engine, &reference, taken));
        for partition in 0..4 {
            same([&*engine, &reference as &dyn Store].map(|store| scan(store, partition, 3)));
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

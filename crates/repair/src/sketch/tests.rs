//! Differences of every size are found; what is no sketch is refused in bounded time.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Decoder, Difference, Encoder, RollUp, SketchKey, Symbol};

fn key() -> SketchKey {
    SketchKey::new(&[7; 32])
}

/// Elements from..to.
fn ids(range: std::ops::Range<u64>) -> BTreeSet<u64> {
    range.map(|n| key().id(n, n ^ 0x55)).collect()
}

/// Sends symbols, growing by a half, until the difference is found; tells how many it took.
fn reconcile(theirs: &BTreeSet<u64>, ours: &BTreeSet<u64>) -> (Difference, usize) {
    let mut encoder = Encoder::new(theirs.iter().copied(), &key());
    let mut decoder = Decoder::new(ours.iter().copied().collect(), key());
    let mut sent = 0;
    loop {
        let upto = (sent + sent / 2).max(sent + 1);
        let found = decoder.add(&encoder.symbols(upto)[sent..]);
        sent = upto;
        if let Some(difference) = found.expect("they belong together") {
            return (difference, sent);
        }
        assert!(sent < 100 + 20 * (theirs.len() + ours.len()), "no end");
    }
}

fn difference(theirs: &BTreeSet<u64>, ours: &BTreeSet<u64>) -> Difference {
    Difference {
        theirs: theirs.difference(ours).copied().collect(),
        ours: ours.difference(theirs).copied().collect(),
    }
}

#[test]
fn every_size_of_difference_is_found() {
    for d in 0..=200 {
        let (theirs, ours) = (ids(0..1000), ids(d..1000 + d / 2));
        let (found, _) = reconcile(&theirs, &ours);
        assert_eq!(found, difference(&theirs, &ours), "{d}");
    }
}

#[test]
fn large_differences_cost_less_than_one_and_a_half_symbols_an_element() {
    for d in [1_000, 5_000] {
        let (theirs, ours) = (ids(0..6_000), ids(d..6_000));
        let mut encoder = Encoder::new(theirs.iter().copied(), &key());
        let mut decoder = Decoder::new(ours.iter().copied().collect(), key());
        let mut sent = 0;
        let found = loop {
            let more = &encoder.symbols(sent + 50)[sent..];
            sent += 50;
            if let Some(found) = decoder.add(more).expect("they belong together") {
                break found;
            }
        };
        assert_eq!(found.theirs.len() as u64, d);
        assert!(sent as u64 <= d * 3 / 2, "{sent} symbols for {d}");
    }
}

#[test]
fn equal_sets_are_found_equal_by_one_symbol() {
    let (found, sent) = reconcile(&ids(0..500), &ids(0..500));
    assert_eq!((found, sent), (Difference::default(), 1));
}

#[test]
fn with_another_key_nothing_is_found() {
    let other = SketchKey::new(&[8; 32]);
    let mut encoder = Encoder::new(ids(0..10).into_iter(), &other);
    let mut decoder = Decoder::new(Vec::new(), key());
    assert_eq!(decoder.add(encoder.symbols(100)), Ok(None));
}

#[test]
fn a_single_element_in_a_symbol_that_it_does_not_belong_to_ends_the_session() {
    let id = 5;
    let lie = Symbol {
        ids: id,
        checks: key().check(id),
    };
    // No element is part of every symbol.
    let mut decoder = Decoder::new(Vec::new(), key());
    assert!(decoder.add(&[lie; 64]).is_err());
}

fn roll_up(ids: &BTreeSet<u64>) -> u64 {
    let mut sum = RollUp::default();
    ids.iter().for_each(|id| sum.add(*id, key().check(*id)));
    assert_eq!(sum.count(), ids.len() as u64);
    sum.word(&key())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_two_sets_are_reconciled(
        both in 0u64..300,
        theirs in prop::collection::btree_set(any::<u64>(), 0..150),
        ours in prop::collection::btree_set(any::<u64>(), 0..150),
    ) {
        let theirs: BTreeSet<_> = theirs.into_iter().chain(ids(0..both)).collect();
        let ours: BTreeSet<_> = ours.into_iter().chain(ids(0..both)).collect();
        prop_assert_eq!(reconcile(&theirs, &ours).0, difference(&theirs, &ours));
        prop_assert_eq!(theirs == ours, roll_up(&theirs) == roll_up(&ours));
    }

    #[test]
    fn any_symbols_end(
        symbols in prop::collection::vec(any::<(u64, u64, bool)>(), 0..200),
        own in prop::collection::btree_set(any::<u64>(), 0..50),
        step in 1usize..60,
    ) {
        let symbols: Vec<_> = symbols
            .into_iter()
            .map(|(ids, checks, honest)| Symbol {
                ids,
                checks: if honest { key().check(ids) } else { checks },
            })
            .collect();
        let mut decoder = Decoder::new(own.into_iter().collect(), key());
        for some in symbols.chunks(step) {
            if decoder.add(some).is_err() {
                break;
            }
        }
    }
}

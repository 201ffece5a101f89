//! Two stores, a joiner's and a source's, page by page.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Records by token and key: keys may share a token.
type Records = BTreeMap<(u64, u8), u64>;

fn key() -> SketchKey {
    SketchKey::new(&[7; 32])
}

/// Up to so many records from a token on, keys of one token together, and whether more follow.
fn look(records: &Records, first: u64, limit: usize) -> (Vec<Outlined>, bool) {
    let mut seen: Vec<Outlined> = Vec::new();
    for (&(token, key), &digest) in records.range((first, 0)..) {
        if seen.len() >= limit && seen.last().is_some_and(|last| last.token != token) {
            return (seen, true);
        }
        // No two keys have the same record: it holds the stamp of a write.
        let digest = digest << 8 | u64::from(key);
        seen.push(Outlined { token, digest });
    }
    (seen, false)
}

/// What one transfer sends: the number of records, of ranges and of pages.
#[derive(Debug, Default)]
struct Sent {
    records: usize,
    ranges: usize,
    pages: usize,
}

/// Pulls everything from a source that looks at `looks` records a page.
fn pull(joiner: &mut Records, source: &Records, outlined: usize, looks: usize) -> Sent {
    let (mut first, mut sent) = (0, Sent::default());
    loop {
        let (own, has_more) = look(joiner, first, outlined);
        let outline = Outline::of(&key(), &own, has_more);
        let (held, has_more) = look(source, first, looks);
        let differing = outline.differing(&key(), &held, has_more);
        sent.pages += 1;
        sent.ranges += outline.ranges.len();
        let until = differing.until.unwrap_or(u64::MAX);
        for (&(token, key), &digest) in source.range((first, 0)..=(until, u8::MAX)) {
            if differing.has(token) {
                sent.records += 1;
                let mine = joiner.entry((token, key)).or_default();
                *mine = digest.max(*mine);
            }
        }
        match differing.until {
            Some(until) if until < u64::MAX => {
                assert!(until >= first, "it goes on");
                first = until + 1;
            }
            _ => return sent,
        }
    }
}

fn records(most: usize) -> impl Strategy<Value = Records> {
    prop::collection::btree_map((0u64..400, 0u8..2), 1u64..4, 0..most)
}

proptest! {
    /// Whatever both have, the joiner has everything afterwards.
    #[test]
    fn nothing_is_left_out(
        mut joiner in records(300),
        mut source in records(300),
        both in records(300),
        outlined in 1usize..100,
        looks in 1usize..100,
    ) {
        joiner.extend(both.clone());
        source.extend(both);
        pull(&mut joiner, &source, outlined, looks);
        for (key, digest) in &source {
            prop_assert!(joiner.get(key) >= Some(digest), "{key:?} is missing");
        }
    }

    /// What is the same is not sent, and one record that differs costs its range.
    #[test]
    fn only_what_differs_is_sent(
        source in records(300),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        outlined in 40usize..100,
        looks in 150usize..200,
    ) {
        let mut joiner = source.clone();
        let tokens: Vec<u64> = source.keys().map(|key| key.0).collect();
        let lost: BTreeSet<u64> = match tokens.is_empty() {
            true => BTreeSet::new(),
            false => lost.iter().map(|at| *at.get(&tokens)).collect(),
        };
        joiner.retain(|key, _| !lost.contains(&key.0));
        let sent = pull(&mut joiner, &source, outlined, looks);
        // A range has one record more if the last two share a token; what is behind the last range,
        // and what was there, may all be sent.
        prop_assert!(sent.records <= lost.len() * (RANGE_RECORDS + 5), "{sent:?} for {lost:?}");
        prop_assert!(sent.ranges <= source.len() / RANGE_RECORDS + sent.pages, "{sent:?}");
    }

    /// An outline that makes no sense costs no more than the page.
    #[test]
    fn nonsense_harms_nobody(
        ranges in prop::collection::vec((any::<u64>(), any::<u64>()), 0..20),
        has_more in any::<bool>(),
        source in records(100),
        looks in 1usize..100,
    ) {
        let ranges = ranges.into_iter().map(|(last, word)| Range { last, word }).collect();
        let outline = Outline { ranges, has_more };
        let (held, more) = look(&source, 0, looks);
        let differing = outline.differing(&key(), &held, more);
        prop_assert!(differing.parts.len() <= held.len());
    }
}

#[test]
fn equal_stores_exchange_words_only() {
    let source: Records = (0..1_000).map(|it| ((it * 7, 0), it)).collect();
    let mut joiner = source.clone();
    let sent = pull(&mut joiner, &source, 512, 512);
    assert_eq!((sent.records, sent.pages), (0, 2));
    assert_eq!(sent.ranges, 63);
}

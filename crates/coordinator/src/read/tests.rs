//! Reads as transcripts, and against a model of replicas.

use proptest::prelude::*;

use super::*;
use crate::{Asked, Defaults};

fn consistency(mode: Mode, r: u8, places: u8) -> Consistency {
    let asked = Asked {
        r: Some(u64::from(r)),
        mode: Some(mode),
        ..Asked::default()
    };
    Defaults {
        n: 16,
        ..Defaults::default()
    }
    .resolve(&asked, places)
    .unwrap()
}

fn read(r: u8, places: u8, base: Held, repair_first: bool) -> Read {
    let infos: Vec<_> = (0..u16::from(places)).map(PlaceInfo::primary).collect();
    let all = PlaceSet::first(places);
    Read::begin(
        &infos,
        all,
        base,
        repair_first,
        &consistency(Mode::Strict, r, places),
    )
    .unwrap()
}

fn ask_all(read: &mut Read) -> Vec<u8> {
    std::iter::from_fn(|| read.next_to_ask()).collect()
}

fn repair_all(read: &mut Read) -> Vec<u8> {
    std::iter::from_fn(|| read.next_to_repair()).collect()
}

/// In the tests a digest is a set of writes and merging is union, so that "holds at least this" can
/// be told from the digest alone.
fn union(held: impl IntoIterator<Item = Held>) -> Held {
    held.into_iter().flatten().reduce(|a, b| a | b)
}

proptest! {
    /// Drives reads over replicas that hold anything, fail anywhere, in any order.
    #[test]
    fn an_answer_rests_on_r_places(
        held in prop::collection::vec(prop::option::of(1u64..8), 1..7),
        r in 1u8..7,
        repair_first in any::<bool>(),
        fails in any::<u16>(),
        repair_fails in any::<u16>(),
        hedges in 0u8..3,
    ) {
        let places = held.len() as u8;
        let r = r.min(places);
        let mut stored = held.clone();
        let mut read = read(r, places, held[0], repair_first);
        (0..hedges).for_each(|_| { read.hedge(); });
        let mut last = ReadStep::Wait;
        let mut seen = PlaceSet::EMPTY;
        while let (ReadStep::Wait, Some(place)) = (last, read.next_to_ask()) {
            prop_assert!(!seen.contains(place), "asked twice");
            seen.insert(place);
            last = match fails >> place & 1 {
                1 => read.failed(place),
                _ => read.replied(place, held[usize::from(place)]),
            };
        }
        let answered = read.tally().acked();
        let merged = union(answered.into_iter().map(|place| held[usize::from(place)]));
        if last == ReadStep::Merge {
            prop_assert_eq!(answered.len(), r);
            last = read.merged(merged);
            while let (ReadStep::Wait, Some(place)) = (last, read.next_to_repair()) {
                prop_assert!(merged.is_some());
                last = match repair_fails >> place & 1 {
                    1 => read.failed(place),
                    _ => {
                        let record = &mut stored[usize::from(place)];
                        *record = union([*record, merged]);
                        read.repaired(place)
                    }
                };
            }
        }
        match last {
            ReadStep::Answer => {
                let holds = |held: &&Held| union([**held, merged]) == **held;
                let holders = stored.iter().filter(holds).count();
                prop_assert!(!repair_first || holders >= usize::from(r));
                let owed = read.repair_owed(merged);
                for place in answered {
                    let behind = stored[usize::from(place)] != merged && merged.is_some();
                    prop_assert_eq!(owed.contains(place), behind);
                }
            }
            ReadStep::Fail(error) => {
                let (ReadError::Unanswered { needed, got } | ReadError::Unrepaired { needed, got }) = error else {
                    return Err(TestCaseError::fail("nobody asked on"));
                };
                prop_assert!(got < needed && needed == r);
            }
            ReadStep::Wait | ReadStep::Merge => prop_assert!(false, "stuck"),
        }
        prop_assert!(read.is_answered());
        prop_assert_eq!(read.deadline(), ReadStep::Wait, "answered once");
    }

    /// Never more requests than R, plus one for each failure and each hedge, and never more than N.
    #[test]
    fn asks_no_more_than_it_must(
        r in 1u8..6,
        hedges in 0u8..8,
        fails in prop::collection::vec(0u8..6, 0..6),
    ) {
        let mut read = read(r, 6, None, false);
        (0..hedges).for_each(|_| { read.hedge(); });
        ask_all(&mut read);
        for place in &fails {
            let _ = read.failed(*place);
            ask_all(&mut read);
        }
        let failed: PlaceSet = fails.into_iter().collect();
        prop_assert!(read.asked().len() <= (r + hedges + failed.len()).min(6));
    }
}

#[test]
fn asks_the_best_r_and_merges_when_they_have_answered() {
    let mut read = read(2, 3, Some(1), false);
    assert_eq!(ask_all(&mut read), [0, 1]);
    assert_eq!(read.base(), Some(1));
    assert_eq!(read.same(0), ReadStep::Wait);
    assert!(read.is_collecting());
    assert_eq!(read.same(1), ReadStep::Merge);
    assert!(!read.is_collecting());
    assert_eq!(read.merged(Some(1)), ReadStep::Answer);
    assert!(read.repair_owed(Some(1)).is_empty());
    assert!(read.is_settled(), "the third replica was never asked");
}

#[test]
fn a_failure_brings_in_the_next_best() {
    let mut read = read(2, 3, Some(1), false);
    ask_all(&mut read);
    assert_eq!(read.failed(1), ReadStep::Wait);
    assert_eq!(ask_all(&mut read), [2]);
    assert_eq!(read.same(0), ReadStep::Wait);
    let lost = ReadError::Unanswered { needed: 2, got: 1 };
    assert_eq!(
        lost.to_string(),
        "too few replicas answered: needed 2 got 1"
    );
    assert_eq!(read.failed(2), ReadStep::Fail(lost));
    assert_eq!(read.same(2), ReadStep::Wait, "too late");
}

#[test]
fn the_slow_replicas_late_reply_is_still_repaired() {
    let mut read = read(2, 3, Some(2), false);
    ask_all(&mut read);
    assert!(read.hedge());
    assert_eq!(ask_all(&mut read), [2]);
    let _ = read.same(0);
    assert_eq!(read.replied(2, Some(2)), ReadStep::Merge);
    assert_eq!(read.merged(Some(2)), ReadStep::Answer);
    assert!(!read.is_settled());
    assert_eq!(read.replied(1, None), ReadStep::Wait);
    assert!(read.is_settled());
    assert!(read.repair_owed(Some(2)).into_iter().eq([1]));
}

#[test]
fn repairs_before_it_answers_when_asked_to() {
    let mut read = read(2, 3, Some(1), true);
    ask_all(&mut read);
    let _ = read.same(0);
    assert_eq!(read.replied(1, Some(2)), ReadStep::Merge);
    assert_eq!(
        read.merged(Some(3)),
        ReadStep::Wait,
        "nobody holds the join of both"
    );
    assert_eq!(repair_all(&mut read), [0, 1]);
    assert_eq!(read.repaired(0), ReadStep::Wait);
    assert_eq!(read.repaired(1), ReadStep::Answer);
    assert!(read.repair_owed(Some(3)).is_empty());
}

#[test]
fn agreement_needs_no_repair_round() {
    let mut read = read(2, 3, Some(1), true);
    ask_all(&mut read);
    let _ = read.same(0);
    let _ = read.same(1);
    assert_eq!(read.merged(Some(1)), ReadStep::Answer);
    let mut nobody = self::read(2, 3, None, true);
    ask_all(&mut nobody);
    let _ = nobody.same(0);
    let _ = nobody.replied(1, None);
    assert_eq!(nobody.merged(None), ReadStep::Answer);
}

#[test]
fn a_failed_repair_is_made_good_by_a_replica_that_was_not_asked() {
    let mut read = read(2, 3, Some(1), true);
    ask_all(&mut read);
    let _ = read.same(0);
    let _ = read.replied(1, None);
    assert_eq!(read.merged(Some(1)), ReadStep::Wait);
    assert_eq!(repair_all(&mut read), [1]);
    assert_eq!(read.failed(1), ReadStep::Wait);
    assert_eq!(repair_all(&mut read), [2]);
    let unrepaired = ReadError::Unrepaired { needed: 2, got: 1 };
    assert_eq!(read.clone().deadline(), ReadStep::Fail(unrepaired));
    assert_eq!(read.clone().failed(2), ReadStep::Fail(unrepaired));
    assert_eq!(read.repaired(2), ReadStep::Answer);
}

#[test]
fn a_late_reply_that_holds_the_same_counts_as_repaired() {
    let mut read = read(2, 3, Some(1), true);
    ask_all(&mut read);
    read.hedge();
    ask_all(&mut read);
    let _ = read.same(0);
    let _ = read.replied(1, None);
    assert_eq!(read.merged(Some(1)), ReadStep::Wait);
    assert_eq!(read.same(2), ReadStep::Answer);
    assert!(read.repair_owed(Some(1)).into_iter().eq([1]));
}

#[test]
fn strict_mode_reads_primaries_only() {
    let places = [
        PlaceInfo::primary(0),
        PlaceInfo::fallback(9, 1),
        PlaceInfo::primary(2),
    ];
    let all = PlaceSet::first(3);
    let strict = consistency(Mode::Strict, 2, 3);
    let mut read = Read::begin(&places, all, None, false, &strict).unwrap();
    assert_eq!(ask_all(&mut read), [0, 2]);
    let _ = read.same(0);
    assert_eq!(read.same(1), ReadStep::Wait);
    assert_eq!(read.tally().got(), 1);
    let three = consistency(Mode::Strict, 3, 3);
    let refused = Read::begin(&places, all, None, false, &three).unwrap_err();
    assert_eq!(refused, ReadError::Unanswered { needed: 3, got: 2 });
}

#[test]
fn a_deadline_fails_a_read_once() {
    let mut read = read(2, 3, None, false);
    ask_all(&mut read);
    let late = ReadStep::Fail(ReadError::Unanswered { needed: 2, got: 0 });
    assert_eq!(read.deadline(), late);
    assert_eq!(read.deadline(), ReadStep::Wait);
    assert_eq!(read.next_to_ask(), None);
    assert!(!read.hedge());
}

#[test]
fn the_cheapest_places_are_asked_first() {
    let cost = |node: u16| [3, 1, 0, 1][usize::from(node)];
    let mut read = read(3, 4, None, false);
    let asked: Vec<_> = std::iter::from_fn(|| read.next_to_ask_by(cost)).collect();
    assert_eq!(asked, [2, 1, 3], "of equals the first");
    assert!(read.hedge());
    assert_eq!(read.next_to_ask_by(cost), Some(0));
    assert_eq!(read.next_to_ask_by(cost), None);
}

#[test]
fn a_quorum_that_is_too_old_asks_everybody() {
    let mut read = read(1, 3, Some(1), false);
    assert_eq!(ask_all(&mut read), [0]);
    assert_eq!(read.replied(0, Some(1)), ReadStep::Merge);
    assert_eq!(read.ask_on(), ReadStep::Wait);
    assert!(read.is_collecting());
    assert_eq!(ask_all(&mut read), [1, 2]);
    // Each further answer is looked at; this one does not suffice either.
    assert_eq!(read.replied(2, None), ReadStep::Merge);
    assert_eq!(read.ask_on(), ReadStep::Wait);
    assert_eq!(ask_all(&mut read), []);
    assert_eq!(read.replied(1, Some(3)), ReadStep::Merge);
    assert_eq!(read.merged(Some(3)), ReadStep::Answer);
    assert_eq!(
        read.repair_owed(Some(3)).iter().collect::<Vec<_>>(),
        [0, 2],
        "both that were older are repaired"
    );
}

#[test]
fn a_read_that_finds_nothing_new_enough_fails_with_its_numbers() {
    let older = |needed, got| ReadStep::Fail(ReadError::Older { needed, got });
    let begun = || {
        let mut read = read(1, 3, Some(1), true);
        ask_all(&mut read);
        assert_eq!(read.replied(0, Some(1)), ReadStep::Merge);
        assert_eq!(read.ask_on(), ReadStep::Wait);
        ask_all(&mut read);
        read
    };

    let mut all_old = begun();
    assert_eq!(all_old.replied(1, Some(1)), ReadStep::Merge);
    assert_eq!(all_old.ask_on(), ReadStep::Wait);
    assert_eq!(all_old.replied(2, None), ReadStep::Merge);
    assert_eq!(all_old.ask_on(), older(3, 3));

    let mut others_fail = begun();
    assert_eq!(others_fail.failed(1), ReadStep::Wait);
    assert_eq!(others_fail.failed(2), older(3, 1));
    assert_eq!(others_fail.failed(2), ReadStep::Wait, "said once");

    let mut one_silent = begun();
    assert_eq!(one_silent.failed(1), ReadStep::Wait);
    assert_eq!(one_silent.deadline(), older(3, 1));
}

#[test]
fn one_that_asks_on_still_repairs_before_it_answers() {
    let mut read = read(2, 3, Some(1), true);
    assert_eq!(ask_all(&mut read), [0, 1]);
    assert_eq!(read.replied(0, Some(1)), ReadStep::Wait);
    assert_eq!(read.same(1), ReadStep::Merge);
    assert_eq!(read.ask_on(), ReadStep::Wait);
    assert_eq!(ask_all(&mut read), [2]);
    assert_eq!(read.replied(2, Some(3)), ReadStep::Merge);
    assert_eq!(read.merged(Some(3)), ReadStep::Wait);
    assert_eq!(repair_all(&mut read), [0, 1]);
    assert_eq!(read.repaired(1), ReadStep::Answer);
}

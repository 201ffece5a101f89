//! A write's answers against what really happened at its replicas.

use proptest::prelude::*;

use super::*;
use crate::{Asked, Defaults};

fn consistency(mode: Mode, w: u8, places: u8) -> Consistency {
    let asked = Asked {
        w: Some(u64::from(w)),
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

fn primaries(count: u16) -> Vec<PlaceInfo> {
    (0..count).map(PlaceInfo::primary).collect()
}

fn write(w: u8, places: u8) -> Write {
    let infos = primaries(u16::from(places));
    Write::begin(
        &infos,
        PlaceSet::first(places),
        &consistency(Mode::Sloppy, w, places),
    )
    .unwrap()
}

/// The same, begun before with other places.
fn write_again(w: u8, places: u8) -> Write {
    let infos = primaries(u16::from(places));
    Write::begin_again(
        &infos,
        PlaceSet::first(places),
        &[],
        &consistency(Mode::Sloppy, w, places),
    )
    .unwrap()
}

/// What comes of one message, and whether its replica applied it.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Acked,
    Refused,
    LostAfterApplying,
    LostBeforeApplying,
    Silent,
    AppliesAfterTheEnd,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        Just(Fate::Acked),
        Just(Fate::Refused),
        Just(Fate::LostAfterApplying),
        Just(Fate::LostBeforeApplying),
        Just(Fate::Silent),
        Just(Fate::AppliesAfterTheEnd),
    ];
    prop::collection::vec(fate, 1..8)
}

proptest! {
    /// *Ok* means on W distinct replicas; *failed* means on none, ever. One answer per write.
    #[test]
    fn an_answer_is_never_a_guess(
        fates in fates(),
        w in 1u8..8,
        order in any::<prop::sample::Index>(),
    ) {
        let places = fates.len() as u8;
        let w = w.min(places);
        let mut write = write(w, places);
        let mut answers = Vec::new();
        let mut applied = PlaceSet::EMPTY;
        for step in 0..places {
            let place = (step + order.index(places.into()) as u8) % places;
            answers.extend(match fates[usize::from(place)] {
                Fate::Acked => { applied.insert(place); write.acked(place, Kept::InMemory) }
                Fate::Refused => write.refused(place, Refusal::Full),
                Fate::LostAfterApplying => { applied.insert(place); write.lost(place) }
                Fate::LostBeforeApplying => write.lost(place),
                Fate::Silent => None,
                Fate::AppliesAfterTheEnd => None,
            });
            if answers == [Ok(())] {
                prop_assert!(applied.len() >= w);
            }
        }
        answers.extend(write.deadline());
        for place in 0..places {
            if matches!(fates[usize::from(place)], Fate::AppliesAfterTheEnd) {
                applied.insert(place);
                answers.extend(write.acked(place, Kept::InMemory));
            }
        }
        prop_assert_eq!(answers.len(), 1, "{:?}", answers);
        prop_assert_eq!(write.answer(), Some(answers[0]));
        match answers[0] {
            Ok(()) => prop_assert!(applied.len() >= w),
            Err(WriteError::Failed { .. }) => prop_assert!(applied.is_empty()),
            Err(WriteError::Unknown { .. }) => {
                let certain = fates.iter().all(|fate| matches!(fate, Fate::Refused));
                prop_assert!(!certain, "unknown, although every place refused");
            }
        }
    }

    /// Whatever happens, a place is either known to keep the record or owed a hint, never both;
    /// and a write that no replica is known to keep owes nothing.
    #[test]
    fn each_place_is_acknowledged_or_owed(fates in fates(), w in 1u8..8) {
        let places = fates.len() as u8;
        let mut write = write(w.min(places), places);
        for (place, fate) in (0..).zip(&fates) {
            match fate {
                Fate::Acked => write.acked(place, Kept::Durable),
                Fate::Refused => write.refused(place, Refusal::Busy),
                _ => write.lost(place),
            };
        }
        let owed: PlaceSet = write.owed().map(|owed| owed.place).collect();
        let acked = write.tally().acked();
        prop_assert!(owed.intersection(acked).is_empty());
        match acked.is_empty() {
            true => prop_assert!(owed.is_empty()),
            false => prop_assert_eq!(owed.union(acked), PlaceSet::first(places)),
        }
    }

    /// Whatever the new places answer: once begun before, never called failed; and *ok* needs as many
    /// of the new ones as ever.
    #[test]
    fn a_write_that_was_begun_before_never_fails(fates in fates(), w in 1u8..8) {
        let places = fates.len() as u8;
        let w = w.min(places);
        let mut write = write_again(w, places);
        let mut answers = Vec::new();
        for (place, fate) in (0..).zip(&fates) {
            answers.extend(match fate {
                Fate::Acked => write.acked(place, Kept::InMemory),
                Fate::Silent | Fate::AppliesAfterTheEnd => None,
                Fate::LostAfterApplying | Fate::LostBeforeApplying => write.lost(place),
                Fate::Refused => write.refused(place, Refusal::Full),
            });
        }
        answers.extend(write.deadline());
        let acked = fates.iter().filter(|fate| matches!(fate, Fate::Acked)).count();
        prop_assert_eq!(answers.len(), 1, "{:?}", answers);
        match answers[0] {
            Ok(()) => prop_assert!(acked >= usize::from(w)),
            Err(WriteError::Unknown { .. }) => prop_assert!(acked < usize::from(w)),
            Err(WriteError::Failed { .. }) => prop_assert!(false, "it may lie elsewhere"),
        }
        let owed: PlaceSet = write.owed().map(|owed| owed.place).collect();
        prop_assert_eq!(owed.union(write.tally().acked()), PlaceSet::first(places));
    }

    /// A receipt never shows more copies than places, and later ones never show fewer.
    #[test]
    fn receipts_only_grow(acks in prop::collection::vec((0u8..5, any::<bool>()), 0..20)) {
        let mut write = write(3, 5);
        let mut before = 0;
        for (place, durable) in acks {
            write.acked(place, if durable { Kept::Durable } else { Kept::InMemory });
            let receipt = write.receipt();
            prop_assert!(receipt.got >= before && receipt.got <= 5);
            prop_assert!(receipt.durable() <= usize::from(receipt.got));
            before = receipt.got;
        }
    }
}

#[test]
fn ok_as_soon_as_w_places_keep_it_and_the_rest_is_owed() {
    let mut write = write(2, 3);
    assert_eq!(write.acked(0, Kept::Durable), None);
    assert_eq!(
        write.acked(0, Kept::Durable),
        None,
        "one place twice is one place"
    );
    assert_eq!(write.acked(2, Kept::InMemory), Some(Ok(())));
    assert!(!write.is_settled());
    assert!(write.owed().eq([Owed {
        place: 1,
        target: 1
    }]));
    assert_eq!(write.acked(1, Kept::InMemory), None, "answered once");
    assert!(write.is_settled());
    assert_eq!(write.owed().count(), 0);
}

#[test]
fn too_few_reachable_places_fail_before_anything_is_sent() {
    let reachable = [0, 2].into_iter().collect();
    let begun = Write::begin(&primaries(3), reachable, &consistency(Mode::Sloppy, 3, 3));
    let error = begun.unwrap_err();
    assert_eq!(error, WriteError::Failed { needed: 3, got: 2 });
    assert_eq!(error.to_string(), "nothing was written: needed 3 got 2");
}

#[test]
fn an_unreachable_place_is_not_sent_to_but_owed() {
    let reachable = [0, 2].into_iter().collect();
    let mut write =
        Write::begin(&primaries(3), reachable, &consistency(Mode::Sloppy, 2, 3)).unwrap();
    assert!(write.unanswered().into_iter().eq([0, 2]));
    write.acked(0, Kept::InMemory);
    assert_eq!(write.acked(2, Kept::InMemory), Some(Ok(())));
    assert!(write.is_settled());
    assert!(write.owed().eq([Owed {
        place: 1,
        target: 1
    }]));
}

#[test]
fn unknown_when_a_replica_may_have_it() {
    let mut write = write(2, 3);
    assert_eq!(write.lost(0), None);
    let answer = write.lost(1).unwrap();
    assert_eq!(answer, Err(WriteError::Unknown { needed: 2, got: 0 }));
    assert_eq!(
        answer.unwrap_err().to_string(),
        "the write may have happened: needed 2 got 0"
    );
}

#[test]
fn waits_for_the_last_word_while_failed_is_possible() {
    let mut full = write(2, 3);
    assert_eq!(full.refused(0, Refusal::Full), None);
    assert_eq!(
        full.refused(1, Refusal::Busy),
        None,
        "the third place decides what to say"
    );
    let failed = Err(WriteError::Failed { needed: 2, got: 0 });
    assert_eq!(full.clone().refused(2, Refusal::Full), Some(failed));
    assert_eq!(full.refusal(), Some(Refusal::Full));

    let unknown = |got| Some(Err(WriteError::Unknown { needed: 2, got }));
    assert_eq!(full.clone().acked(2, Kept::InMemory), unknown(1));
    assert_eq!(full.clone().lost(2), unknown(0));
    assert_eq!(full.deadline(), unknown(0));
}

#[test]
fn a_failed_write_never_spreads() {
    let mut write = write(1, 2);
    write.refused(0, Refusal::Unsent);
    assert_eq!(
        write.refused(1, Refusal::Unsent),
        Some(Err(WriteError::Failed { needed: 1, got: 0 }))
    );
    assert_eq!(write.owed().count(), 0);
}

#[test]
fn an_unknown_write_that_some_replica_keeps_is_completed() {
    let mut write = write(3, 3);
    write.acked(1, Kept::InMemory);
    assert_eq!(
        write.deadline(),
        Some(Err(WriteError::Unknown { needed: 3, got: 1 }))
    );
    assert!(write.owed().map(|owed| owed.target).eq([0, 2]));
}

#[test]
fn strict_mode_counts_primaries_only() {
    let places = [
        PlaceInfo::primary(7),
        PlaceInfo::fallback(9, 8),
        PlaceInfo::primary(5),
    ];
    let strict = consistency(Mode::Strict, 2, 3);
    let mut write = Write::begin(&places, PlaceSet::first(3), &strict).unwrap();
    assert!(
        write.unanswered().into_iter().eq([0, 2]),
        "the fallback is not even asked"
    );
    write.acked(0, Kept::InMemory);
    assert_eq!(write.acked(1, Kept::InMemory), None);
    assert_eq!(write.tally().got(), 1);
    assert!(!write.reroute(2, 11));
    assert_eq!(write.acked(2, Kept::InMemory), Some(Ok(())));
    assert!(write.owed().eq([Owed {
        place: 1,
        target: 8
    }]));

    let too_many = consistency(Mode::Strict, 3, 3);
    let refused = Write::begin(&places, PlaceSet::first(3), &too_many).unwrap_err();
    assert_eq!(refused, WriteError::Failed { needed: 3, got: 2 });
}

#[test]
fn a_fallback_takes_over_a_place_and_keeps_it_one_place() {
    let mut write = write(2, 2);
    assert_eq!(write.place_of(1), Some(1));
    assert!(!write.reroute(1, 0), "one node cannot fill two places");
    assert!(write.reroute(1, 9));
    assert_eq!(
        write.place_of(1),
        None,
        "the primary's late answer finds no place"
    );
    assert_eq!(write.place_of(9), Some(1));
    assert_eq!(write.place(1), Some(PlaceInfo::fallback(9, 1)));
    assert!(write.reroute(1, 10));
    assert_eq!(
        write.place(1),
        Some(PlaceInfo::fallback(10, 1)),
        "still for the same primary"
    );
    write.acked(0, Kept::InMemory);
    assert!(!write.reroute(0, 12), "a place that acknowledged stays");
    assert_eq!(write.acked(1, Kept::Durable), Some(Ok(())));
    let receipt = write.receipt();
    assert_eq!(
        (receipt.got, receipt.durable(), receipt.on_fallbacks()),
        (2, 1, 1)
    );
    assert_eq!(
        write.owed().count(),
        0,
        "the fallback keeps the hint itself"
    );
}

#[test]
fn rerouting_does_not_forget_that_the_first_node_may_have_it() {
    let mut write = write(1, 1);
    assert!(write.reroute(0, 9));
    assert_eq!(
        write.refused(0, Refusal::Full),
        Some(Err(WriteError::Unknown { needed: 1, got: 0 }))
    );
}

#[test]
fn a_receipt_names_every_place() {
    let places = [
        PlaceInfo::primary(3),
        PlaceInfo::fallback(9, 4),
        PlaceInfo::primary(5),
    ];
    let sloppy = consistency(Mode::Sloppy, 2, 3);
    let mut write = Write::begin(&places, PlaceSet::first(3), &sloppy).unwrap();
    write.acked(0, Kept::Durable);
    write.lost(1);
    let receipt = write.receipt();
    let statuses: Vec<_> = receipt.places.iter().map(|place| place.status).collect();
    use PlaceStatus::{Durable, Failed, Pending};
    assert_eq!(statuses, [Durable, Failed, Pending]);
    assert_eq!(
        (receipt.needed, receipt.got, receipt.on_fallbacks()),
        (2, 1, 0)
    );
}

#[test]
fn a_place_the_key_does_not_have_changes_nothing() {
    let mut write = write(1, 1);
    assert_eq!(write.acked(5, Kept::Durable), None);
    assert_eq!(write.lost(200), None);
    assert!(!write.reroute(5, 9));
    assert_eq!(write.tally().got(), 0);
}

#[test]
fn a_write_that_was_begun_before_does_not_wait_for_certainty() {
    let mut write = write_again(2, 3);
    assert_eq!(write.refused(0, Refusal::Skew), None);
    assert_eq!(
        write.refused(1, Refusal::Skew),
        Some(Err(WriteError::Unknown { needed: 2, got: 0 })),
        "the third place cannot make it failed"
    );
}

#[test]
fn a_write_that_was_begun_before_is_unknown_where_too_few_can_be_reached() {
    let reachable = PlaceSet::first(1);
    let begun = Write::begin_again(
        &primaries(3),
        reachable,
        &[],
        &consistency(Mode::Sloppy, 2, 3),
    );
    assert_eq!(
        begun.unwrap_err(),
        WriteError::Unknown { needed: 2, got: 0 }
    );
}

//! The tally against a naive model, and the cases a reader would ask about.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Ack(u8),
    Fail(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Up to three numbers beyond the last place: they must change nothing.
    let event = (any::<bool>(), 0u8..MAX_PLACES + 3).prop_map(|(ack, place)| match ack {
        true => Event::Ack(place),
        false => Event::Fail(place),
    });
    prop::collection::vec(event, 0..60)
}

/// What each place last became; an acknowledgement sticks.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Silent,
    Acked,
    Failed,
}

fn naive(model: &[Place], need: u8) -> Verdict {
    let count = |what| model.iter().filter(|&&place| place == what).count();
    let need = usize::from(need);
    if count(Place::Acked) >= need {
        Verdict::Met
    } else if count(Place::Acked) + count(Place::Silent) < need {
        Verdict::Impossible
    } else {
        Verdict::Pending
    }
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(
        places in 0..=MAX_PLACES,
        need in 0..=MAX_PLACES + 2,
        events in events(),
    ) {
        let mut tally = Tally::new(places, need);
        let mut model = vec![Place::Silent; usize::from(places)];
        prop_assert_eq!(tally.verdict(), naive(&model, need));
        for event in events {
            let verdict = match event {
                Event::Ack(place) => tally.ack(place),
                Event::Fail(place) => tally.fail(place),
            };
            match event {
                Event::Ack(place) if place < places => model[usize::from(place)] = Place::Acked,
                Event::Fail(place) if place < places => {
                    let known = &mut model[usize::from(place)];
                    if *known == Place::Silent {
                        *known = Place::Failed;
                    }
                }
                _ => {}
            }
            prop_assert_eq!(verdict, naive(&model, need));
            let silent = (0..places).filter(|&p| model[usize::from(p)] == Place::Silent);
            prop_assert!(tally.unanswered().into_iter().eq(silent));
            let failed = (0..places).filter(|&p| model[usize::from(p)] == Place::Failed);
            prop_assert!(tally.failed().into_iter().eq(failed));
        }
    }

    /// Met is final, and the number of places counted never falls.
    #[test]
    fn acknowledgements_are_never_taken_back(places in 1..=MAX_PLACES, events in events()) {
        let mut tally = Tally::new(places, places.div_ceil(2));
        let mut before = (tally.verdict(), tally.got());
        for event in events {
            let verdict = match event {
                Event::Ack(place) => tally.ack(place),
                Event::Fail(place) => tally.fail(place),
            };
            prop_assert!(tally.got() >= before.1);
            prop_assert!(before.0 != Verdict::Met || verdict == Verdict::Met);
            before = (verdict, tally.got());
        }
    }

    /// The order in which places acknowledge, and how often, is no matter.
    #[test]
    fn counts_places_and_not_answers(acks in prop::collection::vec(0u8..5, 0..20)) {
        let mut tally = Tally::new(5, 3);
        acks.iter().for_each(|&place| { tally.ack(place); });
        let distinct: PlaceSet = acks.iter().copied().collect();
        prop_assert_eq!(tally.got(), distinct.len());
        prop_assert_eq!(tally.acked(), distinct);
    }
}

#[test]
fn one_place_that_answers_twice_is_no_quorum() {
    let mut tally = Tally::new(3, 2);
    assert_eq!(tally.ack(1), Verdict::Pending);
    assert_eq!(tally.ack(1), Verdict::Pending);
    assert_eq!(tally.ack(2), Verdict::Met);
}

#[test]
fn stops_as_soon_as_the_quorum_is_out_of_reach() {
    let mut tally = Tally::new(3, 2);
    assert_eq!(tally.fail(0), Verdict::Pending);
    assert_eq!(tally.fail(2), Verdict::Impossible);
}

#[test]
fn a_place_given_up_too_early_still_counts() {
    let mut tally = Tally::new(3, 2);
    tally.fail(0);
    assert_eq!(tally.fail(1), Verdict::Impossible);
    assert_eq!(tally.ack(1), Verdict::Pending);
    assert_eq!(tally.ack(0), Verdict::Met);
    assert!(tally.failed().is_empty());
}

#[test]
fn a_reopened_place_is_unanswered_again() {
    let mut tally = Tally::new(2, 2);
    assert_eq!(tally.fail(0), Verdict::Impossible);
    tally.reopen(0);
    assert_eq!(tally.verdict(), Verdict::Pending);
    assert!(tally.unanswered().contains(0));
}

#[test]
#[should_panic(expected = "at most 16")]
fn more_places_than_a_key_can_have_are_a_bug() {
    Tally::new(MAX_PLACES + 1, 1);
}

proptest! {
    #[test]
    fn a_joint_tally_is_met_when_each_set_would_be(
        sets in proptest::collection::vec(1u16..256, 2..4),
        need in 1u8..4,
        events in proptest::collection::vec((0u8..8, proptest::bool::ANY), 0..12),
    ) {
        let sets: Vec<PlaceSet> = sets
            .iter()
            .map(|bits| (0..8u8).filter(|place| bits & (1 << place) != 0).collect())
            .collect();
        let mut joint = Tally::new(8, need).jointly(&sets);
        let (mut acked, mut failed) = (PlaceSet::EMPTY, PlaceSet::EMPTY);
        for (place, ack) in events {
            let verdict = if ack { joint.ack(place) } else { joint.fail(place) };
            if ack {
                acked.insert(place);
                failed.remove(place);
            } else if !acked.contains(place) {
                failed.insert(place);
            }
            let need = |set: &PlaceSet| need.min(set.len());
            let met = sets.iter().all(|set| set.intersection(acked).len() >= need(set));
            let lost = sets.iter().any(|set| set.difference(failed).len() < need(set));
            let expected = match (met, lost) {
                (true, _) => Verdict::Met,
                (false, true) => Verdict::Impossible,
                (false, false) => Verdict::Pending,
            };
            prop_assert_eq!(verdict, expected);
            let (needed, got) = joint.needed_and_got();
            prop_assert_eq!(got < needed, !met, "what is told does not contradict the verdict");
        }
    }
}

#[test]
fn of_several_sets_the_one_that_lacks_most_is_told() {
    let sets = [[0, 1, 2], [1, 2, 3]].map(|set| set.into_iter().collect::<PlaceSet>());
    let mut tally = Tally::new(4, 3).jointly(&sets);
    tally.fail(3);
    assert_eq!(
        tally.needed_and_reachable(),
        (3, 2),
        "though three can be reached"
    );
    for place in [0, 1] {
        tally.ack(place);
    }
    assert_eq!(tally.needed_and_got(), (3, 1));
    assert_eq!(Tally::new(4, 3).needed_and_got(), (3, 0));
}

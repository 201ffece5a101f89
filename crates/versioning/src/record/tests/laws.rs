//! The semilattice laws on encoded records, and what follows from them for histories of deltas.

use super::*;
use crate::delta;

/// Records of any kind, and often such as take the path that does not decode.
fn three() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    (any_encoded(), any_encoded(), any_encoded())
}

fn is_above(upper: &[u8], lower: &[u8]) -> bool {
    join(upper, lower) == upper && join(lower, upper) == upper
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn merging_is_idempotent_and_commutative((a, b, _) in three()) {
        prop_assert_eq!(merge(&a, &a, &mut Vec::new()), Ok(Merge::Unchanged));
        prop_assert_eq!(join(&a, &b), join(&b, &a));
    }

    #[test]
    fn merging_is_associative((a, b, c) in three()) {
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
    }

    #[test]
    fn a_merge_is_the_least_record_above_both((a, b, c) in three()) {
        let joined = join(&a, &b);
        prop_assert!(is_above(&joined, &a) && is_above(&joined, &b));
        // Whatever else is above both is above the join.
        let upper = join(&join(&c, &a), &b);
        prop_assert!(is_above(&upper, &joined));
    }

    #[test]
    fn merging_encodings_is_merging_what_they_mean(a in any_record(), b in any_record()) {
        prop_assert_eq!(join(&encoded(&a), &encoded(&b)), encoded(&a.join(&b)));
    }

    #[test]
    fn death_absorbs_all_of_its_epoch_but_the_horizon((a, b, _) in three(), horizon in any_time()) {
        let (a, b) = (parse(&a), parse(&b));
        let mut burial = Vec::new();
        delta::bury(&mut burial, a.epoch(), horizon);
        let buried = join(a.as_bytes(), &burial);
        prop_assert!(parse(&buried).is_dead());
        prop_assert_eq!(parse(&buried).form(), Form::Empty);

        let later = join(&buried, b.as_bytes());
        if b.epoch() == a.epoch() {
            let mut same = Vec::new();
            let horizon = parse(&later).horizon();
            delta::bury(&mut same, a.epoch(), horizon);
            prop_assert_eq!(&later, &same, "only the horizon may have moved");
            prop_assert!(horizon >= parse(&buried).horizon());
        } else if b.epoch() > a.epoch() {
            prop_assert_eq!(&later[..], b.as_bytes(), "a new life is not harmed");
        } else {
            prop_assert_eq!(later, buried, "an old life does not matter");
        }
    }

    #[test]
    fn the_horizon_covers_every_deadline((a, b, _) in three()) {
        let (a, b) = (parse(&a), parse(&b));
        let joined = join(a.as_bytes(), b.as_bytes());
        let joined = parse(&joined);
        for part in [a, b, joined].into_iter().filter(|it| it.epoch() == joined.epoch()) {
            if part.deadline().stamp != Stamp::default() {
                prop_assert!(joined.horizon() >= part.deadline().at);
            }
        }
    }

    #[test]
    fn nothing_live_is_removable_and_a_longer_grace_never_removes_earlier(
        (a, _, _) in three(), now in any_time(), grace in any_time(), more in any_time(),
    ) {
        let record = parse(&a);
        prop_assert!(!record.is_live(now) || record.removable_at(0) > now);
        let longer = record.removable_at(grace.saturating_add(more));
        prop_assert!(record.removable_at(grace) <= longer);
        prop_assert!(longer <= record.horizon());
    }

    #[test]
    fn merged_outlines_are_live_exactly_when_merged_records_are(
        (a, b, _) in three(), now in any_time(),
    ) {
        let outline = |bytes: &[u8]| {
            let mut out = Vec::new();
            parse(bytes).outline(&mut out);
            assert!(is_above(bytes, &out), "an outline lies below its record");
            out
        };
        let (full, lean) = (join(&a, &b), join(&outline(&a), &outline(&b)));
        prop_assert_eq!(parse(&full).is_live(now), parse(&lean).is_live(now));
        prop_assert_eq!(parse(&full).newest(), parse(&lean).newest());
    }
}

/// One client's call, as a delta.
fn any_delta() -> impl Strategy<Value = Vec<u8>> {
    let epoch = || prop_oneof![3 => Just(stamp(1, 1)), 1 => Just(stamp(2, 1))];
    let call = (0..10_u8, epoch(), any_stamp(), prop::option::of(any_time()));
    (call, any_bytes(), any_bytes()).prop_map(|((call, epoch, stamp, deadline), name, value)| {
        let mut out = Vec::new();
        let at = deadline.unwrap_or(7);
        match call {
            0 => delta::begin(&mut out, epoch, at, value),
            1 => delta::begin_fields(&mut out, epoch, at, &[(name, value), (b"k", b"v")]),
            2 => delta::put(&mut out, epoch, stamp, deadline, value),
            3 => delta::put_fields(&mut out, epoch, stamp, deadline, &[(name, Some(value))]),
            4 => delta::put_fields(&mut out, epoch, stamp, deadline, &[(name, None)]),
            5 => delta::expire(&mut out, epoch, stamp, at),
            6 => delta::insert(&mut out, epoch, stamp, deadline, name, &[value]),
            7 => delta::cap(&mut out, epoch, at),
            8 => delta::add(&mut out, None, epoch, stamp, deadline, name, 3).expect("small"),
            _ => delta::bury(&mut out, epoch, at),
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// However often a life is touched, in whatever order its deltas arrive: once its cap has met the
    /// record nobody sees it later than that, and the earliest of several caps holds.
    #[test]
    fn no_life_is_live_past_its_cap(
        (history, caps) in (
            prop::collection::vec(any_delta(), 1..12), prop::collection::vec(0..6_u64, 1..3),
        ),
        turns in 0..12_usize,
    ) {
        let whole = history.iter().cloned().reduce(|a, b| join(&a, &b)).expect("not empty");
        let epoch = parse(&whole).epoch();
        let mut all: Vec<Vec<u8>> = caps.iter().map(|at| {
            let mut out = Vec::new();
            delta::cap(&mut out, epoch, *at);
            out
        }).chain(history).collect();
        let turns = turns % all.len();
        all.rotate_left(turns);
        let joined = all.into_iter().reduce(|a, b| join(&a, &b)).expect("not empty");
        let (joined, cap) = (parse(&joined), caps.into_iter().min().unwrap_or(NEVER));
        prop_assert!(!joined.is_live(cap));
        prop_assert!(joined.is_dead() || joined.cap() <= cap && !joined.is_live(joined.cap()));
    }

    #[test]
    fn any_order_doubling_and_grouping_of_a_history_gives_the_same_bytes(
        (history, shuffled) in prop::collection::vec(any_delta(), 1..12).prop_flat_map(|history| {
            // The same deltas, twice each, in another order.
            let twice = [history.clone(), history.clone()].concat();
            (Just(history), Just(twice).prop_shuffle())
        }),
        cut in 0..24_usize,
    ) {
        let fold = |deltas: &[Vec<u8>]| deltas.iter().cloned().reduce(|a, b| join(&a, &b));
        let straight = fold(&history).expect("not empty");
        let (early, late) = shuffled.split_at(cut.min(shuffled.len()));
        let grouped: Vec<_> = [fold(early), fold(late)].into_iter().flatten().collect();
        let grouped = fold(&grouped).expect("not empty");
        prop_assert_eq!(parse(&straight).digest(), parse(&grouped).digest());
        prop_assert_eq!(straight, grouped);
    }

    #[test]
    fn no_part_of_a_life_is_live_once_its_horizon_has_passed(
        history in prop::collection::vec((any_delta(), any::<bool>()), 1..12),
        past in prop_oneof![0..3_u64, Just(1 << 50)],
    ) {
        let fold = |deltas: Vec<&Vec<u8>>| deltas.into_iter().cloned().reduce(|a, b| join(&a, &b));
        let whole = fold(history.iter().map(|(delta, _)| delta).collect()).expect("not empty");
        let whole = parse(&whole);
        // What a replica holds that missed any part of this life's history.
        let of_this_life = |delta: &[u8]| parse(delta).epoch() == whole.epoch();
        let stale = history.iter().filter(|(delta, kept)| *kept && of_this_life(delta));
        if let Some(stale) = fold(stale.map(|(delta, _)| delta).collect()) {
            let now = whole.horizon().saturating_add(past);
            prop_assert!(!parse(&stale).is_live(now));
        }
    }
}

//! What requests may ask, what they get, and the words they are refused with.

use proptest::prelude::*;

use super::*;

fn asking(r: Option<u64>, w: Option<u64>) -> Asked {
    Asked {
        r,
        w,
        ..Asked::default()
    }
}

fn refused(asked: Asked, places: u8) -> String {
    Defaults::default()
        .resolve(&asked, places)
        .unwrap_err()
        .to_string()
}

fn defaults() -> impl Strategy<Value = Defaults> {
    (1..=MAX_PLACES).prop_flat_map(|n| {
        (1..=n, 1..=n, any::<bool>(), 1..=MAX_DEADLINE_MS).prop_map(move |(r, w, strict, ms)| {
            let mode = if strict { Mode::Strict } else { Mode::Sloppy };
            Defaults {
                n,
                r,
                w,
                mode,
                deadline_ms: ms,
            }
        })
    })
}

proptest! {
    /// The type's promise: whatever was asked, what comes out can be.
    #[test]
    fn whatever_comes_out_is_in_range(
        defaults in defaults(),
        r in prop::option::of(0u64..20),
        w in prop::option::of(0u64..20),
        ms in prop::option::of(0u64..70_000),
        places in 0..=MAX_PLACES + 1,
    ) {
        let asked = Asked { r, w, mode: None, deadline_ms: ms };
        let Ok(checked) = defaults.resolve(&asked, places) else { return Ok(()) };
        prop_assert!((1..=places).contains(&checked.r()));
        prop_assert!((1..=places).contains(&checked.w()));
        prop_assert!((1..=MAX_DEADLINE_MS).contains(&checked.deadline_ms()));
        prop_assert_eq!(u64::from(checked.r()), r.unwrap_or(u64::from(defaults.r.min(places))));
        prop_assert_eq!(u64::from(checked.w()), w.unwrap_or(u64::from(defaults.w.min(places))));
    }

    /// A small cluster keeps what its operator chose: overlap stays overlap, a majority stays one.
    #[test]
    fn cutting_keeps_overlap_and_majorities(defaults in defaults(), places in 1..=MAX_PLACES) {
        let places = places.min(defaults.n);
        let cut = defaults.resolve(&Asked::default(), places).unwrap();
        let overlap = |r: u8, w: u8, n: u8| r + w > n;
        if overlap(defaults.r, defaults.w, defaults.n) {
            prop_assert!(overlap(cut.r(), cut.w(), places));
        }
        if overlap(defaults.w, defaults.w, defaults.n) {
            prop_assert!(overlap(cut.w(), cut.w(), places));
        }
        if overlap(defaults.r, defaults.r, defaults.n) {
            prop_assert!(overlap(cut.r(), cut.r(), places));
        }
    }

    /// An explicit request is granted to the letter or refused, never bent.
    #[test]
    fn an_explicit_request_is_never_bent(asked in any::<u64>(), places in 1..=MAX_PLACES) {
        let defaults = Defaults { n: MAX_PLACES, ..Defaults::default() };
        match defaults.resolve(&asking(Some(asked), Some(asked)), places) {
            Ok(checked) => {
                prop_assert_eq!(u64::from(checked.r()), asked);
                prop_assert_eq!(u64::from(checked.w()), asked);
            }
            Err(_) => prop_assert!(asked == 0 || asked > u64::from(places)),
        }
    }
}

#[test]
fn a_cluster_smaller_than_n_uses_what_it_has() {
    let cut = |places| {
        let got = Defaults::default()
            .resolve(&Asked::default(), places)
            .unwrap();
        (got.r(), got.w())
    };
    assert_eq!(cut(1), (1, 1));
    assert_eq!(cut(2), (2, 2));
    assert_eq!(cut(3), (2, 2));
}

#[test]
fn refusals_carry_the_numbers() {
    assert_eq!(
        refused(asking(Some(4), None), 3),
        "R=4 asked, but a key has 3 replicas"
    );
    assert_eq!(
        refused(asking(None, Some(300)), 3),
        "W=300 asked, but a key has 3 replicas"
    );
    assert_eq!(
        refused(asking(None, Some(2)), 1),
        "W=2 asked, but a key has 1 replica"
    );
    assert_eq!(
        refused(asking(Some(0), None), 3),
        "R=0 asked, but at least 1 replica must answer"
    );
    let late = |ms| Asked {
        deadline_ms: Some(ms),
        ..Asked::default()
    };
    assert_eq!(
        refused(late(0), 3),
        "a deadline of 0 ms asked, but it lies between 1 and 60000 ms"
    );
    assert_eq!(
        refused(late(60_001), 3),
        "a deadline of 60001 ms asked, but it lies between 1 and 60000 ms"
    );
    assert_eq!(
        refused(Asked::default(), 0),
        "N=0, but a key has between 1 and 16 replicas"
    );
}

#[test]
fn the_bounds_of_the_deadline_are_inside() {
    for ms in [1, 60_000] {
        let asked = Asked {
            deadline_ms: Some(ms),
            ..Asked::default()
        };
        let checked = Defaults::default().resolve(&asked, 3).unwrap();
        assert_eq!(u64::from(checked.deadline_ms()), ms);
    }
}

#[test]
fn defaults_that_cannot_be_met_are_found_when_configuration_is_read() {
    let good = Defaults::default();
    assert_eq!(good.check(), Ok(()));
    let too_many = QuorumError::TooMany {
        knob: Knob::W,
        asked: 4,
        places: 3,
    };
    assert_eq!(Defaults { w: 4, ..good }.check(), Err(too_many));
    assert_eq!(
        Defaults { r: 0, ..good }.check(),
        Err(QuorumError::Zero { knob: Knob::R })
    );
    assert_eq!(
        Defaults { n: 17, ..good }.check(),
        Err(QuorumError::Replicas { n: 17 })
    );
    let never = Defaults {
        deadline_ms: 0,
        ..good
    };
    assert_eq!(never.check(), Err(QuorumError::Deadline { asked_ms: 0 }));
}

#[test]
fn only_strict_quorums_promise_anything() {
    let resolve = |mode, r, w| {
        let asked = Asked {
            r: Some(r),
            w: Some(w),
            mode: Some(mode),
            deadline_ms: None,
        };
        Defaults::default().resolve(&asked, 3).unwrap()
    };
    assert!(resolve(Mode::Strict, 2, 2).overlaps(3));
    assert!(resolve(Mode::Strict, 1, 3).overlaps(3));
    assert!(!resolve(Mode::Strict, 1, 2).overlaps(3));
    assert!(!resolve(Mode::Sloppy, 3, 3).overlaps(3));
    assert!(resolve(Mode::Strict, 2, 1).can_be_monotonic(3));
    assert!(!resolve(Mode::Strict, 1, 3).can_be_monotonic(3));
    assert!(!resolve(Mode::Sloppy, 2, 2).can_be_monotonic(3));
}

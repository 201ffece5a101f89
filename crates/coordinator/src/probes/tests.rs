//! Shares of choices, counted out; and what the model says of the same ages.

use proptest::prelude::*;

use super::*;
use crate::{Cluster, Distribution, Histogram, PeerLegs, ReplicaSet, Trip};

fn probed(others: &[(u8, bool)]) -> Vec<Probed> {
    let probed = |&(level, is_newest)| Probed { level, is_newest };
    others.iter().map(probed).collect()
}

/// Others of one level, of which `newest` hold the newest version.
fn alike(newest: usize, others: usize) -> Vec<Probed> {
    probed(&(0..others).map(|at| (0, at < newest)).collect::<Vec<_>>())
}

/// All orders of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    match n {
        0 => vec![Vec::new()],
        n => orders(n - 1)
            .into_iter()
            .flat_map(|order| {
                (0..n).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, n - 1);
                    order
                })
            })
            .collect(),
    }
}

/// The share, by trying each order of equals.
fn tried(others: &[Probed], wanted: usize) -> f64 {
    let orders = orders(others.len());
    let missed = orders.iter().filter(|order| {
        let mut chosen: Vec<_> = order.iter().map(|at| others[*at]).collect();
        chosen.sort_by_key(|other| other.level);
        chosen.iter().take(wanted).all(|other| !other.is_newest)
    });
    missed.count() as f64 / orders.len() as f64
}

/// Three replicas: writes reach the others after 20 ms and are acknowledged after 40.
fn prediction() -> Prediction {
    let mut trip = Histogram::default();
    trip.count(40_000);
    let trip = Trip::Halved(Distribution::of(&trip).expect("counted"));
    let peer = PeerLegs {
        write: trip.clone(),
        read: trip,
        level: 0,
    };
    let cluster = Cluster {
        peers: vec![peer; 2],
        sets: vec![ReplicaSet {
            others: vec![0, 1],
            weight: 1,
        }],
    };
    let mut bits = 0u64;
    cluster
        .predict(2_000, || {
            bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
            bits ^ bits << 31
        })
        .expect("even")
}

const EVER: (u64, u64) = (0, u64::MAX);

#[test]
fn one_probe_tells_of_every_r() {
    let mut probes = Probes::default();
    probes.count(false, &alike(1, 2), 2);
    let of = |r| probes.compare(&prediction(), (r, 1), EVER);
    assert_eq!((of(1).probes, of(2).probes, of(3).probes), (1, 1, 1));
    assert_eq!(
        (of(1).observed, of(2).observed, of(3).observed),
        (1.0, 0.5, 0.0)
    );
    // The model: two writers of three are elsewhere, and 2 ms are not enough.
    assert!((of(1).predicted - 2.0 / 3.0).abs() < 0.05, "{:?}", of(1));
}

#[test]
fn who_holds_it_misses_nothing_whatever_the_others_hold() {
    let mut probes = Probes::default();
    probes.count(true, &alike(0, 2), 2);
    let of = |r| probes.compare(&prediction(), (r, 1), EVER).observed;
    assert_eq!((of(1), of(2), of(3)), (0.0, 0.0, 0.0));
}

#[test]
fn a_slow_replica_is_counted_last() {
    let mut probes = Probes::default();
    probes.count(false, &probed(&[(0, false), (1, true)]), 2);
    let of = |r| probes.compare(&prediction(), (r, 1), EVER).observed;
    assert_eq!((of(2), of(3)), (1.0, 0.0));
}

#[test]
fn what_w_replicas_do_not_hold_yet_does_not_count_at_w() {
    let mut probes = Probes::default();
    probes.count(true, &alike(0, 2), 60);
    let of = |probes: &Probes, w| probes.compare(&prediction(), (1, w), EVER).probes;
    assert_eq!((of(&probes, 1), of(&probes, 2), of(&probes, 3)), (1, 0, 0));
    probes.count(true, &alike(2, 2), 60);
    assert_eq!((of(&probes, 1), of(&probes, 2), of(&probes, 3)), (2, 1, 1));
}

#[test]
fn ages_have_a_beginning_and_an_end() {
    let mut probes = Probes::default();
    for age_ms in [5, 50, 50] {
        probes.count(false, &alike(2, 2), age_ms);
    }
    let from = |from_ms: u64, to_ms: u64| {
        let range = (from_ms * 1_000, to_ms * 1_000);
        probes.compare(&prediction(), (1, 1), range).probes
    };
    assert_eq!(
        (from(0, 5), from(5, 6), from(5, 60), from(0, 48)),
        (0, 1, 3, 1)
    );
}

/// The writes of the model arrive after 20 ms: what is a little younger in whole milliseconds may be
/// older in truth.
#[test]
fn an_age_in_whole_milliseconds_may_be_off_by_one() {
    let of = |age_ms| {
        let mut probes = Probes::default();
        probes.count(false, &alike(1, 2), age_ms);
        probes.compare(&prediction(), (1, 1), EVER).predicted
    };
    assert_eq!(of(0), of(10));
    assert!(
        of(19) <= of(10) && of(40) == 0.0,
        "{} {} {}",
        of(10),
        of(19),
        of(40)
    );
}

#[test]
fn nonsense_and_other_numbers_of_replicas_are_left_out() {
    let mut probes = Probes::default();
    probes.count(false, &alike(0, 2), 0); // nobody has the newest
    probes.count(false, &alike(1, 7), 0); // more replicas than a ring places
    assert_eq!(probes.total(), 0);
    probes.count(true, &alike(0, 4), 0);
    let of = |r| probes.compare(&prediction(), (r, 1), EVER);
    assert_eq!([of(0), of(1), of(9)], [Compared::default(); 3]);
    // N was changed: what was counted before says nothing any more.
    probes.count(true, &alike(0, 2), 0);
    assert_eq!((probes.total(), probes.n), (1, 3));
    let mut others = Probes::default();
    others.count(true, &alike(0, 4), 0);
    probes.gather(&others);
    assert_eq!(probes.total(), 1);
}

#[test]
fn very_old_versions_are_counted_as_old() {
    let mut probes = Probes::default();
    probes.count(true, &alike(2, 2), u64::MAX);
    let old = (u64::from(OLD_MS) * 900, u64::MAX);
    assert_eq!(probes.compare(&prediction(), (1, 1), old).probes, 1);
}

/// What three replicas said.
fn seen() -> impl Strategy<Value = Vec<(bool, [bool; 2], u64)>> {
    prop::collection::vec((any::<bool>(), any::<[bool; 2]>(), 0u64..20_000), 0..30)
}

fn counted(seen: &[(bool, [bool; 2], u64)]) -> Probes {
    let mut probes = Probes::default();
    for (own, [a, b], age) in seen {
        probes.count(*own, &probed(&[(0, *a), (0, *b)]), *age);
    }
    probes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_share_is_that_of_all_choices(
        others in prop::collection::vec((0u8..3, any::<bool>()), 0..6),
        wanted in 0u8..6,
    ) {
        let others = probed(&others);
        let (found, tried) = (share_missed(&others, wanted), tried(&others, wanted.into()));
        prop_assert!((found - tried).abs() < 1e-9, "{} not {}", found, tried);
    }

    #[test]
    fn quorums_that_overlap_are_never_observed_stale(seen in seen()) {
        let (probes, prediction) = (counted(&seen), prediction());
        for (r, w) in [(2, 2), (3, 1), (1, 3), (3, 3)] {
            let compared = probes.compare(&prediction, (r, w), EVER);
            prop_assert_eq!((compared.observed, compared.predicted), (0.0, 0.0));
        }
    }

    #[test]
    fn gathering_is_counting_together(a in seen(), b in seen()) {
        let mut gathered = counted(&a);
        gathered.gather(&counted(&b));
        let together = counted(&[a, b].concat());
        prop_assert_eq!(gathered.total(), together.total());
        let of = |probes: &Probes| probes.compare(&prediction(), (2, 1), EVER).observed;
        prop_assert!((of(&gathered) - of(&together)).abs() < 1e-9);
    }
}

//! What is certain is certain, what is closed-form matches it, and more is never worse.

use proptest::prelude::*;

use super::*;
use crate::histogram::Gather;

/// SplitMix64 (Steele, Lea, Flood, 2014): good bits from a counter.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut at = seed;
    move || {
        at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = at;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn counted(values: impl IntoIterator<Item = u32>) -> Histogram {
    let mut histogram = Histogram::default();
    values.into_iter().for_each(|value| histogram.count(value));
    histogram
}

fn values(values: impl IntoIterator<Item = u32>) -> Distribution {
    Distribution::of(&counted(values)).expect("counted")
}

/// Exponential, by its quantiles.
fn exponential(mean_us: f64) -> Distribution {
    let value = |at: u32| -(1.0 - (f64::from(at) + 0.5) / 10_000.0).ln() * mean_us;
    values((0..10_000).map(|at| value(at) as u32))
}

fn legs(there: Distribution, back: Distribution) -> Trip {
    Trip::Legs { there, back }
}

/// `n` replicas of which all but the own have these legs of writes, and reads that take no time.
fn equal(n: usize, write: &Trip) -> Cluster {
    let peer = PeerLegs {
        write: write.clone(),
        read: legs(values([0]), values([0])),
        level: 0,
    };
    Cluster {
        peers: vec![peer; n - 1],
        sets: vec![ReplicaSet {
            others: (0..n - 1).collect(),
            weight: 1,
        }],
    }
}

/// C(n, k).
fn choose(n: u32, k: u32) -> f64 {
    match k > n {
        true => 0.0,
        false => (0..k)
            .map(|i| f64::from(n - i) / f64::from(i + 1))
            .product(),
    }
}

const TRIALS: usize = 20_000;

/// Six standard deviations of a share in [`TRIALS`] trials.
const NOISE: f64 = 0.022;

fn assert_close(found: f64, expected: f64, of: &str) {
    assert!(
        (found - expected).abs() < NOISE,
        "{of}: {found}, not {expected}"
    );
}

#[test]
fn without_propagation_it_is_the_papers_equation_1() {
    let slow = legs(exponential(1e6), values([0]));
    for n in 2..=5 {
        let prediction = equal(n, &slow)
            .predict(TRIALS, random(n as u64))
            .expect("even");
        for (r, w) in (1..=n as u8).flat_map(|r| (1..=n as u8).map(move |w| (r, w))) {
            let (all, r_, w_) = (n as u32, u32::from(r), u32::from(w));
            let expected = choose(all - w_, r_) / choose(all, r_);
            assert_close(
                prediction.stale_after(r, w, 0),
                expected,
                &format!("N={n} R={r} W={w}"),
            );
        }
    }
}

/// Writes that take an exponential time and are acknowledged at once: those that have not arrived
/// at the acknowledgement take as long again as if they had just been sent. So a read of R misses
/// if it chose from the N−W that had nothing, and all R of these still have nothing after t.
#[test]
fn memoryless_propagation_has_a_closed_form() {
    let mean_us = 5_000.0;
    let trip = legs(exponential(mean_us), values([0]));
    let prediction = equal(3, &trip).predict(TRIALS, random(7)).expect("even");
    for (r, w) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3)] {
        for t_us in [0u32, 1_000, 5_000, 10_000, 50_000] {
            let chosen = choose(3 - w, r) / choose(3, r);
            let expected = chosen * (-f64::from(r * t_us) / mean_us).exp();
            let found = prediction.stale_after(r as u8, w as u8, u64::from(t_us));
            assert_close(found, expected, &format!("R={r} W={w} t={t_us}"));
        }
    }
}

/// As above; and of versions on W replicas or more, whatever has acknowledged them. Each replica but
/// the writer's lacks a write of age a with the chance q.
#[test]
fn what_probes_find_has_a_closed_form() {
    let mean_us = 5_000.0;
    let trip = legs(exponential(mean_us), values([0]));
    let it = equal(3, &trip).predict(TRIALS, random(8)).expect("even");
    for age_us in [1_000u32, 5_000, 10_000] {
        let q = (-f64::from(age_us) / mean_us).exp();
        let found = |r, w| it.missed_at(r, w, age_us.into()).expect("held by then");
        assert_close(found(1, 1), 2.0 / 3.0 * q, "R=1, W=1");
        assert_close(found(2, 1), q * q / 3.0, "R=2, W=1");
        assert_close(
            found(1, 2),
            2.0 / 3.0 * q * (1.0 - q) / (1.0 - q * q),
            "R=1, W=2",
        );
        assert_eq!((found(2, 2), found(1, 3)), (0.0, 0.0));
        assert_eq!(
            found(1, 1),
            it.stale_after(1, 1, age_us.into()),
            "acknowledged at once"
        );
    }
    assert_eq!(it.missed_at(1, 3, 0), None, "on three replicas at once");
}

#[test]
fn a_read_that_takes_long_to_arrive_gives_the_write_that_much_time() {
    let mut cluster = equal(2, &legs(values([8_000]), values([0])));
    // Written at the other replica: 8 ms until this node has it, and no leg to itself.
    let prediction = cluster.predict(TRIALS, random(1)).expect("even");
    assert_close(
        prediction.stale_after(1, 1, 7_000),
        0.5,
        "before it arrives",
    );
    assert_eq!(prediction.stale_after(1, 1, 9_300), 0.0);
    // Three replicas, R=2: the one that is asked from afar is asked 6 ms later.
    cluster = equal(3, &legs(values([8_000]), values([0])));
    for peer in &mut cluster.peers {
        peer.read = legs(values([6_000]), values([0]));
    }
    let prediction = cluster.predict(TRIALS, random(1)).expect("even");
    assert_close(
        prediction.stale_after(2, 1, 1_000),
        1.0 / 3.0,
        "both others",
    );
    assert_eq!(prediction.stale_after(2, 1, 3_400), 0.0);
}

#[test]
fn a_replica_of_a_worse_level_is_read_last() {
    let mut cluster = equal(3, &legs(values([0]), values([0])));
    cluster.peers[0].read = Trip::Halved(values([40_000]));
    cluster.peers[1].read = Trip::Halved(values([1_000]));
    let half = cluster.predict(TRIALS, random(2)).expect("even");
    assert!(half.read_us(2, 900) > 30_000, "taken in turns");
    cluster.peers[0].level = 1;
    let last = cluster.predict(TRIALS, random(2)).expect("even");
    assert!(last.read_us(2, 1_000) < 2_000 && last.read_us(3, 1) > 30_000);
}

#[test]
fn sets_are_drawn_by_their_weight() {
    let mut cluster = equal(3, &legs(values([0]), values([0])));
    cluster.peers[1].read = Trip::Halved(values([40_000]));
    cluster.sets = [(0, 3), (1, 1)]
        .map(|(other, weight)| ReplicaSet {
            others: vec![other],
            weight,
        })
        .to_vec();
    let prediction = cluster.predict(TRIALS, random(3)).expect("even");
    assert!(prediction.read_us(2, 720) < 10 && prediction.read_us(2, 780) > 30_000);
}

#[test]
fn what_cannot_be_modelled_is_told() {
    let good = equal(3, &Trip::Halved(values([1])));
    let run = |change: &dyn Fn(&mut Cluster)| {
        let mut cluster = good.clone();
        change(&mut cluster);
        cluster.predict(10, random(0)).map(|_| ())
    };
    assert_eq!(run(&|_| {}), Ok(()));
    assert_eq!(run(&|it| it.sets.clear()), Err(ModelError::NoReplica));
    assert_eq!(
        run(&|it| it.sets[0].others[1] = 2),
        Err(ModelError::Unknown { peer: 2, peers: 2 })
    );
    let another = ReplicaSet {
        others: vec![0],
        weight: 1,
    };
    assert_eq!(
        run(&|it| it.sets.push(another.clone())),
        Err(ModelError::Uneven { one: 3, other: 2 })
    );
    assert_eq!(
        run(&|it| it.sets[0].others = vec![0; 16]),
        Err(ModelError::TooMany { n: 17 })
    );
    assert!(Distribution::of(&Histogram::default()).is_none());
}

fn trip() -> impl Strategy<Value = Trip> {
    let some = || prop::collection::vec(0u32..60_000, 1..20).prop_map(values);
    prop_oneof![
        some().prop_map(Trip::Halved),
        (some(), some()).prop_map(|(there, back)| legs(there, back)),
    ]
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let peer =
        (trip(), trip(), 0u8..3).prop_map(|(write, read, level)| PeerLegs { write, read, level });
    let peers = prop::collection::vec(peer, 0..6);
    peers.prop_map(|peers| Cluster {
        sets: vec![ReplicaSet {
            others: (0..peers.len()).collect(),
            weight: 1,
        }],
        peers,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn quorums_that_overlap_never_miss_an_acknowledged_write(cluster in cluster(), seed: u64) {
        let n = cluster.peers.len() as u8 + 1;
        let prediction = cluster.predict(300, random(seed)).expect("even");
        prop_assert_eq!(prediction.n(), n);
        for (r, w) in (1..=n).flat_map(|r| (n + 1 - r..=n).map(move |w| (r, w))) {
            prop_assert_eq!(prediction.stale_after(r, w, 0), 0.0, "R={} W={}", r, w);
        }
    }

    #[test]
    fn more_of_r_w_or_time_is_never_staler_and_never_quicker(
        cluster in cluster(),
        seed: u64,
        t_us in 0u64..100_000,
        per_mille in 0u32..=1_000,
    ) {
        let n = cluster.peers.len() as u8 + 1;
        let it = cluster.predict(300, random(seed)).expect("even");
        for (r, w) in (1..=n).flat_map(|r| (1..=n).map(move |w| (r, w))) {
            let stale = it.stale_after(r, w, t_us);
            prop_assert!((0.0..=1.0).contains(&stale));
            prop_assert!(it.stale_after(r, w, t_us + 500) <= stale);
            prop_assert!(it.stale_after(r + 1, w, t_us) <= stale);
            prop_assert!(it.stale_after(r, w + 1, t_us) <= stale);
        }
        for q in 1..n {
            prop_assert!(it.read_us(q, per_mille) <= it.read_us(q + 1, per_mille));
            prop_assert!(it.write_us(q, per_mille) <= it.write_us(q + 1, per_mille));
        }
    }

    /// Of N−1 equal replies the k-th comes before t with the chance that k or more of them do.
    #[test]
    fn latencies_are_order_statistics(
        samples in prop::collection::vec(0u32..1_000_000, 1..40),
        seed: u64,
    ) {
        let trip = Trip::Halved(values(samples.iter().copied()));
        let mut cluster = equal(4, &trip);
        cluster.peers.iter_mut().for_each(|peer| peer.read = trip.clone());
        let it = cluster.predict(TRIALS, random(seed)).expect("even");
        let below = |p: f64, k: u32| -> f64 {
            (k..=3).map(|j| choose(3, j) * p.powi(j as i32) * (1.0 - p).powi(3 - j as i32)).sum()
        };
        let one = counted(samples.iter().copied());
        for quantile in [100u32, 300, 500, 700, 900] {
            let (p, value) = (f64::from(quantile) / 1_000.0, one.quantile(quantile));
            let value = u64::from(value.expect("counted"));
            for w in 2..=4u8 {
                // The first of the w−1 that are waited for is at the expected rank, or the same
                // bucket holds both.
                let expected = below(p, u32::from(w) - 1);
                let low = it.write_us(w, ((expected - NOISE).max(0.0) * 1_000.0) as u32);
                prop_assert!(low <= value + value / 8 + 1, "W={} {} > {}", w, low, value);
            }
            // Of reads R−1 are asked, and all of them are waited for.
            for r in 2..=4u8 {
                let expected = p.powi(i32::from(r) - 1);
                let low = it.read_us(r, ((expected - NOISE).max(0.0) * 1_000.0) as u32);
                prop_assert!(low <= value + value / 8 + 1, "R={} {} > {}", r, low, value);
            }
        }
    }

    #[test]
    fn drawing_gives_the_values_back_as_often_as_they_were_counted(
        samples in prop::collection::vec(0u32..1_000_000, 1..40),
        seed: u64,
    ) {
        let (histogram, mut random) = (counted(samples), random(seed));
        let distribution = Distribution::of(&histogram).expect("counted");
        let mut drawn = counted((0..TRIALS).map(|_| distribution.draw(random())));
        for (count, low, _) in histogram.filled() {
            let share = |histogram: &Histogram, count: u32| {
                f64::from(count) / histogram.total() as f64
            };
            let again = drawn.filled().find(|(_, at, _)| *at == low).map_or(0, |it| it.0);
            let (expected, found) = (share(&histogram, count), share(&drawn, again));
            prop_assert!((expected - found).abs() < NOISE);
        }
        let total = drawn.total();
        drawn.gather(&histogram);
        prop_assert_eq!(drawn.total(), total + histogram.total());
        prop_assert_eq!(drawn.filled().count(), histogram.filled().count(), "nothing else");
    }
}

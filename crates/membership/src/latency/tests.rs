//! Bad news at once, good news slowly, and a percentile that is one.

use proptest::prelude::*;

use super::*;

const HALF_LIFE: u32 = 1_000;

fn after(samples: &[(u32, u64)]) -> Latency {
    let mut latency = Latency::default();
    samples
        .iter()
        .for_each(|&(us, at)| latency.observe(us, at, HALF_LIFE));
    latency
}

proptest! {
    /// Never below the newest sample, never above the worst one.
    #[test]
    fn the_average_lies_between_the_newest_and_the_worst(
        samples in prop::collection::vec((0u32..5_000_000, 0u64..3_000), 1..60),
    ) {
        let mut latency = Latency::default();
        let (mut now, mut worst) = (0, 0);
        for (us, wait) in samples {
            now += wait;
            worst = worst.max(us);
            latency.observe(us, now, HALF_LIFE);
            let average = latency.peak_ewma_us(now, HALF_LIFE);
            prop_assert!((us..=worst).contains(&average), "{us} <= {average} <= {worst}");
        }
    }

    /// It only fades while nothing is heard, and ends at nothing.
    #[test]
    fn silence_fades(us in 0u32..5_000_000, mut waits in prop::collection::vec(0u64..20_000, 2..9)) {
        let latency = after(&[(us, 0)]);
        waits.sort_unstable();
        let faded: Vec<_> = waits.iter().map(|&at| latency.peak_ewma_us(at, HALF_LIFE)).collect();
        prop_assert!(faded.is_sorted_by(|a, b| a >= b), "{faded:?}");
        prop_assert_eq!(latency.peak_ewma_us(u64::MAX, HALF_LIFE), 0);
    }

    /// Whatever comes in, nothing overflows.
    #[test]
    fn takes_any_input(samples in prop::collection::vec((any::<u32>(), any::<u64>()), 0..200)) {
        let latency = after(&samples);
        prop_assert!(latency.p95_us().is_none_or(|p95| p95 <= 2 * LONGEST_US));
    }

    /// Samples drawn evenly from a range: about one in twenty lies above the estimate.
    #[test]
    fn the_percentile_is_near_the_true_one(low in 50u32..2_000, width in 1u32..20_000, seed: u64) {
        let mut latency = Latency::default();
        let mut state = seed;
        for _ in 0..4_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            latency.observe(low + (state >> 33) as u32 % width, 0, HALF_LIFE);
        }
        let truth = f64::from(low) + 0.95 * f64::from(width);
        let estimate = f64::from(latency.p95_us().unwrap());
        prop_assert!((0.75..1.35).contains(&(estimate / truth)), "{estimate} for {truth}");
    }
}

#[test]
fn a_peak_is_believed_at_once_and_forgotten_by_halves() {
    let latency = after(&[(100, 0), (100, 10), (8_000, 20)]);
    assert_eq!(latency.peak_ewma_us(20, HALF_LIFE), 8_000);
    assert_eq!(latency.peak_ewma_us(520, HALF_LIFE), 6_000);
    assert_eq!(latency.peak_ewma_us(1_020, HALF_LIFE), 4_000);
    assert_eq!(latency.peak_ewma_us(3_020, HALF_LIFE), 1_000);
}

#[test]
fn good_replies_pull_the_average_down_only_with_time() {
    let many_at_once = after(&[(8_000, 0), (0, 0), (0, 0), (0, 0)]);
    assert_eq!(many_at_once.peak_ewma_us(0, HALF_LIFE), 8_000);
    let later = after(&[(8_000, 0), (0, 1_000)]);
    assert_eq!(later.peak_ewma_us(1_000, HALF_LIFE), 4_000);
}

#[test]
fn the_percentile_needs_twenty_samples() {
    let mut latency = Latency::default();
    (0..19).for_each(|_| latency.observe(500, 0, HALF_LIFE));
    assert_eq!(latency.p95_us(), None);
    latency.observe(500, 0, HALF_LIFE);
    assert!(latency.p95_us().is_some());
}

#[test]
fn the_percentile_follows_a_tenfold_rise_within_forty_samples() {
    let mut latency = Latency::default();
    (0..200).for_each(|_| latency.observe(1_000, 0, HALF_LIFE));
    (0..40).for_each(|_| latency.observe(10_000, 0, HALF_LIFE));
    assert!(latency.p95_us().unwrap() > 9_000, "{:?}", latency.p95_us());
}

#[test]
fn a_clock_that_goes_back_is_no_elapsed_time() {
    let mut latency = after(&[(8_000, 10_000)]);
    latency.observe(0, 5_000, HALF_LIFE);
    assert_eq!(latency.peak_ewma_us(5_000, HALF_LIFE), 8_000);
}

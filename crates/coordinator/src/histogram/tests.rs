//! Buckets cover every value once, quantiles are those of the values, windows forget.

use proptest::prelude::*;

use super::*;

fn histogram(values: &[u32]) -> Histogram {
    let mut histogram = Histogram::default();
    values.iter().for_each(|value| histogram.count(*value));
    histogram
}

#[test]
fn buckets_follow_each_other_without_gap_or_overlap() {
    let mut next = 0;
    for bucket in 0..BUCKETS {
        let (low, width) = range_of(bucket);
        assert_eq!(low, next);
        assert_eq!(
            (bucket_of(low), bucket_of(low + width - 1)),
            (bucket, bucket)
        );
        next = low + width;
    }
    assert_eq!(next, BEYOND);
}

#[test]
fn what_is_too_large_is_counted_as_the_largest() {
    let beyond = histogram(&[u32::MAX]);
    assert_eq!((beyond.total(), &beyond), (1, &histogram(&[BEYOND - 1])));
}

#[test]
fn nothing_has_no_quantile() {
    assert_eq!(Histogram::default().quantile(500), None);
}

#[test]
fn windows_forget_the_one_before_the_last() {
    let mut recent = Recent::<Histogram>::new(1_000);
    recent.at(100).count(1);
    recent.at(1_100).count(2);
    assert_eq!(recent.all(1_999), histogram(&[1, 2]));
    recent.at(2_000).count(3);
    assert_eq!(recent.all(2_000), histogram(&[2, 3]));
    assert_eq!(recent.all(3_999), histogram(&[3]));
    assert_eq!(recent.all(9_000), Histogram::default());
    // A clock that a tick had read before does not turn windows back.
    recent.at(8_999).count(4);
    assert_eq!(recent.all(9_000), histogram(&[4]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_quantile_is_that_of_the_values_to_within_an_eighth(
        mut values in prop::collection::vec(0..BEYOND, 1..300),
        per_mille in 0u32..=1_000,
    ) {
        let quantile = histogram(&values).quantile(per_mille).expect("counted");
        values.sort_unstable();
        let rank = (values.len() * per_mille as usize).div_ceil(1_000).max(1);
        let exact = values[rank - 1];
        prop_assert!(quantile.abs_diff(exact) <= exact / 8, "{} for {}", quantile, exact);
    }

    #[test]
    fn gathering_is_counting_together(
        a in prop::collection::vec(any::<u32>(), 0..50),
        b in prop::collection::vec(any::<u32>(), 0..50),
    ) {
        let mut gathered = histogram(&a);
        gathered.gather(&histogram(&b));
        prop_assert_eq!(gathered, histogram(&[a, b].concat()));
    }
}

//! What the clock promises, one thread at a time and all at once.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SKEW: u64 = 500;

#[derive(Clone, Copy, Debug)]
enum Step {
    Now { wall: u64 },
    Observe { remote: HlcTime, wall: u64 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let wall = || prop_oneof![0..3000_u64, Just((1 << 48) - 1), any::<u64>()];
    let remote = (wall(), any::<u16>()).prop_map(|(millis, count)| HlcTime::new(millis, count));
    prop_oneof![
        wall().prop_map(|wall| Step::Now { wall }),
        (remote, wall()).prop_map(|(remote, wall)| Step::Observe { remote, wall }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_time_is_after_all_before_and_within_the_bound(
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let clock = Clock::new(SKEW);
        let (mut greatest, mut bound) = (HlcTime::ZERO, 0);
        for step in steps {
            match step {
                Step::Now { wall } => {
                    let now = clock.now(wall);
                    prop_assert!(now > greatest || now.0 == u64::MAX);
                    // Wall times are cut to 48 bits. One more: the counter may carry.
                    bound = bound.max((wall & ((1 << 48) - 1)) + 1);
                    prop_assert!(now.millis() <= bound);
                    greatest = now;
                }
                Step::Observe { remote, wall } => {
                    let ahead_ms = remote.millis().saturating_sub(wall);
                    let seen = clock.observe(remote, wall);
                    if ahead_ms > SKEW {
                        prop_assert_eq!(seen, Err(SkewError { ahead_ms, bound_ms: SKEW }));
                    } else {
                        prop_assert_eq!(seen, Ok(()));
                        greatest = greatest.max(remote);
                        bound = bound.max(wall.saturating_add(SKEW + 1));
                    }
                }
            }
            prop_assert_eq!(clock.latest(), greatest);
        }
    }
}

#[test]
fn threads_never_get_the_same_time_twice_nor_go_back() {
    const TIMES: u64 = 5000;
    let clock = Clock::new(SKEW);
    let all: Vec<Vec<HlcTime>> = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let clock = &clock;
            move || {
                let step = |i: u64| {
                    let _ = clock.observe(HlcTime::new(i / 7 + thread, 3), i / 7);
                    // Walls of different threads differ, and go back at times.
                    clock.now((i / 10).saturating_sub(i % 3 * thread))
                };
                (0..TIMES).map(step).collect()
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads
            .into_iter()
            .map(|it| it.join().expect("no panic"))
            .collect()
    });
    for times in &all {
        assert!(
            times.is_sorted_by(|a, b| a < b),
            "each thread's times ascend"
        );
    }
    let distinct: BTreeSet<_> = all.iter().flatten().collect();
    assert_eq!(distinct.len() as u64, 4 * TIMES);
}

#[test]
fn the_counter_carries_into_the_milliseconds() {
    let clock = Clock::new(SKEW);
    clock
        .observe(HlcTime::new(10, u16::MAX), 10)
        .expect("not ahead");
    assert_eq!(clock.now(10), HlcTime::new(11, 0));
}

#[test]
fn the_end_of_the_range_does_not_panic() {
    let clock = Clock::new(u64::MAX);
    clock.observe(HlcTime(u64::MAX), 0).expect("no bound");
    assert_eq!(clock.now(0), HlcTime(u64::MAX));
    assert_eq!(clock.now(u64::MAX), HlcTime(u64::MAX));
}

#[test]
fn a_clock_is_astray_until_it_is_said_not_to_be() {
    let clock = Clock::new(SKEW);
    assert_eq!(clock.astray_ms(), None);
    for (said, heard) in [(3_600_000, 3_600_000), (-7, -7), (0, 1)] {
        clock.set_astray(Some(said));
        assert_eq!(clock.astray_ms(), Some(heard));
    }
    clock.set_astray(None);
    assert_eq!(clock.astray_ms(), None);
}

#[test]
fn not_knowing_the_time_is_apart_from_how_far_it_seems_off() {
    let clock = Clock::new(SKEW);
    assert!(!clock.is_timeless());
    clock.set_timeless(true);
    assert!(clock.is_timeless());
    assert_eq!(clock.astray_ms(), None);
    clock.set_astray(Some(9));
    clock.set_timeless(false);
    assert!(!clock.is_timeless());
    assert_eq!(clock.astray_ms(), Some(9));
}

#[test]
fn a_new_clock_lets_its_node_decide_at_once() {
    let clock = Clock::new(500);
    assert_eq!(clock.decides_from_ms(), 0);
    clock.set_deciding_from(7);
    assert_eq!(clock.decides_from_ms(), 7);
}

//! What the guard promises, over any clocks and any jumps.

use proptest::prelude::*;

use super::*;

const BOUND: u64 = 500;
const HOUR: i64 = 3_600_000;

/// True time.
fn at(ms: u64, off_ms: i64) -> Reading {
    Reading {
        mono_ms: ms,
        wall_ms: (1_700_000_000_000 + ms).saturating_add_signed(off_ms),
    }
}

fn node(number: u8) -> NodeId {
    NodeId([number; 16])
}

/// Hears peers whose clocks are off by so much.
fn hear(guard: &mut ClockGuard, now: Reading, true_ms: u64, offs: &[i64]) {
    for (peer, off) in offs.iter().enumerate() {
        let wall_ms = at(true_ms, *off).wall_ms;
        guard.heard(node(peer as u8 + 1), wall_ms, 0, now);
    }
}

/// A node that agrees with peers whose clocks are off by so much.
fn agreed(offs: &[i64]) -> ClockGuard {
    let mut guard = ClockGuard::new(BOUND, at(0, 0));
    hear(&mut guard, at(0, 0), 0, offs);
    let standing = guard.judge(at(0, 0), false);
    assert!(matches!(standing, Standing::Agreed { .. }), "{standing:?}");
    guard
}

fn within_bound(most: usize) -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(-200_i64..=200, 2..=most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn who_is_with_the_majority_serves_and_who_is_not_does_not(
        mut offs in within_bound(8),
        wild in prop_oneof![2_000..10 * HOUR, -10 * HOUR..-2_000],
        own_is_wild: bool,
        others_wild in 0usize..4,
    ) {
        let others_wild = others_wild.min((offs.len() - 1) / 2);
        let (own, wild_peers) = if own_is_wild { (wild, 0) } else { (0, others_wild) };
        for off in offs.iter_mut().take(wild_peers) {
            *off += wild;
        }
        let mut guard = ClockGuard::new(BOUND, at(5, own));
        hear(&mut guard, at(5, own), 5, &offs);
        let standing = guard.judge(at(5, own), false);
        prop_assert_eq!(guard.may_stamp(), !own_is_wild, "{:?}", standing);
        let read = guard.read(at(5, own));
        prop_assert!(read.abs_diff(at(5, 0).wall_ms) <= BOUND, "time goes on as the others say");
        let beyond: Vec<bool> = guard.offsets(at(5, own)).iter().map(|it| it.beyond).collect();
        let expected: Vec<bool> = (0..offs.len()).map(|peer| peer < wild_peers).collect();
        prop_assert_eq!(beyond, expected);
    }

    #[test]
    fn a_jump_is_never_followed_and_never_stops_time(
        offs in within_bound(5),
        hears: bool,
        steps in prop::collection::vec((1_u64..2_000, -2 * HOUR..2 * HOUR), 1..20),
    ) {
        let mut guard = agreed(&offs);
        let (mut now_ms, mut before) = (0, 0);
        for (wait, jump) in steps {
            now_ms += wait;
            let now = at(now_ms, jump);
            if hears {
                hear(&mut guard, now, now_ms, &offs);
            }
            if guard.has_jumped(now) {
                guard.judge(now, false);
            }
            let read = guard.read(now);
            prop_assert!(read.abs_diff(at(now_ms, 0).wall_ms) <= 2 * BOUND, "{now:?} {guard:?}");
            let far = jump.unsigned_abs() > 2 * BOUND + 200;
            prop_assert!(!(far && guard.may_stamp()), "{now:?} {guard:?}");
            prop_assert!(read + 2 * BOUND >= before);
            before = read;
        }
        // Back again, and all is well.
        let now = at(now_ms + 1, 0);
        hear(&mut guard, now, now_ms + 1, &offs);
        guard.judge(now, false);
        prop_assert!(guard.may_stamp());
        prop_assert_eq!(guard.read(now), now.wall_ms);
    }

    #[test]
    fn a_clock_that_runs_evenly_is_never_suspect(
        offs in within_bound(5),
        waits in prop::collection::vec(1_u64..100_000, 1..30),
        hears in prop::collection::vec(any::<bool>(), 30),
    ) {
        let mut guard = agreed(&offs);
        let mut now_ms = 0;
        for (wait, hears) in waits.into_iter().zip(hears) {
            now_ms += wait;
            if hears {
                hear(&mut guard, at(now_ms, 0), now_ms, &offs);
            }
            guard.judge(at(now_ms, 0), false);
            prop_assert!(guard.may_stamp() && guard.may_forget());
            prop_assert_eq!(guard.read(at(now_ms, 0)), at(now_ms, 0).wall_ms);
        }
    }

    #[test]
    fn a_round_trip_within_the_bound_convicts_nobody(
        halves in prop::collection::vec((0_u64..=BOUND / 2, 0_u64..=BOUND / 2), 1..6),
    ) {
        let mut guard = ClockGuard::new(BOUND, at(0, 0));
        for (peer, (there, back)) in halves.into_iter().enumerate() {
            let wall_ms = at(10_000 + there, 0).wall_ms;
            let now = at(10_000 + there + back, 0);
            guard.heard(node(peer as u8 + 1), wall_ms, there + back, now);
        }
        guard.judge(at(10_500, 0), false);
        prop_assert!(guard.may_stamp(), "{guard:?}");
    }
}

#[test]
fn of_two_clocks_the_one_that_jumps_stops_and_the_other_goes_on() {
    let (mut jumps, mut stays) = (agreed(&[0]), agreed(&[0]));
    hear(&mut stays, at(1_000, 0), 1_000, &[HOUR]);
    let undecided = stays.judge(at(1_000, 0), false);
    assert_eq!(undecided, Standing::Undecided { offset_ms: -HOUR });
    assert!(stays.may_stamp() && !stays.may_forget());
    assert!(jumps.has_jumped(at(1_000, HOUR)));
    let suspect = jumps.judge(at(1_000, HOUR), false);
    assert_eq!(suspect, Standing::Suspect { offset_ms: HOUR });
    assert!(!jumps.may_stamp());
    // The other one follows: now the two agree.
    hear(&mut jumps, at(2_000, HOUR), 2_000, &[HOUR]);
    jumps.judge(at(2_000, HOUR), false);
    assert!(jumps.may_stamp());
    assert_eq!(jumps.read(at(2_000, HOUR)), at(2_000, HOUR).wall_ms);
}

#[test]
fn of_two_clocks_that_never_agreed_neither_stamps() {
    let mut guard = ClockGuard::new(BOUND, at(0, HOUR));
    assert!(!guard.may_stamp(), "it has heard nobody yet");
    hear(&mut guard, at(0, HOUR), 0, &[0]);
    guard.judge(at(0, HOUR), false);
    assert!(!guard.may_stamp());
    hear(&mut guard, at(0, HOUR), 0, &[HOUR]);
    guard.judge(at(0, HOUR), false);
    assert!(guard.may_stamp());
}

#[test]
fn a_node_knows_the_time_once_one_has_agreed_or_a_majority_has_told_it() {
    let mut guard = ClockGuard::new(BOUND, at(0, HOUR));
    assert!(guard.is_timeless(), "it has heard nobody yet");
    hear(&mut guard, at(0, HOUR), 0, &[0]);
    guard.judge(at(0, HOUR), false);
    assert!(guard.is_timeless(), "one says so, the other so");
    hear(&mut guard, at(0, HOUR), 0, &[0, 0]);
    guard.judge(at(0, HOUR), false);
    assert!(!guard.is_timeless() && !guard.may_stamp());
    assert_eq!(guard.read(at(0, HOUR)), at(0, 0).wall_ms);

    let mut jumps = agreed(&[0]);
    jumps.judge(at(1, HOUR), false);
    assert!(!jumps.is_timeless() && !jumps.may_stamp());
    assert_eq!(jumps.read(at(1, HOUR)), at(1, 0).wall_ms);
}

#[test]
fn two_against_two_is_no_majority() {
    let mut guard = agreed(&[0, 0, 0]);
    hear(&mut guard, at(9, 0), 9, &[0, HOUR, HOUR]);
    let standing = guard.judge(at(9, 0), false);
    assert_eq!(standing, Standing::Undecided { offset_ms: -HOUR });
    let nobody = guard.offsets(at(9, 0)).iter().all(|it| !it.beyond);
    assert!(nobody && guard.may_stamp() && !guard.may_forget());
}

#[test]
fn a_node_that_is_cut_off_goes_on_until_it_jumps_and_again_when_it_is_back() {
    let mut guard = agreed(&[0, 0]);
    let later = FORGET_MS + 1;
    assert_eq!(guard.judge(at(later, 0), false), Standing::Unseen);
    assert!(guard.may_stamp());
    guard.judge(at(later + 1, HOUR), false);
    assert!(!guard.may_stamp());
    guard.judge(at(later + 2, 0), false);
    assert!(guard.may_stamp(), "it goes on where it was trusted");
}

#[test]
fn a_clock_that_was_wrong_from_the_start_is_not_right_because_nobody_is_in_sight() {
    let mut guard = ClockGuard::new(BOUND, at(0, HOUR));
    hear(&mut guard, at(0, HOUR), 0, &[0, 0]);
    guard.judge(at(0, HOUR), false);
    guard.judge(at(FORGET_MS + 1, HOUR), false);
    assert!(!guard.may_stamp());
    let read = guard.read(at(FORGET_MS + 1, HOUR));
    assert_eq!(read, at(FORGET_MS + 1, 0).wall_ms);
}

#[test]
fn the_only_member_follows_its_machine() {
    let mut guard = ClockGuard::new(BOUND, at(0, 0));
    guard.judge(at(0, 0), true);
    guard.judge(at(1, HOUR), true);
    assert!(guard.may_stamp() && guard.may_forget());
    assert_eq!(guard.read(at(1, HOUR)), at(1, HOUR).wall_ms);
}

#[test]
fn a_slow_answer_takes_no_better_ones_place_and_is_better_than_none() {
    let mut guard = agreed(&[0, 0]);
    let now = at(1_000, 0);
    guard.heard(node(1), now.wall_ms + 1_500, 3_000, now);
    assert_eq!(guard.offsets(now)[0].offset_ms, 0);
    let later = at(FORGET_MS / 3 + 1, 0);
    guard.heard(node(1), later.wall_ms, 3_000, later);
    assert_eq!(guard.offsets(later)[0].offset_ms, 1_500);
    guard.judge(later, false);
    assert!(guard.may_stamp());
}

#[test]
fn a_clock_that_becomes_right_is_announced_before_it_is_acted_on() {
    let mut guard = ClockGuard::new(BOUND, at(0, 0));
    guard.judge(at(0, 0), false);
    assert_eq!(guard.decides_from_ms(), u64::MAX, "nobody has confirmed it");
    hear(&mut guard, at(5, 0), 5, &[0, 0]);
    guard.judge(at(5, 0), false);
    let first = 5 + FIRST_ANNOUNCED_MS;
    assert_eq!(guard.decides_from_ms(), first);
    guard.judge(at(500, 0), false);
    assert_eq!(guard.decides_from_ms(), first, "once");
    guard.judge(at(1_000, HOUR), false);
    assert_eq!(guard.decides_from_ms(), u64::MAX);
    guard.judge(at(2_000, 0), false);
    assert_eq!(guard.decides_from_ms(), 2_000 + AGAIN_ANNOUNCED_MS);
}

#[test]
fn the_only_member_has_nobody_to_announce_it_to() {
    let mut guard = ClockGuard::new(BOUND, at(7, 0));
    guard.judge(at(7, 0), true);
    assert_eq!(guard.decides_from_ms(), 7);
}

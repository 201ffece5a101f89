//! The wheel where it turns: ticks, turns and the search for the next timer.

use super::*;

fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<usize> {
    let mut due = Vec::new();
    wheel.advance(now_ms, |timer| due.push(timer));
    due
}

#[test]
fn a_deadline_between_ticks_is_rounded_up() {
    let mut wheel = Wheel::new(5, 0);
    wheel.set(0, 12);
    assert_eq!(wheel.next(), Some(15));
    assert_eq!(due(&mut wheel, 14), []);
    assert_eq!(due(&mut wheel, 15), [0]);
}

#[test]
fn a_deadline_in_the_past_comes_with_the_next_tick() {
    let mut wheel = Wheel::new(5, 1_000);
    wheel.set(0, 3);
    assert_eq!(wheel.next(), Some(1_005));
    assert_eq!(due(&mut wheel, 1_005), [0]);
}

#[test]
fn a_timer_turns_away_is_passed_over_until_its_turn() {
    let turn = 5 * SLOTS as u64;
    let mut wheel = Wheel::new(5, 0);
    wheel.set(0, 2 * turn + 50);
    wheel.set(1, 50);
    assert_eq!(due(&mut wheel, 50), [1]);
    assert_eq!(due(&mut wheel, turn + 50), []);
    assert_eq!(due(&mut wheel, 2 * turn + 49), []);
    assert_eq!(due(&mut wheel, 2 * turn + 50), [0]);
}

#[test]
fn a_sleep_of_several_turns_misses_nothing() {
    let turn = SLOTS as u64;
    let mut wheel = Wheel::new(1, 7);
    let timers: Vec<usize> = (0..50).collect();
    timers
        .iter()
        .for_each(|&timer| wheel.set(timer, 8 + timer as u64 * 333));
    let mut all = due(&mut wheel, 7 + 10 * turn);
    all.sort_unstable();
    assert_eq!(all, timers);
    assert_eq!(wheel.next(), None);
}

#[test]
fn a_clock_that_goes_back_serves_nothing_and_breaks_nothing() {
    let mut wheel = Wheel::new(5, 1_000);
    wheel.set(0, 1_020);
    assert_eq!(due(&mut wheel, 500), []);
    assert_eq!(due(&mut wheel, 1_020), [0]);
}

#[test]
fn next_is_found_wherever_the_wheel_stands() {
    for served in [
        0,
        1,
        62,
        63,
        64,
        65,
        SLOTS as u64 - 1,
        SLOTS as u64,
        3 * SLOTS as u64 - 2,
    ] {
        for ahead in [1, 2, 63, 64, 65, 1_000, SLOTS as u64 - 1, SLOTS as u64] {
            let mut wheel = Wheel::new(1, served);
            wheel.set(3, served + ahead);
            assert_eq!(
                wheel.next(),
                Some(served + ahead),
                "served {served}, ahead {ahead}"
            );
        }
    }
}

#[test]
fn cancelling_takes_a_timer_out_of_the_middle() {
    let mut wheel = Wheel::new(5, 0);
    (0..4).for_each(|timer| wheel.set(timer, 10));
    wheel.cancel(1);
    wheel.cancel(1);
    wheel.cancel(900);
    assert_eq!(due(&mut wheel, 10), [0, 2, 3]);
    wheel.set(2, 20);
    wheel.cancel(2);
    assert_eq!(wheel.next(), None);
}

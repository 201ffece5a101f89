//! Stamps at the ends of time.

use super::*;

#[test]
fn a_time_after_the_newest_is_found_or_there_is_none() {
    let now = Now {
        mono_ms: 1,
        mono_sub_us: 0,
        wall_ms: 1,
    };
    let clock = Clock::new(500);
    for newest in [0, 1 << 40, u64::MAX - 1] {
        let after = next_after(&clock, HlcTime(newest), now);
        assert!(after.is_some_and(|after| after.0 > newest), "{newest}");
    }
    assert_eq!(next_after(&clock, HlcTime(u64::MAX), now), None);
}

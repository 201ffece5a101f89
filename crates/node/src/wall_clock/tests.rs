//! The guarded clock over a machine whose clock is set by hand.

use std::sync::atomic::AtomicU64;

use henge_membership::{AGAIN_ANNOUNCED_MS, FIRST_ANNOUNCED_MS};

use super::*;

const HOUR: u64 = 3_600_000;
const START: u64 = 1_700_000_000_000;

/// A machine's clocks, set by hand.
#[derive(Default)]
struct Machine {
    mono_ms: AtomicU64,
    ahead_ms: AtomicU64,
}

impl Clocks for Machine {
    fn now(&self) -> Now {
        let mono_ms = self.mono_ms.load(Ordering::Relaxed);
        Now {
            mono_ms,
            mono_sub_us: 7,
            wall_ms: START + mono_ms + self.ahead_ms.load(Ordering::Relaxed),
        }
    }
}

impl Machine {
    fn is_at(&self, mono_ms: u64, ahead_ms: u64) {
        self.mono_ms.store(mono_ms, Ordering::Relaxed);
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

fn with_two_peers() -> (Arc<Machine>, Arc<Clock>, WallClock) {
    let (machine, stamps) = (Arc::new(Machine::default()), Arc::new(Clock::new(500)));
    let clock = WallClock::new(machine.clone(), stamps.clone());
    assert!(stamps.astray_ms().is_some(), "nobody has confirmed it");
    assert!(stamps.is_timeless());
    for peer in [1, 2] {
        assert!(!clock.heard(NodeId([peer; 16]), START, 0));
    }
    assert_eq!((stamps.astray_ms(), stamps.is_timeless()), (None, false));
    (machine, stamps, clock)
}

#[test]
fn a_jump_is_seen_by_whoever_reads_the_clock_first() {
    let (machine, stamps, clock) = with_two_peers();
    machine.is_at(3, HOUR);
    let now = clock.now();
    assert_eq!((now.wall_ms, now.mono_ms), (START + 3, 3));
    assert_eq!(stamps.astray_ms(), Some(HOUR as i64));
    let said = clock
        .unready()
        .map(|why| why.to_string())
        .unwrap_or_default();
    assert!(said.contains("3600000") && said.contains("500"), "{said}");
    machine.is_at(9, HOUR);
    assert_eq!(clock.now().wall_ms, START + 9, "and time goes on");
    assert!(!clock.may_forget());
    machine.is_at(10, 0);
    clock.judge(false);
    assert_eq!(
        (clock.now().wall_ms, stamps.astray_ms()),
        (START + 10, None)
    );
}

#[test]
fn a_peer_beyond_the_bound_is_named_and_this_node_goes_on() {
    let (machine, stamps, clock) = with_two_peers();
    machine.is_at(1_000, 0);
    assert!(!clock.heard(NodeId([1; 16]), START + 1_000, 0));
    assert!(clock.heard(NodeId([2; 16]), START + 1_000 + HOUR, 0));
    clock.judge(false);
    assert_eq!(stamps.astray_ms(), None);
    let report = clock.report();
    let shown: Vec<_> = report
        .peers
        .iter()
        .map(|it| (it.offset_ms, it.beyond))
        .collect();
    assert_eq!(shown, [(0, false), (HOUR as i64, true)]);
}

#[test]
fn a_node_without_others_follows_its_machine() {
    let (machine, stamps) = (Arc::new(Machine::default()), Arc::new(Clock::new(500)));
    let clock = WallClock::new(machine.clone(), stamps.clone());
    clock.judge(true);
    machine.is_at(5, HOUR);
    clock.judge(true);
    assert_eq!(stamps.astray_ms(), None);
    assert_eq!(clock.now().wall_ms, START + 5 + HOUR);
}

#[test]
fn who_is_right_again_says_so_at_once_and_decides_later() {
    let (machine, stamps, clock) = with_two_peers();
    assert_eq!(stamps.decides_from_ms(), FIRST_ANNOUNCED_MS);
    machine.is_at(1_000, HOUR);
    clock.judge(false);
    assert_eq!(stamps.decides_from_ms(), u64::MAX);
    machine.is_at(2_000, 0);
    clock.judge(false);
    assert_eq!(stamps.astray_ms(), None, "this is what peers are told");
    assert_eq!(stamps.decides_from_ms(), 2_000 + AGAIN_ANNOUNCED_MS);
}

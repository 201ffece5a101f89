//! A simulated node's clocks: what its machine says, and what the node makes of it by the same guard that
//! a real one has.

use std::sync::Arc;

use henge_node::{ClockGuard, Now, Reading};
use henge_ring::NodeId;
use henge_versioning::Clock;

use super::{ask::START_MS, node::CLOCK_BOUND_MS};
use crate::history::Micros;

/// How often nodes compare their clocks: as often as busy links ping.
const COMPARE_EVERY: Micros = 500_000;

/// See the module's text.
pub(super) struct NodeClock {
    /// How far its wall clock is off, in milliseconds.
    pub skew_ms: i64,
    /// By how much it has jumped beside that.
    pub jumped_ms: i64,
    /// Its hybrid clock; a new one in each process.
    pub stamps: Arc<Clock>,
    guard: ClockGuard,
    /// Whether the node believes its machine: a mistake made on purpose.
    unguarded: bool,
    compares_at: Micros,
}

impl NodeClock {
    pub(super) fn new(skew_ms: i64, unguarded: bool) -> Self {
        Self {
            skew_ms,
            jumped_ms: 0,
            stamps: Arc::new(Clock::new(CLOCK_BOUND_MS)),
            guard: ClockGuard::new(CLOCK_BOUND_MS, reading(0, skew_ms)),
            unguarded,
            compares_at: 0,
        }
    }

    /// A process starts: it knows nothing of its peers' clocks.
    pub(super) fn start(&mut self, at: Micros) {
        self.stamps = Arc::new(Clock::new(CLOCK_BOUND_MS));
        self.guard = ClockGuard::new(CLOCK_BOUND_MS, self.machine(at));
        self.judge(at);
    }

    /// What its machine's clocks say.
    pub(super) fn machine(&self, at: Micros) -> Reading {
        reading(at, self.skew_ms + self.jumped_ms)
    }

    /// The time that the node works with.
    pub(super) fn now(&self, at: Micros) -> Now {
        let machine = self.machine(at);
        Now {
            mono_ms: machine.mono_ms,
            mono_sub_us: (at % 1000) as u16,
            wall_ms: match self.unguarded {
                true => machine.wall_ms,
                false => self.guard.read(machine),
            },
        }
    }

    /// Something reaches the node: a jump is seen before anything else. `is_tick`: it judges anyway.
    pub(super) fn look(&mut self, at: Micros, is_tick: bool) {
        if is_tick || self.guard.has_jumped(self.machine(at)) {
            self.judge(at);
        }
    }

    /// Whether it is time to compare clocks.
    pub(super) fn is_due(&mut self, at: Micros) -> bool {
        let due = at >= self.compares_at;
        if due {
            self.compares_at = at + COMPARE_EVERY;
        }
        due
    }

    /// A peer's machine says this time. Says whether the peer is seen to be beyond the bound.
    pub(super) fn hear(&mut self, at: Micros, peer: NodeId, wall_ms: u64) -> bool {
        let now = self.machine(at);
        self.guard.heard(peer, wall_ms, 0, now);
        self.judge(at);
        let offsets = self.guard.offsets(now);
        !self.unguarded && offsets.iter().any(|it| it.peer == peer && it.beyond)
    }

    /// Whether it stamps nothing because its clock is wrong.
    pub(super) fn is_astray(&self) -> bool {
        self.stamps.astray_ms().is_some()
    }

    /// Whether what has expired may be forgotten.
    pub(super) fn may_forget(&self) -> bool {
        self.unguarded || self.guard.may_forget()
    }

    fn judge(&mut self, at: Micros) {
        let standing = self.guard.judge(self.machine(at), false);
        let stops = !self.guard.may_stamp() && !self.unguarded;
        self.stamps
            .set_timeless(self.guard.is_timeless() && !self.unguarded);
        let decides_from_ms = match self.unguarded {
            true => 0,
            false => self.guard.decides_from_ms(),
        };
        self.stamps.set_deciding_from(decides_from_ms);
        self.stamps.set_astray(stops.then(|| standing.offset_ms()));
    }
}

/// What a machine's clocks say whose wall clock is off by so much.
fn reading(at: Micros, off_ms: i64) -> Reading {
    Reading {
        mono_ms: at / 1000,
        wall_ms: (START_MS + at / 1000).saturating_add_signed(off_ms),
    }
}

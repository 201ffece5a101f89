//! The node's clocks, the wall clock guarded: what every part of the node takes for the time.
//!
//! Reading them costs one load and one comparison more than reading the machine's: has wall time moved
//! against monotonic time since it was last judged? Only then, and twice a second, is the
//! [`ClockGuard`] asked. So a jump is seen by the first thread that reads the clock after it, before
//! it decides anything by it, and nobody in the node ever sees the hour that it jumped by.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use henge_membership::{ClockGuard, PeerOffset, Reading, Standing};
use henge_ring::NodeId;
use henge_versioning::Clock;

use crate::{Clocks, Now, Unready};

/// See the module's text.
pub(crate) struct WallClock {
    machine: Arc<dyn Clocks>,
    guard: Mutex<ClockGuard>,
    /// The hybrid clock, which stamps no more when this one is wrong.
    stamps: Arc<Clock>,
    /// Wall time less monotonic time as last judged.
    trusted: AtomicI64,
    jump_ms: u64,
}

/// What is known of this node's clock and its peers'.
#[derive(Clone, Debug)]
pub struct ClockReport {
    /// This node's.
    pub standing: Standing,
    /// Whether it stamps.
    pub may_stamp: bool,
    /// How far clocks may be apart, in milliseconds.
    pub bound_ms: u64,
    /// Its peers', as measured in the last half minute.
    pub peers: Vec<PeerOffset>,
}

impl WallClock {
    /// Of a node that has heard no peer. Until one confirms its clock it does not stamp.
    pub(crate) fn new(machine: Arc<dyn Clocks>, stamps: Arc<Clock>) -> Self {
        let guard = ClockGuard::new(stamps.max_skew_ms(), reading(machine.now()));
        let clock = Self {
            machine,
            trusted: AtomicI64::new(guard.trusted_ms()),
            jump_ms: guard.jump_ms(),
            stamps,
            guard: Mutex::new(guard),
        };
        clock.publish(&clock.locked());
        clock
    }

    /// The time to work with.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        let now = self.machine.now();
        let trusted = self.trusted.load(Ordering::Relaxed);
        let base = now.wall_ms.wrapping_sub(now.mono_ms) as i64;
        if base.wrapping_sub(trusted).unsigned_abs() <= self.jump_ms {
            return now;
        }
        self.astray()
    }

    /// What the machine says, right or wrong.
    pub(crate) fn machine(&self) -> Now {
        self.machine.now()
    }

    /// Wall time is not where it should be: time goes on from where it was.
    #[cold]
    fn astray(&self) -> Now {
        // The two clocks are read one after the other, and the thread may have stood still between.
        let now = self.machine.now();
        let reading = reading(now);
        let mut guard = self.locked();
        if guard.has_jumped(reading) && self.stamps.astray_ms().is_none() {
            self.judge_now(&mut guard, reading, false);
        }
        Now {
            wall_ms: guard.read(reading),
            ..now
        }
    }

    /// Takes in what a peer said of its clock. Says whether the peer is beyond the bound.
    pub(crate) fn heard(&self, peer: NodeId, wall_ms: u64, round_trip_ms: u64) -> bool {
        let now = reading(self.machine.now());
        let mut guard = self.locked();
        guard.heard(peer, wall_ms, round_trip_ms, now);
        if !guard.may_stamp() {
            self.judge_now(&mut guard, now, false);
        }
        let offsets = guard.offsets(now);
        offsets.iter().any(|it| it.peer == peer && it.beyond)
    }

    /// Judges anew, which is due twice a second. `is_lonely`: no other node is or was to be a member.
    pub(crate) fn judge(&self, is_lonely: bool) -> Standing {
        let now = reading(self.machine.now());
        let mut guard = self.locked();
        self.judge_now(&mut guard, now, is_lonely);
        guard.standing()
    }

    /// Whether it has ever agreed with another clock.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.locked().is_confirmed()
    }

    /// Whether what has expired may be forgotten for good.
    pub(crate) fn may_forget(&self) -> bool {
        self.locked().may_forget()
    }

    /// Why it does not stamp, if it does not.
    pub(crate) fn unready(&self) -> Option<Unready> {
        Unready::of_clock(&self.stamps)
    }

    /// For whoever looks after the cluster.
    pub(crate) fn report(&self) -> ClockReport {
        let now = reading(self.machine.now());
        let guard = self.locked();
        ClockReport {
            standing: guard.standing(),
            may_stamp: guard.may_stamp(),
            bound_ms: guard.bound_ms(),
            peers: guard.offsets(now),
        }
    }

    fn locked(&self) -> MutexGuard<'_, ClockGuard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge_now(&self, guard: &mut ClockGuard, now: Reading, is_lonely: bool) {
        let (before, stamped) = (guard.standing(), guard.may_stamp());
        let standing = guard.judge(now, is_lonely);
        self.publish(guard);
        let (offset_ms, bound_ms) = (standing.offset_ms(), guard.bound_ms());
        let standing = standing.word();
        match (stamped, guard.may_stamp()) {
            (true, false) => tracing::error!(
                standing,
                offset_ms,
                bound_ms,
                "this node's clock is wrong: it stamps nothing and forgets nothing until it is right"
            ),
            (false, true) => {
                tracing::info!(
                    standing,
                    offset_ms,
                    "this node's clock agrees with its peers'"
                );
            }
            _ if before.word() != standing => {
                tracing::info!(standing, offset_ms, bound_ms, "this node's clock");
            }
            _ => {}
        }
    }

    fn publish(&self, guard: &ClockGuard) {
        self.trusted.store(guard.trusted_ms(), Ordering::Relaxed);
        let offset_ms = guard.standing().offset_ms();
        let astray = (!guard.may_stamp()).then_some(offset_ms);
        self.stamps.set_timeless(guard.is_timeless());
        self.stamps.set_deciding_from(guard.decides_from_ms());
        self.stamps.set_astray(astray);
    }
}

fn reading(now: Now) -> Reading {
    Reading {
        mono_ms: now.mono_ms,
        wall_ms: now.wall_ms,
    }
}

#[cfg(test)]
mod tests;

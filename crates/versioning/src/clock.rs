//! The hybrid logical clock, shared by the data threads of a node.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::HlcTime;

/// Hybrid logical clock (Kulkarni et al., *Logical Physical Clocks*, 2014): never goes back, stays
/// within the skew bound of wall time, and is ahead of every stamp it has observed.
///
/// One atomic word: every change to it is a single read-modify-write, and those of one word have
/// one total order, so relaxed ordering is enough for all promises above. More than 65,536 stamps
/// within a millisecond carry into the milliseconds, that is, the clock runs ahead a little.
#[derive(Debug)]
pub struct Clock {
    last: AtomicU64,
    astray: Apart,
    max_skew_ms: u64,
}

/// How far the wall clock is off that feeds this one, and must not; 0: it is in order. And whether it is
/// not even known what time it is. It is looked at by each request and written hardly ever, so it shares
/// no cache line with `last`.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart {
    off_ms: AtomicI64,
    timeless: AtomicBool,
    /// See [`Clock::decides_from_ms`].
    decides_from_ms: AtomicU64,
}

/// A peer's stamp lies further ahead of this node's wall clock than the bound allows; it was not
/// taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stamp is {ahead_ms} ms ahead of this node's clock, more than the bound of {bound_ms} ms"
)]
pub struct SkewError {
    /// How far ahead it was.
    pub ahead_ms: u64,
    /// The bound.
    pub bound_ms: u64,
}

impl Clock {
    /// How far ahead of this node's wall time another's is believed to be at most.
    pub fn max_skew_ms(&self) -> u64 {
        self.max_skew_ms
    }

    /// A clock that accepts remote stamps at most `max_skew_ms` ahead of its own wall time.
    pub fn new(max_skew_ms: u64) -> Self {
        Self {
            last: AtomicU64::new(0),
            astray: Apart::default(),
            max_skew_ms,
        }
    }

    /// The next time: greater than every time returned or observed so far. `wall_ms` may go back.
    ///
    /// Only at the very end of the range (the year 10889) does it repeat itself instead.
    pub fn now(&self, wall_ms: u64) -> HlcTime {
        let wall = HlcTime::new(wall_ms, 0).0;
        let next = |last: u64| wall.max(last.saturating_add(1));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            })
            .unwrap_or_else(|last| last);
        HlcTime(next(last))
    }

    /// Takes a remote time into account, so that later stamps of this node are greater.
    ///
    /// # Errors
    /// If it is further ahead of `wall_ms` than the bound; the clock is as before.
    pub fn observe(&self, remote: HlcTime, wall_ms: u64) -> Result<(), SkewError> {
        let ahead_ms = remote.millis().saturating_sub(wall_ms);
        if ahead_ms > self.max_skew_ms {
            return Err(SkewError {
                ahead_ms,
                bound_ms: self.max_skew_ms,
            });
        }
        self.last.fetch_max(remote.0, Ordering::Relaxed);
        Ok(())
    }

    /// Lets it be known that the wall clock is off by so many milliseconds (0 counts as 1), so that no
    /// new write may be stamped here; `None`: it is in order.
    pub fn set_astray(&self, offset_ms: Option<i64>) {
        let offset_ms = offset_ms.map_or(0, |off| if off == 0 { 1 } else { off });
        self.astray.off_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Lets it be known that nobody has told yet what time it is: while this node must not stamp, it must
    /// not judge either whether what others show it has expired.
    pub fn set_timeless(&self, timeless: bool) {
        self.astray.timeless.store(timeless, Ordering::Relaxed);
    }

    /// Whether nobody has told yet what time it is.
    pub fn is_timeless(&self) -> bool {
        self.astray.timeless.load(Ordering::Relaxed)
    }

    /// Lets it be known from which monotonic time on this node may decide what only one node may: when its
    /// clock was wrong, those who know must hear first that it is right. Of a new clock it is 0.
    pub fn set_deciding_from(&self, mono_ms: u64) {
        self.astray
            .decides_from_ms
            .store(mono_ms, Ordering::Relaxed);
    }

    /// The monotonic time, in milliseconds, from which this node may decide what only one node may.
    #[inline]
    pub fn decides_from_ms(&self) -> u64 {
        self.astray.decides_from_ms.load(Ordering::Relaxed)
    }

    /// How far the wall clock is off, if that is why this node must not stamp.
    #[inline]
    pub fn astray_ms(&self) -> Option<i64> {
        let offset_ms = self.astray.off_ms.load(Ordering::Relaxed);
        (offset_ms != 0).then_some(offset_ms)
    }

    /// The greatest time returned or observed so far.
    pub fn latest(&self) -> HlcTime {
        HlcTime(self.last.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;

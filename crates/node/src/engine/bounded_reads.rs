//! Reads with a bound on staleness: a replica alone may answer for a while after a quorum has.
//!
//! When R replicas have answered a read of a key, all that they hold of it has been merged into this
//! node's own record, which from then on only grows. So for `max_staleness_ms` after that read *began*
//! this node's record shows at least what a read with the same R would have shown so long ago, and no
//! other replica need be asked. Nothing is taken from clocks of other machines, and nothing is assumed
//! about who is up: what is not remembered is read from R replicas, as ever.
//!
//! Remembered is the latest such read of a token in a table of fixed size, where a token has one place
//! and the later one takes it. It is made at the first of these reads; nodes that get none have none.

use henge_coordinator::{Consistency, PlaceSet};
use henge_store::Key;

use super::{
    Engine, Now, Placement,
    operation::{Asker, Reading, Then},
};

/// How many tokens are remembered, in 24 bytes each. A power of two.
const REMEMBERED: usize = 1 << 14;

/// When R replicas were last known to hold nothing that this node's record lacks.
#[derive(Clone, Copy, Default)]
struct Confirmed {
    token: u64,
    /// When the read began, by monotonic time.
    began_ms: u64,
    /// How many had answered; 0: nothing is known.
    r: u8,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct ConfirmedReads(Vec<Confirmed>);

impl ConfirmedReads {
    /// Whether R replicas have answered a read that began at this time or later.
    fn covers(&self, token: u64, r: u8, since_ms: u64) -> bool {
        let confirmed = self.0.get(place_of(token));
        confirmed.is_some_and(|it| it.token == token && it.r >= r && it.began_ms >= since_ms)
    }

    fn note(&mut self, token: u64, r: u8, began_ms: u64) {
        self.0.resize(REMEMBERED, Confirmed::default());
        self.0[place_of(token)] = Confirmed { token, began_ms, r };
    }

    /// Forgets all: the replica sets have changed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Partitions are numbered by a token's high bits, so the low ones are as random in each of them.
fn place_of(token: u64) -> usize {
    token as usize % REMEMBERED
}

impl Engine {
    /// A read that may show what R replicas would have shown `max_staleness_ms` ago.
    pub(super) fn begin_bounded_read(
        &mut self,
        now: Now,
        key: Key<'_>,
        placement: Placement,
        consistency: &Consistency,
        asker: Asker,
        max_staleness_ms: u64,
    ) {
        let since_ms = now.mono_ms.saturating_sub(max_staleness_ms);
        let covered = self
            .confirmed_reads
            .covers(key.token.0, consistency.r(), since_ms);
        if covered && !self.in_motion {
            self.parts.counters.bounded_reads.add(1);
            return self.answer_alone(now, key, placement, consistency, asker);
        }
        let then = Some(Box::new(Then::Confirm { max_staleness_ms }));
        self.begin_read(now, key, placement, consistency, asker, then);
    }

    /// R replicas have answered. Fallbacks do not count here: what a read of primaries would have found
    /// may be missing with them. `reading` still has what they hold.
    pub(super) fn confirm(&mut self, reading: &Reading) {
        let read = &reading.read;
        let is_primary = |place: &u8| read.place(*place).is_some_and(|it| !it.is_fallback());
        let answered: PlaceSet = read.tally().acked().iter().filter(is_primary).collect();
        let r = reading.consistency.r();
        if self.in_motion || answered.len() < r || reading.keep_here(&*self.parts.store).is_err() {
            return;
        }
        let began_ms = reading
            .deadline_ms
            .saturating_sub(u64::from(reading.consistency.deadline_ms()));
        self.confirmed_reads
            .note(Key::new(&reading.key).token.0, r, began_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::{Confirmed, ConfirmedReads, REMEMBERED};

    #[test]
    fn an_answer_covers_its_own_r_and_fewer_from_when_the_read_began() {
        let mut reads = ConfirmedReads::default();
        assert!(!reads.covers(7, 1, 0), "nothing is remembered");
        reads.note(7, 2, 100);
        for (r, since_ms, covered) in [
            (1, 100, true),
            (2, 100, true),
            (3, 100, false),
            (2, 101, false),
        ] {
            assert_eq!(
                reads.covers(7, r, since_ms),
                covered,
                "R={r} since {since_ms}"
            );
        }
        reads.forget();
        assert!(!reads.covers(7, 1, 0));
    }

    #[test]
    fn another_token_in_the_same_place_is_not_taken_for_the_first() {
        let mut reads = ConfirmedReads::default();
        let (first, second) = (7, 7 + REMEMBERED as u64);
        reads.note(first, 2, 100);
        assert!(!reads.covers(second, 1, 0));
        reads.note(second, 2, 100);
        assert!(!reads.covers(first, 1, 0), "it has lost its place");
    }

    #[test]
    fn a_token_of_zero_is_not_covered_by_an_empty_place() {
        let mut reads = ConfirmedReads::default();
        reads.note(1, 2, 100);
        assert!(!reads.covers(0, 1, 0));
        assert_eq!(size_of::<Confirmed>(), 24);
    }
}

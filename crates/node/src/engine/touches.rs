//! Touches that one before them covers.
//!
//! A web server touches a session at each request of its user, so that most touches move a deadline by a
//! few seconds of half an hour. One that would move it by next to nothing is answered from what this node
//! remembers: that W primaries have acknowledged a deadline nearly as late, within the same life, and that
//! its own record, which is live, has been given no other since. Nobody else is asked. What is promised is
//! that the session lives on W replicas for as long as was asked, less the slack: a hundredth of the
//! lifetime, and never more than the node's `touch_slack`.
//!
//! It is as if the touch had come when the one before it did. So a touch says as much of whether the
//! session is still there as it does otherwise, where the local record decides, too; and a deadline that
//! was made *earlier* meanwhile, by a write of which this node has not heard yet, stays.
//!
//! Remembered are the latest touches in a table of fixed size, where a token has a few places and the latest
//! deadlines stay. It is made at the first touch; nodes that get none have none.

use henge_store::Key;
use henge_versioning::RecordRef;

use super::{Consistency, Engine, Now, operation::Asker};
use crate::{Condition, Done, Kind, Operation, Outcome, Request, hidden::Hidden};

/// How many touches are remembered, in 16 bytes each: as many sets as this of [`WAYS`]. A power of two.
const SETS: usize = 1 << 15;

/// Places that a token has: as many as fit a cache line. With one place each a seventh of 20,000 sessions
/// would push each other out.
const WAYS: usize = 4;

/// The share of a lifetime by which a session may end early, as a divisor.
const SHARE: u64 = 100;

/// A deadline that a life was given: in force where W places have acknowledged it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// In wall-clock milliseconds.
    until_ms: u64,
    /// The low bits of the life's number.
    life: u16,
}

impl Touched {
    fn of(record: RecordRef<'_>) -> Self {
        Self {
            until_ms: record.deadline().at,
            life: record.epoch().time.0 as u16,
        }
    }
}

/// One touch that was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Remembered {
    token: u64,
    /// From its highest bits: the deadline in milliseconds, which suffices until 2109; the low bits of the
    /// life's number; and how many primaries have acknowledged it, 0 where nothing is remembered.
    packed: u64,
}

const LIFE_BITS: u32 = 16;
const W_BITS: u32 = 6;
const UNTIL_BITS: u32 = 64 - LIFE_BITS - W_BITS;

impl Remembered {
    fn new(token: u64, touched: Touched, w: u8) -> Option<Self> {
        let fits = touched.until_ms < 1 << UNTIL_BITS && w < 1 << W_BITS;
        let packed = touched.until_ms << (LIFE_BITS + W_BITS)
            | u64::from(touched.life) << W_BITS
            | u64::from(w);
        fits.then_some(Self { token, packed })
    }

    fn w(self) -> u8 {
        (self.packed & ((1 << W_BITS) - 1)) as u8
    }

    fn touched(self) -> Touched {
        Touched {
            until_ms: self.packed >> (LIFE_BITS + W_BITS),
            life: (self.packed >> W_BITS) as u16,
        }
    }
}

/// The places of one token, on a cache line of their own.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Remembered; WAYS]);

const _: () = assert!(size_of::<Set>() == 64);

/// See the module's text.
#[derive(Default)]
pub(super) struct Touches(Vec<Set>);

impl Touches {
    /// What W primaries have acknowledged.
    fn get(&self, token: u64, w: u8) -> Option<Touched> {
        let Set(ways) = self.0.get(set_of(token))?;
        let found = ways.iter().find(|it| it.token == token && it.w() >= w)?;
        Some(found.touched())
    }

    /// A touch was acknowledged by so many primaries. Fallbacks do not count: they hand on what they hold,
    /// later.
    pub(super) fn note(&mut self, key: &[u8], touched: Touched, w: u8) {
        let token = Key::new(key).token.0;
        let Some(new) = Remembered::new(token, touched, w) else {
            return;
        };
        self.0.resize(SETS, Set::default());
        let Set(ways) = &mut self.0[set_of(token)];
        let own = ways.iter().position(|it| it.token == token);
        // Else the one that is of no use soonest, or has never been of any.
        let oldest = || (0..WAYS).min_by_key(|at| ways[*at].packed);
        if let Some(at) = own.or_else(oldest) {
            ways[at] = new;
        }
    }

    /// Forgets all: the replica sets have changed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Partitions are numbered by a token's high bits, so the low ones are as random in each of them.
fn set_of(token: u64) -> usize {
    token as usize % SETS
}

/// What a touch is told that changed nothing because it need not.
pub(super) fn covered() -> Outcome {
    let done = Done {
        applied: true,
        ..Done::default()
    };
    Outcome {
        result: Ok(done),
        receipt: None,
    }
}

/// The deadline that a plain touch asks for. With a condition it would have to be told whether that holds.
fn asked(operation: &Operation<'_>) -> Option<u64> {
    match operation {
        Operation::Expire {
            at,
            condition: Condition::Always,
        } => Some(*at),
        _ => None,
    }
}

impl Engine {
    /// Whether this is a touch that W replicas have acknowledged already, but for the slack. One that wants
    /// to be told who they are is not.
    #[inline]
    pub(super) fn is_covered(
        &self,
        now: Now,
        request: &Request<'_>,
        key: Key<'_>,
        consistency: &Consistency,
        asker: Asker,
    ) -> bool {
        let Some(at) = asked(&request.operation).filter(|_| !asker.receipt) else {
            return false;
        };
        let is_covered = !self.in_motion && self.covers(now, at, key, consistency.w());
        self.parts
            .counters
            .covered_touches
            .add(u64::from(is_covered));
        is_covered
    }

    /// The same while every member can be reached: then nothing else need be looked at.
    #[inline]
    pub(super) fn is_covered_usually(
        &self,
        now: Now,
        request: &Request<'_>,
        key: Key<'_>,
        consistency: &Consistency,
        asker: Asker,
    ) -> bool {
        self.filled && self.peers.all_up() && self.is_covered(now, request, key, consistency, asker)
    }

    fn covers(&self, now: Now, at: u64, key: Key<'_>, w: u8) -> bool {
        let Some(noted) = self.touches.get(key.token.0, w) else {
            return false;
        };
        let mut covers = false;
        self.parts.store.read(key, &mut |stored| {
            let Some(stored) = stored else { return };
            let record = stored.record();
            let here = Touched::of(record);
            let asked_ms = at.min(record.cap());
            let slack_ms = (at.saturating_sub(now.wall_ms) / SHARE).min(self.parts.touch_slack_ms);
            covers = record.is_live(now.wall_ms)
                && here.life == noted.life
                && (noted.until_ms..=asked_ms).contains(&here.until_ms)
                && asked_ms - noted.until_ms <= slack_ms
                && !Hidden::is_handed_over(stored.bytes);
        });
        covers
    }

    /// What is to be remembered of a write, should W replicas acknowledge it. `delta` is what it sends.
    #[inline]
    pub(super) fn touched(&self, request: &Request<'_>) -> Option<Touched> {
        asked(&request.operation)?;
        if self.parts.touch_slack_ms == 0 || self.buckets.of(request.key).kind != Kind::Session {
            return None;
        }
        let delta = RecordRef::parse(&self.delta).ok()?;
        (!delta.is_dead()).then(|| Touched::of(delta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOUCHED: Touched = Touched {
        until_ms: 1_700_000_000_000,
        life: 7,
    };

    /// Keys whose tokens lie in one set.
    fn of_one_set(count: usize) -> Vec<String> {
        let keys = (0..).map(|number| format!("k{number}"));
        let in_it = keys.filter(|key| set_of(Key::new(key.as_bytes()).token.0) == 0);
        in_it.take(count).collect()
    }

    fn token(key: &str) -> u64 {
        Key::new(key.as_bytes()).token.0
    }

    #[test]
    fn it_says_what_it_was_told_to_those_who_ask_for_no_more_replicas() {
        let mut touches = Touches::default();
        assert_eq!(touches.get(token("k"), 1), None);
        touches.note(b"k", TOUCHED, 2);
        for (w, told) in [(1, true), (2, true), (3, false)] {
            let expected = told.then_some(TOUCHED);
            assert_eq!(touches.get(token("k"), w), expected, "W={w}");
        }
        let last = Touched {
            until_ms: (1 << UNTIL_BITS) - 1,
            life: u16::MAX,
        };
        touches.note(b"k", last, (1 << W_BITS) - 1);
        assert_eq!(touches.get(token("k"), 2), Some(last), "one place for each");
        let never = Touched {
            until_ms: u64::MAX,
            ..last
        };
        touches.note(b"other", never, 2);
        assert_eq!(touches.get(token("other"), 2), None, "no bits for it");
        touches.forget();
        assert_eq!(touches.get(token("k"), 1), None);
    }

    #[test]
    fn of_too_many_the_one_that_ends_first_goes() {
        let mut touches = Touches::default();
        let keys = of_one_set(WAYS + 1);
        let ends = |at: usize| Touched {
            until_ms: TOUCHED.until_ms + [3, 1, 4, 2, 5][at],
            ..TOUCHED
        };
        for (at, key) in keys.iter().enumerate() {
            touches.note(key.as_bytes(), ends(at), 2);
        }
        for (at, key) in keys.iter().enumerate() {
            let expected = (at != 1).then_some(ends(at));
            assert_eq!(touches.get(token(key), 2), expected, "{key}");
        }
    }
}

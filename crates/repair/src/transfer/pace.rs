//! How fast a node moves partitions, in and out together: as fast as its clients do not feel.
//!
//! A token bucket whose rate follows what requests take. It begins low. Every [`WINDOW_MS`] in which the
//! 99th percentile of those measured stays below twice what it was before the change it rises by an
//! eighth; in one that does not it is halved. It never falls below a floor, since a change that lasts is
//! a risk of its own, and never exceeds what is configured. (Additive increase would find the balance
//! more finely; how much a node may move differs by factors of a thousand, so it has to be found soon.)

/// How often the rate is judged, in milliseconds.
const WINDOW_MS: u64 = 100;

/// Requests may take so many times what they took before, and this much more: less is noise.
const SLOWER: u32 = 2;
const SLOWER_US: u32 = 500;

/// The rate begins at this part of the highest, and does not fall below this one.
const BEGIN: u64 = 16;
const FLOOR: u64 = 32;

/// What a page costs besides its bytes: two messages, a look into two stores, and what everybody hears
/// of it. Where 440 small partitions moved this was nearly all there was: at 4 KiB a page they took
/// 1.3 s, in which clients waited seven times as long as before; at 64 KiB 3 s, and not three times.
const PAGE: u64 = 64 << 10;

/// Requests remembered of one window; more tell nothing new.
const FELT: usize = 1_024;

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Pace {
    most: u64,
    /// Bytes per second.
    rate: u64,
    /// The 99th percentile before the change, in microseconds, if enough was measured.
    usual_us: Option<u32>,
    /// What requests of this window took, in microseconds.
    felt: Vec<u32>,
    judged_ms: u64,
    /// Bytes that may be moved now; a page may take it below zero.
    left: i64,
    filled_ms: u64,
}

impl Pace {
    /// At most so many bytes per second.
    pub fn new(most: u64, now_ms: u64) -> Self {
        let rate = (most / BEGIN).max(1);
        Self {
            most: most.max(1),
            rate,
            usual_us: None,
            felt: Vec::new(),
            judged_ms: now_ms,
            left: burst(rate),
            filled_ms: now_ms,
        }
    }

    /// A change begins: slowly, and with what requests took so far as the measure.
    pub fn begin(&mut self, usual_us: Option<u32>, now_ms: u64) {
        *self = Self {
            usual_us: usual_us.or(self.usual_us),
            left: self.left.min(0),
            ..Self::new(self.most, now_ms)
        };
    }

    /// A request took so long, in microseconds.
    pub fn felt(&mut self, us: u32) {
        if self.felt.len() < FELT {
            self.felt.push(us);
        }
    }

    /// Whether a page may be moved.
    pub fn is_open(&mut self, now_ms: u64) -> bool {
        self.judge(now_ms);
        let elapsed = now_ms.saturating_sub(self.filled_ms);
        let earned = u128::from(self.rate) * u128::from(elapsed) / 1_000;
        // Times too short for a byte are not forgotten.
        if earned > 0 {
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            self.left = self.left.saturating_add(earned).min(burst(self.rate));
            self.filled_ms = now_ms;
        }
        self.left > 0
    }

    /// A page of so many bytes was moved.
    pub fn take(&mut self, bytes: u64) {
        let cost = i64::try_from(bytes.saturating_add(PAGE)).unwrap_or(i64::MAX);
        self.left = self.left.saturating_sub(cost);
    }

    /// How long until a page may be moved, as things are, in milliseconds.
    pub fn rest_ms(&self) -> u64 {
        let owed = u128::from(self.left.min(0).unsigned_abs()) + 1;
        let owed = u64::try_from(owed).unwrap_or(u64::MAX);
        ms_at(self.rate, owed)
    }

    /// Bytes per second, now.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    fn judge(&mut self, now_ms: u64) {
        if now_ms < self.judged_ms + WINDOW_MS {
            return;
        }
        self.judged_ms = now_ms;
        self.felt.sort_unstable();
        let rank = (self.felt.len() * 99).div_ceil(100);
        let p99 = self.felt.get(rank.saturating_sub(1)).copied();
        self.felt.clear();
        let most_us = |us: u32| us.saturating_mul(SLOWER).saturating_add(SLOWER_US);
        let is_felt = match (p99, self.usual_us) {
            (Some(p99), Some(usual)) => p99 > most_us(usual),
            _ => false,
        };
        self.rate = match is_felt {
            true => (self.rate / 2).max(self.most / FLOOR).max(1),
            false => risen(self.rate, self.most),
        };
    }
}

/// How long moving so much takes one node, as far as the pace decides it. Sources that rest or are down,
/// and a network that is slower, come on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// If no client ever feels it: no move is shorter. In milliseconds.
    pub soonest_ms: u64,
    /// If clients feel it all the while, so that the rate stays at its floor. In milliseconds.
    pub slowest_ms: u64,
}

impl Span {
    /// Of a node that moves `bytes` in `pages` pages, in and out together, at most `most` bytes per
    /// second when nobody feels it.
    pub fn of(bytes: u64, pages: u64, most: u64) -> Self {
        let cost = bytes.saturating_add(pages.saturating_mul(PAGE));
        let most = most.max(1);
        Self {
            soonest_ms: soonest_ms(cost, most),
            slowest_ms: ms_at((most / FLOOR).max(1), cost),
        }
    }
}

/// The rate rises window by window up to the highest, and goes on there. What may be moved at once at
/// the beginning costs no time.
fn soonest_ms(cost: u64, most: u64) -> u64 {
    let mut rate = (most / BEGIN).max(1);
    let mut left = cost.saturating_sub(rate / 10);
    let mut ms: u64 = 0;
    while rate < most && left > rate / 10 {
        left -= rate / 10;
        ms += WINDOW_MS;
        rate = risen(rate, most);
    }
    ms.saturating_add(ms_at(rate, left))
}

fn ms_at(rate: u64, bytes: u64) -> u64 {
    let ms = (u128::from(bytes) * 1_000).div_ceil(u128::from(rate));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

fn risen(rate: u64, most: u64) -> u64 {
    (rate + rate.div_ceil(8)).min(most)
}

/// A tenth of a second's worth at once, so that neither a pause is made up for nor a burst felt.
fn burst(rate: u64) -> i64 {
    i64::try_from((rate / 10).max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: u64 = 32 << 20;

    /// Moves pages of 64 KiB as fast as it may for so long; answers how many bytes.
    fn run(pace: &mut Pace, from_ms: u64, ms: u64, felt_us: impl Fn(u64) -> u32) -> u64 {
        let mut moved = 0;
        for now in from_ms..from_ms + ms {
            pace.felt(felt_us(now));
            while pace.is_open(now) {
                pace.take(64 << 10);
                moved += 64 << 10;
            }
        }
        moved
    }

    #[test]
    fn it_yields_to_requests_and_recovers() {
        let mut pace = Pace::new(MOST, 0);
        pace.begin(Some(2_000), 0);
        let free = run(&mut pace, 0, 3_000, |_| 2_500);
        assert_eq!(pace.rate(), MOST, "nobody feels it");
        let felt = run(&mut pace, 3_000, 3_000, |_| 9_000);
        assert_eq!(pace.rate(), MOST / FLOOR, "requests come first");
        assert!(felt < free / 4, "{felt} of {free}");
        run(&mut pace, 6_000, 4_000, |_| 2_500);
        assert_eq!(pace.rate(), MOST, "and it is over");
    }

    #[test]
    fn a_few_slow_requests_of_a_hundred_are_enough() {
        let mut pace = Pace::new(MOST, 0);
        pace.begin(Some(2_000), 0);
        run(&mut pace, 0, 3_000, |now| {
            if now % 50 == 0 { 9_000 } else { 1_000 }
        });
        assert_eq!(pace.rate(), MOST / FLOOR);
    }

    #[test]
    fn a_span_with_nothing_to_move_is_short_and_its_ends_do_not_cross() {
        assert_eq!(Span::of(0, 0, MOST), Span::default());
        let span = Span::of(1 << 30, 0, MOST);
        assert!((32_000..35_000).contains(&span.soonest_ms), "{span:?}");
        assert_eq!(span.slowest_ms, 1_024_000);
        assert_eq!(Span::of(u64::MAX, u64::MAX, 0).slowest_ms, u64::MAX);
    }

    #[test]
    fn it_begins_anew_with_every_change() {
        let mut pace = Pace::new(MOST, 0);
        run(&mut pace, 0, 3_000, |_| 1);
        pace.begin(None, 3_000);
        assert_eq!(pace.rate(), MOST / BEGIN);
    }

    #[test]
    fn who_is_told_to_rest_finds_it_open_afterwards() {
        let mut pace = Pace::new(MOST, 0);
        pace.take(5 << 20);
        let rest = pace.rest_ms();
        assert!(!pace.is_open(0) && rest > 100);
        assert!(pace.is_open(rest));
    }

    proptest! {
        /// A bucket that nobody disturbs takes no less than the span says, and not much more.
        #[test]
        fn the_soonest_is_what_an_undisturbed_move_takes(pages in 1u64..600) {
            let mut pace = Pace::new(MOST, 0);
            pace.begin(Some(2_000), 0);
            let (mut now, mut moved) = (0, 0);
            while moved < pages {
                pace.felt(1_000);
                while pace.is_open(now) && moved < pages {
                    pace.take(64 << 10);
                    moved += 1;
                }
                now += 1;
            }
            let span = Span::of(pages * (64 << 10), pages, MOST);
            // The last page may go while the bucket is nearly empty, on credit.
            prop_assert!(now + 70 >= span.soonest_ms, "{} {:?}", now, span);
            prop_assert!(now <= span.soonest_ms + 150, "{} {:?}", now, span);
        }

        /// However often it is asked, and whatever is felt: never more than the highest rate, a burst
        /// and a page.
        #[test]
        fn the_rate_is_kept(
            steps in prop::collection::vec((0u64..300, 0u32..10_000), 1..200),
            most in 100_000u64..10_000_000,
        ) {
            let mut pace = Pace::new(most, 0);
            pace.begin(Some(2_000), 0);
            let (mut now, mut moved) = (0, 0);
            for (step, felt) in steps {
                now += step;
                pace.felt(felt);
                if pace.is_open(now) {
                    pace.take(20_000);
                    moved += 20_000 + PAGE;
                }
            }
            prop_assert!(moved <= most * now / 1_000 + most / 10 + 20_000 + PAGE);
        }
    }
}

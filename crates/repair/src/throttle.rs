//! How fast repair may go: a token bucket over the bytes it moves.

/// Bytes per second, with a burst of one second's worth.
///
/// What an exchange costs is known only when it is over, so it is taken then, and the bucket may
/// fall below zero by one exchange; the next one waits until it has filled up again.
#[derive(Clone, Debug)]
pub struct Throttle {
    bytes_per_s: i64,
    left: i64,
    filled_ms: u64,
}

impl Throttle {
    /// Full, at this monotonic time. A rate of 0 counts as 1.
    pub fn new(bytes_per_s: u32, now_ms: u64) -> Self {
        let bytes_per_s = i64::from(bytes_per_s.max(1));
        Self {
            bytes_per_s,
            left: bytes_per_s,
            filled_ms: now_ms,
        }
    }

    /// Whether another exchange may begin.
    pub fn is_open(&mut self, now_ms: u64) -> bool {
        let elapsed = now_ms.saturating_sub(self.filled_ms).min(1_000_000) as i64;
        let more = self.bytes_per_s * elapsed / 1_000;
        // Times too short for a byte are not forgotten.
        if more > 0 {
            self.left = (self.left + more).min(self.bytes_per_s);
            self.filled_ms = now_ms;
        }
        self.left > 0
    }

    /// An exchange has moved so many bytes.
    pub fn take(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left = self.left.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Throttle;

    #[test]
    fn it_waits_until_the_debt_is_paid() {
        let mut throttle = Throttle::new(1_000, 0);
        throttle.take(3_000);
        assert!(!throttle.is_open(1_999));
        assert!(!throttle.is_open(2_000));
        assert!(throttle.is_open(2_001));
        assert!(throttle.is_open(1_000_000_000));
        throttle.take(1_000);
        assert!(!throttle.is_open(1_000_000_000), "a burst is one second's");
    }

    proptest! {
        /// However often it is asked, what passes is at most the rate, a burst and one exchange.
        #[test]
        fn the_rate_is_kept(rate in 1u32..100_000, steps in prop::collection::vec(0u64..50, 1..200)) {
            let mut throttle = Throttle::new(rate, 0);
            let (mut now, mut moved) = (0, 0u64);
            for step in steps {
                now += step;
                if throttle.is_open(now) {
                    throttle.take(500);
                    moved += 500;
                }
            }
            let rate = u64::from(rate);
            prop_assert!(moved <= rate + rate * now / 1_000 + 500);
        }
    }
}

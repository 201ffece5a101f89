//! How long to wait before the next attempt.

use std::time::Duration;

use crate::Entropy;

/// Exponential back-off with "equal jitter": half of each wait is fixed, half is drawn, so that
/// nodes that lost the same peer at the same moment do not all return at the same moment.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
    entropy: Entropy,
}

impl Backoff {
    /// Waits from about `first`, doubling, to at most `last`.
    pub fn new(first: Duration, last: Duration, entropy: Entropy) -> Self {
        Self {
            first,
            last,
            next: first,
            entropy,
        }
    }

    /// The wait before the next attempt: between half of its step and the whole of it.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.next.min(self.last);
        self.next = (step * 2).min(self.last);
        let half = step / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(self.entropy.below(micros.saturating_add(1)))
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(draw: u8) -> Vec<u128> {
        let entropy = Entropy::from_fn(move |bytes| {
            bytes.fill(draw);
            Ok(())
        });
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2), entropy);
        (0..9).map(|_| backoff.next_wait().as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_the_last() {
        assert_eq!(waits(0), [25, 50, 100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn a_draw_never_exceeds_the_step() {
        let steps = [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000];
        for draw in [1, 77, 255] {
            for (wait, step) in waits(draw).into_iter().zip(steps) {
                assert!(wait >= step / 2 && wait <= step, "{wait} of {step}");
            }
        }
    }

    #[test]
    fn a_reset_starts_over() {
        let mut backoff = Backoff::new(
            Duration::from_millis(50),
            Duration::from_secs(2),
            Entropy::os(),
        );
        let grown = (0..9).map(|_| backoff.next_wait()).max();
        assert!(grown >= Some(Duration::from_secs(1)));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(50));
    }
}

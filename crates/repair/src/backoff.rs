//! Waiting longer after each failure in a row, and never in step with others.

/// What the length of a delay depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    pub(crate) now_ms: u64,
    pub(crate) first_ms: u32,
    pub(crate) most_ms: u32,
    /// Any 64 random bits.
    pub(crate) random: u64,
}

/// Exponential back-off with half of the delay left to chance: after a failure in common, peers do
/// not all come back in the same instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    retry_at_ms: u64,
}

impl Backoff {
    /// Another failure: the next try is between half and all of `first_ms`·2^failures from now, at
    /// most `most_ms`.
    pub(crate) fn failed(
        &mut self,
        Delay {
            now_ms,
            first_ms,
            most_ms,
            random,
        }: Delay,
    ) {
        let doubled = u64::from(first_ms) << self.failures.min(31);
        let delay = doubled.min(u64::from(most_ms)).max(1);
        let half = delay / 2;
        self.retry_at_ms = now_ms + (delay - half) + random % (half + 1);
        self.failures = self.failures.saturating_add(1);
    }

    /// When to try again: 0, at once, unless the last try failed.
    pub(crate) fn retry_at_ms(&self) -> u64 {
        self.retry_at_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delays_double_within_their_bounds(randoms in prop::collection::vec(any::<u64>(), 1..40)) {
            let mut backoff = Backoff::default();
            for (failures, random) in (0u32..).zip(randoms) {
                backoff.failed(Delay { now_ms: 5_000, first_ms: 100, most_ms: 10_000, random });
                let full = (100u64 << failures.min(20)).min(10_000);
                let delay = backoff.retry_at_ms() - 5_000;
                prop_assert!((full.div_ceil(2)..=full).contains(&delay), "{delay} of {full}");
            }
        }
    }

    #[test]
    fn nothing_is_held_back_before_a_failure() {
        assert_eq!(Backoff::default().retry_at_ms(), 0);
    }
}

//! How long a peer takes: a peak-sensitive average and a running 95th percentile.
//!
//! The average is Finagle's *peak EWMA*: a sample above it replaces it at once, samples below pull
//! it down exponentially over time. It is quick to believe bad news and slow to forget it, and it
//! fades while nothing is heard, so that a peer that was slow is tried again.
//!
//! The percentile is a stochastic approximation in constant space (the idea of *frugal streaming*,
//! Ma, Muthukrishnan and Sandler, 2013, with steps in proportion to the estimate): a sample above
//! the estimate lifts it by 19 steps, one below lowers it by one, which balances when one sample in
//! twenty lies above. It follows a tenfold rise within about 40 slow samples.
//!
//! All arithmetic is on integers, so that a simulation gives the same ranking on every machine.

/// Parts of a microsecond in which estimates are kept, so that small steps are not lost.
const PART: u64 = 1 << 10;

/// One step of the percentile is this fraction of the estimate; upward steps are 19 times that,
/// about 6 %.
const STEP: u64 = 320;

/// Samples before the percentile means anything: one in twenty lies above it.
const ENOUGH: u32 = 20;

/// Longer than any request may take: a sample above is taken as this. Microseconds.
const LONGEST_US: u32 = 60_000_000;

/// What is known of one peer's latency. Starts with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    peak_ewma: u64,
    p95: u64,
    samples: u32,
    last_ms: u64,
}

impl Latency {
    /// A reply took `latency_us`. `half_life_ms`, at least 1, is the time in which the average
    /// forgets half.
    pub fn observe(&mut self, latency_us: u32, now_ms: u64, half_life_ms: u32) {
        let sample = u64::from(latency_us.min(LONGEST_US)) * PART;
        let elapsed = now_ms.saturating_sub(self.last_ms);
        let excess = self.peak_ewma.saturating_sub(sample);
        self.peak_ewma = sample + decayed(excess, elapsed, half_life_ms);
        self.p95 = match self.samples {
            0 => sample,
            _ if sample > self.p95 => self.p95 + 19 * (self.p95 / STEP + 1),
            _ => self.p95 - self.p95 / STEP,
        };
        self.samples = self.samples.saturating_add(1);
        self.last_ms = self.last_ms.max(now_ms);
    }

    /// The peak-sensitive average as it has faded until `now_ms`, in microseconds; 0 when nothing
    /// is known.
    pub fn peak_ewma_us(&self, now_ms: u64, half_life_ms: u32) -> u32 {
        let elapsed = now_ms.saturating_sub(self.last_ms);
        to_us(decayed(self.peak_ewma, elapsed, half_life_ms))
    }

    /// What 95 of 100 replies do not exceed, in microseconds; `None` before there are enough.
    pub fn p95_us(&self) -> Option<u32> {
        (self.samples >= ENOUGH).then(|| to_us(self.p95))
    }
}

fn to_us(parts: u64) -> u32 {
    u32::try_from(parts / PART).unwrap_or(u32::MAX)
}

/// `value` after `elapsed_ms`: half of it after each half-life, straight lines in between.
fn decayed(value: u64, elapsed_ms: u64, half_life_ms: u32) -> u64 {
    let half_life = u64::from(half_life_ms.max(1));
    let halvings = u32::try_from(elapsed_ms / half_life).unwrap_or(u32::MAX);
    let whole = value.checked_shr(halvings).unwrap_or(0);
    let rest = elapsed_ms % half_life;
    whole - whole / 2 * rest / half_life
}

#[cfg(test)]
mod tests;

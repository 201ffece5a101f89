//! Latencies in a few hundred counters, and the recent past in two windows.
//!
//! Buckets grow with the value: eight to each doubling, so that a value is known to within an eighth
//! of itself, from a microsecond to a minute (the layout of HdrHistogram with three significant
//! bits). Counting costs a shift and an addition; nothing is sorted and nothing allocated.

/// Bits of a value that tell buckets of one doubling apart.
const BITS: u32 = 3;
const PER_DOUBLING: usize = 1 << BITS;

/// Values from here on are counted as the largest below: 67 s, where one counts microseconds.
const BEYOND: u32 = 1 << 26;

/// Buckets of a histogram.
const BUCKETS: usize = bucket_of(BEYOND - 1) + 1;

/// The bucket in which a value is counted.
pub(crate) const fn bucket_of(value: u32) -> usize {
    if value < PER_DOUBLING as u32 {
        return value as usize;
    }
    let shift = value.ilog2() - BITS;
    (shift as usize + 1) * PER_DOUBLING + ((value >> shift) as usize - PER_DOUBLING)
}

/// The least value of a bucket, and how many values it has.
pub(crate) fn range_of(bucket: usize) -> (u32, u32) {
    match bucket / PER_DOUBLING {
        0 => (bucket as u32, 1),
        doubling => {
            let shift = doubling as u32 - 1;
            let low = (PER_DOUBLING + bucket % PER_DOUBLING) as u32;
            (low << shift, 1 << shift)
        }
    }
}

/// How often which values came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            total: 0,
        }
    }
}

impl Histogram {
    /// Counts one value, in the unit that the histogram is kept in (microseconds for latencies).
    pub fn count(&mut self, value: u32) {
        let count = &mut self.counts[bucket_of(value.min(BEYOND - 1))];
        if *count < u32::MAX {
            *count += 1;
            self.total += 1;
        }
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What so many of a thousand values do not exceed, exact to an eighth; `None`: nothing counted.
    pub fn quantile(&self, per_mille: u32) -> Option<u32> {
        let rank = (self.total * u64::from(per_mille.min(1_000))).div_ceil(1_000);
        let mut below = 0;
        self.filled().find_map(|(count, low, width)| {
            below += u64::from(count);
            (below >= rank.max(1)).then_some(low + width / 2)
        })
    }

    /// The buckets with anything in them: count, least value, number of values.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let counted = self.counts.iter().enumerate();
        counted
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| {
                let (low, width) = range_of(bucket);
                (*count, low, width)
            })
    }
}

impl Gather for Histogram {
    fn gather(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            let sum = mine.saturating_add(*theirs);
            self.total += u64::from(sum - *mine);
            *mine = sum;
        }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

/// What can be counted apart and added up.
pub trait Gather: Clone + Default {
    /// Adds what another has counted.
    fn gather(&mut self, other: &Self);
    /// Forgets everything, and keeps its room.
    fn clear(&mut self);
}

/// Counts of the last one to two windows: the older of the two is forgotten when a new one begins.
#[derive(Clone, Debug)]
pub struct Recent<T> {
    now: T,
    before: T,
    window_ms: u64,
    /// Number of the present window.
    window: u64,
}

impl<T: Gather> Recent<T> {
    /// Nothing counted; windows of `window_ms` milliseconds, at least 1.
    pub fn new(window_ms: u64) -> Self {
        Self {
            now: T::default(),
            before: T::default(),
            window_ms: window_ms.max(1),
            window: 0,
        }
    }

    /// Where to count at this monotonic time.
    pub fn at(&mut self, now_ms: u64) -> &mut T {
        let window = now_ms / self.window_ms;
        if window > self.window {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.clear();
            if window > self.window + 1 {
                self.before.clear();
            }
            self.window = window;
        }
        &mut self.now
    }

    /// Everything counted in this window and the one before.
    pub fn all(&mut self, now_ms: u64) -> T {
        let mut all = self.at(now_ms).clone();
        all.gather(&self.before);
        all
    }
}

#[cfg(test)]
mod tests;

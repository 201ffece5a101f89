//! What probes have seen: which replicas hold the newest version of a key, and how old it is.
//!
//! A *probe* asks all N replicas of a key that is being read which version they hold. It tells of
//! every R: a read counts its own replica first and then others in the order of their levels, equals
//! by chance ([`share_missed`]), so the share of such choices that would have missed the newest
//! version can be counted out.
//!
//! It tells of every W too, because a write is sent to all replicas whatever its W is; W only says
//! when it is acknowledged. A version that lies on fewer than W replicas is not acknowledged at W,
//! and does not count for it.
//!
//! When a version was acknowledged nobody but its coordinator knows. So ages count from its stamp,
//! and so do the model's figures that stand beside what is observed
//! ([`Prediction::missed_at`]).
//!
//! Ages are differences of two machines' wall clocks: they are off by as much as those are, and by
//! a millisecond.

use std::collections::BTreeMap;

use crate::{
    Prediction,
    histogram::{Gather, bucket_of, range_of},
};

/// The most replicas that are told apart: what a ring can place. Keys with more are not counted.
const MOST: usize = 7;

/// Ages from here on, in milliseconds, are one: 16 s.
const OLD_MS: u32 = 1 << 14;

/// One of a key's other replicas as a probe found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// How much worse than the best it is to read from.
    pub level: u8,
    /// Whether it holds the newest version.
    pub is_newest: bool,
}

/// Counts of probes. Most are of old versions that all replicas hold, and lie in one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    /// By the bucket of the newest version's age and the number of replicas that hold it.
    counts: BTreeMap<(u8, u8), Count>,
    /// The replicas of the keys that were probed; probes of keys with another number do not count.
    n: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    probes: u32,
    /// By R, from 1: the sum of the shares of choices that would have missed it.
    missed: [f64; MOST],
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.probes = self.probes.saturating_add(other.probes);
        let missed = self.missed.iter_mut().zip(other.missed);
        missed.for_each(|(mine, theirs)| *mine += theirs);
    }
}

/// Predicted beside observed, for the same versions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compared {
    /// How many probes this rests on.
    pub probes: u64,
    /// Which share of the reads would have missed the newest version.
    pub observed: f64,
    /// Which share the model says, for versions of those ages.
    pub predicted: f64,
}

impl Probes {
    /// All replicas answered: whether this node's own holds the newest version, and the others. It
    /// was stamped `age_ms` milliseconds ago.
    pub fn count(&mut self, own_is_newest: bool, others: &[Probed], age_ms: u64) {
        let newest = others.iter().filter(|other| other.is_newest).count();
        let holders = newest as u8 + u8::from(own_is_newest);
        if others.len() >= MOST || holders == 0 {
            return;
        }
        let n = others.len() as u8 + 1;
        if self.n != n {
            self.counts.clear();
            self.n = n;
        }
        let age = u32::try_from(age_ms).unwrap_or(OLD_MS).min(OLD_MS);
        let mut count = Count {
            probes: 1,
            ..Count::default()
        };
        for (r, missed) in (1..=n).zip(&mut count.missed) {
            *missed = match own_is_newest {
                true => 0.0,
                false => share_missed(others, r - 1),
            };
        }
        let at = (bucket_of(age) as u8, holders);
        self.counts.entry(at).or_default().add(&count);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        let counts = self.counts.values();
        counts.map(|count| u64::from(count.probes)).sum()
    }

    /// Observed and predicted staleness of reads with R, of versions with W replicas or more, whose
    /// age is from `from_us` until before `to_us`.
    pub fn compare(
        &self,
        prediction: &Prediction,
        (r, w): (u8, u8),
        (from_us, to_us): (u64, u64),
    ) -> Compared {
        let Some(at) = usize::from(r).checked_sub(1).filter(|at| *at < MOST) else {
            return Compared::default();
        };
        let mut sum = Compared::default();
        if self.n != prediction.n() {
            return sum;
        }
        for (&(bucket, holders), count) in &self.counts {
            let (low, width) = range_of(usize::from(bucket));
            let age_us = (u64::from(low) + u64::from(width / 2)) * 1_000;
            if holders < w || !(from_us..to_us).contains(&age_us) {
                continue;
            }
            if let Some(missed) = predicted(prediction, (r, w), (low, width)) {
                sum.probes += u64::from(count.probes);
                sum.observed += count.missed[at];
                sum.predicted += f64::from(count.probes) * missed;
            }
        }
        let probes = sum.probes.max(1) as f64;
        Compared {
            probes: sum.probes,
            observed: sum.observed / probes,
            predicted: sum.predicted / probes,
        }
    }
}

/// What is predicted for versions of these ages in milliseconds, the mean over what they may be in
/// truth. An age is the difference of two clocks that tell whole milliseconds: it is off by up to one
/// either way, small errors being likelier, and never negative.
fn predicted(
    prediction: &Prediction,
    (r, w): (u8, u8),
    (low_ms, width_ms): (u32, u32),
) -> Option<f64> {
    let low = u64::from(low_ms) * 1_000;
    let ages: &[(u64, f64)] = &match (low_ms, width_ms) {
        (0, _) => [(125, 7.0), (375, 5.0), (625, 3.0), (875, 1.0)],
        (_, 1) => [(low - 500, 1.0), (low, 1.0), (low, 1.0), (low + 500, 1.0)],
        _ => [1u64, 3, 5, 7].map(|eighths| (low + u64::from(width_ms) * 125 * eighths, 1.0)),
    };
    let (mut sum, mut weight) = (0.0, 0.0);
    for (age_us, counts) in ages {
        if let Some(missed) = prediction.missed_at(r, w, *age_us) {
            sum += missed * counts;
            weight += counts;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

/// Of all choices of `wanted` replicas, those of the least levels first and equals by chance, the
/// share in which none holds the newest version.
fn share_missed(others: &[Probed], wanted: u8) -> f64 {
    let mut levels: Vec<u8> = others.iter().map(|other| other.level).collect();
    levels.sort_unstable();
    levels.dedup();
    let (mut left, mut share) = (usize::from(wanted), 1.0);
    for level in levels {
        let of_level = others.iter().filter(|other| other.level == level);
        let all = of_level.clone().count();
        let without = of_level.filter(|other| !other.is_newest).count();
        let taken = left.min(all);
        // C(without, taken) / C(all, taken)
        let factor = |at: usize| without.saturating_sub(at) as f64 / (all - at) as f64;
        share *= (0..taken).map(factor).product::<f64>();
        left -= taken;
    }
    share
}

impl Gather for Probes {
    fn gather(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.n = other.n;
        }
        if self.n == other.n {
            for (at, count) in &other.counts {
                self.counts.entry(*at).or_default().add(count);
            }
        }
    }

    fn clear(&mut self) {
        self.counts.clear();
    }
}

#[cfg(test)]
mod tests;

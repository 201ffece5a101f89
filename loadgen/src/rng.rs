//! A small, fast generator for load, and the distributions of keys drawn with it.

use std::hash::{BuildHasher, RandomState};

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to spread load, 1 ns per number.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0 .. bound` (by multiplication; the bias is below 2^-32 for our bounds).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from((self.next() >> 32) as u32) * u64::from(bound)) >> 32) as u32
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finalizer of SplitMix64: a bijection that spreads neighbouring numbers.
pub(crate) fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that differs from run to run, from the standard library's hash keys.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Which keys are asked for how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// All alike.
    Uniform,
    /// Key of rank k with weight 1 / k^s.
    Zipf(f64),
    /// This share of the requests goes to one hundredth of the keys.
    Hot(f64),
}

impl std::str::FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once(':').unwrap_or((text, ""));
        let number = |default: f64| {
            if number.is_empty() {
                Ok(default)
            } else {
                number.parse::<f64>()
            }
        };
        let wrong = |_| format!("{text:?} is not uniform, zipf[:s] or hot[:share]");
        match name {
            "uniform" => Ok(Self::Uniform),
            "zipf" => match number(1.0).map_err(wrong)? {
                s if s > 0.0 && s <= 10.0 => Ok(Self::Zipf(s)),
                s => Err(format!("zipf exponent {s} is not within 0 to 10")),
            },
            "hot" => match number(0.9).map_err(wrong)? {
                share if (0.0..=1.0).contains(&share) => Ok(Self::Hot(share)),
                share => Err(format!("hot share {share} is not within 0 to 1")),
            },
            _ => Err(format!("{text:?} is not uniform, zipf[:s] or hot[:share]")),
        }
    }
}

/// Draws key indexes in `0 .. keys` by a distribution.
pub(crate) enum Picker {
    Uniform(u32),
    Zipf(Zipf),
    Hot { share: f64, hot: u32, keys: u32 },
}

impl Picker {
    pub(crate) fn new(distribution: Distribution, keys: u32) -> Self {
        match distribution {
            Distribution::Uniform => Self::Uniform(keys),
            Distribution::Zipf(s) => Self::Zipf(Zipf::new(keys, s)),
            Distribution::Hot(share) => Self::Hot {
                share,
                hot: keys.div_ceil(100),
                keys,
            },
        }
    }

    pub(crate) fn pick(&self, rng: &mut Rng) -> u32 {
        match self {
            Self::Uniform(keys) => rng.below(*keys),
            Self::Zipf(zipf) => zipf.sample(rng),
            Self::Hot { share, hot, keys } => {
                let bound = if rng.unit() < *share { *hot } else { *keys };
                rng.below(bound)
            }
        }
    }
}

/// Zipf by rejection-inversion (Hörmann and Derflinger 1996): constant time, no table.
pub(crate) struct Zipf {
    keys: f64,
    exponent: f64,
    integral_first: f64,
    integral_last: f64,
    shortcut: f64,
}

impl Zipf {
    fn new(keys: u32, exponent: f64) -> Self {
        let mut zipf = Self {
            keys: f64::from(keys),
            exponent,
            integral_first: 0.0,
            integral_last: 0.0,
            shortcut: 0.0,
        };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.integral_last = zipf.integral(zipf.keys + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let t = (1.0 - self.exponent) * log;
        let ratio = if t.abs() > 1e-8 {
            t.exp_m1() / t
        } else {
            1.0 + t / 2.0
        };
        ratio * log
    }

    fn inverse(&self, x: f64) -> f64 {
        let t = (x * (1.0 - self.exponent)).max(-1.0);
        let ratio = if t.abs() > 1e-8 {
            t.ln_1p() / t
        } else {
            1.0 - t / 2.0
        };
        (ratio * x).exp()
    }

    /// A rank, counted from 0.
    fn sample(&self, rng: &mut Rng) -> u32 {
        loop {
            let u = self.integral_last + rng.unit() * (self.integral_first - self.integral_last);
            let x = self.inverse(u);
            let rank = (x + 0.5).floor().clamp(1.0, self.keys);
            if rank - x <= self.shortcut || u >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u32 - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(distribution: &str, keys: u32) -> Vec<f64> {
        let picker = Picker::new(distribution.parse().unwrap(), keys);
        let (mut rng, mut counts) = (Rng::new(7), vec![0u32; keys as usize]);
        let draws = 200_000;
        (0..draws).for_each(|_| counts[picker.pick(&mut rng) as usize] += 1);
        counts
            .iter()
            .map(|count| f64::from(*count) / f64::from(draws))
            .collect()
    }

    #[test]
    fn zipf_follows_its_weights() {
        for s in ["0.8", "1", "1.3"] {
            let exponent: f64 = s.parse().unwrap();
            let total: f64 = (1..=100).map(|rank| f64::from(rank).powf(-exponent)).sum();
            let shares = shares(&format!("zipf:{s}"), 100);
            for rank in [1, 2, 5, 20, 100] {
                let expected = f64::from(rank).powf(-exponent) / total;
                let got = shares[rank as usize - 1];
                assert!(
                    (got - expected).abs() < 0.004,
                    "s {s} rank {rank}: {got} for {expected}"
                );
            }
        }
    }

    #[test]
    fn hot_and_uniform_reach_all_keys_in_their_shares() {
        let hot = shares("hot:0.9", 200);
        assert!((hot[..2].iter().sum::<f64>() - 0.901).abs() < 0.01);
        assert!(hot[2..].iter().all(|share| *share > 0.0));
        assert!(
            shares("uniform", 50)
                .iter()
                .all(|share| (share - 0.02).abs() < 0.003)
        );
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        for text in ["", "zipf:x", "zipf:-1", "hot:2", "pareto"] {
            assert!(text.parse::<Distribution>().is_err(), "{text}");
        }
    }
}

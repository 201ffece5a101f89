//! Random numbers that are the same for ever: a trace may not change because a dependency did.
//!
//! xoshiro256++ of Blackman and Vigna (2019), seeded through splitmix64 as they advise.

/// A stream of numbers, all of them decided by its seed.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream of a seed.
    pub fn new(mut seed: u64) -> Self {
        let mut split = || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self([split(), split(), split(), split()])
    }

    /// A stream of its own for one purpose, so that more draws for one leave the others alone.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// 64 random bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless stream needs no Option"
    )]
    pub fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        // The shift uses the old `b`, as in the reference code.
        result
    }

    /// Evenly from `0 .. end`; 0 for an `end` of 0. (The bias, below 2^-32 here, does not matter.)
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Evenly from `low ..= high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `per_mille` of 1000 cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of the items.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// A waiting time with this mean, exponentially distributed in steps: at most 16 means.
    pub fn wait(&mut self, mean: u64) -> u64 {
        // -ln(u) by halving: each doubling of rarity adds ln 2; the rest is linear in between.
        let bits = self.next() | 1 << 48;
        let halvings = u64::from(bits.leading_zeros());
        let rest = (bits << (halvings + 1)) >> 56;
        mean * (177 * halvings + 177 * (255 - rest) / 256) / 256
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    /// The reference implementation's first outputs for the state 1, 2, 3, 4.
    #[test]
    fn it_is_xoshiro256_plus_plus() {
        let mut rng = Rng([1, 2, 3, 4]);
        let first: Vec<u64> = (0..4).map(|_| rng.next()).collect();
        assert_eq!(
            first,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386
            ]
        );
    }

    #[test]
    fn waits_have_their_mean() {
        let mut rng = Rng::new(7);
        let total: u64 = (0..100_000).map(|_| rng.wait(1000)).sum();
        assert!(
            (950..1050).contains(&(total / 100_000)),
            "mean {}",
            total / 100_000
        );
    }

    #[test]
    fn ranges_are_kept() {
        let mut rng = Rng::new(7);
        assert!((0..1000).all(|_| (3..=5).contains(&rng.between(3, 5))));
        assert_eq!(rng.below(0), 0);
    }
}

//! Hashing of what is a hash already.

use std::hash::Hasher;

/// Spreads a token for a hash table within one partition.
///
/// A token's low 48 bits look random; of its high 16 bits up to 16 are the same in all tokens of a
/// partition. Three parties read the result: hashbrown takes the bucket from the low bits and a tag
/// from the top 7, [`is_in_larger_part`] looks at the 9 bits below those. Turning the token by 16 gives
/// bucket, tag and shard a different random part each, and puts the constant bits where nobody
/// looks: above bit 32, below bit 48.
#[inline]
pub(super) fn spread(token: u64) -> u64 {
    token.rotate_right(16)
}

/// Whether a spread token is in the larger of two unequal parts: 300 of 512, which is √2 times 212.
#[inline]
pub(super) fn is_in_larger_part(hash: u64) -> bool {
    const SMALLER: u64 = 212;
    (hash >> 48) & 0x1ff >= SMALLER
}

/// [`spread`] as a hasher, for tables keyed by token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn write_u64(&mut self, token: u64) {
        self.0 = spread(token);
    }

    /// Any other key than a token: a plain FNV-1a, correct if not as fast.
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use henge_ring::Token;

    use super::*;

    /// Counts how the tokens of one partition fall into the values of `part`.
    fn counts(bits: u8, part: impl Fn(u64) -> u64) -> BTreeMap<u64, u32> {
        let tokens = (0..200_000_u64).map(|n| Token::of(&n.to_le_bytes()).0);
        // The same tokens, moved into one partition: their high bits replaced by a constant.
        let moved = tokens.map(|token| (token >> bits) | (0x5a5a << (64 - u32::from(bits))));
        let mut counts = BTreeMap::new();
        moved.for_each(|token| *counts.entry(part(spread(token))).or_default() += 1);
        counts
    }

    #[test]
    fn bucket_tag_and_part_are_spread_in_partitions_of_every_size() {
        for bits in [1, 10, 16] {
            let buckets = counts(bits, |hash| hash & 0x3f);
            let tags = counts(bits, |hash| hash >> 57);
            for (name, counts, size) in [("bucket", buckets, 64), ("tag", tags, 128)] {
                assert_eq!(counts.len(), size, "{name}, {bits} bits");
                let mean = 200_000 / size as u32;
                assert!(
                    counts.values().all(|n| n.abs_diff(mean) < mean / 5),
                    "{name}, {bits} bits"
                );
            }
            let parts = counts(bits, |hash| u64::from(is_in_larger_part(hash)));
            let ratio = f64::from(parts[&1]) / f64::from(parts[&0]);
            assert!((1.38..1.45).contains(&ratio), "{ratio}, {bits} bits");
        }
    }

    #[test]
    fn the_part_is_independent_of_the_bucket() {
        let larger = counts(10, |hash| {
            (hash & 7) | u64::from(is_in_larger_part(hash)) << 3
        });
        for bucket in 0..8 {
            let share = f64::from(larger[&(bucket | 8)]) / 25_000.0;
            assert!((0.57..0.60).contains(&share), "{share} of bucket {bucket}");
        }
    }
}

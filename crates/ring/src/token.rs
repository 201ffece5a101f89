//! From key to token to partition.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// Seed of the placement hash. Part of the wire and disk format: it never changes.
const SEED: u64 = 0x4865_6e67_6552_696e; // "HengeRin"

/// Default number of partition bits: Q = 1024 partitions, good to about 100 nodes
/// (imbalance is bounded by 1 + n/(N·Q)).
pub const PARTITION_BITS: u8 = 10;

/// Where a key lies on the ring: xxh3-64 of its bytes with a fixed seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u64);

impl Token {
    /// The token of a key.
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        Self(XxHash3_64::oneshot_with_seed(SEED, key))
    }

    /// The partition this token falls into when there are `2^bits` of them (`1 ..= 16` bits).
    #[inline]
    pub fn partition(self, bits: u8) -> Partition {
        debug_assert!((1..=16).contains(&bits));
        Partition((self.0 >> (64 - u32::from(bits))) as u16)
    }
}

/// One of the ring's Q equal slices of the token space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(pub u16);

impl Partition {
    /// Its number as an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

//! The secret behind ids and checks, and the sum that says whether two sets are equal.

use std::fmt;

use super::sip::sip24;

/// Makes ids and checks. The same on every node of a cluster, secret to everybody else.
#[derive(Clone, PartialEq, Eq)]
pub struct SketchKey {
    id: (u64, u64),
    check: (u64, u64),
}

impl SketchKey {
    /// From 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(secret.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self {
            id: (words[0], words[1]),
            check: (words[2], words[3]),
        }
    }

    /// The id of a key with this token whose record has this digest.
    #[inline]
    pub fn id(&self, token: u64, digest: u64) -> u64 {
        sip24(self.id, &[token, digest])
    }

    /// What tells an id from the sum of several.
    #[inline]
    pub fn check(&self, id: u64) -> u64 {
        sip24(self.check, &[id])
    }
}

impl fmt::Debug for SketchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SketchKey(…)")
    }
}

/// A set's ids, added up: equal for equal sets, and for different ones but for one chance in 2⁶⁴.
///
/// The sum has 128 bits and carries, so that no element cancels itself out; each addend is keyed,
/// so that nobody can look for sets of equal sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollUp {
    sum: u128,
    count: u64,
}

impl RollUp {
    /// One element more.
    #[inline]
    pub fn add(&mut self, id: u64, check: u64) {
        let addend = u128::from(id) << 64 | u128::from(check);
        self.sum = self.sum.wrapping_add(addend);
        self.count += 1;
    }

    /// How many elements were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What is compared.
    pub fn word(&self, key: &SketchKey) -> u64 {
        sip24(
            key.check,
            &[self.sum as u64, (self.sum >> 64) as u64, self.count],
        )
    }
}

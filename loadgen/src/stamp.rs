//! Keys and values that can be verified: every value says who wrote it, which write it was and,
//! by a checksum over both and the key, that nothing of it was changed or mixed up.

use twox_hash::XxHash3_64;

use crate::rng::{Rng, mix};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Both digits of every byte.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// First bytes of every value.
const MAGIC: &[u8; 4] = b"hgl1";

/// Bytes before the filler: magic, checksum, writer and sequence number in hexadecimal.
pub(crate) const HEADER: usize = 4 + 16 + 16 + 8;

/// Hexadecimal digits of a key after its prefix.
const KEY_DIGITS: usize = 32;

/// Names keys: number to `prefix` + 32 hexadecimal digits. With the same seed, the same names.
#[derive(Clone, Debug)]
pub(crate) struct KeySpace {
    prefix: Vec<u8>,
    seed: u64,
}

impl KeySpace {
    pub(crate) fn new(prefix: &str, seed: u64) -> Self {
        Self {
            prefix: prefix.as_bytes().to_vec(),
            seed,
        }
    }

    /// Length of every key, in bytes.
    pub(crate) fn key_len(&self) -> usize {
        self.prefix.len() + KEY_DIGITS
    }

    /// Appends the key.
    pub(crate) fn push_key(&self, number: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        let high = mix(self.seed ^ mix(number));
        push_hex(high, 16, out);
        push_hex(mix(high ^ number), 16, out);
    }

    /// The key, for messages.
    pub(crate) fn name(&self, number: u64) -> String {
        let mut key = Vec::with_capacity(self.key_len());
        self.push_key(number, &mut key);
        String::from_utf8_lossy(&key).into_owned()
    }

    /// Checksum of a key's value: one found under another key does not pass. (The key goes in after
    /// the hash and not as its seed: xxh3 expands a seed to 192 bytes first, for every value.)
    fn checksum(&self, number: u64, value: &[u8]) -> u64 {
        let salt = mix(self.seed.rotate_left(17) ^ number);
        mix(XxHash3_64::oneshot(value) ^ salt)
    }
}

/// Makes and reads the values of one run.
#[derive(Clone, Debug)]
pub(crate) struct Stamper {
    writer: u64,
    filler: Vec<u8>,
}

/// What a sound value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Written by this run.
    pub(crate) own: bool,
    /// Which write of the key it was, counted from 1.
    pub(crate) seq: u32,
}

impl Stamper {
    /// `writer` must be unique to the run; values are `size` bytes long, at least [`HEADER`].
    pub(crate) fn new(writer: u64, size: usize) -> Self {
        let mut rng = Rng::new(writer);
        let digit = |_| b"0123456789abcdefghijklmnopqrstuvwxyz"[rng.below(36) as usize];
        Self {
            writer,
            filler: (HEADER..size).map(digit).collect(),
        }
    }

    /// Length of every value, in bytes.
    pub(crate) fn value_len(&self) -> usize {
        HEADER + self.filler.len()
    }

    /// Appends the value of write `seq` of a key.
    pub(crate) fn push_value(&self, space: &KeySpace, key: u64, seq: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 16]);
        push_hex(self.writer, 16, out);
        push_hex(u64::from(seq), 8, out);
        out.extend_from_slice(&self.filler);
        let sum = space.checksum(key, &out[start + 20..]);
        out[start + 4..start + 20].copy_from_slice(&hex(sum));
    }

    /// Reads a value back; `None` when it is corrupt.
    pub(crate) fn read(&self, space: &KeySpace, key: u64, value: &[u8]) -> Option<Seen> {
        if value.len() < HEADER || &value[..4] != MAGIC {
            return None;
        }
        let sum = space.checksum(key, &value[20..]);
        if value[4..20] != hex(sum) {
            return None;
        }
        let seq = u32::from_str_radix(std::str::from_utf8(&value[36..44]).ok()?, 16).ok()?;
        Some(Seen {
            own: value[20..36] == hex(self.writer),
            seq,
        })
    }
}

fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&PAIRS[usize::from(byte)]);
    }
    digits
}

fn push_hex(number: u64, digits: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&hex(number)[16 - digits..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: u64, seq: u32) -> Vec<u8> {
        let mut out = Vec::new();
        Stamper::new(7, 100).push_value(&KeySpace::new("s:", 1), key, seq, &mut out);
        out
    }

    fn read(writer: u64, key: u64, value: &[u8]) -> Option<Seen> {
        Stamper::new(writer, 100).read(&KeySpace::new("s:", 1), key, value)
    }

    #[test]
    fn a_value_reads_back_as_it_was_stamped() {
        let value = value(5, 77);
        assert_eq!(value.len(), 100);
        assert_eq!(read(7, 5, &value), Some(Seen { own: true, seq: 77 }));
        assert_eq!(
            read(8, 5, &value),
            Some(Seen {
                own: false,
                seq: 77
            }),
            "another run's value is sound"
        );
    }

    #[test]
    fn every_flipped_bit_a_cut_and_another_key_are_noticed() {
        let value = value(5, 77);
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(7, 5, &bad), None, "bit {bit}");
        }
        assert_eq!(read(7, 5, &value[..99]), None);
        assert_eq!(read(7, 5, b""), None);
        assert_eq!(read(7, 6, &value), None, "the value of another key");
    }

    #[test]
    fn key_names_are_distinct_and_of_one_length() {
        let space = KeySpace::new("sess:", 3);
        let names: std::collections::BTreeSet<_> = (0..10_000).map(|n| space.name(n)).collect();
        assert_eq!(names.len(), 10_000);
        assert!(names.iter().all(|name| name.len() == space.key_len()));
        assert_eq!(space.name(1), KeySpace::new("sess:", 3).name(1));
    }
}

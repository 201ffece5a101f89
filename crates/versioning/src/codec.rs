//! The pieces that all encodings of this crate are made of: little-endian integers, 48-bit
//! milliseconds, stamps, and LEB128 numbers in their shortest form only.

use crate::{ActorId, DecodeError, HlcTime, Stamp};

/// The greatest number of milliseconds since 1970 that 48 bits hold: some day in the year 10889.
pub(crate) const LAST_MILLI: u64 = (1 << 48) - 1;

/// Reads from the front of a byte slice; every step checks that enough is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError("it ends early"))?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline(always)]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline(always)]
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline(always)]
    pub(crate) fn stamp(&mut self) -> Result<Stamp, DecodeError> {
        Ok(Stamp {
            time: HlcTime(self.u64()?),
            actor: ActorId(self.u64()?),
        })
    }

    #[inline(always)]
    pub(crate) fn millis(&mut self) -> Result<u64, DecodeError> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
                return Err(DecodeError("a number is not in its shortest form"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError("a number is not in its shortest form"))
    }

    /// A byte string with its length in front.
    pub(crate) fn chunk(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let (chunk, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError("it ends early"))?;
        self.rest = rest;
        Ok(chunk)
    }
}

#[inline]
pub(crate) fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    out.extend_from_slice(&stamp.time.0.to_le_bytes());
    out.extend_from_slice(&stamp.actor.0.to_le_bytes());
}

/// `millis` is at most [`LAST_MILLI`].
#[inline]
pub(crate) fn put_millis(out: &mut Vec<u8>, millis: u64) {
    debug_assert!(millis <= LAST_MILLI);
    out.extend_from_slice(&millis.to_le_bytes()[..6]);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_chunk(out: &mut Vec<u8>, chunk: &[u8]) {
    put_varint(out, chunk.len() as u64);
    out.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_come_back_and_have_one_form(value in any::<u64>(), shift in 0..64u32) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.rest().is_empty());

            // The same number, one byte longer.
            if let Some(last) = bytes.last_mut() {
                *last |= 0x80;
            }
            bytes.push(0);
            prop_assert!(Reader::new(&bytes).varint().is_err());
        }

        #[test]
        fn whatever_reads_as_a_varint_is_written_so(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - reader.rest().len()]);
            }
        }
    }

    #[test]
    fn a_chunk_longer_than_what_is_left_is_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        bytes.push(1);
        assert_eq!(
            Reader::new(&bytes).chunk(),
            Err(DecodeError("it ends early"))
        );
    }
}

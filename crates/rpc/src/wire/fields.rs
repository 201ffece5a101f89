//! Reading and writing the fields of a message.

use bytes::BufMut;
use henge_ring::NodeId;

use super::{OverLimit, WireError};

/// A place in a batch, within the message that starts at `start`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    batch: &'a [u8],
    at: usize,
    start: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(batch: &'a [u8]) -> Self {
        Self {
            batch,
            at: 0,
            start: 0,
        }
    }

    /// The tag of the next message; `None` at the end of the batch.
    pub(super) fn next_tag(&mut self) -> Option<u8> {
        let tag = *self.batch.get(self.at)?;
        self.start = self.at;
        self.at += 1;
        Some(tag)
    }

    /// Gives up the rest of the batch.
    pub(super) fn skip_to_end(&mut self) {
        self.at = self.batch.len();
    }

    pub(super) fn unknown(&self, tag: u8) -> WireError {
        WireError::UnknownTag {
            tag,
            at: self.start,
        }
    }

    pub(super) fn bytes(&mut self, needed: usize) -> Result<&'a [u8], WireError> {
        let rest = &self.batch[self.at..];
        let taken = rest.get(..needed).ok_or(WireError::Truncated {
            at: self.start,
            needed,
            left: rest.len(),
        })?;
        self.at += needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn node(&mut self) -> Result<NodeId, WireError> {
        Ok(NodeId(self.array()?))
    }

    /// A length of two bytes, within `cap`.
    pub(super) fn short_len(&mut self, part: &'static str, cap: usize) -> Result<usize, WireError> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        self.within(part, len, cap)
    }

    /// A length of four bytes, within `cap`.
    pub(super) fn long_len(&mut self, part: &'static str, cap: usize) -> Result<usize, WireError> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        self.within(part, len, cap)
    }

    fn within(&self, part: &'static str, len: usize, cap: usize) -> Result<usize, WireError> {
        check(part, len, cap).map_err(|over| WireError::OverLimit {
            at: self.start,
            over,
        })?;
        Ok(len)
    }
}

/// Refuses a length beyond its cap.
pub(super) fn check(part: &'static str, len: usize, cap: usize) -> Result<(), OverLimit> {
    if len <= cap {
        Ok(())
    } else {
        Err(OverLimit { part, len, cap })
    }
}

/// A key's length. Callers have checked it against a cap that fits.
pub(super) fn put_short_len(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_u16_le(bytes.len() as u16);
}

/// A record's length. Callers have checked it against a cap that fits.
pub(super) fn put_long_len(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
}

//! Reading and writing the fields of a message.

use bytes::BufMut;
use henge_ring::NodeId;

use super::{OverLimit, WireError};

/// A place in a batch, within the message that starts at byte `start` of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    /// What is not read yet.
    rest: &'a [u8],
    /// Bytes of the batch.
    len: usize,
    start: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(batch: &'a [u8]) -> Self {
        Self {
            rest: batch,
            len: batch.len(),
            start: 0,
        }
    }

    /// The tag of the next message; `None` at the end of the batch.
    pub(super) fn next_tag(&mut self) -> Option<u8> {
        let (tag, rest) = self.rest.split_first()?;
        self.start = self.len - self.rest.len();
        self.rest = rest;
        Some(*tag)
    }

    /// Gives up the rest of the batch.
    pub(super) fn skip_to_end(&mut self) {
        self.rest = &[];
    }

    pub(super) fn unknown(&self, tag: u8) -> WireError {
        WireError::UnknownTag {
            tag,
            at: self.start,
        }
    }

    #[inline]
    pub(super) fn bytes(&mut self, needed: usize) -> Result<&'a [u8], WireError> {
        match self.rest.split_at_checked(needed) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated(needed)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(self.truncated(N)),
        }
    }

    #[cold]
    fn truncated(&self, needed: usize) -> WireError {
        WireError::Truncated {
            at: self.start,
            needed,
            left: self.rest.len(),
        }
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn node(&mut self) -> Result<NodeId, WireError> {
        Ok(NodeId(self.array()?))
    }

    /// A length of two bytes, within `cap`.
    #[inline]
    pub(super) fn short_len(&mut self, part: &'static str, cap: usize) -> Result<usize, WireError> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        self.within(part, len, cap)
    }

    /// A length of four bytes, within `cap`.
    #[inline]
    pub(super) fn long_len(&mut self, part: &'static str, cap: usize) -> Result<usize, WireError> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        self.within(part, len, cap)
    }

    #[inline]
    fn within(&self, part: &'static str, len: usize, cap: usize) -> Result<usize, WireError> {
        check(part, len, cap).map_err(|over| WireError::OverLimit {
            at: self.start,
            over,
        })?;
        Ok(len)
    }
}

/// Refuses a length beyond its cap.
#[inline]
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

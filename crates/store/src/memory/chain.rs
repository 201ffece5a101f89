//! The entries of one token, packed into one allocation.
//!
//! A chain is a row of entries, nearly always one: two keys share a 64-bit token once in 2^64
//! pairs, unless someone makes them on purpose. An entry is
//!
//! ```text
//! digest (8 bytes) | key length | record length | key | record
//! ```
//!
//! with lengths as LEB128 (7 bits a byte, low bits first), which is 11 bytes before a key shorter
//! than 128 bytes and a record shorter than 16 KiB. Keys in a chain differ; their order means
//! nothing.
//!
//! Chains never leave the process, and only this module makes them: one that cannot be read is a
//! bug here, and panics.

use std::ops::Range;

use henge_versioning::RecordRef;

use crate::Stored;

const DIGEST_LEN: usize = 8;

/// One key with its record, read from a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) record: &'a [u8],
    pub(super) digest: u64,
    /// Where the entry lies in its chain.
    pub(super) span: Range<usize>,
}

impl<'a> Entry<'a> {
    /// The record, parsed. Only checked records are ever put into a chain.
    pub(super) fn stored(&self) -> Stored<'a> {
        let record =
            RecordRef::parse(self.record).expect("records are checked before they are kept");
        Stored {
            record,
            digest: self.digest,
        }
    }
}

/// The entries of a chain.
pub(super) fn entries(chain: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let entry = (at < chain.len()).then(|| entry_at(chain, at))?;
        at = entry.span.end;
        Some(entry)
    })
}

/// The entry of `key`.
#[inline]
pub(super) fn find<'a>(chain: &'a [u8], key: &[u8]) -> Option<Entry<'a>> {
    entries(chain).find(|entry| entry.key == key)
}

#[inline]
fn entry_at(chain: &[u8], start: usize) -> Entry<'_> {
    let (digest, rest) = chain[start..]
        .split_first_chunk()
        .expect("an entry begins with a digest");
    let mut at = chain.len() - rest.len();
    let key_len = read_len(chain, &mut at);
    let record_len = read_len(chain, &mut at);
    let (key_end, end) = (at + key_len, at + key_len + record_len);
    Entry {
        key: &chain[at..key_end],
        record: &chain[key_end..end],
        digest: u64::from_le_bytes(*digest),
        span: start..end,
    }
}

/// How long the chain `splice` makes will be.
pub(super) fn spliced_len(chain: &[u8], cut: &Range<usize>, key: &[u8], record: &[u8]) -> usize {
    let lengths = len_len(key.len()) + len_len(record.len());
    chain.len() - cut.len() + DIGEST_LEN + lengths + key.len() + record.len()
}

/// A copy of `chain` with an entry in place of the bytes of `cut`, in one exact allocation. An
/// empty `cut` at the end adds the entry; the span of another replaces that one.
pub(super) fn splice(
    chain: &[u8],
    cut: Range<usize>,
    key: &[u8],
    record: &[u8],
    digest: u64,
) -> Box<[u8]> {
    let mut out = Vec::with_capacity(spliced_len(chain, &cut, key, record));
    out.extend_from_slice(&chain[..cut.start]);
    out.extend_from_slice(&digest.to_le_bytes());
    write_len(&mut out, key.len());
    write_len(&mut out, record.len());
    out.extend_from_slice(key);
    out.extend_from_slice(record);
    out.extend_from_slice(&chain[cut.end..]);
    out.into_boxed_slice()
}

/// Puts a record of the same length in the place of the one at `span`.
pub(super) fn overwrite(chain: &mut [u8], span: Range<usize>, record: &[u8], digest: u64) {
    let entry = &mut chain[span];
    entry[..DIGEST_LEN].copy_from_slice(&digest.to_le_bytes());
    let start = entry.len() - record.len();
    entry[start..].copy_from_slice(record);
}

/// A copy of `chain` with only the entries that `keep` names, in one exact allocation.
pub(super) fn retain(chain: &[u8], keep: impl Fn(&Entry<'_>) -> bool) -> Box<[u8]> {
    let kept = || entries(chain).filter(&keep).map(|entry| &chain[entry.span]);
    let mut out = Vec::with_capacity(kept().map(<[u8]>::len).sum());
    kept().for_each(|entry| out.extend_from_slice(entry));
    out.into_boxed_slice()
}

/// Bytes that `write_len` takes for `len`.
fn len_len(len: usize) -> usize {
    (usize::BITS - len.leading_zeros()).div_ceil(7).max(1) as usize
}

fn write_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

#[inline]
fn read_len(chain: &[u8], at: &mut usize) -> usize {
    let (mut len, mut shift) = (0, 0);
    loop {
        let byte = chain[*at];
        *at += 1;
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return len;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests;

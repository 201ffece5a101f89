//! The entries of one token.
//!
//! A chain is nearly always one entry: two keys share a 64-bit token once in 2^64 pairs, unless
//! someone makes them on purpose. So one entry lies in the table's slot itself, its digest beside
//! the pointer: comparing digests does not touch the record, which is where the processor would
//! have to wait for memory. More entries lie in a list of their own.
//!
//! An entry's allocation is
//!
//! ```text
//! key length (4 bytes, little-endian) | key | record
//! ```
//!
//! Keys in a chain differ; their order means nothing. Entries never leave the process, and only
//! this module makes them: one that cannot be read is a bug here, and panics.

use std::{mem, slice};

use super::account::{Account, allocation};
use crate::{MAX_KEYS_PER_TOKEN, StoreError, Stored};

const KEY_LEN: usize = size_of::<u32>();

/// One key with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    digest: u64,
    packed: Box<[u8]>,
}

impl Entry {
    /// Packs a key and a record, which must be one, into one exact allocation.
    pub(super) fn new(key: &[u8], record: &[u8], digest: u64) -> Self {
        let key_len = u32::try_from(key.len()).expect("keys are shorter than 4 GiB");
        let mut packed = Vec::with_capacity(KEY_LEN + key.len() + record.len());
        packed.extend_from_slice(&key_len.to_le_bytes());
        packed.extend_from_slice(key);
        packed.extend_from_slice(record);
        Self {
            digest,
            packed: packed.into_boxed_slice(),
        }
    }

    /// What an entry of such a key and record takes.
    pub(super) fn cost_of(key: &[u8], record: &[u8]) -> u64 {
        allocation(KEY_LEN + key.len() + record.len())
    }

    /// What it takes.
    pub(super) fn cost(&self) -> u64 {
        allocation(self.packed.len())
    }

    /// Digest of the record, read from the table's slot.
    #[inline]
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// All of its allocation, for whoever wants it in cache.
    #[inline]
    pub(super) fn packed(&self) -> &[u8] {
        &self.packed
    }

    #[inline]
    fn record_at(&self) -> usize {
        let (len, _) = self
            .packed
            .split_first_chunk()
            .expect("an entry begins with its key's length");
        KEY_LEN + u32::from_le_bytes(*len) as usize
    }

    /// The key.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        &self.packed[KEY_LEN..self.record_at()]
    }

    /// The record. Only checked records are ever put into an entry.
    #[inline]
    pub(super) fn stored(&self) -> Stored<'_> {
        Stored {
            bytes: &self.packed[self.record_at()..],
            digest: self.digest,
        }
    }

    /// Whether it holds this record, of this digest. Different digests are the rule, and settle it.
    #[inline]
    pub(super) fn holds(&self, record: &[u8], digest: u64) -> bool {
        self.digest == digest && &self.packed[self.record_at()..] == record
    }

    /// Puts a record of the same length in the place of the present one; `false` if it is longer or
    /// shorter.
    #[inline]
    pub(super) fn overwrite(&mut self, record: &[u8], digest: u64) -> bool {
        let at = self.record_at();
        let place = &mut self.packed[at..];
        let fits = place.len() == record.len();
        if fits {
            place.copy_from_slice(record);
            self.digest = digest;
        }
        fits
    }
}

/// The entries of one token; at least one, but for a moment before its slot is removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// The rule.
    One(Entry),
    /// At least two, at most [`MAX_KEYS_PER_TOKEN`].
    Many(Box<[Entry]>),
}

// A slot of the table is this and the token: two fill a cache line.
const _: () = assert!(size_of::<Chain>() == 24);

impl Chain {
    /// The entries.
    #[inline]
    pub(super) fn entries(&self) -> &[Entry] {
        match self {
            Self::One(entry) => slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    /// The entry of `key`.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key() == key)
    }

    /// The entry of `key`, to be written.
    #[inline]
    pub(super) fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let entries = match self {
            Self::One(entry) => slice::from_mut(entry),
            Self::Many(entries) => entries,
        };
        entries.iter_mut().find(|entry| entry.key() == key)
    }

    /// The digest of the record under `key`. A sole entry is taken for that of `key` unseen: see
    /// [`Store::digest`](crate::Store::digest).
    #[inline]
    pub(super) fn digest(&self, key: &[u8]) -> Option<u64> {
        match self {
            Self::One(entry) => Some(entry.digest()),
            Self::Many(_) => self.find(key).map(Entry::digest),
        }
    }

    /// Adds the entry of a key that has none yet, and charges the account for it. Nothing changes
    /// if that is refused.
    #[cold]
    pub(super) fn push(
        &mut self,
        key: &[u8],
        record: &[u8],
        digest: u64,
        account: &Account,
    ) -> Result<(), StoreError> {
        let count = self.entries().len();
        if count >= MAX_KEYS_PER_TOKEN {
            return Err(StoreError::Crowded { count });
        }
        account.charge(Entry::cost_of(key, record) + list_cost(count + 1) - list_cost(count))?;
        let mut entries = match mem::replace(self, Self::Many(Box::default())) {
            Self::One(entry) => vec![entry],
            Self::Many(entries) => entries.into_vec(),
        };
        entries.reserve_exact(1);
        entries.push(Entry::new(key, record, digest));
        *self = Self::Many(entries.into_boxed_slice());
        Ok(())
    }

    /// Removes all entries but those that `keep` names; tells whether there are any. If not, the
    /// chain is no longer whole and its slot must go.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> bool {
        let Self::Many(entries) = self else {
            return self.entries().iter().any(keep);
        };
        let mut left = mem::take(entries).into_vec();
        left.retain(&mut keep);
        let is_any_left = !left.is_empty();
        *self = match left.pop() {
            Some(entry) if left.is_empty() => Self::One(entry),
            last => {
                left.extend(last);
                Self::Many(left.into_boxed_slice())
            }
        };
        is_any_left
    }

    /// What it takes beside its slot.
    pub(super) fn cost(&self) -> u64 {
        let entries = self.entries();
        list_cost(entries.len()) + entries.iter().map(Entry::cost).sum::<u64>()
    }
}

/// What the list of so many entries takes.
fn list_cost(count: usize) -> u64 {
    if count < 2 {
        return 0;
    }
    allocation(count * size_of::<Entry>())
}

#[cfg(test)]
mod tests;

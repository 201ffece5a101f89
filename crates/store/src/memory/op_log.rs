//! The op log of one partition: which keys changed, in the order of the changes.
//!
//! Positions are contiguous, so an entry is just its token: 8 bytes. The log starts at position 0
//! with nothing allocated, doubles as changes come, and forgets the oldest once it has its share of
//! memory. It is a cache: a reader that comes too late gets [`OpLogGap`] and compares records
//! instead, so the log may always give way, and does when memory is short.
//!
//! Left out: merging an entry with an equal one just before it. A reader that has already been
//! given position n must find a later change of that key at a position after n, so merging would
//! need to know what was given to whom, or leave holes in the positions.

use std::collections::VecDeque;

use henge_ring::Token;

use super::account::{Account, allocation};
use crate::{Change, OpLogGap};

const ENTRY_LEN: usize = size_of::<Token>();

/// The first allocation, in entries: together with the allocator's header, 64 bytes.
const FIRST_ENTRIES: usize = 7;

/// A ring of the latest changes.
#[derive(Debug, Default)]
pub(super) struct OpLog {
    /// Position of the oldest entry, or of the next one if there is none.
    oldest: u64,
    tokens: VecDeque<Token>,
}

impl OpLog {
    /// How many entries a log of `bytes` bytes can have, its allocation's header included.
    pub(super) fn entries_in(bytes: u64) -> usize {
        let entries = (bytes & !15).saturating_sub(8) / ENTRY_LEN as u64;
        let entries = usize::try_from(entries).unwrap_or(usize::MAX / ENTRY_LEN);
        if cost(entries) > bytes { 0 } else { entries }
    }

    /// Appends a change. Never fails: what does not fit into `max_entries`, or into the memory that
    /// is left, pushes the oldest entry out.
    #[inline]
    pub(super) fn append(&mut self, token: Token, max_entries: usize, account: &Account) {
        if self.tokens.len() == self.tokens.capacity() && !self.grow(max_entries, account) {
            self.oldest += 1;
            if self.tokens.pop_front().is_none() {
                return;
            }
        }
        self.tokens.push_back(token);
    }

    /// Makes room for more entries; tells whether it could.
    #[cold]
    fn grow(&mut self, max_entries: usize, account: &Account) -> bool {
        let old = self.tokens.capacity();
        // One more than double, so that an allocation with its header fills whole steps of 16.
        let new = (2 * old + 1).max(FIRST_ENTRIES).min(max_entries);
        if new <= old || account.resize(cost(old), cost(new)).is_err() {
            return false;
        }
        self.tokens.reserve_exact(new - self.tokens.len());
        true
    }

    /// Up to `limit` changes from position `from` on. A position that was never reached is a gap
    /// too: the reader has it from another life of this store.
    pub(super) fn changes(&self, from: u64, limit: usize) -> Result<Vec<Change>, OpLogGap> {
        let gap = OpLogGap {
            oldest: self.oldest,
            asked: from,
        };
        let skipped = from
            .checked_sub(self.oldest)
            .and_then(|n| usize::try_from(n).ok());
        let skipped = skipped.filter(|&n| n <= self.tokens.len()).ok_or(gap)?;
        let tokens = self.tokens.range(skipped..).take(limit);
        Ok((from..)
            .zip(tokens)
            .map(|(seq, &token)| Change { seq, token })
            .collect())
    }
}

/// What a log with room for `entries` entries takes.
fn cost(entries: usize) -> u64 {
    allocation(entries * ENTRY_LEN)
}

#[cfg(test)]
mod tests;

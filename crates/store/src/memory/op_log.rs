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

use henge_ring::Token;
use prefetch_index::prefetch_index;

use super::account::{Account, allocation};
use crate::{Change, OpLogGap};

const ENTRY_LEN: usize = size_of::<Token>();

/// The first allocation, in entries: together with the allocator's header, 64 bytes.
const FIRST_ENTRIES: usize = 7;

/// A ring of the latest changes. In 32 bytes (a `VecDeque` and the position would take 40), so that
/// the trail it is part of fills one cache line.
#[derive(Debug, Default)]
pub(super) struct OpLog {
    /// Position of the oldest entry, or of the next one if there is none.
    oldest: u64,
    /// Room for entries, which are tokens. They begin at `head` and go on from the end to the start.
    ring: Box<[u64]>,
    /// Where in the ring the oldest entry is.
    head: u32,
    /// How many entries there are.
    len: u32,
}

impl OpLog {
    /// How many entries a log of `bytes` bytes can have, its allocation's header included.
    pub(super) fn entries_in(bytes: u64) -> usize {
        let entries = (bytes & !15).saturating_sub(8) / ENTRY_LEN as u64;
        let entries = u32::try_from(entries).unwrap_or(u32::MAX) as usize;
        if cost(entries) > bytes { 0 } else { entries }
    }

    /// Appends a change. Never fails: what does not fit into `max_entries`, or into the memory that
    /// is left, pushes the oldest entry out.
    #[inline]
    pub(super) fn append(&mut self, token: Token, max_entries: usize, account: &Account) {
        let (len, room) = (self.len as usize, self.ring.len());
        if len < room || self.grow(max_entries, account) {
            let at = self.at(len);
            self.ring[at] = token.0;
            self.len += 1;
            return;
        }
        self.oldest += 1;
        if let Some(oldest) = self.ring.get_mut(self.head as usize) {
            *oldest = token.0;
            self.head = self.at(1) as u32;
        }
    }

    /// Asks for the line that the next entry goes to.
    #[inline]
    pub(super) fn warm(&self) {
        prefetch_index(&self.ring, self.at(self.len as usize));
    }

    /// Where in the ring the nth entry is.
    #[inline]
    fn at(&self, nth: usize) -> usize {
        let (at, room) = (self.head as usize + nth, self.ring.len());
        if at < room { at } else { at - room }
    }

    /// Makes room for more entries; tells whether it could.
    #[cold]
    fn grow(&mut self, max_entries: usize, account: &Account) -> bool {
        let old = self.ring.len();
        // One more than double, so that an allocation with its header fills whole steps of 16.
        let new = (2 * old + 1).max(FIRST_ENTRIES).min(max_entries);
        if new <= old || account.resize(cost(old), cost(new)).is_err() {
            return false;
        }
        // Plain numbers, since what is fresh from the kernel is zero and need not be cleared again.
        let mut ring = vec![0_u64; new].into_boxed_slice();
        for (nth, place) in ring.iter_mut().enumerate().take(self.len as usize) {
            *place = self.ring[self.at(nth)];
        }
        self.ring = ring;
        self.head = 0;
        true
    }

    /// The position after the newest entry.
    pub(super) fn end(&self) -> u64 {
        self.oldest + u64::from(self.len)
    }

    /// Up to `limit` changes from position `from` on. A position that was never reached is a gap
    /// too: the reader has it from another life of this store.
    pub(super) fn changes(&self, from: u64, limit: usize) -> Result<Vec<Change>, OpLogGap> {
        let gap = OpLogGap {
            oldest: self.oldest,
            asked: from,
        };
        let len = self.len as usize;
        let skipped = from
            .checked_sub(self.oldest)
            .and_then(|n| usize::try_from(n).ok());
        let skipped = skipped.filter(|&n| n <= len).ok_or(gap)?;
        let shown = (skipped..len).take(limit);
        let change = |(seq, nth)| Change {
            seq,
            token: Token(self.ring[self.at(nth)]),
        };
        Ok((from..).zip(shown).map(change).collect())
    }
}

/// What a log with room for `entries` entries takes.
fn cost(entries: usize) -> u64 {
    allocation(entries * ENTRY_LEN)
}

#[cfg(test)]
mod tests;

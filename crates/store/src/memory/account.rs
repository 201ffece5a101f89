//! Memory accounting: what the store's allocations really cost, and the limit on their sum.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{StoreError, Usage};

/// What an allocation of `bytes` bytes costs the process: the allocator keeps 8 bytes in front of
/// each and hands out multiples of 16, at least 32 (glibc's `malloc`). Allocators with coarser size
/// classes (mimalloc, jemalloc: steps of an eighth to a quarter) may take more; their waste is not
/// counted.
pub(super) const fn allocation(bytes: usize) -> u64 {
    if bytes == 0 {
        return 0;
    }
    let chunk = (bytes as u64 + 8).next_multiple_of(16);
    if chunk < 32 { 32 } else { chunk }
}

/// Bytes and records in use. One per store, shared by all threads.
///
/// Invariant: `used` never passes `limit` by a charge. It may stand above it where the limit is
/// smaller than the empty store, and by the few bytes that [`Account::settle`] lets pass.
#[derive(Debug)]
pub(super) struct Account {
    used: AtomicU64,
    records: AtomicU64,
    limit: u64,
}

impl Account {
    /// An account that starts with what the empty store takes.
    pub(super) fn new(limit: u64, fixed: u64) -> Self {
        Self {
            used: AtomicU64::new(fixed),
            records: AtomicU64::new(0),
            limit,
        }
    }

    /// Takes `needed` bytes, all or none. Must come before the allocation it stands for.
    pub(super) fn charge(&self, needed: u64) -> Result<(), StoreError> {
        let fits = |used: u64| used.checked_add(needed).filter(|&sum| sum <= self.limit);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        {
            Ok(_) => Ok(()),
            Err(used) => Err(StoreError::Full {
                used,
                limit: self.limit,
                needed,
            }),
        }
    }

    /// Gives `bytes` back.
    pub(super) fn refund(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Changes an allocation's cost from `old` to `new` bytes. Only growth can be refused; equal
    /// costs touch no shared memory.
    pub(super) fn resize(&self, old: u64, new: u64) -> Result<(), StoreError> {
        match new.checked_sub(old) {
            Some(0) => Ok(()),
            Some(more) => self.charge(more),
            None => {
                self.refund(old - new);
                Ok(())
            }
        }
    }

    /// [`Account::resize`] without a limit, for what must never be refused.
    pub(super) fn settle(&self, old: u64, new: u64) {
        self.used
            .fetch_add(new.saturating_sub(old), Ordering::Relaxed);
        self.used
            .fetch_sub(old.saturating_sub(new), Ordering::Relaxed);
    }

    /// Counts records that came.
    pub(super) fn add_records(&self, count: u64) {
        self.records.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts records that went.
    pub(super) fn remove_records(&self, count: u64) {
        self.records.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            records: self.records.load(Ordering::Relaxed),
            bytes: self.used.load(Ordering::Relaxed),
            limit: self.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_costs_its_header_and_whole_steps_of_sixteen() {
        let expected = [
            (0, 0),
            (1, 32),
            (24, 32),
            (25, 48),
            (40, 48),
            (41, 64),
            (600, 608),
            (601, 624),
        ];
        for (bytes, cost) in expected {
            assert_eq!(allocation(bytes), cost, "{bytes} bytes");
        }
    }

    #[test]
    fn a_charge_is_taken_up_to_the_limit_and_not_beyond() {
        let account = Account::new(100, 40);
        let refused = StoreError::Full {
            used: 40,
            limit: 100,
            needed: 61,
        };
        assert_eq!(account.charge(61), Err(refused));
        assert_eq!(account.usage().bytes, 40);
        assert_eq!(account.charge(60), Ok(()));
        assert_eq!(account.charge(0), Ok(()));
        assert!(account.charge(1).is_err());
        account.refund(1);
        assert_eq!(account.charge(1), Ok(()));
    }

    #[test]
    fn a_charge_that_would_overflow_is_refused() {
        let account = Account::new(u64::MAX, 1);
        assert!(account.charge(u64::MAX).is_err());
        assert_eq!(account.charge(u64::MAX - 1), Ok(()));
    }

    #[test]
    fn shrinking_always_passes() {
        let account = Account::new(10, 100);
        assert_eq!(account.resize(80, 80), Ok(()));
        assert_eq!(account.resize(80, 16), Ok(()));
        assert_eq!(account.usage().bytes, 36);
        assert!(account.resize(16, 17).is_err());
    }

    #[test]
    fn settling_has_no_limit() {
        let account = Account::new(10, 10);
        account.settle(16, 48);
        assert_eq!(account.usage().bytes, 42);
        account.settle(48, 16);
        assert_eq!(account.usage().bytes, 10);
    }
}

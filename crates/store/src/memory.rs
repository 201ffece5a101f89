//! The in-memory engine.
//!
//! One table per partition, so that a partition can be scanned, swept and handed over without a
//! look at the others. A record lies with its key and digest in one allocation, found by its token
//! through an 8-byte key and a 16-byte pointer; reading copies nothing and allocates nothing, and a
//! record of the same length as the one before is written in its place.
//!
//! The threads of a node share it: a lock covers half of one partition, for as long as one record
//! takes. What is not here: eviction (a full store refuses), persistence, timers.

mod account;
mod chain;
mod op_log;
mod partition;
mod sweep;
mod token_hash;
mod walk;

use std::cell::Cell;

use henge_ring::Partition;
use henge_versioning::Stamp;

use self::{
    account::{Account, allocation},
    op_log::OpLog,
    partition::{PartitionMap, Shared},
};
use crate::{
    Change, Cursor, Decision, Key, Limits, OpLogGap, Store, StoreError, Stored, Swept, Usage,
    Written,
};

/// A thread keeps its scratch buffer between updates if it is at most this long, in bytes, which
/// nearly all records are; a longer one goes back to the allocator. Not counted as use of the
/// store.
const KEPT_SCRATCH: usize = 64 << 10;

thread_local! {
    /// Where this thread's updates write records before they are stored.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps all records in memory. See the [module](self) for how.
#[derive(Debug)]
pub struct MemoryStore {
    partition_bits: u8,
    partitions: Box<[PartitionMap]>,
    shared: Shared,
}

impl MemoryStore {
    /// An empty store. It takes 400 bytes for each partition, and counts them.
    ///
    /// # Panics
    ///
    /// If `limits.partition_bits` is not within `1 ..= 16`.
    pub fn new(limits: Limits) -> Self {
        let bits = limits.partition_bits;
        assert!(
            (1..=16).contains(&bits),
            "partition_bits is {bits}, not within 1 to 16"
        );
        let partitions: Box<[_]> = (0..1_u32 << bits).map(|_| PartitionMap::new()).collect();
        let tables: u64 = partitions.iter().map(PartitionMap::fixed_cost).sum();
        let fixed = tables + allocation(size_of_val(&*partitions));
        let max_log_entries = OpLog::entries_in(limits.op_log_bytes >> bits);
        let shared = Shared {
            account: Account::new(limits.bytes, fixed),
            max_log_entries,
        };
        Self {
            partition_bits: bits,
            partitions,
            shared,
        }
    }

    /// The partition of a key.
    #[inline]
    fn of(&self, key: Key<'_>) -> &PartitionMap {
        &self.partitions[key.token.partition(self.partition_bits).index()]
    }

    /// A partition by number; `None` for numbers beyond the last, which hold nothing.
    fn get(&self, partition: Partition) -> Option<&PartitionMap> {
        self.partitions.get(partition.index())
    }
}

impl Store for MemoryStore {
    #[inline]
    fn read(&self, key: Key<'_>, visit: &mut dyn FnMut(Option<Stored<'_>>)) {
        self.of(key).read(key, visit);
    }

    fn update(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision,
    ) -> Result<Written, StoreError> {
        let mut scratch = SCRATCH.take();
        scratch.clear();
        let written = self.of(key).update(key, decide, &mut scratch, &self.shared);
        if scratch.capacity() <= KEPT_SCRATCH {
            SCRATCH.set(scratch);
        }
        written
    }

    fn scan(
        &self,
        partition: Partition,
        from: Option<Cursor>,
        limit: usize,
        visit: &mut dyn FnMut(&[u8], Stored<'_>),
    ) -> Option<Cursor> {
        self.get(partition)?.scan(from, limit, visit)
    }

    fn sweep(&self, partition: Partition, before_ms: u64) -> Swept {
        let partition = self.get(partition);
        partition.map_or_else(Swept::default, |p| p.sweep(before_ms, &self.shared.account))
    }

    fn changes(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Change>, OpLogGap> {
        self.get(partition)
            .map_or_else(|| Ok(Vec::new()), |p| p.changes(from, limit))
    }

    fn newest(&self) -> Stamp {
        self.partitions
            .iter()
            .map(|p| p.trail().newest)
            .max()
            .unwrap_or_default()
    }

    fn usage(&self) -> Usage {
        self.shared.account.usage()
    }

    fn partition_bits(&self) -> u8 {
        self.partition_bits
    }
}

#[cfg(test)]
mod tests;

//! The in-memory engine.
//!
//! One table per partition, so that a partition can be scanned, swept and handed over without a
//! look at the others. A record lies with its key in one allocation, found by its token through a
//! table slot of 32 bytes: token, digest, pointer and length. Reading copies nothing and allocates
//! nothing, and a record of the same length as the one before is written in its place.
//!
//! What an operation costs is how many cache lines it has to wait for, one after the other: the
//! shard's head, its control bytes, the slot, the record; for a write also the partition's trail
//! and the end of its op log. Reading a digest ends at the slot, and [`Store::warm`] lets the waits
//! for many keys overlap.
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
mod warm;

use std::cell::Cell;

use henge_ring::{Partition, Token};
use henge_versioning::Stamp;

use self::{
    account::{Account, allocation},
    chain::Entry,
    op_log::OpLog,
    partition::{PartitionRef, Shared, Table, Trail, fixed_cost, new_table},
    sweep::Due,
};
use crate::{
    Change, Cursor, Decision, Key, Limits, OpLogGap, Store, StoreError, Stored, Swept, Usage, Warm,
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
    /// By partition, as are the trails; apart, since reads need only these.
    tables: Box<[Table]>,
    trails: Box<[Trail]>,
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
        let partitions = 0..1_u32 << bits;
        let tables: Box<[_]> = partitions.clone().map(|_| new_table()).collect();
        let trails: Box<[_]> = partitions.map(|_| Trail::new()).collect();
        let lists = allocation(size_of_val(&*tables)) + allocation(size_of_val(&*trails));
        let fixed = lists + tables.iter().map(fixed_cost).sum::<u64>();
        let max_log_entries = OpLog::entries_in(limits.op_log_bytes >> bits);
        let shared = Shared {
            account: Account::new(limits.bytes, fixed),
            max_log_entries,
        };
        Self {
            partition_bits: bits,
            tables,
            trails,
            shared,
        }
    }

    /// The partition of a token.
    #[inline]
    fn of(&self, token: Token) -> PartitionRef<'_> {
        let index = token.partition(self.partition_bits).index();
        PartitionRef {
            table: &self.tables[index],
            trail: &self.trails[index],
        }
    }

    /// A partition by number; `None` for numbers beyond the last, which hold nothing.
    fn get(&self, partition: Partition) -> Option<PartitionRef<'_>> {
        Some(PartitionRef {
            table: self.tables.get(partition.index())?,
            trail: self.trails.get(partition.index())?,
        })
    }
}

impl Store for MemoryStore {
    #[inline]
    fn read(&self, key: Key<'_>, visit: &mut dyn FnMut(Option<Stored<'_>>)) {
        self.of(key.token).look(key.token.0, |chain| {
            let entry = chain.and_then(|chain| chain.find(key.bytes));
            visit(entry.map(Entry::stored));
        });
    }

    #[inline]
    fn digest(&self, key: Key<'_>) -> Option<u64> {
        self.of(key.token).look(key.token.0, |chain| {
            chain.and_then(|chain| chain.digest(key.bytes))
        })
    }

    #[inline]
    fn warm(&self, tokens: &[Token], wanted: Warm) {
        warm::warm(tokens, wanted, |token| self.of(token));
    }

    fn update<'a>(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    ) -> Result<Written, StoreError> {
        let mut scratch = SCRATCH.take();
        scratch.clear();
        let partition = self.of(key.token);
        let written = partition.update(key, decide, &mut scratch, &self.shared);
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

    fn sweep(&self, partition: Partition, before_ms: u64, grace_ms: u64) -> Swept {
        let due = Due {
            before_ms,
            grace_ms,
        };
        let partition = self.get(partition);
        partition.map_or_else(Swept::default, |p| p.sweep(due, &self.shared.account))
    }

    fn remove(&self, key: Key<'_>, digest: u64) -> bool {
        self.of(key.token).remove(key, digest, &self.shared.account)
    }

    fn changes(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Change>, OpLogGap> {
        self.get(partition).map_or_else(
            || Ok(Vec::new()),
            |p| p.trail.lock().log.changes(from, limit),
        )
    }

    fn log_end(&self, partition: Partition) -> u64 {
        self.get(partition)
            .map_or(0, |partition| partition.trail.lock().log.end())
    }

    fn read_token(&self, token: Token, visit: &mut dyn FnMut(&[u8], Stored<'_>)) {
        self.of(token).show(token.0, visit);
    }

    fn newest(&self) -> Stamp {
        self.trails
            .iter()
            .map(|trail| trail.lock().newest)
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

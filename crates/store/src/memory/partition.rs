//! One partition: its table of records, and the trail of what changed in it.
//!
//! Two kinds of lock, always taken in this order: a table shard's, then the trail's. No thread ever
//! holds two shards for writing, and callbacks run under a shard's lock only. A change is put into
//! the op log while its shard is still locked, so for each key the order of the log is the order of
//! the changes.

use std::{
    hash::BuildHasherDefault,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dashmap::{DashMap, SharedValue};
use henge_ring::Token;
use henge_versioning::{NEVER, RecordRef, Stamp};

use super::{
    account::{Account, allocation},
    chain::{Chain, Entry},
    op_log::OpLog,
    token_hash::{TokenHasher, is_in_larger_part, spread},
};
use crate::{Decision, Key, StoreError, Stored, Written};

/// The least dashmap can do. More would help only if many threads wrote to one partition at a time,
/// and each costs 128 bytes a partition.
///
/// They are of unequal size, √2 apart: a table doubles when it is 7/8 full, and all partitions of a
/// store are about as full as each other, so that with equal shards every table of the store would
/// double at nearly the same number of records. That costs 1.14 to 2.29 slots a record, and the
/// memory would jump from one to the other within a few per cent of growth. So it is 1.34 to 2.01,
/// in two steps.
const SHARDS: usize = 2;

/// Token to chain. Its shards are used directly (dashmap's `raw-api`), because they are chosen by
/// size (see [`SHARDS`]; so dashmap's own look-ups would miss), and because what an insertion will cost has to be known, and may have to be refused, before the table grows, under one lock.
/// (One such map for the whole store, a shard for each partition, would save a look at a list of
/// maps that is small enough to stay in cache; but then a partition could not be walked by itself.)
pub(super) type Table = DashMap<u64, Chain, BuildHasherDefault<TokenHasher>>;

/// An empty table.
pub(super) fn new_table() -> Table {
    DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), SHARDS)
}

/// Bytes that an empty table has allocated outside of itself.
pub(super) fn fixed_cost(table: &Table) -> u64 {
    allocation(size_of_val(table.shards()))
}

/// One partition of a store. See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartitionRef<'a> {
    pub(super) table: &'a Table,
    pub(super) trail: &'a Trail,
}

/// What a partition remembers of its changes: one cache line, which reads do not touch.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Trail(Mutex<Changed>);

const _: () = assert!(size_of::<Trail>() == 64);

/// The content of a [`Trail`].
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) log: OpLog,
    /// The newest stamp ever written here.
    pub(super) newest: Stamp,
    /// No record here may be removed earlier. The one that had this time may have gone since, or
    /// moved on.
    pub(super) earliest_due: u64,
}

impl Trail {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Changed {
            log: OpLog::default(),
            newest: Stamp::default(),
            earliest_due: NEVER,
        }))
    }

    /// Locks it. A panic elsewhere while it was locked does not spoil it: each of its parts is
    /// whole after every statement that changes it.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, Changed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all partitions of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) account: Account,
    /// The longest that a partition's op log may get.
    pub(super) max_log_entries: usize,
}

/// What has to be known of a record that is stored.
struct Checked {
    digest: u64,
    newest: Stamp,
    /// The earliest time at which any sweep could remove it.
    due: u64,
    is_dead: bool,
}

impl Checked {
    #[inline]
    fn new(record: &RecordRef<'_>) -> Self {
        Self {
            digest: record.digest(),
            newest: record.newest(),
            due: record.removable_at(0),
            is_dead: record.is_dead(),
        }
    }
}

/// The size of a table shard, as hashbrown gives it.
#[derive(Clone, Copy)]
pub(super) struct TableSize {
    pub(super) len: usize,
    pub(super) capacity: usize,
    pub(super) buckets: usize,
}

impl TableSize {
    /// Bytes of its one allocation: slots, a control byte for each, and one group of control bytes
    /// repeated at the end. Empty tables have none.
    pub(super) fn cost(self) -> u64 {
        const SLOT: usize = size_of::<(u64, SharedValue<Chain>)>();
        const GROUP: usize = 16;
        if self.capacity == 0 {
            return 0;
        }
        allocation((self.buckets * SLOT).next_multiple_of(GROUP) + self.buckets + GROUP)
    }

    /// What one insertion may add to the cost: hashbrown doubles a table that has no room left, and
    /// starts with four buckets. (It may find room after all, where removals left marks.)
    fn growth(self) -> u64 {
        let grown = match self.capacity {
            0 => Self {
                buckets: 4,
                capacity: 3,
                ..self
            },
            capacity if self.len == capacity => Self {
                buckets: 2 * self.buckets,
                ..self
            },
            _ => return 0,
        };
        grown.cost() - self.cost()
    }
}

/// The [`TableSize`] of a locked shard. (A macro, since the shard's type cannot be named without
/// depending on dashmap's own version of hashbrown.)
macro_rules! size_of_table {
    ($shard:expr) => {
        TableSize {
            len: $shard.len(),
            capacity: $shard.capacity(),
            buckets: $shard.buckets(),
        }
    };
}
pub(super) use size_of_table;

impl PartitionRef<'_> {
    /// The shard of a token, and the token spread for it.
    #[inline]
    pub(super) fn shard_of(&self, token: u64) -> (usize, u64) {
        let hash = spread(token);
        (usize::from(is_in_larger_part(hash)), hash)
    }

    /// Shows the chain of a token, which stays locked meanwhile.
    #[inline]
    pub(super) fn look<T>(&self, token: u64, look: impl FnOnce(Option<&Chain>) -> T) -> T {
        let (shard, hash) = self.shard_of(token);
        let shard = self.table.shards()[shard].read();
        let slot = shard.get(hash, |(other, _)| *other == token);
        look(slot.map(|(_, chain)| chain.get()))
    }

    /// [`Store::update`](crate::Store::update), with the scratch buffer to use.
    #[inline]
    pub(super) fn update<'a>(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
        scratch: &mut Vec<u8>,
        shared: &Shared,
    ) -> Result<Written, StoreError> {
        let (shard, hash) = self.shard_of(key.token.0);
        let mut shard = self.table.shards()[shard].write();
        let slot = shard.get_mut(hash, |(token, _)| *token == key.token.0);
        let checked = if let Some((_, chain)) = slot {
            update_chain(chain.get_mut(), key, decide, scratch, &shared.account)?
        } else if let Some(record) = decide(None, scratch).record(scratch)? {
            let (checked, record) = (Checked::new(&record), record.as_bytes());
            let (size, cost) = (size_of_table!(shard), Entry::cost_of(key.bytes, record));
            shared.account.charge(cost + size.growth())?;
            let chain = Chain::One(Entry::new(key.bytes, record, checked.digest));
            let slot = (key.token.0, SharedValue::new(chain));
            shard.insert(hash, slot, |(token, _)| spread(*token));
            let unused = size.cost() + size.growth() - size_of_table!(shard).cost();
            shared.account.refund(unused);
            shared.account.add_records(1);
            Some(checked)
        } else {
            None
        };
        Ok(checked.map_or(Written::Kept, |checked| {
            self.note(key.token, &checked, shared);
            Written::Changed
        }))
    }

    /// Puts a change on the trail. The key's shard must still be locked.
    #[inline]
    fn note(&self, token: Token, checked: &Checked, shared: &Shared) {
        let mut trail = self.trail.lock();
        trail
            .log
            .append(token, shared.max_log_entries, &shared.account);
        trail.newest = trail.newest.max(checked.newest);
        trail.earliest_due = trail.earliest_due.min(checked.due);
    }
}

/// Updates a key whose token is in the table. `None`: nothing changed.
#[inline]
fn update_chain<'a>(
    chain: &mut Chain,
    key: Key<'_>,
    decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    scratch: &mut Vec<u8>,
    account: &Account,
) -> Result<Option<Checked>, StoreError> {
    let Some(entry) = chain.find_mut(key.bytes) else {
        return add(chain, key, decide, scratch, account);
    };
    let decision = decide(Some(entry.stored()), scratch);
    let Some(record) = decision.record(scratch)? else {
        return Ok(None);
    };
    let (checked, record) = (Checked::new(&record), record.as_bytes());
    if entry.holds(record, checked.digest) {
        return Ok(None);
    }
    if !entry.overwrite(record, checked.digest) {
        let (old, new) = (entry.cost(), Entry::cost_of(key.bytes, record));
        if checked.is_dead {
            // Destroying what is held must always be possible. It hardly ever takes more: only
            // where a record without deadline has a value of less than 6 bytes, and then one step
            // of 16.
            account.settle(old, new);
        } else {
            account.resize(old, new)?;
        }
        *entry = Entry::new(key.bytes, record, checked.digest);
    }
    Ok(Some(checked))
}

/// Adds a key to the chain of another one's token.
#[cold]
fn add<'a>(
    chain: &mut Chain,
    key: Key<'_>,
    decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    scratch: &mut Vec<u8>,
    account: &Account,
) -> Result<Option<Checked>, StoreError> {
    let Some(record) = decide(None, scratch).record(scratch)? else {
        return Ok(None);
    };
    let checked = Checked::new(&record);
    chain.push(key.bytes, record.as_bytes(), checked.digest, account)?;
    account.add_records(1);
    Ok(Some(checked))
}

//! One partition: its table of records, and the trail of what changed in it.
//!
//! Two kinds of lock, always taken in this order: a table shard's, then the trail's. No thread ever
//! holds two shards for writing, and callbacks run under a shard's lock only. A change is put into
//! the op log while its shard is still locked, so for each key the order of the log is the order of
//! the changes.

use std::{
    hash::BuildHasherDefault,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dashmap::{DashMap, SharedValue};
use henge_ring::Token;
use henge_versioning::{DecodeError, NEVER, RecordRef, Stamp};

use super::{
    account::{Account, allocation},
    chain,
    op_log::OpLog,
    token_hash::{TokenHasher, spread},
};
use crate::{Change, Decision, Key, MAX_KEYS_PER_TOKEN, OpLogGap, StoreError, Stored, Written};

/// The least dashmap can do. More would help only if many threads wrote to one partition at a time,
/// and each costs 128 bytes a partition.
const SHARDS: usize = 2;

/// Token to chain. Its shards are used directly (dashmap's `raw-api`), because what an insertion
/// will cost has to be known, and may have to be refused, before the table grows, under one lock.
pub(super) type Table = DashMap<u64, Box<[u8]>, BuildHasherDefault<TokenHasher>>;

/// See the module. `PartitionMap` knows nothing of the other partitions but their common account.
#[derive(Debug)]
pub(super) struct PartitionMap {
    pub(super) table: Table,
    trail: Mutex<Trail>,
}

/// What a partition remembers of its changes.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) log: OpLog,
    /// The newest stamp ever written here.
    pub(super) newest: Stamp,
    /// No record here has an earlier horizon. The earliest may have gone since, or moved on.
    pub(super) earliest_horizon: u64,
}

/// What all partitions of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) account: Account,
    /// The longest that a partition's op log may get.
    pub(super) max_log_entries: usize,
}

/// What has to be known of a record that is to be stored. Made only from one that parses.
struct Checked {
    digest: u64,
    newest: Stamp,
    horizon: u64,
    is_dead: bool,
}

impl Checked {
    fn new(record: &[u8]) -> Result<Self, DecodeError> {
        let record = RecordRef::parse(record)?;
        Ok(Self {
            digest: record.digest(),
            newest: record.newest(),
            horizon: record.horizon(),
            is_dead: record.is_dead(),
        })
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
        const SLOT: usize = size_of::<(u64, SharedValue<Box<[u8]>>)>();
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

impl PartitionMap {
    pub(super) fn new() -> Self {
        let table = DashMap::with_hasher_and_shard_amount(BuildHasherDefault::default(), SHARDS);
        let trail = Trail {
            log: OpLog::default(),
            newest: Stamp::default(),
            earliest_horizon: NEVER,
        };
        Self {
            table,
            trail: Mutex::new(trail),
        }
    }

    /// Bytes that an empty partition has allocated outside of itself.
    pub(super) fn fixed_cost(&self) -> u64 {
        allocation(size_of_val(self.table.shards()))
    }

    /// Locks the trail. A panic elsewhere while it was locked does not spoil it: each of its parts
    /// is whole after every statement that changes it.
    pub(super) fn trail(&self) -> MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of a token, and the token spread for it.
    #[inline]
    pub(super) fn shard_of(&self, token: u64) -> (usize, u64) {
        let hash = spread(token);
        (self.table.determine_shard(hash as usize), hash)
    }

    /// [`Store::read`](crate::Store::read).
    #[inline]
    pub(super) fn read(&self, key: Key<'_>, visit: &mut dyn FnMut(Option<Stored<'_>>)) {
        let (shard, hash) = self.shard_of(key.token.0);
        let shard = self.table.shards()[shard].read();
        let slot = shard.get(hash, |(token, _)| *token == key.token.0);
        let entry = slot.and_then(|(_, chain)| chain::find(chain.get(), key.bytes));
        visit(entry.map(|entry| entry.stored()));
    }

    /// [`Store::update`](crate::Store::update), with the scratch buffer to use.
    pub(super) fn update(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision,
        scratch: &mut Vec<u8>,
        shared: &Shared,
    ) -> Result<Written, StoreError> {
        let (shard, hash) = self.shard_of(key.token.0);
        let mut shard = self.table.shards()[shard].write();
        let slot = shard.get_mut(hash, |(token, _)| *token == key.token.0);
        let checked = if let Some((_, chain)) = slot {
            update_chain(chain.get_mut(), key, decide, scratch, &shared.account)?
        } else if decide(None, scratch) == Decision::Write {
            let checked = Checked::new(scratch)?;
            let size = size_of_table!(shard);
            let cost = allocation(chain::spliced_len(&[], &(0..0), key.bytes, scratch));
            shared.account.charge(cost + size.growth())?;
            let chain = chain::splice(&[], 0..0, key.bytes, scratch, checked.digest);
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
        let mut trail = self.trail();
        trail
            .log
            .append(token, shared.max_log_entries, &shared.account);
        trail.newest = trail.newest.max(checked.newest);
        trail.earliest_horizon = trail.earliest_horizon.min(checked.horizon);
    }

    /// [`Store::changes`](crate::Store::changes).
    pub(super) fn changes(&self, from: u64, limit: usize) -> Result<Vec<Change>, OpLogGap> {
        self.trail().log.changes(from, limit)
    }
}

/// Updates a key whose token is in the table. `None`: nothing changed.
fn update_chain(
    chain: &mut Box<[u8]>,
    key: Key<'_>,
    decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision,
    scratch: &mut Vec<u8>,
    account: &Account,
) -> Result<Option<Checked>, StoreError> {
    let present = chain::find(chain, key.bytes);
    let decision = decide(present.as_ref().map(|entry| entry.stored()), scratch);
    let same = present
        .as_ref()
        .is_some_and(|entry| entry.record == scratch.as_slice());
    if decision == Decision::Keep || same {
        return Ok(None);
    }
    let checked = Checked::new(scratch)?;
    if let Some(entry) = present {
        let (span, in_place) = (entry.span, entry.record.len() == scratch.len());
        if in_place {
            chain::overwrite(chain, span, scratch, checked.digest);
        } else {
            replace(chain, span, key, scratch, &checked, account)?;
        }
    } else {
        let count = chain::entries(chain).count();
        if count >= MAX_KEYS_PER_TOKEN {
            return Err(StoreError::Crowded { count });
        }
        let end = chain.len()..chain.len();
        replace(chain, end, key, scratch, &checked, account)?;
        account.add_records(1);
    }
    Ok(Some(checked))
}

/// Puts an entry in place of the bytes of `cut`, in a new allocation.
fn replace(
    chain: &mut Box<[u8]>,
    cut: Range<usize>,
    key: Key<'_>,
    record: &[u8],
    checked: &Checked,
    account: &Account,
) -> Result<(), StoreError> {
    let new_len = chain::spliced_len(chain, &cut, key.bytes, record);
    let (old, new) = (allocation(chain.len()), allocation(new_len));
    if checked.is_dead && !cut.is_empty() {
        // Destroying what is held must always be possible. It hardly ever takes more: only where a
        // record without deadline has a value of less than 6 bytes, and then one step of 16.
        account.settle(old, new);
    } else {
        account.resize(old, new)?;
    }
    *chain = chain::splice(chain, cut, key.bytes, record, checked.digest);
    Ok(())
}

//! Taking away records past their horizon.
//!
//! There is no timer and no index of expiries. Each partition keeps a lower bound of the times at
//! which its records may go, so that a sweep with nothing to do costs one lock; otherwise it looks
//! at every record, each under its own short lock, and finds the bound anew. A write lowers the
//! bound to when its record may go without any grace, which is never too late.

use henge_versioning::{Form, NEVER};

use super::{
    account::Account,
    chain::{Chain, Entry},
    partition::{PartitionRef, TableSize, size_of_table},
    token_hash::spread,
};
use crate::{Key, Swept};

/// A table is shrunk when no more than one of this many slots is left in use. Removing that many
/// records costs far more than moving the rest, and a table that breathes is left alone.
const SHRINK_BELOW: usize = 8;

/// What a sweep removes: all that may go by now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// The time.
    pub(super) before_ms: u64,
    /// How long a record is kept after a deadline that lies before its horizon.
    pub(super) grace_ms: u64,
}

impl Due {
    /// When an entry may go.
    fn of(self, entry: &Entry) -> u64 {
        entry.stored().record().removable_at(self.grace_ms)
    }

    /// When the first of some may go.
    fn earliest(self, chain: &Chain) -> u64 {
        let times = chain.entries().iter().map(|entry| self.of(entry));
        times.min().unwrap_or(NEVER)
    }

    /// [`NEVER`] does not come, whatever the time.
    fn is_reached(self, at: u64) -> bool {
        at != NEVER && at <= self.before_ms
    }
}

impl Swept {
    fn count(&mut self, entry: &Entry) {
        self.records += 1;
        self.siblings += u64::from(entry.stored().record().form() == Form::Siblings);
    }
}

impl PartitionRef<'_> {
    /// [`Store::sweep`](crate::Store::sweep).
    pub(super) fn sweep(&self, due: Due, account: &Account) -> Swept {
        // The bound is taken away first and the tokens are read after it. A record written
        // in between lowers the bound again by itself; one written earlier is found below.
        {
            let mut trail = self.trail.lock();
            if !due.is_reached(trail.earliest_due) {
                return Swept::default();
            }
            trail.earliest_due = NEVER;
        }
        let tokens: Vec<u64> = self.table.iter().map(|slot| *slot.key()).collect();
        let mut earliest = NEVER;
        let mut swept = Swept::default();
        for token in tokens {
            earliest = earliest.min(self.sweep_token(token, due, &mut swept));
        }
        if swept.records > 0 {
            swept.bytes += self.shrink();
        }
        account.refund(swept.bytes);
        account.remove_records(swept.records);
        let mut trail = self.trail.lock();
        trail.earliest_due = trail.earliest_due.min(earliest);
        swept
    }

    /// [`Store::remove`](crate::Store::remove).
    pub(super) fn remove(&self, key: Key<'_>, digest: u64, account: &Account) -> bool {
        let token = key.token.0;
        let (shard, hash) = self.shard_of(token);
        let mut shard = self.table.shards()[shard].write();
        let Some((_, slot)) = shard.get_mut(hash, |(other, _)| *other == token) else {
            return false;
        };
        let chain = slot.get_mut();
        if chain
            .find(key.bytes)
            .is_none_or(|entry| entry.digest() != digest)
        {
            return false;
        }
        let before = chain.cost();
        let is_any_left = chain.retain(|entry| entry.key() != key.bytes);
        let left = if is_any_left { chain.cost() } else { 0 };
        if !is_any_left {
            shard.remove_entry(hash, |(other, _)| *other == token);
        }
        account.refund(before - left);
        account.remove_records(1);
        true
    }

    /// Removes what is due under one token; returns when the first of the rest is.
    fn sweep_token(&self, token: u64, due: Due, swept: &mut Swept) -> u64 {
        let earliest = self.look(token, |chain| chain.map_or(NEVER, |it| due.earliest(it)));
        if !due.is_reached(earliest) {
            return earliest;
        }
        let (shard, hash) = self.shard_of(token);
        let mut shard = self.table.shards()[shard].write();
        let Some((_, slot)) = shard.get_mut(hash, |(other, _)| *other == token) else {
            return NEVER;
        };
        // Only what this lock protects counts: the record may have been written again since.
        let chain = slot.get_mut();
        let before = chain.cost();
        let is_any_left = chain.retain(|entry| {
            let goes = due.is_reached(due.of(entry));
            if goes {
                swept.count(entry);
            }
            !goes
        });
        if is_any_left {
            swept.bytes += before - chain.cost();
            return due.earliest(chain);
        }
        swept.bytes += before;
        shard.remove_entry(hash, |(other, _)| *other == token);
        NEVER
    }

    /// Shrinks tables that are mostly empty; returns the bytes given back.
    fn shrink(&self) -> u64 {
        let mut freed = 0;
        for shard in self.table.shards() {
            let mut shard = shard.write();
            let size = size_of_table!(shard);
            if size.len <= size.capacity / SHRINK_BELOW {
                // Twice what is there, so that the next insertions need not grow it again.
                shard.shrink_to(2 * size.len, |(token, _)| spread(*token));
                freed += size.cost() - size_of_table!(shard).cost();
            }
        }
        freed
    }
}

//! Taking away records past their horizon.
//!
//! There is no timer and no index of expiries. Each partition keeps a lower bound of its horizons,
//! so that a sweep with nothing to do costs one lock; otherwise it looks at every record, each
//! under its own short lock, and finds the bound anew.

use henge_versioning::NEVER;

use super::{
    account::{Account, allocation},
    chain::{self, Entry},
    partition::{PartitionMap, TableSize, size_of_table},
    token_hash::spread,
};
use crate::Swept;

/// A table is shrunk when no more than one of this many slots is left in use. Removing that many
/// records costs far more than moving the rest, and a table that breathes is left alone.
const SHRINK_BELOW: usize = 8;

impl PartitionMap {
    /// [`Store::sweep`](crate::Store::sweep).
    pub(super) fn sweep(&self, before_ms: u64, account: &Account) -> Swept {
        // The bound is taken away first and the tokens are read after it. A record written
        // in between lowers the bound again by itself; one written earlier is found below.
        {
            let mut trail = self.trail();
            if !is_due(trail.earliest_horizon, before_ms) {
                return Swept::default();
            }
            trail.earliest_horizon = NEVER;
        }
        let tokens: Vec<u64> = self.table.iter().map(|slot| *slot.key()).collect();
        let mut earliest = NEVER;
        let mut swept = Swept::default();
        for token in tokens {
            earliest = earliest.min(self.sweep_token(token, before_ms, &mut swept));
        }
        if swept.records > 0 {
            swept.bytes += self.shrink();
        }
        account.refund(swept.bytes);
        account.remove_records(swept.records);
        let mut trail = self.trail();
        trail.earliest_horizon = trail.earliest_horizon.min(earliest);
        swept
    }

    /// Removes what is due under one token; returns the earliest horizon that is left.
    fn sweep_token(&self, token: u64, before_ms: u64, swept: &mut Swept) -> u64 {
        let earliest = self.earliest_of(token);
        if !is_due(earliest, before_ms) {
            return earliest;
        }
        let (shard, hash) = self.shard_of(token);
        let mut shard = self.table.shards()[shard].write();
        let Some((_, slot)) = shard.get_mut(hash, |(other, _)| *other == token) else {
            return NEVER;
        };
        // Only what this lock protects counts: the record may have been written again since.
        let chain = slot.get_mut();
        let kept = chain::retain(chain, |entry| !is_due(horizon(entry), before_ms));
        swept.records += (chain::entries(chain).count() - chain::entries(&kept).count()) as u64;
        swept.bytes += allocation(chain.len()) - allocation(kept.len());
        let earliest = earliest_in(&kept);
        if kept.is_empty() {
            shard.remove_entry(hash, |(other, _)| *other == token);
        } else {
            *chain = kept;
        }
        earliest
    }

    /// The earliest horizon under a token.
    fn earliest_of(&self, token: u64) -> u64 {
        let (shard, hash) = self.shard_of(token);
        let shard = self.table.shards()[shard].read();
        let slot = shard.get(hash, |(other, _)| *other == token);
        slot.map_or(NEVER, |(_, chain)| earliest_in(chain.get()))
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

fn horizon(entry: &Entry<'_>) -> u64 {
    entry.stored().record.horizon()
}

fn earliest_in(chain: &[u8]) -> u64 {
    chain::entries(chain)
        .map(|entry| horizon(&entry))
        .min()
        .unwrap_or(NEVER)
}

/// A horizon of [`NEVER`] is never due, whatever the time.
fn is_due(horizon: u64, before_ms: u64) -> bool {
    horizon != NEVER && horizon <= before_ms
}

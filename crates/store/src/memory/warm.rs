//! Looking at many keys at once, so that the waits for memory overlap.
//!
//! A look-up is a walk along pointers: shard, control bytes, slot, record. Each step needs the line
//! that the step before found, and the lock in between keeps the processor from running ahead into
//! the next key. Here all keys take the first step, which only asks for a line and does not wait;
//! then all of them the second, by when the lines of the first have come; and so on.

use std::ptr::NonNull;

use henge_ring::Token;
use prefetch_index::prefetch_index;

use super::{chain::Chain, partition::PartitionRef};
use crate::Warm;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The longest part of an entry that is fetched, in lines: a session of a kilobyte with its key.
/// Longer ones are read in order, which processors foresee by themselves.
const MOST_LINES: usize = 18;

/// How much of an entry is fetched for its outline, in lines: a key of common length, and the header.
const OUTLINE_LINES: usize = 2;

/// [`Store::warm`](crate::Store::warm).
pub(super) fn warm<'a>(
    tokens: &[Token],
    wanted: Warm,
    partition_of: impl Fn(Token) -> PartitionRef<'a>,
) {
    for &token in tokens {
        let partition = partition_of(token);
        let (shard, _) = partition.shard_of(token.0);
        prefetch_index(partition.table.shards(), shard);
        if wanted == Warm::Updates {
            prefetch_index(std::slice::from_ref(partition.trail), 0);
        }
    }
    for &token in tokens {
        let partition = partition_of(token);
        let (shard, hash) = partition.shard_of(token.0);
        let shard = partition.table.shards()[shard].read();
        fetch_slot(shard.data_end(), shard.buckets(), hash);
    }
    let most = match wanted {
        Warm::Digests => return,
        Warm::Outlines => OUTLINE_LINES,
        Warm::Records | Warm::Updates => MOST_LINES,
    };
    for &token in tokens {
        let partition = partition_of(token);
        partition.look(token.0, |chain| {
            if let Some(Chain::One(entry)) = chain {
                fetch(entry.packed(), most);
            }
        });
        if wanted == Warm::Updates {
            partition.trail.lock().log.warm();
        }
    }
}

/// Asks for the lines of a slice, up to so many.
#[inline]
fn fetch(bytes: &[u8], lines: usize) {
    let len = bytes.len().min(LINE * lines);
    (0..len)
        .step_by(LINE)
        .for_each(|at| prefetch_index(bytes, at));
}

/// Asks for where a table of hashbrown keeps a hash: control bytes grow upwards from the end of the
/// slots, slots downwards, and a search begins at the place that the hash's low bits name. Nothing
/// is read here, so that if the layout were another, this would only be of no use.
#[inline]
fn fetch_slot<T>(end: NonNull<T>, buckets: usize, hash: u64) {
    let home = hash as usize & (buckets - 1);
    let end = end.as_ptr().addr();
    let slot = end.wrapping_sub((home + 1) * size_of::<T>());
    for address in [
        end.wrapping_add(home),
        slot,
        slot.wrapping_sub(size_of::<T>()),
    ] {
        // `prefetch_index` counts from a slice and takes any index, also one that is not in it.
        let origin: &[u8] = &[];
        prefetch_index(origin, address.wrapping_sub(origin.as_ptr().addr()));
    }
}

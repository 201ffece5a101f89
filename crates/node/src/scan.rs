//! Scans over the whole key space, and looking at one key on one replica.
//!
//! A scan walks the ring in token order. For every partition it asks as many replicas as a read
//! would (R), each node once for all partitions it is asked for, and merges what they show, so that
//! a key acknowledged by a write quorum is seen even if one of the asked replicas missed it. Only
//! outlines travel: records without the bytes of their bodies, enough to tell the living from the
//! dead. A cursor is the token to go on from, halved to stay below 2^63.

use std::collections::BTreeMap;

use henge_ring::{NodeId, Ring};
use henge_store::{Cursor, Key, Store, Stored};
use henge_versioning::{Merge, RecordRef, merge};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    hidden::{self, Hidden},
    principals,
};

/// Keys of one page at most: bounds the time a data thread is held up.
pub(crate) const MOST_KEYS: usize = 1_000;

/// How often one look is begun, each time without the nodes that did not answer: bounds how long a
/// client waits (a node is silent for a time-out at most).
pub(crate) const ATTEMPTS: usize = 3;

/// Looks of one question at most, the later ones at [`MOST_KEYS`] records each: bounds what it costs
/// in a store that holds little but tombstones.
pub(crate) const LOOKS: usize = 8;

/// What one node asks another's store. The order of variants is wire format: append only.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Look {
    /// Keys from this token on, in these partitions, about so many.
    Page {
        /// First token.
        from: u64,
        /// Partitions, ascending.
        partitions: Vec<u16>,
        /// Entries at most (those with equal tokens stay together).
        limit: u32,
        /// Whole records instead of outlines.
        whole: bool,
    },
    /// One key.
    Key(ByteBuf),
    /// A question about partitions that move, answered by the engine, in its own encoding.
    Moving(ByteBuf),
    /// From this token on, a key whose kind would change if a bucket had these rules (`None`: if what
    /// was set of it were taken back).
    OtherKind {
        /// The bucket.
        name: String,
        /// Its rules.
        bucket: Option<henge_ring::BucketDefinition>,
        /// First token.
        from: u64,
    },
}

/// The answer to a [`Look`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Every key below this token, in the partitions asked for, is among the entries; `None`:
    /// every key.
    pub(crate) covered: Option<u64>,
    /// Keys with their records or outlines, in token order.
    pub(crate) entries: Vec<(ByteBuf, ByteBuf)>,
}

/// Looks into this node's own store.
pub(crate) fn look(store: &dyn Store, look: &Look) -> Seen {
    match look {
        Look::Key(key) => look_up(store, key),
        Look::Moving(_) | Look::OtherKind { .. } => Seen::default(),
        Look::Page {
            from,
            partitions,
            limit,
            whole,
        } => page(
            store,
            *from,
            partitions,
            (*limit as usize).min(MOST_KEYS),
            *whole,
        ),
    }
}

fn look_up(store: &dyn Store, key: &[u8]) -> Seen {
    let mut entries = Vec::new();
    store.read(Key::new(key), &mut |stored| {
        entries.extend(stored.map(|s| (bytes(key), bytes(s.bytes))));
    });
    Seen {
        covered: None,
        entries,
    }
}

fn page(store: &dyn Store, from: u64, partitions: &[u16], limit: usize, whole: bool) -> Seen {
    let mut entries = Vec::new();
    for &partition in partitions {
        if entries.len() >= limit {
            // The partition before was just exhausted: all of it is there, nothing of this one.
            let first = u64::from(partition) << (64 - u32::from(store.partition_bits()));
            return Seen {
                covered: Some(first.max(from)),
                entries,
            };
        }
        let partition = henge_ring::Partition(partition);
        let mut cursor = from.checked_sub(1).map(Cursor);
        loop {
            let left = limit - entries.len();
            let next = store.scan(partition, cursor, left, &mut |key, stored| {
                entries.push(entry(key, stored, whole));
            });
            match next {
                None => break,
                Some(Cursor(token)) if entries.len() >= limit => {
                    return Seen {
                        covered: after_group(store, partition, token, whole, &mut entries),
                        entries,
                    };
                }
                Some(_) => cursor = next,
            }
        }
    }
    Seen {
        covered: None,
        entries,
    }
}

/// Bits of a token that a client's cursor leaves out, so that it stays below 2^53: JavaScript
/// clients hold it in a double.
const CURSOR_SHIFT: u32 = 11;

/// Completes the group of tokens that share a cursor and in which a page ends, and returns the
/// first token of the next group: so no key is shown twice and none is left out. Two keys in one
/// group are as likely as two equal 53-bit hashes.
fn after_group(
    store: &dyn Store,
    partition: henge_ring::Partition,
    token: u64,
    whole: bool,
    entries: &mut Vec<(ByteBuf, ByteBuf)>,
) -> Option<u64> {
    let end = token | ((1 << CURSOR_SHIFT) - 1);
    let mut cursor = Some(Cursor(token));
    while let Some(Cursor(at)) = cursor
        && at < end
    {
        cursor = store.scan(partition, cursor, 1, &mut |key, stored| {
            if henge_ring::Token::of(key).0 <= end {
                entries.push(entry(key, stored, whole));
            }
        });
    }
    end.checked_add(1)
}

fn entry(key: &[u8], stored: Stored<'_>, whole: bool) -> (ByteBuf, ByteBuf) {
    if whole {
        return (bytes(key), bytes(stored.bytes));
    }
    let mut outline = Vec::new();
    stored.record().outline(&mut outline);
    (bytes(key), outline.into())
}

fn bytes(slice: &[u8]) -> ByteBuf {
    ByteBuf::from(slice)
}

/// Which node to ask for which partitions, so that `r` reachable replicas of each are asked; the
/// number reachable where that is fewer.
pub(crate) fn plan(
    ring: &Ring,
    from: u64,
    r: usize,
    moving: impl Fn(henge_ring::Partition) -> Option<Vec<NodeId>>,
    reachable: impl Fn(&NodeId) -> bool,
) -> Result<BTreeMap<NodeId, Vec<u16>>, usize> {
    let mut asked: BTreeMap<NodeId, Vec<u16>> = BTreeMap::new();
    let first = henge_ring::Token(from).partition(ring.bits());
    for partition in ring.partitions().skip(first.index()) {
        // Of a partition that moves, the old set holds everything; the new one not yet.
        let replicas = moving(partition).unwrap_or_else(|| ring.replica_ids(partition).collect());
        let up = replicas.into_iter().filter(|id| reachable(id));
        let chosen: Vec<_> = up.take(r).collect();
        if chosen.len() < r {
            return Err(chosen.len());
        }
        for id in chosen {
            asked.entry(id).or_default().push(partition.0);
        }
    }
    Ok(asked)
}

/// Keys with their records' outlines.
pub(crate) type LiveKeys = Vec<(Vec<u8>, Vec<u8>)>;

/// Merges the pages of all asked nodes: the live keys that every answer covers, and the token to go
/// on from, if there is more.
pub(crate) fn join(pages: Vec<Seen>, now_ms: u64) -> (LiveKeys, Option<u64>) {
    let covered = pages.iter().filter_map(|page| page.covered).min();
    let mut merged: BTreeMap<(u64, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut scratch = Vec::new();
    for (key, record) in pages.into_iter().flat_map(|page| page.entries) {
        let token = henge_ring::Token::of(&key).0;
        if covered.is_some_and(|covered| token >= covered) {
            continue;
        }
        let (key, record) = (key.into_vec(), record.into_vec());
        match merged.entry((token, key)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(record);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                match merge(entry.get(), &record, &mut scratch) {
                    Ok(Merge::Incoming) => *entry.get_mut() = record,
                    Ok(Merge::Joined) => *entry.get_mut() = std::mem::take(&mut scratch),
                    Ok(Merge::Unchanged) | Err(_) => {}
                }
            }
        }
    }
    let live = |record: &Vec<u8>| RecordRef::parse(record).is_ok_and(|r| r.is_live(now_ms));
    let clients = merged
        .into_iter()
        .filter(|((_, key), _)| !principals::is_index(key));
    // An old id is no key any more.
    let clients = clients.filter(|(_, record)| !Hidden::is_handed_over(record));
    let keys = clients.map(|((_, key), record)| (key, hidden::visible(&record).unwrap_or(record)));
    (keys.filter(|(_, record)| live(record)).collect(), covered)
}

/// Leaves the first `wanted` of these keys, which come in token order, and those that share a cursor
/// with the last; the token to go on from, if that leaves some out.
pub(crate) fn cut(keys: &mut LiveKeys, wanted: usize) -> Option<u64> {
    let last = &keys.get(wanted.checked_sub(1)?)?.0;
    let end = henge_ring::Token::of(last).0 | ((1 << CURSOR_SHIFT) - 1);
    let kept = keys.partition_point(|(key, _)| henge_ring::Token::of(key).0 <= end);
    (kept < keys.len()).then(|| {
        keys.truncate(kept);
        end + 1
    })
}

/// Where a client goes on from, below 2^53; 0 at the end. Pages end with a group of tokens, so
/// nothing is lost.
pub(crate) fn cursor_of(token: Option<u64>) -> u64 {
    debug_assert!(token.is_none_or(|token| token.trailing_zeros() >= CURSOR_SHIFT));
    token.map_or(0, |token| token >> CURSOR_SHIFT)
}

/// The token that a client's cursor stands for.
pub(crate) fn token_of(cursor: u64) -> u64 {
    cursor << CURSOR_SHIFT
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use henge_ring::Token;
    use henge_store::{Limits, MemoryStore};
    use henge_versioning::{ActorId, HlcTime, NEVER, Stamp, delta};

    use super::*;

    fn filled(keys: usize) -> (MemoryStore, BTreeSet<Vec<u8>>) {
        let store = MemoryStore::new(Limits::default());
        let stamp = Stamp {
            time: HlcTime::new(1, 0),
            actor: ActorId(1),
        };
        let mut record = Vec::new();
        delta::begin(&mut record, stamp, NEVER, b"v");
        let record = RecordRef::parse(&record).expect("just made");
        let keys: BTreeSet<_> = (0..keys).map(|n| format!("key{n}").into_bytes()).collect();
        for key in &keys {
            store.merge(Key::new(key), record).expect("room enough");
        }
        (store, keys)
    }

    #[test]
    fn pages_of_any_size_show_every_key_once() {
        let (store, keys) = filled(3_000);
        let partitions: Vec<u16> = (0..1024).collect();
        for limit in [1, 2, 7, 20, 250, 1_000] {
            let (mut cursor, mut shown) = (0, Vec::new());
            loop {
                let from = token_of(cursor);
                let first = Token(from).partition(store.partition_bits()).index();
                let page = page(&store, from, &partitions[first..], limit, false);
                let (live, next) = join(vec![page], 2);
                shown.extend(live.into_iter().map(|(key, _)| key));
                cursor = cursor_of(next);
                assert!(cursor < 1 << 53, "a double holds it exactly");
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(shown.len(), keys.len(), "limit {limit}: none twice");
            assert_eq!(
                shown.into_iter().collect::<BTreeSet<_>>(),
                keys,
                "limit {limit}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_comes_with_the_next_page() {
        let (store, keys) = filled(300);
        let partitions: Vec<u16> = (0..1024).collect();
        for wanted in [1, 2, 99, 299, 300, 301] {
            let (mut from, mut shown) = (Some(0), BTreeSet::new());
            while let Some(at) = from {
                let first = Token(at).partition(store.partition_bits()).index();
                let page = page(&store, at, &partitions[first..], 1_000, false);
                let (mut live, next) = join(vec![page], 2);
                let left = live.len();
                from = cut(&mut live, wanted).or(next);
                assert_eq!(
                    live.len(),
                    wanted.min(left),
                    "no two of these share a cursor"
                );
                shown.extend(live.into_iter().map(|(key, _)| key));
            }
            assert_eq!(shown, keys, "{wanted} at a time");
        }
        assert_eq!(cut(&mut Vec::new(), 1), None);
    }

    #[test]
    fn a_key_that_one_replica_missed_is_shown_and_a_dead_one_is_not() {
        let (one, _) = filled(50);
        let (two, keys) = filled(51);
        let partitions: Vec<u16> = (0..1024).collect();
        let mut dead = Vec::new();
        let stamp = Stamp {
            time: HlcTime::new(1, 0),
            actor: ActorId(1),
        };
        delta::bury(&mut dead, stamp, NEVER);
        let dead = RecordRef::parse(&dead).expect("just made");
        one.merge(Key::new(b"key7"), dead).expect("room enough");
        let pages = [&one, &two].map(|store| page(store, 0, &partitions, 1_000, false));
        let (live, next) = join(pages.into(), 2);
        assert_eq!(next, None);
        assert_eq!(live.len(), keys.len() - 1);
        assert!(live.iter().all(|(key, _)| key != b"key7"));
    }
}

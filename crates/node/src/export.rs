//! Parts of this node's own data, in pages: for copies, for other systems, and for looking.
//!
//! Two ways: an *export* goes through what there is, by partition, prefix and age; the *changes* of
//! one partition are what happened since a position, in the order in which they reached this node.
//! Both show this replica alone and neither waits for the others. Both can be gone on with: an
//! export after the last token of a page, changes from the position after it.

use std::collections::BTreeMap;

use henge_ring::{Partition, Token};
use henge_store::{Cursor, Store, Stored};

/// Records of one page at most, and records looked at for one.
const MOST_RECORDS: usize = 1_000;

/// Bytes of the records of a page, at most, but for the last one.
const MOST_BYTES: usize = 1 << 20;

/// What is to be exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Of the partition with this number alone; refused if there is none.
    pub partition: Option<u64>,
    /// Keys that begin so.
    pub prefix: Vec<u8>,
    /// Records stamped at or after this time, in milliseconds since 1970, and destroyed ones always:
    /// a session's record does not tell when that was.
    pub since_ms: u64,
    /// Keys whose token is greater than this one.
    pub after: Option<u64>,
}

/// Why nothing can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// Partitions have smaller numbers.
    #[error("there is no partition {asked}: they are numbered from 0 to {last}")]
    UnknownPartition {
        /// The number asked for.
        asked: u64,
        /// The greatest there is.
        last: u64,
    },
    /// The position was given by another life of this node, or by another node: here it means
    /// nothing.
    #[error("the position is of life {asked}, this node's is {own}: export the partition anew")]
    OtherLife {
        /// The life asked for.
        asked: u64,
        /// This node's.
        own: u64,
    },
    /// The log forgets its oldest changes, and has no later ones than it has.
    #[error("changes are known from position {oldest} to {end}, {asked} was asked for")]
    Gap {
        /// The position asked for.
        asked: u64,
        /// The first that is still there.
        oldest: u64,
        /// Where the log ends.
        end: u64,
    },
}

/// A key with its record, as encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The key.
    pub key: Vec<u8>,
    /// The record, dead and expired ones included.
    pub record: Vec<u8>,
}

/// One page of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportPage {
    /// In the order of their keys' tokens.
    pub records: Vec<Exported>,
    /// What the next page is [`after`](Export::after); `None` at the end.
    pub next: Option<u64>,
}

/// One page of a partition's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesPage {
    /// Names the log: positions of another life of this node mean nothing.
    pub life: u64,
    /// Records as they are now, each with the last position in the page at which its key changed,
    /// by position. What has expired since and is gone is not shown.
    pub changes: Vec<(u64, Exported)>,
    /// From where to go on.
    pub next: u64,
    /// Where the log ends: equal to `next` if there is no more yet.
    pub end: u64,
}

/// The partition with this number.
fn numbered(store: &dyn Store, asked: u64) -> Result<Partition, NotShown> {
    let last = (1u64 << store.partition_bits()) - 1;
    let number = u16::try_from(asked).ok().filter(|_| asked <= last);
    let unknown = NotShown::UnknownPartition { asked, last };
    number.map(Partition).ok_or(unknown)
}

/// Shows a page.
pub(crate) fn export(store: &dyn Store, wanted: &Export) -> Result<ExportPage, NotShown> {
    let bits = store.partition_bits();
    let first = wanted.after.map_or(0, |at| Token(at).partition(bits).0);
    let partitions = match wanted.partition {
        Some(asked) => {
            let one = numbered(store, asked)?.0;
            one..=one
        }
        None => first..=((1u32 << bits) - 1) as u16,
    };
    let (mut page, mut looked_at, mut bytes) = (ExportPage::default(), 0, 0);
    let mut after = wanted.after;
    for partition in partitions {
        loop {
            let left = MOST_RECORDS.saturating_sub(looked_at);
            if left == 0 || bytes >= MOST_BYTES {
                page.next = after;
                return Ok(page);
            }
            // Few at a time, so that a page of long records ends in time.
            let step = left.min(100);
            let from = after.map(Cursor);
            let next = store.scan(Partition(partition), from, step, &mut |key, stored| {
                looked_at += 1;
                after = Some(Token::of(key).0);
                if is_wanted(wanted, key, &stored) {
                    bytes += key.len() + stored.bytes.len();
                    page.records.push(exported(key, &stored));
                }
            });
            if next.is_none() {
                break;
            }
        }
    }
    Ok(page)
}

fn is_wanted(wanted: &Export, key: &[u8], stored: &Stored<'_>) -> bool {
    key.starts_with(&wanted.prefix) && {
        let record = stored.record();
        record.is_dead() || record.newest().time.millis() >= wanted.since_ms
    }
}

fn exported(key: &[u8], stored: &Stored<'_>) -> Exported {
    Exported {
        key: key.to_vec(),
        record: stored.bytes.to_vec(),
    }
}

/// Shows the changes of a partition from a position on, at most `limit`.
pub(crate) fn changes(
    store: &dyn Store,
    life: u64,
    partition: u64,
    since: u64,
    limit: usize,
) -> Result<ChangesPage, NotShown> {
    let partition = numbered(store, partition)?;
    let limit = limit.clamp(1, MOST_RECORDS);
    let entries = store.changes(partition, since, limit);
    let entries = entries.map_err(|gap| NotShown::Gap {
        asked: since,
        oldest: gap.oldest,
        end: store.log_end(partition),
    })?;
    let mut last = BTreeMap::new();
    last.extend(entries.iter().map(|change| (change.token, change.seq)));
    let (mut page, mut bytes) = (ChangesPage::default(), 0);
    page.next = since;
    for change in entries {
        if bytes >= MOST_BYTES {
            break;
        }
        page.next = change.seq + 1;
        if last.get(&change.token) == Some(&change.seq) {
            store.read_token(change.token, &mut |key, stored| {
                bytes += key.len() + stored.bytes.len();
                page.changes.push((change.seq, exported(key, &stored)));
            });
        }
    }
    page.life = life;
    page.end = store.log_end(partition).max(page.next);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use henge_store::{Key, Limits, MemoryStore};
    use henge_versioning::{ActorId, HlcTime, NEVER, RecordRef, Stamp, delta};

    use super::*;

    fn put(store: &MemoryStore, key: &[u8], time: u64) {
        let stamp = Stamp {
            time: HlcTime::new(time, 0),
            actor: ActorId(1),
        };
        let mut record = Vec::new();
        delta::begin(&mut record, stamp, NEVER, b"value");
        let record = RecordRef::parse(&record).expect("just made");
        store.merge(Key::new(key), record).expect("room enough");
    }

    fn filled() -> MemoryStore {
        let store = MemoryStore::new(Limits::default());
        for number in 0..3_000 {
            let prefix = if number % 3 == 0 { "a" } else { "b" };
            put(&store, format!("{prefix}{number}").as_bytes(), number + 1);
        }
        store
    }

    fn all(store: &MemoryStore, mut wanted: Export) -> BTreeSet<Vec<u8>> {
        let (mut keys, mut count) = (BTreeSet::new(), 0);
        loop {
            let page = export(store, &wanted).expect("there are such partitions");
            count += page.records.len();
            keys.extend(page.records.into_iter().map(|record| record.key));
            wanted.after = page.next;
            if wanted.after.is_none() {
                assert_eq!(count, keys.len(), "none twice");
                return keys;
            }
        }
    }

    #[test]
    fn pages_show_every_record_once() {
        assert_eq!(all(&filled(), Export::default()).len(), 3_000);
    }

    #[test]
    fn prefix_age_and_partition_are_kept_to() {
        let store = filled();
        let prefix = b"a".to_vec();
        let wanted = Export {
            prefix,
            since_ms: 1_501,
            ..Export::default()
        };
        assert_eq!(all(&store, wanted).len(), 500);
        let partition = Some(7);
        let keys = all(
            &store,
            Export {
                partition,
                ..Export::default()
            },
        );
        assert!(!keys.is_empty());
        assert!(keys.iter().all(|key| Token::of(key).partition(10).0 == 7));
    }

    /// A session's life is numbered and its logout has no stamp: an export of what changed lately left
    /// it out, and whoever kept a copy up to date so would have kept the session.
    #[test]
    fn a_destroyed_session_is_shown_however_short_ago_is_asked_for() {
        let store = filled();
        let life = Stamp {
            time: HlcTime::new(0, 1),
            actor: ActorId(0),
        };
        let mut record = Vec::new();
        delta::bury(&mut record, life, NEVER);
        let record = RecordRef::parse(&record).expect("just made");
        store
            .merge(Key::new(b"sess:1"), record)
            .expect("room enough");
        let wanted = Export {
            since_ms: 3_000,
            ..Export::default()
        };
        let keys = all(&store, wanted);
        assert!(keys.contains(&b"sess:1"[..]), "{keys:?}");
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn changes_are_gone_on_with_and_a_gap_is_told() {
        let store = MemoryStore::new(Limits {
            op_log_bytes: 1 << 20,
            ..Limits::default()
        });
        let partition = u64::from(Token::of(b"k").partition(10).0);
        put(&store, b"k", 1);
        let page = changes(&store, 9, partition, 0, 10).expect("it is there");
        assert_eq!((page.life, page.next, page.end), (9, 1, 1));
        put(&store, b"k", 2);
        put(&store, b"k", 3);
        let page = changes(&store, 9, partition, page.next, 10).expect("it is there");
        assert_eq!((page.changes.len(), page.next), (1, 3));
        assert_eq!(page.changes[0].0, 2, "once, at its last change");
        let page = changes(&store, 9, partition, 3, 10).expect("it is there");
        assert_eq!((page.changes.len(), page.next, page.end), (0, 3, 3));
        (4..1_000).for_each(|time| put(&store, b"k", time));
        let gap = changes(&store, 9, partition, 3, 10).expect_err("long forgotten");
        assert!(
            matches!(gap, NotShown::Gap { asked: 3, oldest, end: 999 } if oldest > 800),
            "{gap}"
        );
        let gap = changes(&store, 9, partition, 1_000, 10).expect_err("not yet");
        assert!(matches!(gap, NotShown::Gap { end: 999, .. }), "{gap}");
    }

    #[test]
    fn a_partition_that_is_not_there_is_refused_with_the_greatest_that_is() {
        let store = filled();
        for asked in [1_024, 65_536, u64::MAX] {
            let refused = NotShown::UnknownPartition { asked, last: 1_023 };
            let partition = Some(asked);
            let wanted = Export {
                partition,
                ..Export::default()
            };
            assert_eq!(export(&store, &wanted), Err(refused));
            assert_eq!(changes(&store, 9, asked, 0, 10), Err(refused));
        }
        let last = changes(&store, 9, 1_023, 0, 10);
        assert!(last.is_ok(), "{last:?}");
    }
}

//! Pages of records for a node that pulls a partition: what it has, what it lacks, and keeping that.
//!
//! Pages are small, so that neither side's data thread is held for as long as a request would notice.

use henge_repair::transfer::{Outline, Outlined};
use henge_ring::Partition;
use henge_store::{Cursor, Key};
use henge_versioning::RecordRef;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Engine, Now};

/// Records that a joiner outlines in one question, and that a source compares for one page. Each costs
/// a hash: all of them about 50 microseconds.
const LOOKS: usize = 512;

/// Records are read from the store by so many at a time, until there are enough bytes. Keeping so many
/// takes a few hundred microseconds.
const STEP: usize = 32;
const BYTES: usize = 64 << 10;

/// The order of fields is wire format: append only.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct WirePage {
    /// Where the next page begins; `None`: this is the last.
    pub(super) next: Option<u64>,
    records: Vec<(ByteBuf, ByteBuf)>,
}

impl Engine {
    /// What this node has of a partition from a token on.
    pub(super) fn outline(&self, partition: Partition, first: u64) -> Outline {
        let (records, next) = self.outlined(partition, first);
        Outline::of(&self.parts.sketch, &records, next.is_some())
    }

    fn outlined(&self, partition: Partition, first: u64) -> (Vec<Outlined>, Option<Cursor>) {
        let mut records = Vec::new();
        let from = first.checked_sub(1).map(Cursor);
        let next = self
            .parts
            .store
            .scan(partition, from, LOOKS, &mut |key, stored| {
                records.push(Outlined {
                    token: Key::new(key).token.0,
                    digest: stored.digest,
                });
            });
        (records, next)
    }

    /// From a token on: what the joiner lacks, as its outline says, or has differently.
    pub(super) fn page(&self, partition: Partition, first: u64, outline: &Outline) -> WirePage {
        let (held, more) = self.outlined(partition, first);
        let differing = outline.differing(&self.parts.sketch, &held, more.is_some());
        let mut page = WirePage {
            next: differing.until.and_then(|until| until.checked_add(1)),
            records: Vec::new(),
        };
        let mut bytes = 0;
        for &(first, last) in &differing.parts {
            let mut from = first.checked_sub(1).map(Cursor);
            while from.is_none_or(|Cursor(token)| token < last) {
                if bytes >= BYTES {
                    page.next = Some(from.map_or(0, |Cursor(token)| token.saturating_add(1)));
                    return page;
                }
                let records = &mut page.records;
                let mut visit = |key: &[u8], stored: henge_store::Stored<'_>| {
                    if Key::new(key).token.0 <= last {
                        bytes += key.len() + stored.bytes.len();
                        let record = stored.record().as_bytes();
                        records.push((ByteBuf::from(key), ByteBuf::from(record)));
                    }
                };
                let store = &self.parts.store;
                from = match store.scan(partition, from, STEP, &mut visit) {
                    Some(next) => Some(next),
                    None => break,
                };
            }
        }
        page
    }

    /// Merges what was pulled. `false` if something could not be kept: the page is asked for again.
    pub(super) fn keep_page(&self, now: Now, page: &WirePage) -> bool {
        for (key, record) in &page.records {
            let Ok(incoming) = RecordRef::parse(record) else {
                self.parts.counters.bad_messages.add(1);
                continue;
            };
            // A stamp beyond the bound was acknowledged by others: it is kept, but not taken over.
            let _ = self
                .parts
                .clock
                .observe(incoming.newest().time, now.wall_ms);
            if self.parts.store.merge(Key::new(key), incoming).is_err() {
                self.parts.counters.full_refused.add(1);
                return false;
            }
        }
        true
    }
}

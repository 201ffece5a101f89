//! The simplest store that keeps the trait's contract: one ordered map under one lock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use henge_ring::{Partition, Token};
use henge_versioning::{Form, NEVER, RecordRef, Stamp};

use crate::{
    Change, Cursor, Decision, Key, Limits, MAX_KEYS_PER_TOKEN, OpLogGap, Store, StoreError, Stored,
    Swept, Usage, Written,
};

/// What a record takes beside key and record. Any constant will do.
const OVERHEAD: u64 = 32;

/// Holds what it should, as plainly as can be. For comparison only.
#[derive(Debug)]
pub struct Reference {
    limits: Limits,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<(Token, Vec<u8>), Vec<u8>>,
    /// Every change there ever was, by partition.
    changes: BTreeMap<Partition, Vec<Token>>,
    newest: Stamp,
}

impl Contents {
    fn bytes(&self) -> u64 {
        let lengths = self
            .records
            .iter()
            .map(|((_, key), record)| key.len() + record.len());
        lengths.map(|len| len as u64 + OVERHEAD).sum()
    }
}

fn stored(record: &[u8]) -> Stored<'_> {
    let checked = RecordRef::parse(record).expect("records are checked before they are kept");
    Stored {
        bytes: record,
        digest: checked.digest(),
    }
}

impl Reference {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            contents: Mutex::default(),
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn partition_of(&self, token: Token) -> Partition {
        token.partition(self.limits.partition_bits)
    }

    /// Whether a write that makes a record of `old` bytes one of `new` bytes has to be refused.
    fn refusal(
        &self,
        contents: &Contents,
        key: Key<'_>,
        old: Option<u64>,
        new: u64,
    ) -> Option<StoreError> {
        let twins = contents
            .records
            .keys()
            .filter(|(token, _)| *token == key.token)
            .count();
        if old.is_none() && twins >= MAX_KEYS_PER_TOKEN {
            return Some(StoreError::Crowded { count: twins });
        }
        let before = old.map_or(0, |old| old + OVERHEAD + key.bytes.len() as u64);
        let after = new + OVERHEAD + key.bytes.len() as u64;
        let (used, limit) = (contents.bytes(), self.limits.bytes);
        let needed = after.saturating_sub(before);
        (needed > 0 && used + needed > limit).then_some(StoreError::Full {
            used,
            limit,
            needed,
        })
    }
}

impl Store for Reference {
    fn read(&self, key: Key<'_>, visit: &mut dyn FnMut(Option<Stored<'_>>)) {
        let contents = self.contents();
        let record = contents.records.get(&(key.token, key.bytes.to_vec()));
        visit(record.map(|record| stored(record)));
    }

    fn update<'a>(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    ) -> Result<Written, StoreError> {
        let mut contents = self.contents();
        let slot = (key.token, key.bytes.to_vec());
        let present = contents.records.get(&slot);
        let mut out = Vec::new();
        let decision = decide(present.map(|record| stored(record)), &mut out);
        let Some(record) = decision.record(&out)? else {
            return Ok(Written::Kept);
        };
        let (newest, dead) = (record.newest(), record.is_dead());
        let out = record.as_bytes().to_vec();
        if present == Some(&out) {
            return Ok(Written::Kept);
        }
        let old = present.map(|record| record.len() as u64);
        let refusal = self.refusal(&contents, key, old, out.len() as u64);
        if let Some(refusal) = refusal.filter(|_| old.is_none() || !dead) {
            return Err(refusal);
        }
        contents.records.insert(slot, out);
        contents.newest = contents.newest.max(newest);
        contents
            .changes
            .entry(self.partition_of(key.token))
            .or_default()
            .push(key.token);
        Ok(Written::Changed)
    }

    fn scan(
        &self,
        partition: Partition,
        from: Option<Cursor>,
        limit: usize,
        visit: &mut dyn FnMut(&[u8], Stored<'_>),
    ) -> Option<Cursor> {
        let contents = self.contents();
        let (mut shown, mut last) = (0, None);
        for ((token, key), record) in &contents.records {
            if self.partition_of(*token) != partition || from.is_some_and(|from| token.0 <= from.0)
            {
                continue;
            }
            if shown >= limit.max(1) && last != Some(Cursor(token.0)) {
                return last;
            }
            visit(key, stored(record));
            shown += 1;
            last = Some(Cursor(token.0));
        }
        None
    }

    fn sweep(&self, partition: Partition, before_ms: u64, grace_ms: u64) -> Swept {
        let mut contents = self.contents();
        let (records, bytes) = (contents.records.len(), contents.bytes());
        let mut siblings = 0;
        contents.records.retain(|(token, _), record| {
            let record = stored(record).record();
            let at = record.removable_at(grace_ms);
            let stays = self.partition_of(*token) != partition || at == NEVER || at > before_ms;
            siblings += u64::from(!stays && record.form() == Form::Siblings);
            stays
        });
        Swept {
            records: (records - contents.records.len()) as u64,
            siblings,
            bytes: bytes - contents.bytes(),
        }
    }

    fn remove(&self, key: Key<'_>, digest: u64) -> bool {
        let mut contents = self.contents();
        let slot = (key.token, key.bytes.to_vec());
        let held = contents.records.get(&slot);
        let same = held.is_some_and(|record| stored(record).digest == digest);
        if same {
            contents.records.remove(&slot);
        }
        same
    }

    fn changes(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Change>, OpLogGap> {
        let contents = self.contents();
        let all = contents
            .changes
            .get(&partition)
            .map_or(&[][..], Vec::as_slice);
        let share = self.limits.op_log_bytes >> self.limits.partition_bits;
        let kept = usize::try_from(share / 8).unwrap_or(usize::MAX);
        let (oldest, next) = (all.len().saturating_sub(kept) as u64, all.len() as u64);
        if !(oldest..=next).contains(&from) {
            return Err(OpLogGap {
                oldest,
                asked: from,
            });
        }
        let numbered = (0..).zip(all).skip(from as usize).take(limit);
        Ok(numbered
            .map(|(seq, &token)| Change { seq, token })
            .collect())
    }

    fn log_end(&self, partition: Partition) -> u64 {
        let contents = self.contents();
        let log = contents.changes.get(&partition);
        log.map_or(0, |log| log.len() as u64)
    }

    fn read_token(&self, token: Token, visit: &mut dyn FnMut(&[u8], Stored<'_>)) {
        for ((other, key), record) in &self.contents().records {
            if *other == token {
                visit(key, stored(record));
            }
        }
    }

    fn newest(&self) -> Stamp {
        self.contents().newest
    }

    fn usage(&self) -> Usage {
        let contents = self.contents();
        let records = contents.records.len() as u64;
        Usage {
            records,
            bytes: contents.bytes(),
            limit: self.limits.bytes,
        }
    }

    fn partition_bits(&self) -> u8 {
        self.limits.partition_bits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Reference;

    crate::engine_suite!(|limits| Arc::new(Reference::new(limits)));
}

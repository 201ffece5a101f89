//! Stores that do not keep what they promise, between an engine and its watched store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use henge_ring::Partition;
use henge_store::{Change, Cursor, Decision, Key, OpLogGap, Store, StoreError, Stored, Written};
use henge_versioning::Form;

use super::super::{watched::WatchedStore, wrapped::as_the_inner_store};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum StoreFlaw {
    /// What was written since the last sync is gone after a crash.
    Unsynced,
    /// One of two concurrent siblings is dropped.
    DropsSiblings,
    /// Whoever compares is shown the digests that were seen first.
    StaleDigests,
}

/// What stood under a key before it was written.
type Before = (Vec<u8>, Option<Vec<u8>>);

/// A watched store with a flaw.
pub(in crate::sim) struct FlawedStore {
    inner: Arc<WatchedStore>,
    flaw: StoreFlaw,
    /// What the writes since the last sync have replaced.
    unsynced: Mutex<Vec<Before>>,
    seen_first: Mutex<BTreeMap<Vec<u8>, u64>>,
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FlawedStore {
    pub(in crate::sim) fn new(inner: Arc<WatchedStore>, flaw: StoreFlaw) -> Self {
        Self {
            inner,
            flaw,
            unsynced: Mutex::default(),
            seen_first: Mutex::default(),
        }
    }

    /// Everything is on disk now.
    pub(in crate::sim) fn sync(&self) {
        locked(&self.unsynced).clear();
    }

    /// The power goes: what was not on disk is gone.
    pub(in crate::sim) fn lose_unsynced(&self) {
        for (key, before) in locked(&self.unsynced).drain(..).rev() {
            self.inner.restore(&key, before.as_deref());
        }
    }

    fn as_seen_first<'a>(&self, key: &[u8], stored: Stored<'a>) -> Stored<'a> {
        let mut seen = locked(&self.seen_first);
        let digest = *seen.entry(key.to_vec()).or_insert(stored.digest);
        Stored { digest, ..stored }
    }
}

impl Store for FlawedStore {
    fn update<'a>(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    ) -> Result<Written, StoreError> {
        let mut before = None;
        let written = self.inner.update(key, &mut |present, out| {
            before = present.map(|stored| stored.bytes.to_vec());
            let decision = decide(present, out);
            let several = |decision: Decision<'a>| match decision.record(out) {
                Ok(Some(record)) => {
                    record.form() == Form::Siblings && record.siblings().nth(1).is_some()
                }
                _ => false,
            };
            if self.flaw == StoreFlaw::DropsSiblings && present.is_some() && several(decision) {
                return Decision::Keep;
            }
            decision
        });
        if self.flaw == StoreFlaw::Unsynced && written == Ok(Written::Changed) {
            locked(&self.unsynced).push((key.bytes.to_vec(), before));
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
        let stale = self.flaw == StoreFlaw::StaleDigests;
        self.inner.scan(partition, from, limit, &mut |key, stored| {
            let shown = if stale {
                self.as_seen_first(key, stored)
            } else {
                stored
            };
            visit(key, shown);
        })
    }

    fn changes(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Change>, OpLogGap> {
        match self.flaw {
            StoreFlaw::StaleDigests => Ok(Vec::new()),
            _ => self.inner.changes(partition, from, limit),
        }
    }

    fn log_end(&self, partition: Partition) -> u64 {
        match self.flaw {
            StoreFlaw::StaleDigests => 0,
            _ => self.inner.log_end(partition),
        }
    }

    as_the_inner_store!();
}

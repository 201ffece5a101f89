//! A store under observation: every change of every replica is held against the invariants that
//! must hold always.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use henge_ring::Partition;
use henge_store::{
    Change, Cursor, Decision, Key, MemoryStore, OpLogGap, Store, StoreError, Stored, Written,
};
use henge_versioning::{ActorId, Form, Merge, RecordRef, Stamp, merge, siblings};

use super::wrapped::as_the_inner_store;

/// What all replicas of a run have shown so far, and which invariants they broke.
#[derive(Debug, Default)]
pub struct Observed {
    /// What each stamp of a register stood for.
    registers: HashMap<(Vec<u8>, Stamp), Vec<u8>>,
    /// What each dot of a sibling set stood for.
    dots: HashMap<(Vec<u8>, ActorId, u64), Vec<u8>>,
    /// Invariants broken, in words.
    broken: Vec<String>,
}

impl Observed {
    /// An invariant does not hold.
    pub(super) fn broken(&mut self, what: String) {
        // A broken store would repeat itself for every write: the first few tell all.
        if self.broken.len() < 20 {
            self.broken.push(what);
        }
    }

    /// The invariants broken since the last call.
    pub(super) fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    /// The record of a key never loses what it knew.
    fn stored_knowledge_never_shrinks(&mut self, key: &[u8], before: &[u8], after: &[u8]) {
        let grown = join(after, before) == after;
        if !grown {
            self.broken(format!("the record of {} lost what it knew", name(key)));
        }
    }

    /// A register's stamp never names two values, and no dot does.
    fn one_stamp_names_one_value(
        &mut self,
        key: &[u8],
        before: Option<RecordRef<'_>>,
        after: RecordRef<'_>,
    ) {
        let one = match after.form() {
            Form::Siblings => match new_dot(before, after) {
                Some((actor, number, value)) => {
                    let dot = (key.to_vec(), actor, number);
                    self.dots.entry(dot).or_insert_with(|| value.to_vec()) == value
                }
                None => true,
            },
            Form::Value if !key.starts_with(b"sess:") => {
                let value = after.value().unwrap_or_default();
                let stamp = (key.to_vec(), after.epoch());
                self.registers
                    .entry(stamp)
                    .or_insert_with(|| value.to_vec())
                    == value
            }
            _ => true,
        };
        if !one {
            self.broken(format!("one stamp names two values of {}", name(key)));
        }
    }
}

/// The dot by which a sibling set grew, with its value, if it grew by one: at a coordinator always,
/// at other replicas mostly.
fn new_dot<'a>(
    before: Option<RecordRef<'_>>,
    after: RecordRef<'a>,
) -> Option<(ActorId, u64, &'a [u8])> {
    let known = before.map(siblings::context).unwrap_or_default();
    let context = siblings::context(after);
    let mut grown = context
        .iter()
        .filter(|(actor, number)| *number > known.get(*actor));
    let (actor, number) = grown.next()?;
    if grown.next().is_some() || number != known.get(actor) + 1 {
        return None;
    }
    let held = |value: &&[u8]| before.is_some_and(|it| it.siblings().any(|old| old == *value));
    let mut fresh = after.siblings().filter(|value| !held(value));
    let value = fresh.next()?;
    fresh.next().is_none().then_some((actor, number, value))
}

/// The join of two records; nothing if one of them is none.
fn join(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    match merge(a, b, &mut joined) {
        Ok(Merge::Unchanged) => a.to_vec(),
        Ok(Merge::Incoming) => b.to_vec(),
        Ok(Merge::Joined) => joined,
        Err(_) => Vec::new(),
    }
}

/// A key for people.
fn name(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The in-memory store of one node, watched.
#[derive(Debug)]
pub struct WatchedStore {
    inner: MemoryStore,
    observed: Arc<Mutex<Observed>>,
}

impl WatchedStore {
    /// Watches a store.
    pub(super) fn new(inner: MemoryStore, observed: Arc<Mutex<Observed>>) -> Self {
        Self { inner, observed }
    }

    /// A copy of the record under a key.
    pub(super) fn record(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut copy = None;
        self.inner.read(Key::new(key), &mut |stored| {
            copy = stored.map(|stored| stored.bytes.to_vec());
        });
        copy
    }

    /// Puts a key back to what it was, unwatched: what a disk does that lost its last writes.
    pub(super) fn restore(&self, key: &[u8], before: Option<&[u8]>) {
        let key = Key::new(key);
        if let Some(digest) = self.inner.digest(key) {
            self.inner.remove(key, digest);
        }
        if let Some(before) = before.and_then(|bytes| RecordRef::parse(bytes).ok()) {
            let restored = self.inner.merge(key, before);
            debug_assert!(restored.is_ok(), "there was room for it before");
        }
    }
}

impl Store for WatchedStore {
    fn update<'a>(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    ) -> Result<Written, StoreError> {
        self.inner.update(key, &mut |present, out| {
            let decision = decide(present, out);
            let record = decision.record(out);
            if !matches!(record, Ok(None)) {
                let mut observed = self
                    .observed
                    .lock()
                    .unwrap_or_else(|broken| broken.into_inner());
                match record {
                    Ok(None) => {}
                    Ok(Some(record)) => {
                        if let Some(present) = present {
                            let (before, after) = (present.bytes, record.as_bytes());
                            observed.stored_knowledge_never_shrinks(key.bytes, before, after);
                        }
                        let before = present.map(|present| present.record());
                        observed.one_stamp_names_one_value(key.bytes, before, record);
                    }
                    Err(error) => observed.broken(format!("stored bytes are {error}")),
                }
            }
            decision
        })
    }

    fn scan(
        &self,
        partition: Partition,
        from: Option<Cursor>,
        limit: usize,
        visit: &mut dyn FnMut(&[u8], Stored<'_>),
    ) -> Option<Cursor> {
        self.inner.scan(partition, from, limit, visit)
    }

    fn changes(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Change>, OpLogGap> {
        self.inner.changes(partition, from, limit)
    }

    fn log_end(&self, partition: Partition) -> u64 {
        self.inner.log_end(partition)
    }

    as_the_inner_store!();
}

#[cfg(test)]
mod tests {
    use super::{Observed, RecordRef};
    use henge_versioning::{ActorId, HlcTime, Stamp, VersionVector, delta, siblings};

    fn stamp(time: u64) -> Stamp {
        Stamp {
            time: HlcTime::new(time, 0),
            actor: ActorId(1),
        }
    }

    /// A sibling set of one value, by an actor that knows nothing of any other.
    fn first_value(actor: u64, value: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        let context = VersionVector::new();
        siblings::put(
            None,
            &context,
            ActorId(actor),
            value,
            stamp(1),
            None,
            &mut record,
        );
        record
    }

    fn broken_by(key: &[u8], records: &[Vec<u8>]) -> Vec<String> {
        let mut observed = Observed::default();
        for bytes in records {
            let record = RecordRef::parse(bytes).expect("it is a record");
            observed.one_stamp_names_one_value(key, None, record);
        }
        observed.take_broken()
    }

    #[test]
    fn an_actor_that_forgot_its_dots_is_noticed() {
        let twice = [first_value(7, b"a"), first_value(7, b"b")];
        assert_eq!(
            broken_by(b"siblings:x", &twice),
            ["one stamp names two values of siblings:x"]
        );
        let two_actors = [first_value(7, b"a"), first_value(8, b"b")];
        assert!(broken_by(b"siblings:x", &two_actors).is_empty());
    }

    #[test]
    fn a_stamp_given_twice_is_noticed() {
        let value = |value: &[u8]| {
            let mut record = Vec::new();
            delta::begin(&mut record, stamp(1), u64::MAX, value);
            record
        };
        assert_eq!(broken_by(b"x", &[value(b"a"), value(b"b")]).len(), 1);
        assert!(broken_by(b"x", &[value(b"a"), value(b"a")]).is_empty());
    }

    #[test]
    fn forgetting_is_noticed() {
        let (a, b) = (first_value(7, b"a"), first_value(8, b"b"));
        let mut observed = Observed::default();
        observed.stored_knowledge_never_shrinks(b"x", &a, &super::join(&a, &b));
        assert!(observed.take_broken().is_empty());
        observed.stored_knowledge_never_shrinks(b"x", &a, &b);
        assert_eq!(
            observed.take_broken(),
            ["the record of x lost what it knew"]
        );
    }
}

//! A replica in a map: real records, a log of the last changes, no locks.

use std::collections::BTreeMap;

use henge_repair::reconcile::{Held, Replica, Show, Took};
use henge_ring::{Partition, Token};
use henge_versioning::{ActorId, HlcTime, Merge, RecordRef, Stamp, delta, merge};

/// How many partition bits these tests use.
pub(crate) const BITS: u8 = 4;

/// Changes of a partition that are remembered.
const LOG: usize = 5_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Copy {
    pub(crate) life: u64,
    /// By token, then by key.
    pub(crate) records: BTreeMap<u64, BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) logs: BTreeMap<Partition, (u64, Vec<u64>)>,
    /// Whether it has no room.
    pub(crate) full: bool,
}

/// A register written at this time, by this actor.
pub(crate) fn record(time: u64, actor: u64, deadline_ms: u64, value: &[u8]) -> Vec<u8> {
    let stamp = Stamp {
        time: HlcTime::new(time, 0),
        actor: ActorId(actor),
    };
    let mut bytes = Vec::new();
    delta::begin(&mut bytes, stamp, deadline_ms, value);
    bytes
}

pub(crate) fn partition_of(key: &[u8]) -> Partition {
    Token::of(key).partition(BITS)
}

impl Copy {
    pub(crate) fn new(life: u64) -> Self {
        Self {
            life,
            ..Self::default()
        }
    }

    /// What it holds, for comparing copies.
    pub(crate) fn content(&self) -> Vec<(&[u8], &[u8])> {
        let keys = self.records.values().flatten();
        keys.map(|(key, record)| (&key[..], &record[..])).collect()
    }

    pub(crate) fn write(&mut self, key: &[u8], record: &[u8]) -> Took {
        let token = Token::of(key);
        let slot = self.records.entry(token.0).or_default();
        let present = slot.entry(key.to_vec()).or_default();
        if present == record {
            return Took::Same;
        }
        let mut joined = Vec::new();
        let took = match merge(present, record, &mut joined) {
            _ if present.is_empty() => Took::Merged,
            Ok(Merge::Incoming) => Took::Merged,
            Ok(Merge::Joined) => Took::Ahead,
            Ok(Merge::Unchanged) | Err(_) => return Took::Ahead,
        };
        *present = if took == Took::Merged {
            record.to_vec()
        } else {
            joined
        };
        let (start, log) = self.logs.entry(token.partition(BITS)).or_default();
        log.push(token.0);
        if log.len() > LOG {
            log.remove(0);
            *start += 1;
        }
        took
    }

    /// Forgets its logs, as a store does that is short of memory.
    pub(crate) fn trim(&mut self) {
        for (start, log) in self.logs.values_mut() {
            *start += log.len() as u64;
            log.clear();
        }
    }

    /// Removes what may be removed before this time.
    pub(crate) fn sweep(&mut self, before_ms: u64) {
        for keys in self.records.values_mut() {
            keys.retain(|_, bytes| {
                RecordRef::parse(bytes).is_ok_and(|record| record.removable_at(0) > before_ms)
            });
        }
        self.records.retain(|_, keys| !keys.is_empty());
    }
}

fn held(token: u64, bytes: &[u8]) -> Held {
    let record = RecordRef::parse(bytes).expect("only records are written");
    Held {
        token,
        digest: record.digest(),
        removable_at_ms: record.removable_at(0),
    }
}

impl Replica for Copy {
    fn life(&self) -> u64 {
        self.life
    }

    fn log_end(&self, partition: Partition) -> u64 {
        let log = self.logs.get(&partition);
        log.map_or(0, |(start, log)| start + log.len() as u64)
    }

    fn changes(&self, partition: Partition, since: u64, limit: usize) -> Option<Vec<u64>> {
        let Some((start, log)) = self.logs.get(&partition) else {
            return (since == 0).then(Vec::new);
        };
        let from = usize::try_from(since.checked_sub(*start)?).ok()?;
        let tokens = log.get(from..)?.iter().take(limit);
        Some(tokens.copied().collect())
    }

    fn scan(
        &self,
        partition: Partition,
        after: Option<u64>,
        limit: usize,
        visit: &mut dyn FnMut(Held),
    ) -> Option<u64> {
        let mut shown = 0;
        let mut last = None;
        for (&token, keys) in &self.records {
            if Token(token).partition(BITS) != partition || after.is_some_and(|at| token <= at) {
                continue;
            }
            if shown >= limit {
                return last;
            }
            for record in keys.values() {
                visit(held(token, record));
                shown += 1;
            }
            last = Some(token);
        }
        None
    }

    fn at(&self, token: u64, visit: &mut Show<'_>) {
        for (key, record) in self.records.get(&token).into_iter().flatten() {
            visit(key, record, held(token, record));
        }
    }

    fn take(&mut self, partition: Partition, key: &[u8], record: &[u8], until_ms: u64) -> Took {
        let Ok(incoming) = RecordRef::parse(record) else {
            return Took::Refused;
        };
        if self.full || partition_of(key) != partition {
            return Took::Refused;
        }
        let token = Token::of(key).0;
        let present = self
            .records
            .get(&token)
            .is_some_and(|keys| keys.contains_key(key));
        if !present && incoming.removable_at(0) < until_ms {
            return Took::Past;
        }
        self.write(key, record)
    }
}

//! A node's store, as reconciling sees it.

use std::sync::Arc;

use henge_repair::reconcile::{Held, Replica, Show, Took};
use henge_ring::{Partition, Token};
use henge_store::{Cursor, Decision, Key, Store, Stored};
use henge_versioning::{Clock, GRACE_MS, Merge, RecordRef, merge};

/// The store of one node. What it takes in is merged like any other write: checked, its stamp
/// observed by the node's clock, joined with what is there.
pub struct StoreReplica {
    store: Arc<dyn Store>,
    clock: Arc<Clock>,
    life: u64,
    wall_ms: u64,
}

impl StoreReplica {
    /// This store, whose log no other life of it continues: `life` must differ from that of any
    /// earlier store of this node.
    pub fn new(store: Arc<dyn Store>, clock: Arc<Clock>, life: u64) -> Self {
        Self {
            store,
            clock,
            life,
            wall_ms: 0,
        }
    }

    /// The wall clock by which stamps are judged from now on.
    pub fn set_wall_ms(&mut self, wall_ms: u64) {
        self.wall_ms = wall_ms;
    }
}

fn held(token: Token, stored: &Stored<'_>) -> Held {
    Held {
        token: token.0,
        digest: stored.digest,
        removable_at_ms: stored.record().removable_at(GRACE_MS),
    }
}

impl Replica for StoreReplica {
    fn life(&self) -> u64 {
        self.life
    }

    fn log_end(&self, partition: Partition) -> u64 {
        self.store.log_end(partition)
    }

    fn changes(&self, partition: Partition, since: u64, limit: usize) -> Option<Vec<u64>> {
        let changes = self.store.changes(partition, since, limit).ok()?;
        Some(changes.iter().map(|change| change.token.0).collect())
    }

    fn scan(
        &self,
        partition: Partition,
        after: Option<u64>,
        limit: usize,
        visit: &mut dyn FnMut(Held),
    ) -> Option<u64> {
        let next = self
            .store
            .scan(partition, after.map(Cursor), limit, &mut |key, stored| {
                visit(held(Token::of(key), &stored));
            });
        next.map(|Cursor(token)| token)
    }

    fn at(&self, token: u64, visit: &mut Show<'_>) {
        let token = Token(token);
        self.store.read_token(token, &mut |key, stored| {
            visit(key, stored.bytes, held(token, &stored));
        });
    }

    fn take(&mut self, partition: Partition, key: &[u8], record: &[u8], until_ms: u64) -> Took {
        let key = Key::new(key);
        let here = key.token.partition(self.store.partition_bits()) == partition;
        let fits = key.bytes.len() <= henge_rpc::Limits::DEFAULT.key;
        let Ok(incoming) = RecordRef::parse(record) else {
            return Took::Refused;
        };
        let stamp = incoming.newest().time;
        if !here || !fits || self.clock.observe(stamp, self.wall_ms).is_err() {
            return Took::Refused;
        }
        let mut took = Took::Same;
        let written = self.store.update(key, &mut |present, out| {
            took = join(present, incoming, until_ms, out);
            if matches!(took, Took::Merged) || !out.is_empty() {
                Decision::Write
            } else {
                Decision::Keep
            }
        });
        written.map_or(Took::Refused, |_| took)
    }
}

/// What becomes of an incoming record; what is to be stored instead of the present one is in `out`.
fn join(
    present: Option<Stored<'_>>,
    incoming: RecordRef<'_>,
    until_ms: u64,
    out: &mut Vec<u8>,
) -> Took {
    let record = incoming.as_bytes();
    let Some(present) = present else {
        if incoming.removable_at(GRACE_MS) < until_ms {
            return Took::Past;
        }
        out.extend_from_slice(record);
        return Took::Merged;
    };
    match merge(present.bytes, record, out) {
        Ok(Merge::Joined) => Took::Ahead,
        Ok(Merge::Incoming) => {
            out.clear();
            out.extend_from_slice(record);
            Took::Merged
        }
        Ok(Merge::Unchanged) => {
            out.clear();
            if present.bytes == record {
                Took::Same
            } else {
                Took::Ahead
            }
        }
        Err(_) => {
            out.clear();
            Took::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use henge_store::{Limits, MemoryStore};
    use henge_versioning::{ActorId, HlcTime, NEVER, Stamp, delta};

    use super::*;

    fn replica() -> StoreReplica {
        let store = Arc::new(MemoryStore::new(Limits::default()));
        let mut replica = StoreReplica::new(store, Arc::new(Clock::new(500)), 1);
        replica.set_wall_ms(1_000);
        replica
    }

    fn record(time: u64, actor: u64, deadline: u64) -> Vec<u8> {
        let time = HlcTime::new(time, 0);
        let actor = ActorId(actor);
        let mut out = Vec::new();
        delta::begin(&mut out, Stamp { time, actor }, deadline, b"value");
        out
    }

    fn take(replica: &mut StoreReplica, record: &[u8]) -> Took {
        let partition = Token::of(b"k").partition(10);
        replica.take(partition, b"k", record, 50)
    }

    #[test]
    fn it_tells_what_became_of_a_record() {
        let mut replica = replica();
        let (old, new) = (record(10, 1, NEVER), record(20, 1, NEVER));
        assert_eq!(take(&mut replica, &record(1, 1, 49)), Took::Past);
        assert_eq!(take(&mut replica, &old), Took::Merged);
        assert_eq!(take(&mut replica, &old), Took::Same);
        assert_eq!(take(&mut replica, &new), Took::Merged);
        assert_eq!(take(&mut replica, &old), Took::Ahead);
        // What is past its time begins nothing, but may end what is there.
        assert_eq!(take(&mut replica, &record(30, 1, 49)), Took::Merged);
        let mut digests = Vec::new();
        replica.at(Token::of(b"k").0, &mut |_, _, held| {
            digests.push(held.digest)
        });
        assert_eq!(digests.len(), 1);
        assert_eq!(replica.log_end(Token::of(b"k").partition(10)), 3);
    }

    #[test]
    fn it_refuses_what_a_write_would_be_refused_for() {
        let mut replica = replica();
        assert_eq!(take(&mut replica, b"no record"), Took::Refused);
        assert_eq!(take(&mut replica, &record(2_000, 1, NEVER)), Took::Refused);
        let elsewhere = Token::of(b"k").partition(10).0 ^ 1;
        let record = record(1, 1, NEVER);
        assert_eq!(
            replica.take(Partition(elsewhere), b"k", &record, 0),
            Took::Refused
        );
        let long = vec![b'k'; 1_025];
        let partition = Token::of(&long).partition(10);
        assert_eq!(replica.take(partition, &long, &record, 0), Took::Refused);
    }
}

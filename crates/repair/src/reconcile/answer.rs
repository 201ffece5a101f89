//! The answering side: one question, one bounded answer, nothing remembered but snapshots.

use std::collections::BTreeSet;

use henge_ring::Partition;
use serde_bytes::ByteBuf;

use super::{Answer, Ask, Compared, Held, Mark, Records, Replica, Took, Wanted, Words, limits};
use crate::snapshot::Snapshots;

/// What answers come from.
pub struct Answering<'a> {
    /// This node's copy.
    pub replica: &'a mut dyn Replica,
    /// What it looked like when it was asked before.
    pub snapshots: &'a mut Snapshots,
}

/// Answers a question that was [decoded](Ask::decode), and whose partitions the caller has found to
/// be shared with the asker.
pub fn answer(ask: Ask, from: &mut Answering<'_>) -> Answer {
    match ask {
        Ask::RollUps {
            at_ms,
            partitions,
            words,
        } => from.roll_ups(at_ms, &partitions, &words),
        Ask::Symbols {
            partition,
            at_ms,
            snapshot,
            from: first,
            count,
        } => from.symbols(Partition(partition), at_ms, snapshot, first, count),
        Ask::Changes {
            partition,
            at_ms,
            life,
            since,
        } => {
            let position = since;
            from.changes(Partition(partition), at_ms, Mark { life, position })
        }
        Ask::List {
            partition,
            at_ms,
            after,
        } => from.list(Partition(partition), at_ms, after),
        Ask::Records {
            partition, wanted, ..
        } => from.records(Partition(partition), &wanted),
        Ask::Offer { entries, .. } => from.offer(&entries),
        Ask::Take {
            partition,
            at_ms,
            records,
        } => from.take(Partition(partition), at_ms, &records),
    }
}

impl Answering<'_> {
    fn roll_ups(&mut self, at_ms: u64, partitions: &[u16], words: &Words) -> Answer {
        let compare = |(partition, word): (&u16, &u64)| {
            let partition = Partition(*partition);
            let own = self.snapshots.current(self.replica, partition, at_ms);
            if own.word == *word {
                Compared::Same(own.head)
            } else {
                Compared::Differs
            }
        };
        let compared = partitions.iter().zip(&words.0).map(compare).collect();
        Answer::RollUps {
            life: self.replica.life(),
            compared,
        }
    }

    fn symbols(
        &mut self,
        partition: Partition,
        at_ms: u64,
        name: Option<u64>,
        from: u32,
        count: u32,
    ) -> Answer {
        let key = self.snapshots.key().clone();
        let snapshot = match name {
            None => Some(self.snapshots.current(self.replica, partition, at_ms)),
            Some(word) => self.snapshots.named(partition, word),
        };
        let Some(snapshot) = snapshot else {
            return Answer::Stale;
        };
        let (from, to) = (from as usize, from as usize + count as usize);
        let symbols = Words::of_symbols(&snapshot.symbols(&key, to)[from..]);
        Answer::Symbols {
            head: Mark {
                life: self.replica.life(),
                position: snapshot.head,
            },
            snapshot: snapshot.word,
            members: snapshot.members().len() as u64,
            symbols,
        }
    }

    fn changes(&mut self, partition: Partition, at_ms: u64, since: Mark) -> Answer {
        let position = self.replica.log_end(partition);
        let life = self.replica.life();
        if since.life != life {
            return Answer::Gap;
        }
        let Some(tokens) = self
            .replica
            .changes(partition, since.position, limits::ENTRIES)
        else {
            return Answer::Gap;
        };
        // A key that changed often is shown once, as it is now.
        let (mut entries, mut shown, mut seen) = (Vec::new(), BTreeSet::new(), since.position);
        let rule = self.snapshots.rule();
        for token in tokens {
            if entries.len() >= limits::ENTRIES {
                break;
            }
            seen += 1;
            if shown.insert(token) {
                self.replica.at(token, &mut |_, _, held| {
                    if rule.counts(held.removable_at_ms, at_ms) {
                        entries.push((held.token, held.digest));
                    }
                });
            }
        }
        Answer::Listed {
            head: Mark { life, position },
            entries: Words::of_pairs(entries),
            next: (seen < position).then_some(seen),
        }
    }

    fn list(&mut self, partition: Partition, at_ms: u64, after: Option<u64>) -> Answer {
        let head = Mark {
            life: self.replica.life(),
            position: self.replica.log_end(partition),
        };
        let rule = self.snapshots.rule();
        let mut entries = Vec::new();
        let next = self
            .replica
            .scan(partition, after, limits::ENTRIES, &mut |held: Held| {
                if rule.counts(held.removable_at_ms, at_ms) {
                    entries.push((held.token, held.digest));
                }
            });
        Answer::Listed {
            head,
            entries: Words::of_pairs(entries),
            next,
        }
    }

    fn records(&mut self, partition: Partition, wanted: &Wanted) -> Answer {
        let key = self.snapshots.key().clone();
        let (mut records, mut bytes, mut done) = (Records::new(), 0, 0);
        // Says whether there was room for what was asked for, if it is there.
        let mut show = |token: Option<u64>, is_it: &dyn Fn(Held) -> bool| {
            if bytes >= limits::RECORD_BYTES {
                return false;
            }
            done += 1;
            if let Some(token) = token {
                bytes += gather(self.replica, token, is_it, &mut records);
            }
            true
        };
        match wanted {
            Wanted::Listed(words) => {
                let mut pairs = words.pairs();
                while let Some((token, digest)) = pairs.next()
                    && show(Some(token), &|held| held.digest == digest)
                {}
            }
            Wanted::Ids(word, words) => {
                let Some(snapshot) = self.snapshots.named(partition, *word) else {
                    return Answer::Stale;
                };
                // An id that the snapshot does not have was made up by the asker.
                let mut ids = words.0.iter();
                while let Some(&id) = ids.next()
                    && show(snapshot.token_of(id), &|held| {
                        key.id(held.token, held.digest) == id
                    })
                {}
            }
        }
        Answer::Records { records, done }
    }

    fn offer(&mut self, entries: &Words) -> Answer {
        let lacks = entries
            .pairs()
            .filter(|(token, digest)| !holds(self.replica, *token, *digest));
        Answer::Lacks(Words(lacks.map(|(token, _)| token).collect()))
    }

    fn take(&mut self, partition: Partition, at_ms: u64, records: &Records) -> Answer {
        let until_ms = at_ms.saturating_add(self.snapshots.rule().margin_ms);
        let (mut kept, mut refused) = (0, 0);
        for (key, record) in records {
            match self.replica.take(partition, key, record, until_ms) {
                Took::Refused => refused += 1,
                Took::Merged => kept += 1,
                Took::Same | Took::Ahead | Took::Past => {}
            }
        }
        Answer::Taken { kept, refused }
    }
}

/// Appends the record under a token that was asked for; tells how many bytes it has. If the only
/// one there has changed meanwhile, it is that one: the asker lacks it too.
fn gather(
    replica: &dyn Replica,
    token: u64,
    is_it: &dyn Fn(Held) -> bool,
    records: &mut Records,
) -> usize {
    let (mut count, mut bytes) = (0, 0);
    replica.at(token, &mut |_, _, _| count += 1);
    replica.at(token, &mut |key, record, held| {
        if count == 1 || is_it(held) {
            bytes += key.len() + record.len();
            records.push((ByteBuf::from(key), ByteBuf::from(record)));
        }
    });
    bytes
}

/// Whether a replica holds a record with this digest under this token.
pub(super) fn holds(replica: &dyn Replica, token: u64, digest: u64) -> bool {
    let mut found = false;
    replica.at(token, &mut |_, _, held| found |= held.digest == digest);
    found
}

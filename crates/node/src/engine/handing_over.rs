//! What a node still holds of partitions that it has left: handed over, then dropped.
//!
//! Every record goes to all who hold its partition now, as a hint, and is dropped when all of them
//! have it. Nothing acknowledged is only here: this is for what sloppy writes left, and for
//! convergence. A round takes two ticks, so it gathers records of as many partitions as it has room
//! for; partitions with nothing in them are done at once.
//!
//! No hint left means that every owner has acknowledged, unless hints were given up meanwhile: for
//! want of room or for their age. Whose they were is not known, so the round begins anew.

use std::sync::{Arc, atomic::Ordering};

use henge_ring::Partition;
use henge_store::{Cursor, Key, Stored};

use super::{Engine, Now};

/// Records handed over in one round, and their bytes: what an owner's data thread keeps in a
/// fraction of a millisecond. One step of a scan may go beyond.
const RECORDS: usize = 256;
const BYTES: usize = 64 << 10;
const STEP: usize = 32;

/// Partitions looked at in one round, most of which may have nothing in them.
const PARTITIONS: usize = 128;

/// A round: records on their way to those that own them.
#[derive(Debug)]
pub(super) struct HandingOver {
    parts: Vec<Part>,
    /// How many hints had been given up when these were kept.
    given_up: u64,
}

/// Records of one partition that go in one round.
#[derive(Debug)]
struct Part {
    partition: Partition,
    /// The digest of each, by key.
    records: Vec<(Vec<u8>, u64)>,
    /// Where the next round goes on; `None`: these were the last.
    next: Option<Cursor>,
}

impl Engine {
    /// One step of handing over.
    pub(super) fn drop_more(&mut self, now: Now) {
        if !self.hints.is_empty() {
            return;
        }
        let mut go_on = None;
        if let Some(round) = self.handing_over.take()
            && round.given_up == self.hints_given_up()
        {
            for part in round.parts {
                go_on = self.drop_handed_over(now, part).or(go_on);
            }
        }
        self.hand_over(now, go_on);
    }

    /// Every owner has these records: they go. Answers where the partition goes on, if it does.
    fn drop_handed_over(&mut self, now: Now, part: Part) -> Option<(Partition, Cursor)> {
        let transition = Arc::clone(&self.parts.transition);
        let leaves = transition.with(|transfer| transfer.is_leaving(part.partition));
        if leaves != Some(true) {
            return None; // it is a member again
        }
        if !part.records.is_empty() {
            transition.drops(part.partition, now.mono_ms);
            // Sibling sets may be among them: whoever numbered their values must not go on.
            self.parts
                .forgotten_siblings
                .fetch_add(1, Ordering::Relaxed);
        }
        for (key, digest) in &part.records {
            self.parts.store.remove(Key::new(key), *digest);
        }
        part.next.map(|next| (part.partition, next))
    }

    /// Begins a round: first what the last one left of a partition, then the next ones. What was
    /// written to them meanwhile is found when they have nothing left but that.
    fn hand_over(&mut self, now: Now, go_on: Option<(Partition, Cursor)>) {
        let transition = Arc::clone(&self.parts.transition);
        let leaving = transition.with(|transfer| {
            let all = transfer.leaving();
            all.take(PARTITIONS).collect::<Vec<_>>()
        });
        let (mut room, mut parts) = ((RECORDS, BYTES), Vec::new());
        for partition in leaving.unwrap_or_default() {
            let after = go_on.filter(|(at, _)| *at == partition);
            let part = self.gather(partition, after.map(|(_, next)| next), &mut room);
            if part.records.is_empty() && after.is_none() {
                transition.with(|transfer| transfer.dropped(partition));
            } else {
                parts.push(part);
            }
            if room.0 == 0 || room.1 == 0 {
                break;
            }
        }
        if parts.is_empty() {
            return;
        }
        let given_up = self.hints_given_up();
        for (key, _) in parts.iter().flat_map(|part| &part.records) {
            self.owe_owners(now, key);
        }
        self.handing_over = Some(HandingOver { parts, given_up });
        self.deliver_hints(now);
    }

    fn gather(
        &self,
        partition: Partition,
        after: Option<Cursor>,
        (room, bytes): &mut (usize, usize),
    ) -> Part {
        let mut part = Part {
            partition,
            records: Vec::new(),
            next: after,
        };
        let records = &mut part.records;
        while *room > 0 && *bytes > 0 {
            let mut visit = |key: &[u8], stored: Stored<'_>| {
                *room = room.saturating_sub(1);
                *bytes = bytes.saturating_sub(key.len() + stored.bytes.len());
                records.push((key.to_vec(), stored.digest));
            };
            let store = &self.parts.store;
            part.next = store.scan(partition, part.next, STEP, &mut visit);
            if part.next.is_none() {
                break;
            }
        }
        part
    }

    /// Hints that ended without an acknowledgement and without another hint in their stead.
    fn hints_given_up(&self) -> u64 {
        let counts = self.hints.counts();
        counts.overflowed + counts.expired
    }
}

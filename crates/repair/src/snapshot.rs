//! A partition as anti-entropy sees it: the ids of the records that count, made on demand.
//!
//! Nothing is kept up to date with the writes. A snapshot is one scan of one partition, about a
//! thousand records, and is used again for as long as it is right: while the partition's log has
//! not grown, and for all instants at which the same records count ([`DigestRule`]). So the peers
//! that ask within one round share it, and a session of several steps names the one it began with.

use std::collections::BTreeMap;

use henge_ring::Partition;

use crate::{
    reconcile::Replica,
    sketch::{Encoder, RollUp, SketchKey, Symbol},
};

/// Which records count in a comparison of replicas, at an instant that both sides agree on.
///
/// A record counts if it may not be removed before the instant plus a margin, and a replica removes
/// nothing earlier than its own clock plus a longer margin of its own. So what one side has removed
/// does not count on the other, whatever their clocks say within the difference of the margins: a
/// million expiries make two replicas no different. Tombstones count until they may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestRule {
    /// What is to go so soon is not worth repairing, in milliseconds.
    pub margin_ms: u64,
}

impl DigestRule {
    /// Whether a record counts that may be removed at `removable_at_ms`.
    #[inline]
    pub fn counts(&self, removable_at_ms: u64, at_ms: u64) -> bool {
        removable_at_ms >= at_ms.saturating_add(self.margin_ms)
    }
}

/// One record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its key's token.
    pub token: u64,
}

/// The records of a partition that count, by id.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Position after the last entry of the partition's log *before* it was scanned: every change
    /// below is in the snapshot, if it counts.
    pub head: u64,
    /// Equal for equal sets.
    pub word: u64,
    members: Vec<Member>,
    /// The instants for which it is right, both inclusive.
    valid: (u64, u64),
    coded: Option<Encoder>,
}

impl Snapshot {
    /// Scans the partition.
    pub fn take(
        replica: &dyn Replica,
        key: &SketchKey,
        rule: DigestRule,
        partition: Partition,
        at_ms: u64,
    ) -> Self {
        let head = replica.log_end(partition);
        let (mut members, mut sum) = (Vec::new(), RollUp::default());
        let mut valid = (0, u64::MAX);
        replica.scan(partition, None, usize::MAX, &mut |held| {
            let turns_at = held.removable_at_ms.saturating_sub(rule.margin_ms);
            if !rule.counts(held.removable_at_ms, at_ms) {
                valid.0 = valid.0.max(turns_at.saturating_add(1));
                return;
            }
            valid.1 = valid.1.min(turns_at);
            let id = key.id(held.token, held.digest);
            sum.add(id, key.check(id));
            let token = held.token;
            members.push(Member { id, token });
        });
        members.sort_unstable();
        Self {
            head,
            word: sum.word(key),
            members,
            valid,
            coded: None,
        }
    }

    /// Whether it is what a scan would show, the log being at `head`.
    fn is_right(&self, head: u64, at_ms: u64) -> bool {
        self.head == head && (self.valid.0..=self.valid.1).contains(&at_ms)
    }

    /// Its members, by ascending id.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The token of the key behind an id.
    pub fn token_of(&self, id: u64) -> Option<u64> {
        let at = self
            .members
            .binary_search_by_key(&id, |member| member.id)
            .ok()?;
        Some(self.members[at].token)
    }

    /// The first `count` coded symbols.
    pub fn symbols(&mut self, key: &SketchKey, count: usize) -> &[Symbol] {
        let members = &self.members;
        let new = || Encoder::new(members.iter().map(|member| member.id), key);
        self.coded.get_or_insert_with(new).symbols(count)
    }
}

/// Snapshots that were lately of use, of all partitions together at most so many members; a larger
/// one is kept alone.
#[derive(Debug)]
pub struct Snapshots {
    key: SketchKey,
    rule: DigestRule,
    most_members: usize,
    members: usize,
    kept: BTreeMap<(Partition, u64), Kept>,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    snapshot: Snapshot,
    last_use: u64,
}

impl Snapshots {
    /// Without any. A member takes 16 bytes, and 32 more while coded symbols are made of it.
    pub fn new(key: SketchKey, rule: DigestRule, most_members: usize) -> Self {
        Self {
            key,
            rule,
            most_members,
            members: 0,
            kept: BTreeMap::new(),
            uses: 0,
        }
    }

    /// The key that ids are made with.
    pub fn key(&self) -> &SketchKey {
        &self.key
    }

    /// Which records count.
    pub fn rule(&self) -> DigestRule {
        self.rule
    }

    /// The partition as it is now, for this instant.
    pub fn current(
        &mut self,
        replica: &dyn Replica,
        partition: Partition,
        at_ms: u64,
    ) -> &mut Snapshot {
        let head = replica.log_end(partition);
        let of_partition = self.kept.range((partition, 0)..=(partition, u64::MAX));
        let mut right = of_partition.filter(|(_, kept)| kept.snapshot.is_right(head, at_ms));
        let name = match right.next() {
            Some((name, _)) => *name,
            None => {
                let snapshot = Snapshot::take(replica, &self.key, self.rule, partition, at_ms);
                self.keep(partition, snapshot)
            }
        };
        self.used(name)
    }

    /// The snapshot of this partition whose word was given out, if it is still there.
    pub fn named(&mut self, partition: Partition, word: u64) -> Option<&mut Snapshot> {
        let name = (partition, word);
        self.kept.contains_key(&name).then(|| self.used(name))
    }

    fn used(&mut self, name: (Partition, u64)) -> &mut Snapshot {
        self.uses += 1;
        let uses = self.uses;
        let kept = self.kept.get_mut(&name);
        let kept = kept.expect("the caller has just seen or kept it");
        kept.last_use = uses;
        &mut kept.snapshot
    }

    fn keep(&mut self, partition: Partition, snapshot: Snapshot) -> (Partition, u64) {
        let name = (partition, snapshot.word);
        self.forget(name);
        self.members += snapshot.members.len();
        while self.members > self.most_members
            && let Some((&oldest, _)) = self.kept.iter().min_by_key(|(_, kept)| kept.last_use)
        {
            self.forget(oldest);
        }
        let last_use = self.uses;
        self.kept.insert(name, Kept { snapshot, last_use });
        name
    }

    fn forget(&mut self, name: (Partition, u64)) {
        if let Some(kept) = self.kept.remove(&name) {
            self.members -= kept.snapshot.members.len();
        }
    }
}

//! Hinted handoff: which keys which peer has missed, until it has them.
//!
//! A driver calls, in any order:
//!
//! * [`add`](Hints::add) when a write ends and a place is owed its record;
//! * [`due`](Hints::due), then [`next_batch`](Hints::next_batch) for each target it names: reads the
//!   records from the store and sends them. An empty record set, and a target that cannot be
//!   reached, are reported like any other outcome;
//! * [`acked`](Hints::acked) for each key the target has *durably* merged,
//!   [`failed_one`](Hints::failed_one) for each it has not, and [`failed`](Hints::failed) when a
//!   batch, or the rest of it, came to nothing;
//! * [`target_up`](Hints::target_up) and [`target_down`](Hints::target_down) as links come and go;
//! * [`handle_timeout`](Hints::handle_timeout) at [`deadline`](Hints::deadline).
//!
//! Why an acknowledgement names a generation: the record is read after the batch was taken and the
//! key may be written again before the target answers. The answer then speaks of an older version,
//! and dropping the hint would lose the newer one. (The other mistake, dropping a hint when it is
//! *sent*, costs acknowledged writes too: 1 in 7,700 simulated runs, which is why it survives
//! ordinary tests.)
//!
//! Law: every key that was added and not refused is waiting or in flight, or was acknowledged at
//! the generation of its last addition or later, or is counted as expired or forgotten. So
//! `stored = delivered + expired + forgotten + len` always holds.

use std::collections::{BTreeMap, BTreeSet};

use henge_ring::{NodeId, Partition, Token};

use crate::backoff::Delay;

mod limits;
pub use limits::HintLimits;
use limits::OVERHEAD;

mod outcome;
pub use outcome::{Acked, Added, Dropped, HintCounts, ToSend};

mod queue;
use queue::{HintQueue, Settled};

/// All hints of one node.
#[derive(Debug)]
pub struct Hints {
    limits: HintLimits,
    queues: BTreeMap<NodeId, HintQueue>,
    /// Targets known to be away: nothing is due for them and their back-off does not run.
    down: BTreeSet<NodeId>,
    owed_anti_entropy: BTreeSet<(NodeId, Partition)>,
    generation: u64,
    hints: usize,
    bytes: usize,
    counts: HintCounts,
}

impl Hints {
    /// Without hints.
    pub fn new(limits: HintLimits) -> Self {
        Self {
            limits,
            queues: BTreeMap::new(),
            down: BTreeSet::new(),
            owed_anti_entropy: BTreeSet::new(),
            generation: 0,
            hints: 0,
            bytes: 0,
            counts: HintCounts::default(),
        }
    }

    /// `target` has missed a write to `key`, whose record is in the local store. `now_ms` must not
    /// go back between calls.
    pub fn add(&mut self, target: NodeId, key: &[u8], now_ms: u64) -> Added {
        self.generation += 1;
        let renewed = |queue: &mut HintQueue| queue.renew(key, self.generation, now_ms);
        if self.queues.get_mut(&target).is_some_and(renewed) {
            self.counts.merged += 1;
            return Added::Merged;
        }
        let bytes = self.bytes + cost(key);
        if self.hints >= self.limits.max_hints || bytes > self.limits.max_bytes {
            self.counts.overflowed += 1;
            self.owe_anti_entropy(target, key);
            return Added::Overflow;
        }
        self.queues
            .entry(target)
            .or_default()
            .insert(key, self.generation, now_ms);
        self.hints += 1;
        self.bytes = bytes;
        self.counts.stored += 1;
        Added::New
    }

    /// The targets for which a batch may leave now, in order of their ids.
    pub fn due(&self, now_ms: u64) -> impl Iterator<Item = NodeId> {
        let due = move |(target, queue): &(&NodeId, &HintQueue)| {
            !self.down.contains(target) && queue.is_due(now_ms)
        };
        self.queues.iter().filter(due).map(|(&target, _)| target)
    }

    /// Up to `max` keys to send to `target`, those longest unchanged first. They are in flight from
    /// now on. Empty while an earlier batch is in flight, during back-off, and while the target is
    /// down: one batch at a time bounds what a node that has just come back has to swallow.
    pub fn next_batch(&mut self, target: NodeId, now_ms: u64, max: usize) -> Vec<ToSend> {
        match self.queues.get_mut(&target) {
            Some(queue) if !self.down.contains(&target) && queue.is_due(now_ms) => {
                queue.take(max, now_ms)
            }
            _ => Vec::new(),
        }
    }

    /// `target` has merged, *and keeps durably if it is a durable node*, the record of `key` that
    /// was read after `generation` was handed out. A key that the store no longer holds (its record
    /// passed its horizon) may be reported the same way: there is nothing left to hand over.
    pub fn acked(&mut self, target: NodeId, key: &[u8], generation: u64) -> Acked {
        let Some(queue) = self.queues.get_mut(&target) else {
            return Acked::Unknown;
        };
        let settled = queue.settle(key, generation);
        if queue.is_empty() {
            self.queues.remove(&target);
        }
        match settled {
            Settled::Removed => {
                self.counts.delivered += 1;
                self.release(key);
                Acked::Removed
            }
            Settled::Newer => Acked::Newer,
            Settled::Unknown => Acked::Unknown,
        }
    }

    /// What is still in flight to `target` came to nothing: it waits again, and nothing is due
    /// before a back-off, one per batch. Changes nothing when nothing is in flight. `random` is any
    /// 64 random bits: nodes that drew the same would retry in step.
    pub fn failed(&mut self, target: NodeId, now_ms: u64, random: u64) {
        let delay = self.delay(now_ms, random);
        self.give_back(target, |queue| queue.give_back(delay));
    }

    /// The same for one hint, refused or unanswered by itself: it waits again, and the rest of its
    /// batch is still awaited. An outdated `generation` changes nothing.
    pub fn failed_one(
        &mut self,
        target: NodeId,
        key: &[u8],
        generation: u64,
        now_ms: u64,
        random: u64,
    ) {
        let delay = self.delay(now_ms, random);
        self.give_back(target, |queue| queue.give_back_one(key, generation, delay));
    }

    /// The target can be reached again: its hints are due at once.
    pub fn target_up(&mut self, target: NodeId) {
        self.down.remove(&target);
        if let Some(queue) = self.queues.get_mut(&target) {
            queue.wake();
        }
    }

    /// The target cannot be reached: what is in flight to it waits again, and nothing is due until
    /// [`target_up`](Self::target_up).
    pub fn target_down(&mut self, target: NodeId, now_ms: u64) {
        self.down.insert(target);
        self.failed(target, now_ms, 0);
    }

    /// The target has left the ring: its hints are given up, and so is whatever anti-entropy it was
    /// owed. Returns the hints, so that those on disk can go.
    pub fn forget(&mut self, target: NodeId) -> Vec<Dropped> {
        self.down.remove(&target);
        self.owed_anti_entropy.retain(|&(node, _)| node != target);
        let queue = self.queues.remove(&target).unwrap_or_default();
        let dropped: Vec<_> = queue
            .keys()
            .map(|key| Dropped {
                target,
                key: key.into(),
            })
            .collect();
        self.counts.forgotten += dropped.len() as u64;
        dropped.iter().for_each(|hint| self.release(&hint.key));
        dropped
    }

    /// Does what time alone brings: gives up hints that are too old, whose partitions are then owed
    /// anti-entropy, and takes back batches that were never answered. Returns what was given up.
    pub fn handle_timeout(&mut self, now_ms: u64, random: u64) -> Vec<Dropped> {
        let silent = |queue: &HintQueue| {
            let since = queue.unanswered_since();
            since.is_some_and(|since| since + self.limits.answer_within_ms <= now_ms)
        };
        let silent: Vec<_> = self
            .queues
            .iter()
            .filter(|(_, q)| silent(q))
            .map(|(&target, _)| target)
            .collect();
        silent
            .into_iter()
            .for_each(|target| self.failed(target, now_ms, random));
        let dropped = self.take_expired(now_ms);
        for Dropped { target, key } in &dropped {
            self.counts.expired += 1;
            self.release(key);
            self.owe_anti_entropy(*target, key);
        }
        dropped
    }

    /// When something is to be done next: a batch may leave, an unanswered one is to be taken back,
    /// or a hint is too old. A time that is past means now. `None`: not before the next call.
    pub fn deadline(&self) -> Option<u64> {
        let of_queue = |(target, queue): (&NodeId, &HintQueue)| {
            let up = !self.down.contains(target);
            let batch = queue.next_batch_at().filter(|_| up);
            let silent = queue
                .unanswered_since()
                .map(|at| at + self.limits.answer_within_ms);
            // One more than the age: a hint of exactly that age is kept.
            let too_old = queue
                .oldest_ms()
                .map(|at| at.saturating_add(self.limits.max_age_ms + 1));
            [batch, silent, too_old].into_iter().flatten().min()
        };
        self.queues.iter().filter_map(of_queue).min()
    }

    /// The generation of a key's hint for a target, if there is one.
    pub fn generation(&self, target: NodeId, key: &[u8]) -> Option<u64> {
        self.queues.get(&target)?.generation(key)
    }

    /// Whether any target is owed this key. While one is, a tombstone of a sibling set or register
    /// must not go: the hint might bring back what it buries.
    pub fn is_hinted(&self, key: &[u8]) -> bool {
        self.queues
            .values()
            .any(|queue| queue.generation(key).is_some())
    }

    /// Partitions in which a target may lack records that no hint stands for any more.
    pub fn owed_anti_entropy(&self) -> &BTreeSet<(NodeId, Partition)> {
        &self.owed_anti_entropy
    }

    /// Anti-entropy of this partition with this target, *begun* after the last overflow or expiry,
    /// is done.
    pub fn anti_entropy_done(&mut self, target: NodeId, partition: Partition) {
        self.owed_anti_entropy.remove(&(target, partition));
    }

    /// How many hints there are.
    pub fn len(&self) -> usize {
        self.hints
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hints == 0
    }

    /// How many bytes they take, by the measure of [`HintLimits::max_bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hints per target, by id, for those that have any.
    pub fn per_target(&self) -> impl Iterator<Item = (NodeId, usize)> {
        self.queues
            .iter()
            .map(|(&target, queue)| (target, queue.len()))
    }

    /// How many hints took which way.
    pub fn counts(&self) -> HintCounts {
        self.counts
    }

    fn delay(&self, now_ms: u64, random: u64) -> Delay {
        let HintLimits {
            first_backoff_ms,
            max_backoff_ms,
            ..
        } = self.limits;
        Delay {
            now_ms,
            first_ms: first_backoff_ms,
            most_ms: max_backoff_ms,
            random,
        }
    }

    fn give_back(&mut self, target: NodeId, give_back: impl FnOnce(&mut HintQueue)) {
        if let Some(queue) = self.queues.get_mut(&target) {
            give_back(queue);
            if queue.is_empty() {
                self.queues.remove(&target);
            }
        }
    }

    fn take_expired(&mut self, now_ms: u64) -> Vec<Dropped> {
        let before = now_ms.saturating_sub(self.limits.max_age_ms);
        let mut dropped = Vec::new();
        self.queues.retain(|&target, queue| {
            let expired = std::iter::from_fn(|| queue.expire(before));
            dropped.extend(expired.map(|key| Dropped { target, key }));
            !queue.is_empty()
        });
        dropped
    }

    fn release(&mut self, key: &[u8]) {
        self.hints -= 1;
        self.bytes -= cost(key);
    }

    fn owe_anti_entropy(&mut self, target: NodeId, key: &[u8]) {
        let partition = Token::of(key).partition(self.limits.partition_bits);
        self.owed_anti_entropy.insert((target, partition));
    }
}

fn cost(key: &[u8]) -> usize {
    key.len() + OVERHEAD
}

#[cfg(test)]
mod tests;

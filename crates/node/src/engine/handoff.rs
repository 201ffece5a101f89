//! Hints: what replicas missed, kept until they have it.

use std::sync::Arc;

use henge_coordinator::OpId;
use henge_repair::{Acked, Added};
use henge_ring::NodeId;
use henge_rpc::Message;
use henge_store::Key;

use super::{
    Engine, Now, Slot,
    operation::{Handoff, InFlight},
};

/// Hints under way to one target at a time: a bound on what a returning node is hit with at once.
const BATCH: usize = 256;

/// How long a target may take to acknowledge one hint.
const PATIENCE_MS: u64 = 2_000;

impl Engine {
    /// Remembers that `target` lacks the record under `key`.
    pub(super) fn keep_hint(&mut self, now: Now, target: Slot, key: &[u8]) {
        if !self.neither_hints_nor_read_repair {
            self.owe(now, target, key);
        }
    }

    /// The same, also where hints are left out: a record that is about to be dropped here is not left
    /// to anti-entropy.
    fn owe(&mut self, now: Now, target: Slot, key: &[u8]) {
        if target == self.me {
            return;
        }
        if !self.peers.is_up(target) && self.has_departed(&self.peers.id(target)) {
            return self.owe_owners(now, key);
        }
        let target = self.peers.id(target);
        if self.parts.ring.has_departed(&target) {
            return self.hint_to_primaries(now, key);
        }
        self.add_hint(now, target, key);
    }

    fn add_hint(&mut self, now: Now, target: NodeId, key: &[u8]) {
        match self.hints.add(target, key, now.mono_ms) {
            Added::New => self.parts.counters.hints_stored.add(1),
            Added::Merged => {}
            Added::Overflow => self.parts.counters.hints_dropped.add(1),
        }
    }

    /// Whoever took over a departed node's place is owed what that node was: a node that comes back
    /// without its memory has a new id and fetched its data before the hint could reach it. Which of
    /// the primaries that is need not be known, merging is idempotent.
    fn hint_to_primaries(&mut self, now: Now, key: &[u8]) {
        let ring = Arc::clone(&self.parts.ring);
        let partition = ring.partition_of(Key::new(key).token);
        for &index in ring.primaries(partition) {
            if self.peers.member(index) != self.me {
                self.add_hint(now, ring.member(index).id, key);
            }
        }
    }

    /// Readdresses the hints for nodes that are no longer members.
    fn redirect_hints(&mut self, now: Now) {
        let targets = self.hints.per_target();
        let gone: Vec<_> = targets
            .filter(|(target, _)| self.parts.ring.has_departed(target))
            .map(|(target, _)| target)
            .collect();
        for target in gone {
            for hint in self.hints.forget(target) {
                self.hint_to_primaries(now, &hint.key);
            }
        }
    }

    /// Sends what is due, to every target that can be reached.
    pub(super) fn deliver_hints(&mut self, now: Now) {
        if self.hints.is_empty() {
            return;
        }
        self.redirect_hints(now);
        let dropped = self.hints.handle_timeout(now.mono_ms, self.jitter(now));
        self.parts.counters.hints_dropped.add(dropped.len() as u64);
        let due: Vec<_> = self.hints.due(now.mono_ms).collect();
        for target in due {
            let Some(slot) = self.peers.slot(&target) else {
                continue;
            };
            if !self.peers.is_up(slot) && !self.has_departed(&target) {
                continue;
            }
            for hint in self.hints.next_batch(target, now.mono_ms, BATCH) {
                self.hand_off(now, slot, &hint.key, hint.generation);
            }
        }
    }

    /// The target has it. Only an acknowledgement of the hint's present generation removes it: the
    /// key may have been written again while the record was under way.
    pub(super) fn hint_acked(&mut self, id: OpId, from: Slot) {
        let Some(InFlight::Hint(hint)) = self.operations.get_mut(id) else {
            return;
        };
        if hint.target != from {
            return;
        }
        let Some(InFlight::Hint(hint)) = self.operations.remove(id) else {
            return;
        };
        let target = self.peers.id(hint.target);
        if self.hints.acked(target, &hint.key, hint.generation) == Acked::Removed {
            self.parts.counters.hints_delivered.add(1);
        }
    }

    /// Refused, or not answered in time: it goes back to its queue.
    pub(super) fn hint_due(&mut self, now: Now, id: OpId) {
        if let Some(InFlight::Hint(hint)) = self.operations.remove(id) {
            let target = self.peers.id(hint.target);
            let random = self.jitter(now);
            self.hints
                .failed_one(target, &hint.key, hint.generation, now.mono_ms, random);
        }
    }

    /// Everybody who holds the key now, and has not left, is owed its record. Who has left too need not
    /// have it.
    pub(super) fn owe_owners(&mut self, now: Now, key: &[u8]) {
        for owner in self.owners(self.partition(Key::new(key))) {
            if !self.has_departed(&self.peers.id(owner)) {
                self.owe(now, owner, key);
            }
        }
    }

    /// Whether a node has left the ring for good: what it is owed goes to others.
    pub(super) fn has_departed(&self, node: &NodeId) -> bool {
        self.parts.ring.has_departed(node)
    }

    /// Spreads the retries of different nodes: drawn from who this node is and when it is.
    fn jitter(&self, now: Now) -> u64 {
        self.actor.0.wrapping_mul(now.wall_ms | 1)
    }

    fn hand_off(&mut self, now: Now, slot: Slot, key: &[u8], generation: u64) {
        let mut record = self.buffer();
        self.parts.store.read(Key::new(key), &mut |stored| {
            if let Some(stored) = stored {
                record.extend_from_slice(stored.bytes);
            }
        });
        if !self.owns(slot, Key::new(key)) || !self.peers.is_up(slot) {
            // It moved: whoever has it now is owed what the target was.
            self.owe_owners(now, key);
            record.clear();
        }
        if record.is_empty() {
            // Expired everywhere by now: nothing is owed any more.
            self.hints.acked(self.peers.id(slot), key, generation);
            return self.recycle(record);
        }
        let hint = Handoff {
            target: slot,
            key: key.to_vec(),
            generation,
        };
        if let Ok(id) = self
            .operations
            .insert(InFlight::Hint(hint), now.mono_ms + PATIENCE_MS)
        {
            if let Some(under) = self.under(key) {
                self.peers.send(slot, &under.message());
            }
            let message = Message::Write {
                op: id.0,
                hint_for: None,
                key,
                record: &record,
            };
            self.peers.send(slot, &message);
        }
        self.recycle(record);
    }
}

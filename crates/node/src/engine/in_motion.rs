//! Requests on partitions that move: where they count, who may serve them, and how they start anew.
//!
//! An operation counts its quorum in every set that is active as far as this node knows. When the
//! node learns of another set, operations in flight that do not count in it start anew; a replica
//! that knows more refuses them, and they start anew when this node has heard what it knows. A
//! message tells in which sets its sender counts: the ring's tag, which begins every batch, says it
//! for partitions with one set, [`Message::Under`] for those that move.

use std::{collections::BTreeSet, sync::Arc};

use henge_coordinator::{Kept, MAX_PLACES, OpId, PlaceInfo, PlaceSet, Write};
use henge_ring::{NodeId, Partition, Token};
use henge_rpc::Message;
use henge_store::Key;
use smallvec::SmallVec;

use super::{
    Engine, EngineParts, Now, Placement, Slot,
    coordinate_write::write_failure,
    operation::{InFlight, Reading, Then, Writing, failed},
};
use crate::{
    Failure, Operation, Options, Request, Shortage,
    rotation::Step,
    transition::{Moving, Snapshot},
};

impl Engine {
    /// Takes over what has changed since the last look, and starts anew what does not count in a set
    /// that is new.
    #[inline]
    pub(super) fn adopt(&mut self, now: Now) {
        if self.parts.transition.version() != self.snapshot.version {
            self.adopt_changes(now);
        }
    }

    #[cold]
    fn adopt_changes(&mut self, now: Now) {
        let next = self.parts.transition.snapshot();
        let before = std::mem::replace(&mut self.snapshot, Arc::clone(&next));
        let moved = std::mem::replace(&mut self.in_motion, !next.moving.is_empty());
        if moved != self.in_motion {
            self.motion_changed(now);
        }
        if before.tag != next.tag {
            self.peers.set_tag(next.tag);
            self.take_ring(Arc::clone(&next.ring));
        }
        for peer in self.peers.all() {
            if !self
                .peers
                .slot(&peer)
                .is_some_and(|slot| self.peers.is_up(slot))
                && self.has_departed(&peer)
            {
                self.hints.target_up(peer); // so that its hints become due, for others
            }
        }
        if before.fences != next.fences {
            let sets = next.moving.values().flat_map(|moving| &moving.sets);
            for id in sets.flat_map(|set| &set.replicas) {
                self.peers.slot_or_new(*id);
            }
        }
        self.parts.transition.heeds(self.parts.thread, next.version);
        if before.fences != next.fences && !self.operations.is_empty() {
            self.restart_widened(now, &before, &next);
        }
    }

    fn restart_widened(&mut self, now: Now, before: &Snapshot, next: &Snapshot) {
        let widened = |p: &Partition| {
            let mut sets = next.active(*p);
            sets.any(|set| !before.active(*p).any(|old| old == set))
        };
        let widened: BTreeSet<Partition> = next.ring.partitions().filter(widened).collect();
        let ring = Arc::clone(&next.ring);
        let affected = |key: &[u8]| widened.contains(&ring.partition_of(Token::of(key)));
        let mut ids = Vec::new();
        for (id, operation) in self.operations.iter_mut() {
            let key = match operation {
                InFlight::Read(reading) => &reading.key,
                InFlight::Write(writing) => &writing.key,
                InFlight::Forward(_)
                | InFlight::Held(_)
                | InFlight::Hint(_)
                | InFlight::Probe(_) => continue,
            };
            if affected(key) {
                ids.push(id);
            }
        }
        for id in ids {
            self.restart(now, id);
        }
    }

    /// Whether this node, as a replica, may serve the message at hand: whether its sender counts in
    /// every set that is active here, and in no other if it has to be these `exactly`. `under` is what the
    /// sender said of its sets, if anything.
    #[cold]
    pub(super) fn admits(&self, token: Token, under: Option<&[u64]>, exactly: bool) -> bool {
        let snapshot = &self.snapshot;
        let partition = snapshot.ring.partition_of(token);
        let one;
        let counted: &[u64] = match under {
            Some(sets) => sets,
            None => {
                let ring = snapshot.ring_of(self.sender_tag);
                let set = ring.and_then(|ring| ring.replica_set(ring.partition_of(token)));
                let Some(set) = set else { return false };
                one = [set];
                &one
            }
        };
        let is_active = |counted: &u64| snapshot.active(partition).any(|set| set == *counted);
        snapshot.active(partition).all(|set| counted.contains(&set))
            && (!exactly || counted.iter().all(is_active))
    }

    /// Whether the sender of a request to be coordinated here counts its key in other sets than this node:
    /// then it may be another that decides it.
    pub(super) fn is_asked_from_elsewhere(&mut self, token: Token) -> bool {
        let under = self.under.take();
        let same_ring = self.sender_tag == self.snapshot.tag && !self.in_motion;
        let same = same_ring && under.is_none() || self.snapshot.tag == 0;
        !same && !self.admits(token, under.as_deref(), true)
    }

    /// A replica knows of a set in which this operation does not count, or does not know one in which
    /// it does.
    pub(super) fn refused_as_stale(&mut self, now: Now, id: OpId, from: Slot) {
        self.adopt(now);
        if self.operations.get(id).is_some() {
            self.stale.push((id, from));
            let peer = self.peers.id(from);
            self.ask_news(now, peer);
        }
    }

    /// What a peer refused may be served now that both know the same.
    pub(super) fn restart_refused_by(&mut self, now: Now, peer: NodeId) {
        let Some(slot) = self.peers.slot(&peer) else {
            return;
        };
        let (again, others) = self.stale.drain(..).partition(|(_, from)| *from == slot);
        self.stale = others;
        let again: Vec<(OpId, Slot)> = again;
        for (id, _) in again {
            self.restart(now, id);
        }
    }

    /// Asks again those that refused and have not answered since.
    pub(super) fn ask_those_who_refused(&mut self, now: Now) {
        let operations = &self.operations;
        self.stale.retain(|(id, _)| operations.get(*id).is_some());
        let peers: BTreeSet<Slot> = self.stale.iter().map(|(_, from)| *from).collect();
        for slot in peers {
            let peer = self.peers.id(slot);
            self.ask_news(now, peer);
        }
    }

    /// Counts an operation anew, within its deadline. Answers to what was asked before find nothing.
    fn restart(&mut self, now: Now, id: OpId) {
        match self.operations.get(id) {
            Some(InFlight::Read(_)) => {
                if let Some(InFlight::Read(reading)) = self.operations.remove(id) {
                    self.restart_read(now, reading);
                }
            }
            Some(InFlight::Write(_)) => {
                if let Some(InFlight::Write(writing)) = self.operations.remove(id) {
                    self.restart_write(now, writing);
                }
            }
            Some(
                InFlight::Forward(_) | InFlight::Held(_) | InFlight::Hint(_) | InFlight::Probe(_),
            )
            | None => {}
        }
    }

    fn restart_read(&mut self, now: Now, reading: Reading) {
        self.parts.counters.restarts.add(1);
        let key = Key::new(&reading.key);
        let left_ms = reading.deadline_ms.saturating_sub(now.mono_ms);
        let consistency = reading.consistency.within(left_ms);
        let placement = self.place_for(key, &consistency);
        let asker = reading.asker;
        if placement.own.is_some() {
            return self.begin_read(now, key, placement, &consistency, asker, reading.then);
        }
        let target = self.coordinator_for(&placement, None);
        let operation = match reading.then.as_deref() {
            None => Some(Operation::Get),
            Some(Then::Show(context)) => Some(Operation::GetAfter {
                context: Box::new(context.clone()),
            }),
            Some(Then::Confirm { max_staleness_ms }) => Some(Operation::GetWithin {
                max_staleness_ms: *max_staleness_ms,
            }),
            Some(Then::Whole) => Some(Operation::Rotate(Step::Whole)),
            Some(Then::Write { .. }) => None,
        };
        match target.zip(operation) {
            Some((target, operation)) => {
                let request = Request {
                    key: key.bytes,
                    operation,
                    options: Options::default(),
                };
                self.pass_on(now, &request, &consistency, asker, target);
            }
            None => {
                let failure = Failure::Failed {
                    needed: consistency.r(),
                    got: 0,
                    why: Shortage::NoCoordinator,
                };
                self.complete(asker.ticket, failed(failure));
            }
        }
    }

    /// The write lies in this node's store, so the record is sent whole: the delta is gone. It may lie
    /// with its former places too, and so cannot fail any more.
    fn restart_write(&mut self, now: Now, mut writing: Writing) {
        if writing.write.answer().is_some() {
            return self.settle_write(now, writing);
        }
        self.parts.counters.restarts.add(1);
        if !writing.recall(&self.parts, &mut self.delta) {
            let (needed, got) = (writing.consistency.w(), 0);
            return self.give_up(writing, Failure::Unknown { needed, got });
        }
        let placement = self.place_for(Key::new(&writing.key), &writing.consistency);
        if writing.decided && self.decider(&placement) != Some(self.me) {
            // Who decides it now need not have seen what this was made of.
            let (needed, got) = (writing.consistency.w(), 0);
            return self.give_up(writing, Failure::Unknown { needed, got });
        }
        let begun = Write::begin_again(
            &placement.places,
            placement.reachable,
            placement.sets(),
            &writing.consistency,
        );
        let mut write = match begun {
            Ok(write) => write,
            Err(error) => {
                return self.give_up(writing, write_failure(error, Shortage::Unreachable));
            }
        };
        let answer = placement
            .own
            .and_then(|own| write.acked(own, Kept::InMemory));
        writing.write = write;
        if let Some(answer) = answer {
            self.answer_write(&mut writing, answer);
        }
        let key = std::mem::take(&mut writing.key);
        let deadline_ms = writing.deadline_ms;
        self.replicate(now, writing, &key, deadline_ms);
        self.recycle(key);
    }

    fn give_up(&mut self, writing: Writing, failure: Failure) {
        self.recycle(writing.key);
        self.complete(writing.asker.ticket, failed(failure));
    }

    /// The places of a partition that moves: those of every active set, the oldest first.
    #[cold]
    pub(super) fn place_jointly(&self, moving: &Moving, at: Partition, sloppy: bool) -> Placement {
        let mut nodes: SmallVec<[Slot; 8]> = SmallVec::new();
        let mut sets: SmallVec<[PlaceSet; 4]> = SmallVec::new();
        for set in &moving.sets {
            let mut mask = PlaceSet::EMPTY;
            for node in set.replicas.iter().filter_map(|id| self.peers.slot(id)) {
                let known = nodes.iter().position(|other| *other == node);
                let place = known.unwrap_or_else(|| {
                    nodes.push(node);
                    nodes.len() - 1
                });
                mask.insert(place as u8);
            }
            sets.push(mask);
        }
        let mut placement = Placement {
            places: SmallVec::new(),
            reachable: PlaceSet::EMPTY,
            own: None,
            sets: Some(sets.into_vec().into()),
        };
        if nodes.len() > usize::from(MAX_PLACES) {
            return placement; // too many changes at once: nothing can be reached until some are over
        }
        let up = |slot: Slot| slot == self.me || self.peers.is_up(slot);
        let ring = &self.parts.ring;
        let members = &nodes;
        let mut fallbacks = ring
            .fallbacks(at)
            .map(|index| self.peers.member(index))
            .filter(|slot| sloppy && up(*slot) && !members.contains(slot));
        for (place, &node) in (0u8..).zip(&nodes) {
            let stand_in = if up(node) { None } else { fallbacks.next() };
            if node == self.me {
                placement.own = Some(place);
            }
            if up(node) || stand_in.is_some() {
                placement.reachable.insert(place);
            }
            placement.places.push(match stand_in {
                Some(fallback) => PlaceInfo::fallback(fallback, node),
                None => PlaceInfo::primary(node),
            });
        }
        placement
    }

    /// The sets that a message about this key has to name before it is sent; `None` for a partition
    /// that does not move.
    #[inline]
    pub(super) fn under(&self, key: &[u8]) -> Option<Under> {
        if !self.in_motion {
            return None;
        }
        let partition = self.partition(Key::new(key));
        let moves = self.snapshot.moving.contains_key(&partition);
        moves.then(|| Under(Arc::clone(&self.snapshot), partition))
    }

    /// Whether a node is in an active set of the key's partition.
    pub(super) fn owns(&self, slot: Slot, key: Key<'_>) -> bool {
        self.owners(self.partition(key)).contains(&slot)
    }

    pub(super) fn owners(&self, partition: Partition) -> SmallVec<[Slot; 8]> {
        match self.snapshot.moving.get(&partition) {
            Some(moving) => {
                let ids = moving.sets.iter().flat_map(|set| &set.replicas);
                ids.filter_map(|id| self.peers.slot(id)).collect()
            }
            None => {
                let primaries = self.parts.ring.primaries(partition).iter();
                primaries.map(|index| self.peers.member(*index)).collect()
            }
        }
    }
}

impl Writing {
    /// Reads the record that holds this write, to be sent again: the delta is gone. `false`: what lies
    /// here need not hold it, because records of the partition were handed over and dropped since it
    /// began. (They were found on one tick and dropped on a later one, so the time noted then is after
    /// the one at which any write that they hold began.)
    pub(super) fn recall(&self, parts: &EngineParts, record: &mut Vec<u8>) -> bool {
        let key = Key::new(&self.key);
        record.clear();
        parts.store.read(key, &mut |stored| {
            record.extend(stored.iter().flat_map(|it| it.record().as_bytes()));
        });
        let patience_ms = u64::from(self.consistency.deadline_ms());
        let began_ms = self.deadline_ms.saturating_sub(patience_ms);
        let partition = parts.ring.partition_of(key.token);
        // Only after reading: what is dropped is announced before.
        !record.is_empty() && !parts.transition.has_dropped(partition, began_ms)
    }
}

/// A partition that moves, and the sets in which its operations count now.
pub(super) struct Under(Arc<Snapshot>, Partition);

impl Under {
    pub(super) fn message(&self) -> Message<'_> {
        let sets = self
            .0
            .moving
            .get(&self.1)
            .map_or(&[][..], |moving| &moving.wire);
        Message::Under { sets }
    }
}

impl Placement {
    /// The sets in each of which an operation has to count; none if all places are one.
    #[inline]
    pub(super) fn sets(&self) -> &[PlaceSet] {
        self.sets.as_deref().unwrap_or(&[])
    }

    /// How many places the largest set has.
    pub(super) fn width(&self) -> usize {
        let widths = self.sets().iter().map(|set| usize::from(set.len()));
        widths.max().unwrap_or(self.places.len())
    }
}

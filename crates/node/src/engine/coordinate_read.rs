//! Reads: this node holds a replica and asks as many others as R needs.

use henge_coordinator::{Consistency, Held, Mode, OpId, Read, ReadError, ReadStep};
use henge_rpc::Message;
use henge_store::{Key, StoreError};
use henge_versioning::{Merge, RecordRef, merge};

use super::{
    Counters, Engine, Now, Placement, Slot,
    operation::{Asker, InFlight, Reading, Then, failed, read_receipt},
    showing::Shown,
};
use crate::{Done, Failure, Outcome, Shortage, buffers};

/// What a replica said to a read.
pub(super) enum Answer<'a> {
    Same,
    Absent,
    Record(&'a [u8]),
    No,
}

impl Engine {
    /// Starts a read. `then`: the write that waits for what it finds, or what it has to show.
    pub(super) fn begin_read(
        &mut self,
        now: Now,
        key: Key<'_>,
        mut placement: Placement,
        consistency: &Consistency,
        asker: Asker,
        then: Option<Box<Then>>,
    ) {
        self.parts.counters.reads.add(1);
        own_place_first(&mut placement);
        let begun = self.look_here(key, &placement, consistency);
        self.list_read(now, key, begun, consistency, asker, then);
    }

    /// A read while every member can be reached, of a key whose replica is here: nothing has to be
    /// looked for. `false`: it is not that.
    pub(super) fn begin_usual_read(
        &mut self,
        now: Now,
        key: Key<'_>,
        consistency: &Consistency,
        asker: Asker,
    ) -> bool {
        if !self.filled || self.in_motion || !self.peers.all_up() {
            return false;
        }
        let usual = self.usual_reads.get(self.partition(key));
        let Some(placement) = usual.filter(|placement| placement.own.is_some()) else {
            return false;
        };
        self.parts.counters.reads.add(1);
        let begun = self.look_here(key, placement, consistency);
        self.list_read(now, key, begun, consistency, asker, None);
        true
    }

    /// A read that this node's own record answers. What belongs to it is read as `consistency` says.
    pub(super) fn answer_alone(
        &mut self,
        now: Now,
        key: Key<'_>,
        mut placement: Placement,
        consistency: &Consistency,
        asker: Asker,
    ) {
        self.parts.counters.reads.add(1);
        own_place_first(&mut placement);
        let begun = self.look_here(key, &placement, &consistency.of_one());
        self.list_read(now, key, begun, consistency, asker, None);
    }

    /// What this node holds, and the read that begins with it. This node's own place is the first.
    fn look_here(
        &self,
        key: Key<'_>,
        placement: &Placement,
        consistency: &Consistency,
    ) -> (Result<Read, ReadError>, Vec<u8>, Held) {
        let (record, held) = self.own_record(key);
        let repair_first = consistency.mode() == Mode::Strict
            && consistency.can_be_monotonic(placement.width() as u8);
        let read = Read::begin_jointly(
            &placement.places,
            placement.reachable,
            placement.sets(),
            held,
            repair_first,
            consistency,
        );
        (read, record, held)
    }

    /// Lists a read among the operations in flight and asks the other places.
    fn list_read(
        &mut self,
        now: Now,
        of: Key<'_>,
        (begun, record, held): (Result<Read, ReadError>, Vec<u8>, Held),
        consistency: &Consistency,
        asker: Asker,
        then: Option<Box<Then>>,
    ) {
        let mut read = match begun {
            Ok(read) => read,
            Err(error) => {
                buffers::take_back(record);
                return self.complete(
                    asker.ticket,
                    failed(read_failure(error, Shortage::Unreachable)),
                );
            }
        };
        // The first place is this node's own, and its answer is here already.
        read.next_to_ask();
        let step = read.replied(0, held);
        let is_looked_at = self.probes.is_due();
        let mut key = self.buffer();
        key.extend_from_slice(of.bytes);
        let deadline_ms = now.mono_ms + u64::from(consistency.deadline_ms());
        let mut reading = Reading {
            asker,
            read,
            key,
            record,
            held,
            then,
            deadline_ms,
            consistency: *consistency,
        };
        if is_looked_at {
            self.probe(now, &reading);
        }
        if step != ReadStep::Wait {
            let step = reading.merged_if(step, &self.parts.counters);
            if step != ReadStep::Wait {
                return self.finish_read(now, reading, step);
            }
        }
        self.hedges.earn();
        let wake_ms = deadline_ms.min(now.mono_ms + self.ranking.hedge_ms);
        match self.operations.insert(InFlight::Read(reading), wake_ms) {
            Ok(id) => {
                self.ask_more(id);
                if is_looked_at {
                    self.sample_read(now, id);
                }
            }
            Err(busy) => self.refuse(asker, busy.in_flight),
        }
    }

    /// Measures how long those take that a read has asked.
    #[cold]
    fn sample_read(&mut self, now: Now, id: OpId) {
        if let Some(InFlight::Read(reading)) = self.operations.get(id) {
            let asked = reading.read.unanswered().iter();
            let asked = asked.filter_map(|place| reading.read.place(place));
            let asked = asked.map(|info| info.node);
            self.sampling.sample_read(now, id, asked);
        }
    }

    /// A replica's answer to one of our reads.
    pub(super) fn read_answered(&mut self, now: Now, id: OpId, from: Slot, answer: Answer<'_>) {
        if self.sampling.is_sampled_read(id) {
            self.sampling.read_heard(now, from);
        }
        let reading = match self.operations.get_mut(id) {
            Some(InFlight::Read(reading)) => reading,
            Some(InFlight::Probe(_)) => return self.probe_answered(now, id, from, answer),
            Some(InFlight::Write(_) | InFlight::Hint(_)) => {
                return self.overruled(now, id, from, answer);
            }
            Some(InFlight::Forward(_) | InFlight::Held(_)) | None => return,
        };
        let Some(place) = reading.read.place_of(from) else {
            return;
        };
        let step = match answer {
            Answer::Same => reading.read.same(place),
            Answer::Absent => reading.read.replied(place, None),
            Answer::No => reading.read.failed(place),
            // The answer is being repaired or is given already: what comes now would change it.
            Answer::Record(bytes) if !reading.read.is_collecting() => {
                match RecordRef::parse(bytes) {
                    Ok(record) => reading.read.replied(place, Some(record.digest())),
                    Err(_) => reading.read.failed(place),
                }
            }
            Answer::Record(bytes) => match reading.take_in(bytes, &mut self.delta) {
                Some((digest, newest)) => {
                    // A stamp beyond the bound is not taken over; the value still is what it is.
                    let _ = self.parts.clock.observe(newest.time, now.wall_ms);
                    reading.read.replied(place, Some(digest))
                }
                None => reading.read.failed(place),
            },
        };
        self.drive(now, id, step);
    }

    /// A replica holds the record that the answer of a strict read waits for, or refused it.
    pub(super) fn read_repaired(&mut self, now: Now, id: OpId, from: Slot, kept: bool) {
        let Some(InFlight::Read(reading)) = self.operations.get_mut(id) else {
            return;
        };
        let Some(place) = reading.read.place_of(from) else {
            return;
        };
        let read = &mut reading.read;
        let step = if kept {
            read.repaired(place)
        } else {
            read.failed(place)
        };
        self.drive(now, id, step);
    }

    /// A peer's link went down.
    pub(super) fn read_lost(&mut self, now: Now, id: OpId, lost: Slot) {
        let Some(InFlight::Read(reading)) = self.operations.get_mut(id) else {
            return;
        };
        let Some(place) = reading.read.place_of(lost) else {
            return;
        };
        let step = reading.read.failed(place);
        self.drive(now, id, step);
    }

    /// The wheel rang: time to hedge, or time to give up.
    pub(super) fn read_due(&mut self, now: Now, id: OpId) {
        let Some(InFlight::Read(reading)) = self.operations.get_mut(id) else {
            return;
        };
        let deadline_ms = reading.deadline_ms;
        if now.mono_ms >= deadline_ms {
            let step = reading.read.deadline();
            return self.drive(now, id, step);
        }
        if self.hedges.hedge(&mut reading.read) {
            self.parts.counters.hedged_reads.add(1);
        }
        self.operations.set_deadline(id, deadline_ms);
        self.ask_more(id);
    }

    fn own_record(&self, key: Key<'_>) -> (Vec<u8>, Held) {
        let mut record = buffers::record();
        let mut held = None;
        self.parts.store.read(key, &mut |stored| {
            if let Some(stored) = stored {
                record.extend_from_slice(stored.bytes);
                held = Some(stored.digest);
            }
        });
        (record, held)
    }

    fn ask_more(&mut self, id: OpId) {
        let under = match self.in_motion {
            true => self.under_of(id),
            false => None,
        };
        let Some(InFlight::Read(reading)) = self.operations.get_mut(id) else {
            return;
        };
        let peers = &mut self.peers;
        while let Some(place) = reading.read.next_to_ask_by(|node| peers.cost(node)) {
            let Some(info) = reading.read.place(place) else {
                break;
            };
            let message = Message::Read {
                op: id.0,
                digest: reading.read.base().unwrap_or(0),
                key: &reading.key,
            };
            if let Some(under) = &under {
                peers.send(info.node, &under.message());
            }
            peers.send(info.node, &message);
        }
    }

    /// The sets that messages of a read have to name.
    fn under_of(&self, id: OpId) -> Option<super::in_motion::Under> {
        match self.operations.get(id)? {
            InFlight::Read(reading) => self.under(&reading.key),
            _ => None,
        }
    }

    fn drive(&mut self, now: Now, id: OpId, step: ReadStep) {
        if step == ReadStep::Wait {
            self.ask_more(id);
            self.repair_more(now, id);
            return;
        }
        if let Some(InFlight::Read(reading)) = self.operations.get_mut(id)
            && step == ReadStep::Merge
        {
            match reading.merged_if(step, &self.parts.counters) {
                ReadStep::Wait => {
                    self.ask_more(id);
                    return self.repair_more(now, id);
                }
                next => return self.end_read(now, id, next),
            }
        }
        self.end_read(now, id, step);
    }

    /// Sends the merged record to the places for which a strict read waits.
    fn repair_more(&mut self, now: Now, id: OpId) {
        let under = match self.in_motion {
            true => self.under_of(id),
            false => None,
        };
        loop {
            let Some(InFlight::Read(reading)) = self.operations.get_mut(id) else {
                return;
            };
            let Some(place) = reading.read.next_to_repair() else {
                return;
            };
            let Some(info) = reading.read.place(place) else {
                return;
            };
            self.parts.counters.read_repairs.add(1);
            if info.node != self.me {
                let (key, record) = (&reading.key[..], &reading.record[..]);
                let message = Message::Write {
                    op: id.0,
                    hint_for: None,
                    key,
                    record,
                };
                if let Some(under) = &under {
                    self.peers.send(info.node, &under.message());
                }
                self.peers.send(info.node, &message);
                continue;
            }
            let kept = reading.merge_into(&*self.parts.store);
            let read = &mut reading.read;
            let step = if kept {
                read.repaired(place)
            } else {
                read.failed(place)
            };
            if step != ReadStep::Wait {
                return self.end_read(now, id, step);
            }
        }
    }

    fn end_read(&mut self, now: Now, id: OpId, step: ReadStep) {
        if step == ReadStep::Answer && self.end_plain_read(id) {
            return;
        }
        if let Some(InFlight::Read(reading)) = self.operations.remove(id) {
            self.finish_read(now, reading, step);
        }
    }

    /// The usual end: nothing to repair, nothing that waits, no receipt. The operation is not moved.
    fn end_plain_read(&mut self, id: OpId) -> bool {
        let Some(InFlight::Read(reading)) = self.operations.get_mut(id) else {
            return false;
        };
        let plain = reading.then.is_none()
            && !reading.asker.receipt
            && !RecordRef::has_fields(&reading.record)
            && reading.read.repair_owed(reading.held).is_empty();
        if plain {
            let record = found(reading.held, std::mem::take(&mut reading.record));
            let (ticket, key) = (reading.asker.ticket, std::mem::take(&mut reading.key));
            self.operations.discard(id);
            self.recycle(key);
            let done = Done {
                applied: record.is_some(),
                absorbed: false,
                record,
            };
            self.complete(
                ticket,
                Outcome {
                    result: Ok(done),
                    receipt: None,
                },
            );
        }
        plain
    }

    fn finish_read(&mut self, now: Now, mut reading: Reading, step: ReadStep) {
        let receipt = reading
            .asker
            .receipt
            .then(|| Box::new(read_receipt(&reading.read, |slot| self.peers.id(slot))));
        if let ReadStep::Fail(error) = step {
            let ticket = reading.asker.ticket;
            let result = match reading.is_over(error, now) {
                true => Ok(Done::default()),
                false => Err(read_failure(error, Shortage::Silent)),
            };
            let outcome = Outcome { result, receipt };
            self.recycle(reading.key);
            buffers::take_back(reading.record);
            return self.complete(ticket, outcome);
        }
        self.repair_after(&reading);
        if let Some(Then::Confirm { .. }) = reading.then.as_deref() {
            self.confirm(&reading);
        }
        let is_whole = matches!(reading.then.as_deref(), Some(Then::Whole));
        if let Some(Then::Write { request, version }) = reading.then.take().map(|then| *then) {
            match reading.keep_here(&*self.parts.store) {
                Ok(()) => self.go_on(now, &reading, &request, version),
                Err(error) => self.refuse_write(reading.asker, error),
            }
            self.recycle(reading.key);
            return buffers::take_back(reading.record);
        }
        let record = found(reading.held, reading.record);
        let done = Done {
            applied: record.is_some(),
            absorbed: false,
            record,
        };
        let shown = Shown {
            key: &reading.key,
            consistency: &reading.consistency,
            deadline_ms: reading.deadline_ms,
            ticket: reading.asker.ticket,
        };
        let (result, ticket) = (Ok(done), shown.ticket);
        match is_whole {
            true => self.complete(ticket, Outcome { result, receipt }),
            false => self.show_record(now, shown, Outcome { result, receipt }),
        }
        self.recycle(reading.key);
    }

    /// Read repair: whoever answered with less gets the merged record, unasked and unconfirmed.
    fn repair_after(&mut self, reading: &Reading) {
        let owed = reading.read.repair_owed(reading.held);
        if owed.is_empty() {
            return;
        }
        self.parts.counters.divergent_reads.add(1);
        if self.neither_hints_nor_read_repair {
            return;
        }
        for place in owed.iter() {
            let Some(info) = reading.read.place(place) else {
                continue;
            };
            self.parts.counters.read_repairs.add(1);
            if info.node == self.me {
                reading.merge_into(&*self.parts.store);
            } else if self.peers.is_up(info.node) {
                let message = Message::Repair {
                    key: &reading.key,
                    record: &reading.record,
                };
                self.peers.send(info.node, &message);
            }
        }
    }

    /// The write that waited for this read.
    fn go_on(&mut self, now: Now, reading: &Reading, request: &[u8], version: u64) {
        if let Some(request) = super::forward::decode_request(request) {
            self.write_knowing(now, &request, version, reading.asker);
        }
    }

    fn refuse(&mut self, asker: Asker, in_flight: usize) {
        let failure = Failure::Busy {
            in_flight: in_flight as u64,
        };
        self.complete(asker.ticket, failed(failure));
    }
}

impl Reading {
    /// Enough have answered, if the step says so: goes on with what they hold, or asks everybody if
    /// that is older than what has to be shown.
    #[inline]
    fn merged_if(&mut self, step: ReadStep, counters: &Counters) -> ReadStep {
        match step {
            ReadStep::Merge if self.then.is_none() || self.shows_enough() => {
                self.read.merged(self.held)
            }
            ReadStep::Merge => {
                counters.older_reads.add(1);
                self.read.ask_on()
            }
            other => other,
        }
    }

    #[cold]
    fn shows_enough(&self) -> bool {
        match self.then.as_deref() {
            Some(Then::Show(context)) => {
                let record = self.held.and_then(|_| RecordRef::parse(&self.record).ok());
                context.is_in(record)
            }
            Some(Then::Write { .. } | Then::Confirm { .. } | Then::Whole) | None => true,
        }
    }

    /// What had to be shown has ended by itself by now, and is so much forgotten that a majority of
    /// the replicas knows nothing of it: it is absent, and no failure.
    fn is_over(&self, error: ReadError, now: Now) -> bool {
        match (self.then.as_deref(), error) {
            (Some(Then::Show(context)), ReadError::Older { needed, got }) => {
                context.is_over(now.wall_ms) && got > needed / 2
            }
            _ => false,
        }
    }

    /// Merges a replica's record; answers its digest and newest stamp. `None`: not a record.
    fn take_in(
        &mut self,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Option<(u64, henge_versioning::Stamp)> {
        let incoming = RecordRef::parse(bytes).ok()?;
        let digest = incoming.digest();
        if self.held.is_none() {
            self.record.clear();
            self.record.extend_from_slice(bytes);
            self.held = Some(digest);
            return Some((digest, incoming.newest()));
        }
        match merge(&self.record, bytes, scratch).ok()? {
            Merge::Unchanged => {}
            Merge::Incoming => {
                self.record.clear();
                self.record.extend_from_slice(bytes);
                self.held = Some(digest);
            }
            Merge::Joined => {
                std::mem::swap(&mut self.record, scratch);
                self.held = Some(RecordRef::parse(&self.record).ok()?.digest());
            }
        }
        Some((digest, incoming.newest()))
    }

    /// Sees to it that this node holds what was read, for a write is decided by what lies here: by
    /// an older record it could overrule what the read found.
    pub(super) fn keep_here(&self, store: &dyn henge_store::Store) -> Result<(), StoreError> {
        let key = Key::new(&self.key);
        if self.held.is_none() || store.digest(key) == self.held {
            return Ok(());
        }
        store.merge(key, RecordRef::parse(&self.record)?).map(drop)
    }

    fn merge_into(&self, store: &dyn henge_store::Store) -> bool {
        match (self.held, RecordRef::parse(&self.record)) {
            (Some(_), Ok(record)) => store.merge(Key::new(&self.key), record).is_ok(),
            _ => false,
        }
    }
}

/// The record that a read found. Where there is none its buffer goes back: a record that is found
/// comes back when the answer is written.
#[inline]
fn found(held: Held, record: Vec<u8>) -> Option<Vec<u8>> {
    if held.is_none() {
        buffers::take_back(record);
        return None;
    }
    Some(record)
}

/// Moves this node's own place to the front: it answers at once and for nothing.
pub(super) fn own_place_first(placement: &mut Placement) {
    let Some(own) = placement.own else {
        return;
    };
    placement.places.swap(0, usize::from(own));
    let renumbered = |place: u8| match place {
        0 => own,
        place if place == own => 0,
        place => place,
    };
    placement.own = Some(0);
    placement.reachable = placement.reachable.iter().map(renumbered).collect();
    let swapped = |set: &henge_coordinator::PlaceSet| {
        set.iter()
            .map(renumbered)
            .collect::<henge_coordinator::PlaceSet>()
    };
    if let Some(sets) = &mut placement.sets {
        sets.iter_mut().for_each(|set| *set = swapped(set));
    }
}

fn read_failure(error: ReadError, why: Shortage) -> Failure {
    let (needed, got, why) = match error {
        ReadError::Unanswered { needed, got } | ReadError::Unrepaired { needed, got } => {
            (needed, got, why)
        }
        ReadError::Older { needed, got } => (needed, got, Shortage::Older),
    };
    Failure::Failed { needed, got, why }
}

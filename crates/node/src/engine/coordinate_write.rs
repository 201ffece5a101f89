//! Writes: this node holds a replica, decides and stamps the write, and sends its delta on.

use henge_coordinator::{
    Consistency, Kept, OpId, PlaceInfo, Refusal, Write, WriteAnswer, WriteError,
};
use henge_rpc::Message;
use henge_store::{Key, StoreError};
use henge_versioning::RecordRef;

use super::{
    Engine, Now, Placement, Slot,
    coordinate_read::Answer,
    operation::{Asker, InFlight, Then, Writing, failed, receipt_of, written_by},
    rules::{self, When},
    showing::Shown,
    touches::covered,
};
use crate::{
    Done, Failure, OnDead, Operation, Outcome, Receipt, Request, Shortage, Unready,
    hidden::{self, Hidden},
};

mod apply;
use apply::Local;

impl Engine {
    /// Coordinates a write, given with its key hashed. `known` tells that a quorum read has just gone
    /// before it.
    pub(super) fn begin_write(
        &mut self,
        now: Now,
        (request, key): (&Request<'_>, Key<'_>),
        placement: Placement,
        consistency: &Consistency,
        asker: Asker,
        known: bool,
    ) {
        if let Some(busy) = self.busy() {
            return self.complete(asker.ticket, failed(busy));
        }
        let begun = Write::begin_jointly(
            &placement.places,
            placement.reachable,
            placement.sets(),
            consistency,
        );
        let mut write = match begun {
            Ok(write) => write,
            Err(error) => {
                let failure = write_failure(error, Shortage::Unreachable);
                return self.complete(asker.ticket, failed(failure));
            }
        };
        let Some(own) = placement.own else { return };
        if self.is_covered(now, request, key, consistency, asker) {
            return self.complete(asker.ticket, covered());
        }
        let mut before = None;
        let when = When {
            now_ms: now.wall_ms,
            latest_ms: now.wall_ms
                + u64::from(consistency.deadline_ms())
                + self.parts.clock.max_skew_ms(),
        };
        let local = match self.apply_here((now, when), key, request, known, &mut before) {
            Ok(local) => local,
            Err(error) => return self.refuse_write(asker, error),
        };
        match local {
            Local::ReadFirst => {
                let request = super::forward::encode_request(request);
                let version = self.snapshot.version;
                let then = Some(Box::new(Then::Write { request, version }));
                return self.begin_read(now, key, placement, consistency, asker, then);
            }
            Local::Absorbed if self.buckets.of(key.bytes).on_dead == OnDead::Error => {
                return self.complete(asker.ticket, failed(Failure::Dead));
            }
            Local::Declined | Local::Absorbed => {
                let shown = Shown {
                    key: key.bytes,
                    consistency,
                    deadline_ms: now.mono_ms + u64::from(consistency.deadline_ms()),
                    ticket: asker.ticket,
                };
                let absorbed = local == Local::Absorbed;
                return self.end_without_effect(now, shown, absorbed, before);
            }
            Local::Elsewhere => {
                let new = self.delta.clone();
                return self.pass_on_to(now, &new, request, asker.ticket);
            }
            Local::TooManySiblings { count, most } => {
                let text = format!(
                    "{count} concurrent values are kept already, at most {most}: read \
                     them and write with the context that came with them"
                );
                return self.complete(asker.ticket, failed(Failure::Invalid(text)));
            }
            Local::TooLong { length, most } => {
                let failure = super::too_long(length, most);
                return self.complete(asker.ticket, failed(failure));
            }
            Local::AtTheEndOfTime => {
                let text = "the record is stamped with the end of time: no write can come after it";
                let failure = Failure::Invalid(text.to_owned());
                return self.complete(asker.ticket, failed(failure));
            }
            Local::Applied | Local::Modified | Local::Confirmed { .. } => {}
        }
        self.parts.counters.writes.add(1);
        let deadline_ms = now.mono_ms + u64::from(consistency.deadline_ms());
        let exchanged = matches!(request.operation, Operation::Exchange { .. });
        let (record, asker) = match (before, &local) {
            (Some(before), _) if exchanged || local == Local::Modified => {
                let shown = Shown {
                    key: key.bytes,
                    consistency,
                    deadline_ms,
                    ticket: asker.ticket,
                };
                let ticket = self.tell_if_shown(now, shown, &before);
                let told = match exchanged {
                    true => RecordRef::parse(&before)
                        .is_ok_and(|before| before.is_live(now.wall_ms))
                        .then(|| hidden::visible(&before).unwrap_or(before)),
                    false => Some(self.delta.clone()),
                };
                (told, Asker { ticket, ..asker })
            }
            // Whether a session with hidden fields may be shown is not known here.
            (Some(before), _) if Hidden::is_in(&before) => (None, asker),
            (before, _) => (before, asker),
        };
        let done = Done {
            applied: !matches!(local, Local::Confirmed { .. }),
            absorbed: local == Local::Confirmed { dead: true },
            record,
        };
        let answer = write.acked(own, Kept::InMemory);
        let mut writing = Writing {
            asker,
            write,
            done,
            decided: rules::needs_one_decider(&request.operation),
            written: asker.receipt.then(|| written_by(&self.delta)).flatten(),
            touched: self.touched(request),
            key: Vec::new(),
            deadline_ms,
            consistency: *consistency,
        };
        if let Some(answer) = answer {
            let in_force = !self.in_motion && answer.is_ok();
            if let Some(touched) = writing.touched.filter(|_| in_force) {
                self.touches.note(key.bytes, touched, 1);
            }
            self.answer_write(&mut writing, answer);
        }
        self.replicate(now, writing, request.key, deadline_ms);
    }

    /// The write of a request whose record has just been read at quorum. `version` is of what was known of
    /// moving partitions before that.
    pub(super) fn write_knowing(
        &mut self,
        now: Now,
        request: &Request<'_>,
        version: u64,
        asker: Asker,
    ) {
        if let Some(why) = self.astray() {
            return self.complete(asker.ticket, failed(Failure::NotReady(why)));
        }
        let n = usize::from(self.parts.defaults.n).min(self.parts.ring.members().len());
        match self.consistency(request, n) {
            Err(failure) => self.complete(asker.ticket, failed(failure)),
            Ok(consistency) => {
                let key = Key::new(request.key);
                let placement = self.place_for(key, &consistency);
                if placement.own.is_none() {
                    let failure = Failure::Failed {
                        needed: consistency.w(),
                        got: 0,
                        why: Shortage::NoCoordinator,
                    };
                    return self.complete(asker.ticket, failed(failure));
                }
                if self.snapshot.version != version
                    && rules::needs_one_decider(&request.operation)
                    && self.decider(&placement) != Some(self.me)
                {
                    let failure = Failure::NotReady(Unready::Moving);
                    return self.complete(asker.ticket, failed(failure));
                }
                self.begin_write(now, (request, key), placement, &consistency, asker, true);
            }
        }
    }

    /// A replica keeps the write.
    pub(super) fn write_acked(&mut self, now: Now, id: OpId, from: Slot) {
        self.write_event(now, id, from, |write, place| {
            write.acked(place, Kept::InMemory)
        });
    }

    /// A replica will not keep it.
    pub(super) fn write_refused(&mut self, now: Now, id: OpId, from: Slot, why: Refusal) {
        self.write_event(now, id, from, |write, place| write.refused(place, why));
    }

    /// A replica answers a write or a hint with a later life of the session, beside which it counts for
    /// nothing. That life is taken over, so that it is known here when the client tries again.
    pub(super) fn overruled(&mut self, now: Now, id: OpId, from: Slot, by: Answer<'_>) {
        let key = match self.operations.get_mut(id) {
            Some(InFlight::Write(writing)) => writing.key.clone(),
            Some(InFlight::Hint(hint)) => hint.key.clone(),
            _ => return,
        };
        let Answer::Record(record) = by else {
            self.parts.counters.bad_messages.add(1);
            return;
        };
        self.sampling.refused(id, from);
        // Where it cannot be kept the next write learns of it as this one did.
        let _ = self.keep(now, Key::new(&key), record);
        match self.operations.get_mut(id) {
            Some(InFlight::Hint(_)) => self.hint_acked(id, from),
            _ => self.write_refused(now, id, from, Refusal::Overruled),
        }
    }

    /// A peer's link went down: another node stands in, if the request allows one.
    pub(super) fn write_lost(&mut self, now: Now, id: OpId, lost: Slot) {
        if !self.stand_in(id, lost) {
            self.write_event(now, id, lost, |write, place| write.lost(place));
        }
    }

    /// Gives the place of a lost node to the first live fallback that fills none yet.
    fn stand_in(&mut self, id: OpId, lost: Slot) -> bool {
        let Some(InFlight::Write(writing)) = self.operations.get_mut(id) else {
            return false;
        };
        let Some(place) = writing.write.place_of(lost) else {
            return false;
        };
        let key = Key::new(&writing.key);
        let partition = self.parts.ring.partition_of(key.token);
        let peers = &mut self.peers;
        let fallbacks = self.parts.ring.fallbacks(partition);
        let mut live = fallbacks
            .map(|index| peers.member(index))
            .filter(|slot| peers.is_up(*slot));
        let Some(node) = live.find(|node| writing.write.reroute(place, *node)) else {
            return false;
        };
        let primary = writing.write.place(place).map_or(lost, |info| info.owner());
        let hint_for = Some(peers.id(primary));
        // Where it cannot be sent any more the place stays silent.
        if writing.recall(&self.parts, &mut self.delta) {
            let message = Message::Write {
                op: id.0,
                hint_for,
                key: key.bytes,
                record: &self.delta,
            };
            peers.send(node, &message);
        }
        true
    }

    /// The wheel rang: the request's time is up, and its late acknowledgements' time too.
    pub(super) fn write_due(&mut self, now: Now, id: OpId) {
        let Some(InFlight::Write(mut writing)) = self.operations.remove(id) else {
            return;
        };
        if let Some(answer) = writing.write.deadline() {
            self.answer_write(&mut writing, answer);
        }
        self.settle_write(now, writing);
    }

    fn write_event(
        &mut self,
        now: Now,
        id: OpId,
        from: Slot,
        event: impl FnOnce(&mut Write, u8) -> Option<WriteAnswer>,
    ) {
        let Some(InFlight::Write(writing)) = self.operations.get_mut(id) else {
            return;
        };
        let Some(place) = writing.write.place_of(from) else {
            return;
        };
        let answer = event(&mut writing.write, place);
        let settled = writing.write.is_settled();
        if let Some(answer) = answer {
            let outcome = writing.answer(answer, |slot| self.peers.id(slot));
            let ticket = writing.asker.ticket;
            let in_force = !self.in_motion && outcome.result.is_ok();
            if let Some(touched) = writing.touched.filter(|_| in_force) {
                let acked = primaries(&writing.write);
                self.touches.note(&writing.key, touched, acked);
            }
            self.complete(ticket, outcome);
        }
        if settled {
            self.settle_listed(now, id);
        }
    }

    /// Nothing more comes in for a listed write. Usually nothing is owed either, and it ends where it
    /// lies: it is large to move.
    fn settle_listed(&mut self, now: Now, id: OpId) {
        let Some(InFlight::Write(writing)) = self.operations.get_mut(id) else {
            return;
        };
        if writing.write.owed().next().is_none() {
            let key = std::mem::take(&mut writing.key);
            self.operations.discard(id);
            return self.recycle(key);
        }
        if let Some(InFlight::Write(writing)) = self.operations.remove(id) {
            self.settle_write(now, writing);
        }
    }

    /// Appends the delta to every other place's batch and lists the operation, unless there is
    /// nobody else to wait for.
    pub(super) fn replicate(
        &mut self,
        now: Now,
        mut writing: Writing,
        key: &[u8],
        deadline_ms: u64,
    ) {
        let waiting = writing.write.unanswered();
        if waiting.is_empty() {
            writing.key.extend_from_slice(key);
            return self.settle_write(now, writing);
        }
        writing.key = self.buffer();
        writing.key.extend_from_slice(key);
        let mut to = smallvec::SmallVec::<[PlaceInfo; 5]>::new();
        for place in waiting {
            to.extend(writing.write.place(place));
        }
        let tally = writing.write.tally();
        let awaited = tally.need().saturating_sub(tally.got()).max(1);
        let cost = |info: &PlaceInfo| self.peers.cost(info.node);
        match to.as_mut_slice() {
            // What there nearly always is.
            [a, b] if cost(b) >= cost(a) => {}
            [a, b] => std::mem::swap(a, b),
            all => all.sort_unstable_by_key(cost),
        }
        let (asker, decided) = (writing.asker, writing.decided);
        let id = match self
            .operations
            .insert(InFlight::Write(writing), deadline_ms)
        {
            Ok(id) => id,
            // Checked before anything was written; a second look that differs is a lost race with
            // this very call, and the local replica holds the write by now.
            Err(_) => {
                let failure = Failure::Unknown {
                    needed: waiting.len() + 1,
                    got: 1,
                };
                return self.complete(asker.ticket, failed(failure));
            }
        };
        if self.sampling.write_is_due() {
            let to = to.iter().map(|info| info.node);
            self.sampling.sample_write(now, id, to);
        }
        let under = self.under(key);
        // Of several sets nobody counts beforehand who is needed.
        let awaited = if under.is_some() { u8::MAX } else { awaited };
        for (info, nth) in to.into_iter().zip(0u8..) {
            if let Some(under) = &under {
                self.peers.send(info.node, &under.message());
            }
            if decided {
                // Not urgent by itself: it goes with the write.
                self.peers.send_soon(info.node, &Message::Decided);
            }
            let hint_for = info.stands_for.map(|primary| self.peers.id(primary));
            let message = Message::Write {
                op: id.0,
                hint_for,
                key,
                record: &self.delta,
            };
            if nth < awaited {
                self.peers.send(info.node, &message);
            } else {
                self.peers.send_soon(info.node, &message);
            }
        }
    }

    pub(super) fn answer_write(&mut self, writing: &mut Writing, answer: WriteAnswer) {
        let outcome = writing.answer(answer, |slot| self.peers.id(slot));
        self.complete(writing.asker.ticket, outcome);
    }

    /// Nothing more comes in: what is still owed becomes hints.
    pub(super) fn settle_write(&mut self, now: Now, writing: Writing) {
        for owed in writing.write.owed() {
            self.keep_hint(now, owed.target, &writing.key);
        }
        self.recycle(writing.key);
    }

    fn end_without_effect(
        &mut self,
        now: Now,
        shown: Shown<'_>,
        absorbed: bool,
        before: Option<Vec<u8>>,
    ) {
        let done = Done {
            applied: false,
            absorbed,
            record: before,
        };
        let outcome = Outcome {
            result: Ok(done),
            receipt: None,
        };
        self.show_record(now, shown, outcome);
    }

    pub(super) fn refuse_write(&mut self, asker: Asker, error: StoreError) {
        let failure = match error {
            StoreError::Full { .. } => {
                self.parts.counters.full_refused.add(1);
                Failure::Full(error.to_string())
            }
            other => Failure::Invalid(other.to_string()),
        };
        self.complete(asker.ticket, failed(failure));
    }
}

impl Writing {
    /// What the client is told.
    fn answer(&mut self, answer: WriteAnswer, id: impl Fn(Slot) -> henge_ring::NodeId) -> Outcome {
        let done = std::mem::take(&mut self.done);
        let receipt = self.asker.receipt.then(|| {
            let written = self.written.take();
            let receipt = receipt_of(&self.write.receipt(), id);
            Box::new(Receipt { written, ..receipt })
        });
        Outcome {
            result: outcome(&self.write, answer, done),
            receipt,
        }
    }
}

/// How many primaries have acknowledged a write.
fn primaries(write: &Write) -> u8 {
    let is_primary = |place: &u8| write.place(*place).is_some_and(|it| !it.is_fallback());
    write.tally().acked().iter().filter(is_primary).count() as u8
}

fn outcome(write: &Write, answer: WriteAnswer, done: Done) -> Result<Done, Failure> {
    answer
        .map(|()| done)
        .map_err(|error| match (error, write.refusal()) {
            (WriteError::Failed { .. }, Some(Refusal::Full)) => {
                Failure::Full("the memory of too many replicas is full".to_owned())
            }
            _ => write_failure(error, Shortage::Silent),
        })
}

pub(super) fn write_failure(error: WriteError, why: Shortage) -> Failure {
    match error {
        WriteError::Failed { needed, got } => Failure::Failed { needed, got, why },
        WriteError::Unknown { needed, got } => Failure::Unknown { needed, got },
    }
}

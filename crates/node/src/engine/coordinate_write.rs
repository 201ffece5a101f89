//! Writes: this node holds a replica, decides and stamps the write, and sends its delta on.

use std::sync::atomic::Ordering;

use henge_coordinator::{
    Consistency, Kept, OpId, PlaceInfo, Refusal, Write, WriteAnswer, WriteError,
};
use henge_ring::MAX_SIBLINGS;
use henge_rpc::Message;
use henge_store::{Decision, Key, StoreError};
use henge_versioning::{
    ActorId, Clock, HlcTime, Merge, NEVER, RecordRef, Stamp, merge_records, siblings,
};

use super::{
    Engine, Now, Placement, Slot,
    coordinate_read::Answer,
    operation::{Asker, InFlight, Then, Writing, failed, receipt_of, written_by},
    rules::{self, Effect, Facts, When},
    showing::Shown,
};
use crate::{
    Bucket, Condition, Done, Expiry, Failure, OnDead, Operation, Outcome, Receipt, Request,
    Shortage,
    hidden::{self, Hidden},
    principals,
};

/// What the locked step on the local store came to.
#[derive(PartialEq, Eq)]
enum Local {
    /// The delta lies in the engine's buffer and in the store.
    Applied,
    /// So it does, and the caller is told that the session was over.
    Confirmed {
        dead: bool,
    },
    Declined,
    Absorbed,
    /// The session has a new id, whose key lies in the engine's buffer.
    Elsewhere,
    /// The record is not known well enough here: read at quorum, then come back.
    ReadFirst,
    /// A sibling set is full.
    TooManySiblings {
        count: usize,
        most: usize,
    },
    /// The record has the last stamp that there is, which only a broken peer makes.
    AtTheEndOfTime,
}

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
                let then = Some(Box::new(Then::Write(request)));
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
            Local::AtTheEndOfTime => {
                let text = "the record is stamped with the end of time: no write can come after it";
                let failure = Failure::Invalid(text.to_owned());
                return self.complete(asker.ticket, failed(failure));
            }
            Local::Applied | Local::Confirmed { .. } => {}
        }
        self.parts.counters.writes.add(1);
        // Whether a session with hidden fields may be shown is not known here.
        let before = before.filter(|record| !Hidden::is_in(record));
        let done = Done {
            applied: local == Local::Applied,
            absorbed: local == Local::Confirmed { dead: true },
            record: before,
        };
        let answer = write.acked(own, Kept::InMemory);
        let mut writing = Writing {
            asker,
            write,
            done,
            written: asker.receipt.then(|| written_by(&self.delta)).flatten(),
            key: Vec::new(),
            deadline_ms: now.mono_ms + u64::from(consistency.deadline_ms()),
            consistency: *consistency,
        };
        if let Some(answer) = answer {
            self.answer_write(&mut writing, answer);
        }
        let deadline_ms = writing.deadline_ms;
        self.replicate(now, writing, request.key, deadline_ms);
    }

    /// The write of a request whose record has just been read at quorum.
    pub(super) fn write_knowing(&mut self, now: Now, request: &Request<'_>, asker: Asker) {
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
        let asker = writing.asker;
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

    /// Look, decide, stamp, merge: in one step under the key's lock.
    fn apply_here(
        &mut self,
        (now, when): (Now, When),
        key: Key<'_>,
        request: &Request<'_>,
        known: bool,
        before: &mut Option<Vec<u8>>,
    ) -> Result<Local, StoreError> {
        let bucket = self.buckets.of(key.bytes);
        let is_index = principals::is_index(key.bytes);
        let wants_before = is_index || request.operation.is_conditional();
        let (clock, actor) = (&self.parts.clock, self.actor);
        let sibling_actor = || {
            ActorId::derive_fresh(
                self.parts.node.0,
                self.parts.boot,
                self.parts.forgotten_siblings.load(Ordering::Relaxed),
            )
        };
        // Taken by the one call there is, so that the store can be given what lies in it.
        let mut buffer = Some(&mut self.delta);
        let mut local = Local::Declined;
        self.parts.store.update(key, &mut |present, out| {
            let Some(delta) = buffer.take() else {
                return Decision::Keep;
            };
            delta.clear();
            let record = present.map(|stored| stored.record());
            if !known
                && (is_index || rules::reads_first(&request.operation, bucket.kind, record, when))
            {
                local = Local::ReadFirst;
                return Decision::Keep;
            }
            let mut stamp = Stamp {
                time: clock.now(now.wall_ms),
                actor,
            };
            let newest = record.map_or(Stamp::default(), |record| record.newest());
            if newest >= stamp {
                let Some(time) = next_after(clock, newest.time, now) else {
                    local = Local::AtTheEndOfTime;
                    return Decision::Keep;
                };
                stamp.time = time;
            }
            if wants_before {
                *before = record.map(|record| record.as_bytes().to_vec());
            }
            local = match &request.operation {
                Operation::PutSibling {
                    value,
                    context,
                    expiry,
                } => {
                    if let Some(count) = record.map(|r| r.siblings().count())
                        && count >= most_siblings(bucket)
                    {
                        local = Local::TooManySiblings {
                            count,
                            most: most_siblings(bucket),
                        };
                        return Decision::Keep;
                    }
                    let deadline = sibling_deadline(*expiry, bucket, record, now);
                    siblings::put(
                        record,
                        context,
                        sibling_actor(),
                        value,
                        stamp,
                        deadline,
                        delta,
                    );
                    Local::Applied
                }
                // Also where nothing is held here: what the context has seen may lie elsewhere.
                Operation::DeleteSiblings { context } => {
                    siblings::delete(record, context, delta);
                    Local::Applied
                }
                operation if is_index => index_effect(operation, record, stamp, when, delta),
                operation => {
                    let digest = present.map_or(0, |stored| shown_digest(operation, &stored));
                    decide(
                        operation,
                        bucket,
                        record.zip(Some(digest)),
                        stamp,
                        when,
                        delta,
                    )
                }
            };
            match local {
                Local::Applied | Local::Confirmed { .. } => merge_delta(record, delta, out),
                _ => Decision::Keep,
            }
        })?;
        Ok(local)
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

fn decide(
    operation: &Operation<'_>,
    bucket: &Bucket,
    present: Option<(RecordRef<'_>, u64)>,
    stamp: Stamp,
    when: When,
    delta: &mut Vec<u8>,
) -> Local {
    let facts = Facts {
        kind: bucket.kind,
        default_ttl_ms: bucket.default_ttl_ms,
        max_lifetime_ms: bucket.max_lifetime_ms,
        present: present.map(|(record, _)| record),
        digest: present.map_or(0, |(_, digest)| digest),
        stamp,
        when,
    };
    rules::decide(operation, &facts, delta).into()
}

impl From<Effect> for Local {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Apply => Self::Applied,
            Effect::Decline => Self::Declined,
            Effect::Absorb => Self::Absorbed,
            Effect::Confirm { dead } => Self::Confirmed { dead },
            Effect::Elsewhere => Self::Elsewhere,
        }
    }
}

fn index_effect(
    operation: &Operation<'_>,
    record: Option<RecordRef<'_>>,
    stamp: Stamp,
    when: When,
    delta: &mut Vec<u8>,
) -> Local {
    rules::decide_index(operation, record, stamp, when, delta).into()
}

/// The digest of a record as clients have seen it, for a write that names one.
fn shown_digest(operation: &Operation<'_>, stored: &henge_store::Stored<'_>) -> u64 {
    let named = matches!(operation.condition(), Condition::Digest(_));
    let visible = named.then(|| hidden::visible(stored.bytes)).flatten();
    let visible = visible.as_deref().map(RecordRef::parse);
    match visible {
        Some(Ok(record)) => record.digest(),
        _ => stored.digest,
    }
}

/// A time after the newest of the record: another thread merged a later one since the clock was
/// read, or a peer answered with one beyond the bound. `None`: there is no later time.
fn next_after(clock: &Clock, newest: HlcTime, now: Now) -> Option<HlcTime> {
    let next = clock.now(now.wall_ms);
    let after = || newest.0.checked_add(1).map(HlcTime);
    Some(next).filter(|next| *next > newest).or_else(after)
}

fn merge_delta<'a>(
    present: Option<RecordRef<'_>>,
    delta: &'a [u8],
    out: &mut Vec<u8>,
) -> Decision<'a> {
    let Ok(delta) = RecordRef::parse(delta) else {
        debug_assert!(false, "a delta that this node made is no record");
        return Decision::Keep;
    };
    match present.map(|present| merge_records(present, delta, out)) {
        None | Some(Merge::Incoming) => Decision::Put(delta),
        Some(Merge::Joined) => Decision::Write,
        Some(Merge::Unchanged) => Decision::Keep,
    }
}

/// More siblings than this are refused: somebody writes without ever reading.
fn most_siblings(bucket: &Bucket) -> usize {
    usize::from(bucket.max_siblings.unwrap_or(MAX_SIBLINGS))
}

/// `None` leaves the deadline alone, which takes a record that has one.
fn sibling_deadline(
    expiry: Expiry,
    bucket: &Bucket,
    record: Option<RecordRef<'_>>,
    now: Now,
) -> Option<u64> {
    match expiry {
        Expiry::At(at) => Some(at),
        Expiry::Keep if record.is_some() => None,
        Expiry::Keep | Expiry::Clear => Some(
            bucket
                .default_ttl_ms
                .map_or(NEVER, |ttl| now.wall_ms.saturating_add(ttl)),
        ),
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

#[cfg(test)]
mod tests;

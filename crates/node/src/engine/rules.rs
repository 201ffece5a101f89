//! What an operation does to a record: pure rules, no replicas in sight.
//!
//! A write happens in one locked step on its coordinator: look at the local record, decide, make a
//! delta, merge it. The delta then goes to the other replicas. Two questions come before: must the
//! coordinator read at quorum first ([`reads_first`]), and what does the operation do to this
//! record ([`decide`])?
//!
//! A register begins a new life (epoch) with every value, so that the latest stamp wins as a whole.
//! A session keeps its life from login to logout: values and deadlines change within it, and dead
//! wins over everything else in it. That is why a write to a session must know its life first.

use henge_versioning::{
    ActorId, Form, GRACE_MS, HlcTime, Merge, NEVER, RecordRef, Stamp, delta, merge,
};

use crate::{Condition, Expiry, Kind, Modification, Operation, hidden, principals, rotation::Step};

/// The epoch of every session's first life, the same on every node; later lives count on from it.
/// Two nodes that begin a session at once without knowing of each other (beyond a partition, or when
/// it has just expired) begin the same life, so that their fields merge and a logout in it wins;
/// lives numbered by their writers' clocks would overrule each other.
const FIRST_LIFE: Stamp = Stamp {
    time: HlcTime(1),
    actor: ActorId(0),
};

/// What an operation does to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A delta was written out.
    Apply,
    /// Nothing changes, and the caller is told so: the condition does not hold, or there is
    /// nothing to delete or to touch.
    Decline,
    /// The session is dead: the write is taken and changes nothing.
    Absorb,
    /// A delta was written out, and the caller is told that there was nothing to delete: the session
    /// is over here, but W replicas must know before anybody relies on it.
    Confirm {
        /// It has been destroyed, and not only expired.
        dead: bool,
    },
    /// The session has a new id, and the old one still stands for it: the new key was written out, and
    /// there the operation belongs.
    Elsewhere,
}

/// Whether the coordinator must read at quorum before it may decide. `local` is its own record.
pub(super) fn reads_first(
    operation: &Operation<'_>,
    kind: Kind,
    local: Option<RecordRef<'_>>,
    when: When,
) -> bool {
    let live_here = local.is_some_and(|record| record.is_live(when.now_ms));
    match operation {
        Operation::Get | Operation::GetAfter { .. } | Operation::GetWithin { .. } => false,
        Operation::PutSibling { .. } | Operation::DeleteSiblings { .. } => false,
        Operation::Put {
            condition, expiry, ..
        } => {
            *condition != Condition::Always
                || (kind == Kind::Session || *expiry == Expiry::Keep) && !live_here
        }
        Operation::Delete { condition } => {
            let ends = kind == Kind::Session
                && local.is_some_and(|record| !record.is_live(when.latest_ms));
            *condition != Condition::Always || !live_here || ends
        }
        Operation::Expire { condition, .. } => *condition != Condition::Always || !live_here,
        Operation::PutFields { .. } => !live_here,
        Operation::ReplaceField { .. }
        | Operation::Modify { .. }
        | Operation::Exchange { .. }
        | Operation::Rotate(_) => true,
    }
}

/// Whether one coordinator per key must decide it: its first reachable primary.
pub(super) fn needs_one_decider(operation: &Operation<'_>) -> bool {
    operation.is_conditional()
        || matches!(operation, Operation::Rotate(step) if *step != Step::Whole)
}

/// Decides a write to a principal's index: entries, or the end of its life.
pub(super) fn decide_index(
    operation: &Operation<'_>,
    present: Option<RecordRef<'_>>,
    stamp: Stamp,
    when: When,
    out: &mut Vec<u8>,
) -> Effect {
    match (operation, present) {
        (Operation::PutFields { fields, .. }, _) => {
            match principals::decide_entries(fields, present, stamp, when.now_ms, out) {
                true => Effect::Apply,
                false => Effect::Decline,
            }
        }
        // It has ended, and W replicas must know before anybody relies on it.
        (Operation::Delete { .. }, Some(index)) if index.is_dead() => {
            delta::life(out, index);
            Effect::Confirm { dead: true }
        }
        (Operation::Delete { .. }, Some(index)) => {
            delta::bury(out, index.epoch(), NEVER);
            Effect::Apply
        }
        _ => Effect::Decline,
    }
}

/// When a decision is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    /// By this node's clock, in wall-clock milliseconds.
    pub(super) now_ms: u64,
    /// The latest that it can be by any node's clock before the request is answered.
    pub(super) latest_ms: u64,
}

/// What a decision is made of.
pub(super) struct Facts<'a> {
    /// The key's bucket kind.
    pub(super) kind: Kind,
    /// Lifetime given to values written without one.
    pub(super) default_ttl_ms: Option<u64>,
    /// How long a session lasts at most since it began.
    pub(super) max_lifetime_ms: Option<u64>,
    /// The local record, with what a quorum read found merged in.
    pub(super) present: Option<RecordRef<'a>>,
    /// Its digest.
    pub(super) digest: u64,
    /// This write's stamp: greater than every stamp in `present`.
    pub(super) stamp: Stamp,
    /// When it is made.
    pub(super) when: When,
}

/// Decides an operation other than a read or one on siblings, and appends its delta to `out`.
pub(super) fn decide(operation: &Operation<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Effect {
    if let Operation::Rotate(step) = operation {
        return facts.decide_step(step, out);
    }
    if let Some(successor) = facts.successor() {
        return facts.decide_elsewhere(operation, successor, out);
    }
    match operation {
        Operation::Put {
            value,
            expiry,
            condition,
        } => facts.put(value, *expiry, *condition, out),
        Operation::PutFields { fields, expiry } => facts.put_fields(fields, *expiry, out),
        Operation::ReplaceField {
            name,
            before,
            after,
        } => facts.replace_field(name, *before, after, out),
        Operation::Modify {
            field,
            by,
            expiry,
            condition,
        } => facts.modify((*field, by), *expiry, *condition, out),
        Operation::Exchange {
            value,
            expiry,
            condition,
        } => facts.exchange(*value, *expiry, *condition, out),
        Operation::Delete { condition } => facts.delete(*condition, out),
        Operation::Expire { at, condition } => facts.expire(*at, *condition, out),
        Operation::Get
        | Operation::GetAfter { .. }
        | Operation::GetWithin { .. }
        | Operation::PutSibling { .. }
        | Operation::DeleteSiblings { .. }
        | Operation::Rotate(_) => Effect::Decline,
    }
}

mod rotation;

impl<'a> Facts<'a> {
    fn live(&self) -> Option<RecordRef<'a>> {
        self.present
            .filter(|record| record.is_live(self.when.now_ms))
    }

    /// Dead in the sense of a session: destroyed, and its time not yet over.
    fn is_destroyed(&self) -> bool {
        self.kind == Kind::Session && self.present.is_some_and(|record| record.is_dead())
    }

    /// The life that a write to an absent or expired key begins. A session's next life follows from
    /// the one before, whoever begins it; a register's is named by its stamp.
    fn next_life(&self) -> Stamp {
        match self.present {
            _ if self.kind != Kind::Session => self.stamp,
            None => FIRST_LIFE,
            Some(record) => {
                let last = record.epoch().time.0;
                Stamp {
                    time: HlcTime(last.saturating_add(1)),
                    actor: ActorId(0),
                }
            }
        }
    }

    fn holds(&self, condition: Condition) -> bool {
        match condition {
            Condition::Always | Condition::Later | Condition::Earlier => true,
            Condition::Absent => self.live().is_none(),
            Condition::Present => self.live().is_some(),
            Condition::Digest(0) => self.live().is_none(),
            Condition::Digest(digest) => self.live().is_some() && self.digest == digest,
        }
    }

    fn deadline(&self, expiry: Expiry) -> u64 {
        match expiry {
            Expiry::At(at) => at,
            Expiry::Keep => match self.live() {
                Some(record) => record.deadline().at,
                None => self.default_deadline(),
            },
            Expiry::Clear => self.default_deadline(),
        }
    }

    fn default_deadline(&self) -> u64 {
        self.default_ttl_ms
            .map_or(NEVER, |ttl| self.when.now_ms.saturating_add(ttl))
    }

    /// When the life written to ends at the latest: as it was told when it began or, if nothing was,
    /// counted from now. A limit that has become shorter holds for lives that have begun, too, from
    /// their next write on; one that has become longer does not.
    fn cap(&self) -> u64 {
        let limit = match self.max_lifetime_ms {
            Some(longest) if self.kind == Kind::Session => self.when.now_ms.saturating_add(longest),
            _ => NEVER,
        };
        let known = self.live().map_or(NEVER, |record| record.cap());
        known.min(limit)
    }

    fn put(&self, value: &[u8], expiry: Expiry, condition: Condition, out: &mut Vec<u8>) -> Effect {
        if !self.holds(condition) {
            return Effect::Decline;
        }
        if self.is_destroyed() {
            return Effect::Absorb;
        }
        let cap = self.cap();
        let deadline = self.deadline(expiry).min(cap);
        if deadline <= self.when.now_ms {
            return self.bury(out);
        }
        match self.live() {
            Some(record) if self.kind == Kind::Session => {
                let moved = (expiry != Expiry::Keep).then_some(deadline);
                delta::put(out, record.epoch(), self.stamp, moved, value);
                self.complete(record, moved, out);
                limit(record.epoch(), cap, record.cap(), out);
            }
            _ => {
                let life = self.next_life();
                delta::put(out, life, self.stamp, Some(deadline), value);
                self.outlive(life, deadline, out);
                limit(life, cap, NEVER, out);
            }
        }
        Effect::Apply
    }

    fn put_fields(
        &self,
        fields: &[(&[u8], Option<&[u8]>)],
        expiry: Expiry,
        out: &mut Vec<u8>,
    ) -> Effect {
        if self.is_destroyed() {
            return Effect::Absorb;
        }
        let cap = self.cap();
        let deadline = self.deadline(expiry).min(cap);
        if deadline <= self.when.now_ms {
            return self.bury(out);
        }
        match self.live() {
            Some(record) => {
                let moved = (expiry != Expiry::Keep).then_some(deadline);
                delta::put_fields(out, record.epoch(), self.stamp, moved, fields);
                self.complete(record, moved, out);
                limit(record.epoch(), cap, record.cap(), out);
            }
            None => {
                let life = self.next_life();
                delta::put_fields(out, life, self.stamp, Some(deadline), fields);
                self.outlive(life, deadline, out);
                limit(life, cap, NEVER, out);
            }
        }
        Effect::Apply
    }

    fn replace_field(
        &self,
        name: &[u8],
        before: Option<&[u8]>,
        after: &[u8],
        out: &mut Vec<u8>,
    ) -> Effect {
        let present = self.live().and_then(|record| record.field(name));
        if !self.is_destroyed() && present != before {
            return Effect::Decline;
        }
        self.put_fields(&[(name, Some(after))], Expiry::Keep, out)
    }

    /// Whatever is in its way the caller sees in the record.
    fn modify(
        &self,
        (field, by): (Option<&[u8]>, &Modification<'_>),
        expiry: Expiry,
        condition: Condition,
        out: &mut Vec<u8>,
    ) -> Effect {
        if !self.holds(condition) {
            return Effect::Decline;
        }
        if self.is_destroyed() {
            return Effect::Absorb;
        }
        let Some(new) = modified(self.live(), field, by) else {
            return Effect::Decline;
        };
        let expiry = self.live().map_or(expiry, |_| Expiry::Keep);
        match field {
            Some(name) => self.put_fields(&[(name, Some(&new))], expiry, out),
            None => self.put(&new, expiry, Condition::Always, out),
        }
    }

    fn exchange(
        &self,
        value: Option<&[u8]>,
        expiry: Expiry,
        condition: Condition,
        out: &mut Vec<u8>,
    ) -> Effect {
        let has_fields = |record: RecordRef<'_>| match hidden::visible(record.as_bytes()) {
            Some(visible) => {
                RecordRef::parse(&visible).is_ok_and(|visible| visible.form() == Form::Fields)
            }
            None => record.form() == Form::Fields,
        };
        match (value, self.live()) {
            _ if !self.holds(condition) => Effect::Decline,
            (_, Some(record)) if has_fields(record) => Effect::Decline,
            (Some(value), _) => self.put(value, expiry, condition, out),
            (None, _) => self.delete(Condition::Present, out),
        }
    }

    fn delete(&self, condition: Condition, out: &mut Vec<u8>) -> Effect {
        match self.present {
            Some(record) if self.live().is_none() && condition == Condition::Always => {
                self.confirm_over(record, out)
            }
            _ if self.live().is_none() || !self.holds(condition) => Effect::Decline,
            _ => self.bury(out),
        }
    }

    /// A logout of a session that is over by what this node knows. It may have expired by this
    /// node's clock alone, and then a touch elsewhere would prolong it; the logout that it died by may
    /// not have reached W replicas.
    fn confirm_over(&self, record: RecordRef<'_>, out: &mut Vec<u8>) -> Effect {
        if self.kind != Kind::Session {
            return Effect::Decline;
        }
        let dead = record.is_dead();
        if dead {
            delta::life(out, record);
        } else {
            self.bury(out);
        }
        Effect::Confirm { dead }
    }

    fn expire(&self, at: u64, condition: Condition, out: &mut Vec<u8>) -> Effect {
        let Some(record) = self.live() else {
            return Effect::Decline;
        };
        let present = record.deadline().at;
        let holds = match condition {
            Condition::Absent => present == NEVER,
            Condition::Present => present != NEVER,
            Condition::Later => at > present,
            Condition::Earlier => at < present,
            Condition::Always | Condition::Digest(_) => self.holds(condition),
        };
        if !holds {
            return Effect::Decline;
        }
        if at <= self.when.now_ms {
            return self.bury(out);
        }
        let cap = self.cap();
        delta::expire(out, record.epoch(), self.stamp, at.min(cap));
        limit(record.epoch(), cap, record.cap(), out);
        Effect::Apply
    }

    /// A delta that leaves the deadline alone takes it along: a replica that has only the delta
    /// would otherwise not know when to forget it.
    fn complete(&self, record: RecordRef<'_>, moved: Option<u64>, out: &mut Vec<u8>) {
        if moved.is_none() {
            let mut life = Vec::new();
            delta::life(&mut life, record);
            join(out, &life);
        }
    }

    /// A life that begins over one whose copies could be live for longer must be remembered for as
    /// long, or they would show again once it is forgotten.
    fn outlive(&self, life: Stamp, deadline: u64, out: &mut Vec<u8>) {
        let known = self.present.map_or(0, |record| record.horizon());
        let grace = self.when.now_ms.saturating_add(GRACE_MS);
        if known > deadline {
            let mut retained = Vec::new();
            delta::retain(&mut retained, life, known.min(grace).max(deadline));
            join(out, &retained);
        }
    }

    /// Ends the record's life. A session dies within its life, so that nothing of that life can
    /// come back; a register's tombstone is a later life, so that it wins by its stamp. A session that
    /// may have expired by somebody's clock dies in its next life, which may be beginning there at this
    /// moment: what wins over that one wins over this one too.
    ///
    /// The horizon covers every deadline that somebody may be setting at this moment elsewhere: the
    /// lifetime that was given last, from now on.
    fn bury(&self, out: &mut Vec<u8>) -> Effect {
        let epoch = match self.live() {
            Some(record) if self.kind == Kind::Session && record.is_live(self.when.latest_ms) => {
                record.epoch()
            }
            _ => self.next_life(),
        };
        delta::bury(out, epoch, self.tombstone_horizon());
        Effect::Apply
    }

    fn tombstone_horizon(&self) -> u64 {
        let (known, lifetime) = self.present.map_or((0, 0), |record| {
            let deadline = record.deadline();
            (
                record.horizon(),
                deadline.at.saturating_sub(deadline.stamp.time.millis()),
            )
        });
        match known {
            NEVER => self.when.now_ms.saturating_add(GRACE_MS),
            known => known.max(self.when.now_ms.saturating_add(lifetime)),
        }
    }
}

/// The new value; `None`: the record is of another kind, or the old value is unfit.
fn modified(
    record: Option<RecordRef<'_>>,
    field: Option<&[u8]>,
    by: &Modification<'_>,
) -> Option<Vec<u8>> {
    let Some(record) = record else {
        return by.of(None).ok();
    };
    let visible = hidden::visible(record.as_bytes());
    let record = match &visible {
        Some(visible) => RecordRef::parse(visible).ok()?,
        None => record,
    };
    let members = |name: &[u8]| name.first() == Some(&0);
    let old = match (field, record.form()) {
        (Some(_), Form::Fields) if record.fields().next().is_some_and(|it| members(it.0)) => {
            return None;
        }
        (Some(name), Form::Fields) => record.field(name),
        (Some(_), _) | (None, Form::Fields) => return None,
        // Of siblings the newest, which is what readers of one value are shown.
        (None, _) => record.siblings().next().or(Some(b"")),
    };
    by.of(old).ok()
}

/// Tells the replicas of a cap that is earlier than the one they know.
fn limit(life: Stamp, cap: u64, known: u64, delta: &mut Vec<u8>) {
    if cap < known {
        let mut limited = Vec::new();
        delta::cap(&mut limited, life, cap);
        join(delta, &limited);
    }
}

/// Replaces `delta` by its join with another of the same life.
fn join(delta: &mut Vec<u8>, other: &[u8]) {
    let mut joined = Vec::new();
    // Both were made a moment ago, so both are records.
    if let Ok(Merge::Joined) = merge(delta, other, &mut joined) {
        *delta = joined;
    }
}

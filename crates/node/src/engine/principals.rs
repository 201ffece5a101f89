//! Reads of sessions that belong to a principal: shown only if they were not logged out everywhere.
//!
//! The coordinator of a read, which has the record of R replicas in hand, reads the principal's index
//! with the same R within the time that is left, and only then answers. What cannot be checked is not
//! shown. See [`crate::principals`] for why that is enough.

use henge_coordinator::{Consistency, Mode};
use henge_versioning::{ActorId, Context, HlcTime, Life, NEVER, RecordRef, Stamp, VersionVector};

use super::{Engine, Now, Ticket, operation::Asker};
use crate::{
    Condition, Done, Operation, Options, Outcome, Request, buffers,
    principals::{self, Index, Owner},
};

/// The sink of indexes that were read for a [`Check`].
const CHECKS: u16 = super::FORWARDED - 1;
/// The sink of what nobody waits for.
const NOBODY: u16 = super::FORWARDED - 2;
/// Sinks from here on are the engine's own.
pub(super) const FIRST_OWN_SINK: u16 = NOBODY;

/// Sessions that were found logged out and wait to be destroyed; what does not fit is found again.
const MOST_ENDED: usize = 1_024;

/// A record that waits to be shown.
#[derive(Debug)]
pub(super) struct Check {
    ticket: Ticket,
    /// What is told if the session is still valid.
    outcome: Outcome,
    /// The session.
    key: Vec<u8>,
    life: u64,
}

/// What the engine remembers of principals' sessions.
#[derive(Debug, Default)]
pub(super) struct Checks {
    waiting: slab::Slab<Check>,
    ended: Vec<Vec<u8>>,
}

/// The request whose outcome has a record in it.
pub(super) struct Shown<'a> {
    pub(super) key: &'a [u8],
    pub(super) consistency: &'a Consistency,
    /// Monotonic time by which it must be answered, in milliseconds.
    pub(super) deadline_ms: u64,
    pub(super) ticket: Ticket,
}

impl Engine {
    /// A step of an operation on principals, which works on keys and fields that are refused in
    /// [`Engine::submit`].
    pub fn submit_own(&mut self, now: Now, request: &Request<'_>, ticket: Ticket) {
        let receipt = request.options.receipt;
        self.route(now, request, Asker { ticket, receipt });
    }

    /// Answers with a record: at once, or if it belongs to a principal after a look into the index.
    #[inline]
    pub(super) fn show_record(&mut self, now: Now, shown: Shown<'_>, outcome: Outcome) {
        let found = outcome.result.as_ref().ok();
        let owner = found.and_then(|done| Owner::of(done.record.as_deref()?));
        match owner.and_then(|it| Some((it.life, principals::index_key(it.principal).ok()?))) {
            None => self.complete(shown.ticket, outcome),
            Some((life, index)) => self.check(now, shown, outcome, life, &index),
        }
    }

    #[cold]
    fn check(&mut self, now: Now, shown: Shown<'_>, outcome: Outcome, life: u64, index: &[u8]) {
        let left_ms = shown.deadline_ms.saturating_sub(now.mono_ms).max(1);
        let options = Options {
            r: Some(u64::from(shown.consistency.r())),
            strict: Some(shown.consistency.mode() == Mode::Strict),
            timeout_ms: Some(left_ms),
            ..Options::default()
        };
        let check = Check {
            ticket: shown.ticket,
            outcome,
            key: shown.key.to_vec(),
            life,
        };
        let request = Request {
            key: index,
            operation: Operation::GetAfter {
                context: Box::new(in_life(life)),
            },
            options,
        };
        let token = self.checks.waiting.insert(check) as u64;
        let sink = CHECKS;
        self.submit_own(now, &request, Ticket { sink, token });
    }

    /// A step of the engine's own has ended.
    pub(super) fn own_step_ended(&mut self, ticket: Ticket, outcome: Outcome) {
        if ticket.sink != CHECKS {
            return;
        }
        let Some(mut check) = self.checks.waiting.try_remove(ticket.token as usize) else {
            return;
        };
        let done = match outcome.result {
            Ok(done) => done,
            Err(failure) => {
                check.outcome.result = Err(failure);
                return self.complete(check.ticket, check.outcome);
            }
        };
        let index = done.record.as_deref().map(RecordRef::parse);
        let index = Index::of(index.and_then(Result::ok).as_ref());
        if let Ok(shown) = &mut check.outcome.result {
            check_off(shown, index.admits(check.life));
        }
        if index.has_logged_out(check.life) && self.checks.ended.len() < MOST_ENDED {
            self.checks.ended.push(check.key);
        }
        if let Some(record) = done.record {
            buffers::take_back(record);
        }
        self.complete(check.ticket, check.outcome);
    }

    /// Destroys the sessions that reads have found logged out: with every replica that hears of it one
    /// more needs no look into the index.
    pub(super) fn destroy_ended(&mut self, now: Now) {
        for key in std::mem::take(&mut self.checks.ended) {
            let operation = Operation::Delete {
                condition: Condition::Always,
            };
            let request = Request {
                key: &key,
                operation,
                options: Options::default(),
            };
            let (sink, token) = (NOBODY, 0);
            self.submit_own(now, &request, Ticket { sink, token });
        }
    }
}

/// What an index in which an entry was kept has reached: a replica that missed that is passed over, so
/// that with R + W <= N too a session is shown to those who know of it.
fn in_life(life: u64) -> Context {
    let epoch = Stamp {
        time: HlcTime(life),
        actor: ActorId(0),
    };
    let life = Life {
        epoch,
        until: NEVER,
        ..Life::default()
    };
    Context {
        vector: VersionVector::new(),
        life: Some(life),
    }
}

/// Leaves in an outcome what its asker may see: the record without its hidden field, or none.
fn check_off(done: &mut Done, is_valid: bool) {
    let shown = done.record.as_deref().filter(|_| is_valid);
    let shown = shown.and_then(principals::visible);
    // That of a declined write is not applied to begin with.
    done.applied &= shown.is_some();
    if let Some(hidden) = std::mem::replace(&mut done.record, shown) {
        buffers::take_back(hidden);
    }
}

//! Sessions with hidden fields: shown only if nothing that these name has ended them.
//!
//! The coordinator of a read has the record of R replicas in hand. If hidden fields name another record,
//! it reads that with the same R, within the time that is left, and only then answers:
//!
//! ```text
//! successor ───► the session under its new id, instead of this record; nothing when the grace is over
//! predecessor ─► the record under its old id: handed over to this session, and not destroyed
//! owner ───────► the principal's index: in the session's life, and not ended
//! ```
//!
//! What cannot be checked is not shown. See [`crate::principals`] and [`crate::rotation`] for why that is
//! enough.

use henge_coordinator::{Consistency, Mode};
use henge_versioning::{ActorId, Context, HlcTime, Life, NEVER, RecordRef, Stamp, VersionVector};

use super::{
    Engine, Now, Ticket, forward,
    operation::{Asker, failed},
};
use crate::{
    Condition, Failure, Operation, Options, Outcome, Request, buffers,
    hidden::{self, Hidden},
    principals::{self, Index},
    rotation::{Predecessor, SETTLED_MS, Step, Verdict},
};

/// The sink of the engine's own steps that something waits for.
const STEPS: u16 = super::FORWARDED - 1;
/// The sink of what nobody waits for.
const NOBODY: u16 = super::FORWARDED - 2;
/// Sessions that were found logged out and wait to be destroyed, and rotations that wait to be settled;
/// what does not fit is found again.
const MOST_FOUND: usize = 1_024;

/// A record that waits to be shown.
#[derive(Debug)]
pub(super) struct Check {
    ticket: Ticket,
    /// What is told if the session is still valid.
    outcome: Outcome,
    /// The session.
    key: Vec<u8>,
    /// R and the mode of the request.
    options: Options,
    /// When the check began: what it asks later counts from then, too.
    begun: Now,
    /// Monotonic time by which it must be answered, in milliseconds.
    deadline_ms: u64,
    /// The ids that came before, the latest first.
    links: Vec<Link>,
    /// When all of them can be settled, in milliseconds since 1970.
    settled_ms: u64,
}

/// One id and the next.
#[derive(Debug)]
struct Link {
    old: Vec<u8>,
    new: Vec<u8>,
    /// What the new record says of the old one.
    predecessor: Vec<u8>,
}

/// What a check asks.
#[derive(Debug)]
enum Question {
    /// The session under its new id.
    Successor,
    /// The record under the old id of the last link.
    Predecessor,
    /// The principal's index: is it in this life?
    Index(u64),
}

/// Who waits for a step of the engine's own.
#[derive(Debug)]
enum Waiting {
    Check(Box<Check>, Question),
    /// A request that was passed on to a session's new id: whoever asked.
    PassedOn(Ticket),
    /// The new id no longer names the old one: then the old records can go.
    Settling(Vec<Link>),
}

/// What the engine remembers of sessions with hidden fields.
#[derive(Debug, Default)]
pub(super) struct Checks {
    waiting: slab::Slab<Waiting>,
    ended: Vec<Vec<u8>>,
    settled: Vec<Vec<Link>>,
    retiring: Vec<Link>,
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
    /// A step of an operation on principals or of a rotation, which works on keys and fields that are
    /// refused in [`Engine::submit`].
    pub fn submit_own(&mut self, now: Now, request: &Request<'_>, ticket: Ticket) {
        let receipt = request.options.receipt;
        self.route(now, request, Asker { ticket, receipt });
    }

    /// Answers with a record: at once, or if it has hidden fields after a look at what they name.
    #[inline]
    pub(super) fn show_record(&mut self, now: Now, shown: Shown<'_>, outcome: Outcome) {
        let found = outcome.result.as_ref().ok();
        match found.and_then(|done| Hidden::of(done.record.as_deref()?)) {
            None => self.complete(shown.ticket, outcome),
            Some(_) => self.check(now, shown, outcome),
        }
    }

    #[cold]
    fn check(&mut self, now: Now, shown: Shown<'_>, outcome: Outcome) {
        let check = Box::new(Check {
            ticket: shown.ticket,
            outcome,
            key: shown.key.to_vec(),
            options: Options {
                r: Some(u64::from(shown.consistency.r())),
                strict: Some(shown.consistency.mode() == Mode::Strict),
                ..Options::default()
            },
            begun: now,
            deadline_ms: shown.deadline_ms,
            links: Vec::new(),
            settled_ms: 0,
        });
        let hidden = check.hidden();
        if let Some(successor) = hidden.successor {
            let new = successor.key.to_vec();
            return match now.wall_ms < successor.until_ms {
                true => self.ask_for(check, Question::Successor, &new, Operation::Get),
                false => self.answer_with(check, None),
            };
        }
        let first = hidden.predecessor.map(|it| Link::to(&check.key, it));
        self.ask_predecessor(check, first);
    }

    /// Looks at the record under the old id or, where there is none, on.
    fn ask_predecessor(&mut self, mut check: Box<Check>, link: Option<Link>) {
        match link {
            Some(link) => {
                let old = link.old.clone();
                check.links.push(link);
                let whole = Operation::Rotate(Step::Whole);
                self.ask_for(check, Question::Predecessor, &old, whole);
            }
            None => self.ask_index(check),
        }
    }

    fn ask_index(&mut self, check: Box<Check>) {
        let owner = check.hidden().owner;
        let index = owner.and_then(|it| Some((it.life, principals::index_key(it.principal).ok()?)));
        match index {
            Some((life, index)) => {
                let context = Box::new(in_life(life));
                let read = Operation::GetAfter { context };
                self.ask_for(check, Question::Index(life), &index, read);
            }
            None => self.show_checked(check),
        }
    }

    fn ask_for<'a>(
        &mut self,
        check: Box<Check>,
        question: Question,
        key: &'a [u8],
        operation: Operation<'a>,
    ) {
        let left_ms = check.deadline_ms.saturating_sub(check.begun.mono_ms);
        let options = Options {
            timeout_ms: Some(left_ms.max(1)),
            ..check.options
        };
        let request = Request {
            key,
            operation,
            options,
        };
        let begun = check.begun;
        self.take_step(begun, Waiting::Check(check, question), &request);
    }

    fn take_step(&mut self, now: Now, waiting: Waiting, request: &Request<'_>) {
        let token = self.checks.waiting.insert(waiting) as u64;
        let sink = STEPS;
        self.submit_own(now, request, Ticket { sink, token });
    }

    /// The session has a new id: the request is carried out there.
    #[cold]
    pub(super) fn pass_on_to(
        &mut self,
        now: Now,
        new: &[u8],
        request: &Request<'_>,
        asker: Ticket,
    ) {
        let bytes = forward::encode_request(request);
        let Some(request) = forward::decode_request(&bytes) else {
            let text = "the request cannot be encoded";
            return self.complete(asker, failed(Failure::Invalid(text.to_owned())));
        };
        let request = Request {
            key: new,
            ..request
        };
        self.take_step(now, Waiting::PassedOn(asker), &request);
    }

    /// A step of the engine's own has ended.
    pub(super) fn own_step_ended(&mut self, ticket: Ticket, outcome: Outcome) {
        match ticket.sink {
            STEPS => {}
            NOBODY => return,
            _ => return self.telling_step_ended(ticket, outcome),
        }
        match self.checks.waiting.try_remove(ticket.token as usize) {
            Some(Waiting::Check(check, question)) => self.answered(check, question, outcome),
            Some(Waiting::PassedOn(asker)) => self.complete(asker, outcome),
            Some(Waiting::Settling(links)) if outcome.result.is_ok() => {
                self.checks.retiring.extend(links);
            }
            Some(Waiting::Settling(_)) | None => {}
        }
    }

    fn answered(&mut self, mut check: Box<Check>, question: Question, outcome: Outcome) {
        let found = match outcome.result {
            Ok(done) => done.record,
            Err(failure) => {
                check.outcome.result = Err(failure);
                return self.complete(check.ticket, check.outcome);
            }
        };
        let record = found.as_deref().map(RecordRef::parse);
        let record = record.and_then(Result::ok);
        match question {
            Question::Successor => return self.answer_with(check, found),
            Question::Predecessor => self.judge(check, record),
            Question::Index(life) => {
                let index = Index::of(record.as_ref());
                if index.has_logged_out(life) {
                    self.has_ended(&check);
                }
                match index.admits(life) {
                    true => self.show_checked(check),
                    false => self.answer_with(check, None),
                }
            }
        }
        if let Some(record) = found {
            buffers::take_back(record);
        }
    }

    /// What the record under the old id says of the session.
    fn judge(&mut self, mut check: Box<Check>, record: Option<RecordRef<'_>>) {
        let Some(link) = check.links.last() else {
            return self.answer_with(check, None);
        };
        let verdict = Predecessor::decode(&link.predecessor)
            .map(|it| Verdict::of(it, &link.new, record.as_ref()));
        match verdict.unwrap_or(Verdict::Unfinished) {
            Verdict::HandedOver { until_ms } => {
                let settled_ms = until_ms.saturating_add(SETTLED_MS);
                check.settled_ms = check.settled_ms.max(settled_ms);
                let hidden = record.and_then(|record| Hidden::of(record.as_bytes()));
                let earlier = hidden.and_then(|hidden| hidden.predecessor);
                let earlier = earlier.map(|it| Link::to(&link.old, it));
                self.ask_predecessor(check, earlier);
            }
            Verdict::Settled => self.ask_index(check),
            Verdict::LoggedOut => {
                self.has_ended(&check);
                self.answer_with(check, None);
            }
            Verdict::Unfinished => self.answer_with(check, None),
        }
    }

    /// Nothing has ended the session.
    fn show_checked(&mut self, mut check: Box<Check>) {
        let links = std::mem::take(&mut check.links);
        let is_over = check.settled_ms <= check.begun.wall_ms;
        if !links.is_empty() && is_over && self.checks.settled.len() < MOST_FOUND {
            self.checks.settled.push(links);
        }
        let record = match &check.outcome.result {
            Ok(done) => done.record.as_deref().and_then(hidden::visible),
            Err(_) => None,
        };
        self.answer_with(check, record);
    }

    /// Answers with what the asker may see: a record without hidden fields, or none.
    fn answer_with(&mut self, mut check: Box<Check>, record: Option<Vec<u8>>) {
        if let Ok(done) = &mut check.outcome.result {
            // That of a declined write is not applied to begin with.
            done.applied &= record.is_some();
            if let Some(hidden) = std::mem::replace(&mut done.record, record) {
                buffers::take_back(hidden);
            }
        }
        self.complete(check.ticket, check.outcome);
    }

    fn has_ended(&mut self, check: &Check) {
        if self.checks.ended.len() < MOST_FOUND {
            self.checks.ended.push(check.key.clone());
        }
    }

    /// Destroys the sessions that reads have found logged out: with every replica that hears of it one
    /// more needs no look at what ended it. And settles the rotations that are long over.
    pub(super) fn tidy_found(&mut self, now: Now) {
        for key in std::mem::take(&mut self.checks.ended) {
            let operation = Operation::Delete {
                condition: Condition::Always,
            };
            self.ask_nobody(now, &key, operation);
        }
        for link in std::mem::take(&mut self.checks.retiring) {
            let retire = Operation::Rotate(Step::Retire { to: &link.new });
            self.ask_nobody(now, &link.old, retire);
        }
        for links in std::mem::take(&mut self.checks.settled) {
            let Some(link) = links.first() else { continue };
            let (key, predecessor) = (link.new.clone(), link.predecessor.clone());
            let settle = Step::Settle {
                predecessor: &predecessor,
            };
            let request = Request {
                key: &key,
                operation: Operation::Rotate(settle),
                options: Options::default(),
            };
            self.take_step(now, Waiting::Settling(links), &request);
        }
    }

    fn ask_nobody<'a>(&mut self, now: Now, key: &'a [u8], operation: Operation<'a>) {
        let request = Request {
            key,
            operation,
            options: Options::default(),
        };
        let (sink, token) = (NOBODY, 0);
        self.submit_own(now, &request, Ticket { sink, token });
    }
}

impl Check {
    fn hidden(&self) -> Hidden<'_> {
        let done = self.outcome.result.as_ref().ok();
        let hidden = done.and_then(|done| Hidden::of(done.record.as_deref()?));
        hidden.unwrap_or_default()
    }
}

impl Link {
    fn to(new: &[u8], predecessor: Predecessor<'_>) -> Self {
        Self {
            old: predecessor.key.to_vec(),
            new: new.to_vec(),
            predecessor: predecessor.encode(),
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

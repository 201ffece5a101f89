//! Deadlines: whether a key may, must or must not be there when it is read. C9.

use std::collections::{BTreeMap, HashMap};

use super::{KeyLog, Report, Rule, is_write};
use crate::history::{Action, Micros, Op, OpId, Outcome};

/// A deadline that never comes.
const NEVER: Micros = Micros::MAX;

/// What a key's deadline says about one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every deadline that may hold lies ahead.
    Live,
    /// It depends on clocks, or on which write came last.
    Either,
    /// Every deadline that may hold has passed.
    Gone,
}

/// The standing of every read of a key.
#[derive(Debug)]
pub(super) struct Standings {
    reads: HashMap<OpId, Standing>,
    /// From when on the key may live a second life: it was written when it may have been expired.
    lapsed: Micros,
    /// When each read returned, to compare with `lapsed`.
    returned: HashMap<OpId, Micros>,
    finite: bool,
}

/// A deadline that may be the one in force.
struct Candidate {
    /// The earliest that it may be; `at` but for touches.
    from: Micros,
    at: Micros,
    /// When its writer had its answer; `None` while it has none, or if it never comes.
    answered: Option<Micros>,
    by: OpId,
}

/// The earliest and the latest deadline that may hold during a read.
#[derive(Clone, Copy)]
struct Range {
    first: Micros,
    last: Micros,
}

impl Range {
    fn of(candidates: &[Candidate]) -> Self {
        let first = candidates
            .iter()
            .map(|candidate| candidate.from)
            .min()
            .unwrap_or(NEVER);
        let last = candidates
            .iter()
            .map(|candidate| candidate.at)
            .max()
            .unwrap_or(NEVER);
        Self { first, last }
    }

    fn widen(&mut self, from: Micros, at: Micros) {
        self.first = self.first.min(from);
        self.last = self.last.max(at);
    }

    fn standing(self, from: Micros, to: Micros, bound: Micros) -> Standing {
        if self.last.saturating_add(bound) < from {
            Standing::Gone
        } else if self.first.saturating_sub(bound) > to {
            Standing::Live
        } else {
            Standing::Either
        }
    }
}

impl Standings {
    /// Follows the deadlines of a key through its operations. The later of two deadlines holds when
    /// its write began more than twice the clock bound after the other's had ended; within that,
    /// either may.
    pub(super) fn of(log: &KeyLog<'_>, bound: Micros) -> Self {
        let mut standings = Self {
            reads: HashMap::new(),
            lapsed: NEVER,
            returned: HashMap::new(),
            finite: log.ops.iter().any(|op| expires(op).is_some()),
        };
        if standings.finite {
            standings.follow(log, bound);
        }
        standings
    }

    /// What the deadlines say about a read.
    pub(super) fn of_read(&self, read: OpId) -> Standing {
        self.reads.get(&read).copied().unwrap_or(Standing::Live)
    }

    /// Whether the key may have expired and been created anew before this read was answered: then
    /// what was written earlier is rightly gone.
    pub(super) fn may_have_lapsed(&self, read: OpId) -> bool {
        self.returned
            .get(&read)
            .is_some_and(|returned| *returned >= self.lapsed)
    }

    /// Whether the key ever had a deadline.
    pub(super) fn has_deadlines(&self) -> bool {
        self.finite
    }

    /// C9, the half that concerns what is shown too late. That nothing goes too early is checked
    /// where a missing value is noticed.
    pub(super) fn check(&self, log: &KeyLog<'_>, report: &mut Report) {
        for read in log.reads.iter().filter(|read| !read.view.is_empty()) {
            if self.of_read(read.op.id) == Standing::Gone && !self.may_have_lapsed(read.op.id) {
                let text = "it shows a value after its deadline".to_owned();
                report.broken(Rule::Expiry, log.key, Some(read.op.id), text);
            }
        }
    }

    fn follow(&mut self, log: &KeyLog<'_>, bound: Micros) {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut reading: BTreeMap<OpId, Range> = BTreeMap::new();
        // Puts that may be carried out now: they are under way, or were given up and may come about
        // whenever their node goes on with them. One that does when the key has expired begins it anew.
        let mut creating = 0_u32;
        for (at, begins, op) in moments(log) {
            let creates = matches!(op.action, Action::Put { .. });
            creating += u32::from(creates && begins);
            let now = Range::of(&candidates).standing(at, at, bound);
            if creating > 0 && now != Standing::Live {
                self.lapsed = self.lapsed.min(at);
            }
            match (is_write(op), begins) {
                (false, true) => {
                    reading.insert(op.id, Range::of(&candidates));
                }
                (false, false) => {
                    let range = reading.remove(&op.id).unwrap_or(Range::of(&candidates));
                    let standing = range.standing(op.invoked, op.returned, bound);
                    if creating > 0 && standing != Standing::Live {
                        self.lapsed = self.lapsed.min(op.returned);
                    }
                    self.reads.insert(op.id, standing);
                    self.returned.insert(op.id, op.returned);
                }
                (true, true) => {
                    let fresh = creates && candidates.is_empty();
                    let Some(deadline) = expires(op).or(fresh.then_some(NEVER)) else {
                        continue;
                    };
                    let from = deadline - slack(op, deadline);
                    candidates.push(Candidate {
                        from,
                        at: deadline,
                        answered: None,
                        by: op.id,
                    });
                    let widen = |range: &mut Range| range.widen(from, deadline);
                    reading.values_mut().for_each(widen);
                }
                (true, false) => {
                    let is_given_up = matches!(op.outcome, Outcome::Unknown);
                    creating -= u32::from(creates && !is_given_up);
                    settle(&mut candidates, op, bound);
                }
            }
        }
    }
}

/// A write has its answer: its deadline replaces those that are surely older.
fn settle(candidates: &mut Vec<Candidate>, op: &Op, bound: Micros) {
    if !op.is_ok() {
        return;
    }
    let Some(own) = candidates
        .iter_mut()
        .find(|candidate| candidate.by == op.id)
    else {
        return;
    };
    own.answered = Some(op.returned);
    let surely_older = |candidate: &Candidate| {
        candidate
            .answered
            .is_some_and(|at| at.saturating_add(2 * bound) < op.invoked)
    };
    candidates.retain(|candidate| !surely_older(candidate));
}

/// By how much a session may end earlier than a touch asked for: one before it may have been taken for it.
/// A hundredth of the lifetime, at most 10 s.
fn slack(op: &Op, deadline: Micros) -> Micros {
    const MOST: Micros = 10_000_000;
    match op.action {
        Action::Touch { .. } => (deadline.saturating_sub(op.invoked) / 100).min(MOST),
        _ => 0,
    }
}

/// The deadline that an operation sets, unless it was answered *failed*.
pub(super) fn expires(op: &Op) -> Option<Micros> {
    let deadline = match op.action {
        Action::Put { expires, .. } => expires,
        Action::Touch { expires } => Some(expires),
        Action::Get | Action::GetAfter { .. } | Action::Delete { .. } => None,
    };
    deadline.filter(|_| !matches!(op.outcome, Outcome::Failed { .. }))
}

/// Beginnings (true) and ends (false) of all operations, in order of time; beginnings first.
fn moments<'h>(log: &KeyLog<'h>) -> Vec<(Micros, bool, &'h Op)> {
    let begins = log.ops.iter().map(|op| (op.invoked, true, *op));
    let ends = log.ops.iter().map(|op| (op.returned, false, *op));
    let mut moments: Vec<_> = begins.chain(ends).collect();
    moments.sort_by_key(|(at, begins, op)| (*at, !*begins, op.id));
    moments
}

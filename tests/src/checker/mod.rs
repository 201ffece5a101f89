//! Judges a history against what Henge promises.
//!
//! # What is checked
//!
//! | rule | promise |
//! |---|---|
//! | C1 | no acknowledged write is lost |
//! | C2 | nothing that was replaced or deleted comes back |
//! | C3 | nothing is seen that was never written, or whose write was answered *failed* |
//! | C4 | at the end there are exactly the siblings that nobody replaced |
//! | C5 | no read shows a value beside one that replaced it |
//! | C6 | in strict mode a session reads its own writes and never goes back in time; with a write's token at any R |
//! | C7 | in strict mode a read that starts after a write's answer sees it, or what came after |
//! | C8 | replicas are equal in the end, and nobody holds hints |
//! | C9 | nothing is shown after its deadline or taken away before it, give or take the clock bound |
//! | C10 | enough operations succeed, and never none for too long |
//! | C12 | the run was worth something: acknowledgements, final reads, every planned fault struck |
//!
//! (The eleventh of the list, staleness, is a figure and not a rule.) A history that contradicts
//! itself, for example with one element written twice, is C0.
//!
//! # How
//!
//! The only order used between writes is the one that clients made: a write with the context of a
//! read replaces what that read showed, and everything which that had replaced. No clock orders
//! writes. Real time is used for "starts after the answer" and for deadlines alone.
//!
//! Everything is done key by key in one pass over its operations; searches in the order of writes
//! are cut off at the oldest write they ask about, so that the whole is linear as long as siblings
//! are resolved within a bounded number of writes.
//!
//! Monotonic writes and writes-follow-reads, the two other session guarantees, have no rule of
//! their own. Where a context carries the order, C2, C4 and C5 hold them; where none does, a store
//! of siblings has no order to keep.

mod cluster;
mod expiry;
mod fields;
mod finals;
mod order;
mod reads;

use std::{collections::BTreeMap, fmt};

use crate::history::{Action, History, Kind, Micros, Op, OpId};
use expiry::Standings;
use order::KeyLog;

/// What a history may be held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// How far clocks may be apart: deadlines are fuzzy by this much.
    pub clock_bound: Micros,
    /// Fewer acknowledged writes than this prove nothing.
    pub min_acks: u64,
    /// Whether a write of unknown outcome that some read has shown must stay: true as long as no
    /// disk is lost.
    pub seen_stays: bool,
    /// Whether a replica lost what it held: then only what a strict read of most replicas has shown must
    /// stay, for that reaches most of them before it is shown.
    pub disk_lost: bool,
    /// Whether nodes that do not own a key must hold nothing of it in the end.
    pub owners_only: bool,
    /// Least share of operations that must succeed, 0 to 1.
    pub min_ok_share: f64,
    /// Longest time without any success while clients are asking.
    pub longest_gap: Micros,
}

impl Default for Limits {
    /// Clocks within 500 ms, no lost disks, no demand on availability.
    fn default() -> Self {
        Self {
            clock_bound: 500_000,
            min_acks: 1,
            seen_stays: true,
            disk_lost: false,
            owners_only: false,
            min_ok_share: 0.0,
            longest_gap: Micros::MAX,
        }
    }
}

/// The promises, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// C0: the history contradicts itself; the harness is wrong.
    Malformed,
    /// C1.
    NoLoss,
    /// C2.
    NoResurrection,
    /// C3.
    NoPhantom,
    /// C4.
    ExactSiblings,
    /// C5.
    SiblingBound,
    /// C6.
    Sessions,
    /// C7.
    RegularRead,
    /// C8.
    Convergence,
    /// C9.
    Expiry,
    /// C10.
    Availability,
    /// C12.
    Vacuous,
}

impl Rule {
    /// Its number, as transcripts and reports name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "C0",
            Self::NoLoss => "C1",
            Self::NoResurrection => "C2",
            Self::NoPhantom => "C3",
            Self::ExactSiblings => "C4",
            Self::SiblingBound => "C5",
            Self::Sessions => "C6",
            Self::RegularRead => "C7",
            Self::Convergence => "C8",
            Self::Expiry => "C9",
            Self::Availability => "C10",
            Self::Vacuous => "C12",
        }
    }
}

/// One promise broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The key, or empty where the whole run is meant.
    pub key: String,
    /// The operation that shows it, if one does.
    pub op: Option<OpId>,
    /// What was expected and what was there.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule.code())?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        if let Some(op) = self.op {
            write!(f, " op {op}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// The verdict, and the figures of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Every promise broken, by key. Empty: the history is allowed.
    pub violations: Vec<Violation>,
    /// Writes answered *ok*, those to registers included.
    pub acked: u64,
    /// Operations answered *ok*.
    pub ok: u64,
    /// Operations answered *failed*.
    pub failed: u64,
    /// Operations whose outcome nobody knows.
    pub unknown: u64,
    /// Acknowledged writes to last-writer-wins registers.
    pub register_acked: u64,
    /// Those of them whose value neither survived nor was replaced by a writer that had seen it:
    /// what last-writer-wins costs.
    pub register_lost: u64,
    /// Longest time without any success while clients were asking.
    pub longest_gap: Micros,
}

impl Report {
    /// Whether nothing was broken.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    fn broken(&mut self, rule: Rule, key: &str, op: Option<OpId>, text: String) {
        self.violations.push(Violation {
            rule,
            key: key.to_owned(),
            op,
            text,
        });
    }
}

/// Judges a history.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut report = Report::default();
    let quiesced = history.quiesced_at();
    for (key, ops) in by_key(history) {
        let log = KeyLog::build(key, ops, quiesced, &mut report);
        let standings = Standings::of(&log, limits.clock_bound);
        match Kind::of(key) {
            Kind::Session => fields::check(&log, &standings, limits, &mut report),
            Kind::Siblings => {
                reads::check(&log, &standings, &mut report);
                finals::siblings(&log, &standings, limits, &mut report);
            }
            Kind::Register => finals::register(&log, &mut report),
        }
        standings.check(&log, &mut report);
    }
    cluster::check(history, limits, &mut report);
    report
}

/// The operations of each key, in the order in which they were invoked.
fn by_key(history: &History) -> BTreeMap<&str, Vec<&Op>> {
    let mut keys: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in history.ops() {
        keys.entry(&op.key).or_default().push(op);
    }
    for ops in keys.values_mut() {
        ops.sort_by_key(|op| (op.invoked, op.id));
    }
    keys
}

/// Whether an operation changes anything.
fn is_write(op: &Op) -> bool {
    !matches!(op.action, Action::Get | Action::GetAfter { .. })
}

//! What to ask next, and what to make of the answer.
//!
//! A [`Plan`] belongs to one connection. The driver takes operations from it with [`Plan::next`], in
//! any number at once, and brings each back with its outcome to [`Plan::done`]. Plans know nothing of
//! protocols and sockets; drivers know nothing of keys and histories.

mod keys;
pub(crate) use keys::{Book, KeysPlan, Mix, PopulatePlan};

mod sessions;
pub(crate) use sessions::{SessionsPlan, Weights};

mod readback;
pub(crate) use readback::ReadbackPlan;

use std::sync::Arc;

use serde::Serialize;

use crate::{
    history::{History, Millis, ReadMark, Verdict, WriteMark},
    stamp::{KeySpace, Stamper},
    tally::Tally,
};

/// What an operation is to the workload; each has its own row in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Read of a key or session.
    Get,
    /// Write of a key.
    Set,
    /// First write of a new session.
    Login,
    /// Prolongs a session.
    Touch,
    /// Write of a session just read.
    Change,
    /// Destroys a session.
    Logout,
    /// Read of a destroyed session, which must be gone.
    Ghost,
}

impl Kind {
    /// All kinds, in the order of the report.
    pub(crate) const ALL: [Self; 7] = [
        Self::Get,
        Self::Set,
        Self::Login,
        Self::Touch,
        Self::Change,
        Self::Logout,
        Self::Ghost,
    ];

    /// Name in reports.
    pub(crate) fn name(self) -> &'static str {
        ["get", "set", "login", "touch", "change", "logout", "ghost"][self as usize]
    }

    /// Whether it changes data, so that without an answer its outcome is unknown.
    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::Ghost)
    }
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    /// Number of the key in the run's key space.
    pub(crate) key: u64,
    /// The plan's own place for it.
    slot: u32,
    /// Of writes of a value.
    pub(crate) write: WriteMark,
    /// Of all others.
    read: ReadMark,
    began: Millis,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// A read's answer.
    Value(Option<&'a [u8]>),
    /// A write's answer: whether there was something to change.
    Done(bool),
    /// It did not happen and will not.
    Failed,
    /// It may have happened, or may still.
    Unknown,
}

/// One connection's source of operations.
pub(crate) trait Plan: Send {
    /// The next operation; `None` when the plan is at its end.
    fn next(&mut self, now: Millis) -> Option<Op>;

    /// Takes back an operation that [`Self::next`] gave.
    fn done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis);

    /// Asks for the memory that [`Self::done`] will look at, so that the waits for many operations
    /// overlap.
    fn warm(&self, _: &Op) {}

    /// Goes on from populating to the load proper.
    fn begin_load(&mut self) {}

    /// What is to be read back after the run, taken out of the plan.
    fn harvest(&mut self) -> Vec<Evidence> {
        Vec::new()
    }

    /// What the read-back found, if this plan is one.
    fn readback(&mut self) -> Option<&mut ReadbackPlan> {
        None
    }
}

/// A key and what is known of it.
pub(crate) struct Evidence {
    pub(crate) key: u64,
    pub(crate) history: History,
}

/// What all plans of a run share.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) space: KeySpace,
    pub(crate) stamper: Stamper,
    pub(crate) tally: Arc<Tally>,
    pub(crate) ttl: Option<Millis>,
}

impl Common {
    /// Judges and counts the answer to a read of a value.
    fn judge(&self, history: &History, op: &Op, value: Option<&[u8]>, now: Millis) -> Verdict {
        let verdict = self.verdict(history, op, value, now);
        self.tally
            .note(verdict, &self.space, op.key, op.kind.name());
        verdict
    }

    fn verdict(&self, history: &History, op: &Op, value: Option<&[u8]>, now: Millis) -> Verdict {
        match value.map(|value| self.stamper.read(&self.space, op.key, value)) {
            Some(None) => Verdict::Corrupt,
            Some(seen) => history.judge(op.read, seen, now),
            None => history.judge(op.read, None, now),
        }
    }

    /// Enters the outcome of a touch, and judges what it says of whether the session is there.
    fn settle_touch(&self, history: &mut History, op: &Op, outcome: Outcome<'_>, now: Millis) {
        match outcome {
            Outcome::Done(present) => {
                let verdict = history.judge_presence(op.read, present, now);
                self.tally
                    .note(verdict, &self.space, op.key, op.kind.name());
                if present {
                    history.lives(op.began, now, self.ttl);
                }
            }
            Outcome::Unknown => history.expiry_unknown(),
            Outcome::Failed | Outcome::Value(_) => {}
        }
    }

    /// Enters the outcome of a write of a value.
    fn settle_write(&self, history: &mut History, op: &Op, outcome: Outcome<'_>, now: Millis) {
        match outcome {
            Outcome::Done(true) => {
                history.acked(op.write);
                history.lives(op.began, now, self.ttl);
            }
            Outcome::Unknown => history.unknown(op.write),
            // Not applied means that it changed nothing, exactly as if it had failed.
            Outcome::Failed | Outcome::Done(false) | Outcome::Value(_) => history.failed(op.write),
        }
    }
}

fn write_op(kind: Kind, key: u64, slot: u32, history: &mut History, now: Millis) -> Op {
    Op {
        kind,
        key,
        slot,
        write: history.begin_write(),
        read: ReadMark::default(),
        began: now,
    }
}

fn read_op(kind: Kind, key: u64, slot: u32, history: &History, now: Millis) -> Op {
    Op {
        kind,
        key,
        slot,
        write: WriteMark::default(),
        read: history.begin_read(now),
        began: now,
    }
}

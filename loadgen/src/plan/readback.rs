//! After the run: every key with an acknowledged write is read back.

use super::{Common, Evidence, Kind, Op, Outcome, Plan, read_op};
use crate::history::{Millis, Verdict};

/// Reads each key of its share once and keeps those with a wrong answer, or none, for another look.
pub(crate) struct ReadbackPlan {
    common: Common,
    todo: Vec<Evidence>,
    /// How far `todo` has been asked for.
    asked: usize,
    suspects: Vec<usize>,
    unread: Vec<usize>,
    overtaken: u64,
}

/// What one pass of reading back left over.
pub(crate) struct Leftover {
    /// Keys with a wrong answer.
    pub(crate) suspects: Vec<Evidence>,
    /// Keys without an answer.
    pub(crate) unread: Vec<Evidence>,
    /// Keys with an unknown write over an acknowledged one.
    pub(crate) overtaken: u64,
}

impl ReadbackPlan {
    pub(crate) fn new(common: Common, todo: Vec<Evidence>) -> Self {
        Self {
            common,
            todo,
            asked: 0,
            suspects: Vec::new(),
            unread: Vec::new(),
            overtaken: 0,
        }
    }

    /// What is left over; keys never asked for count as unread.
    pub(crate) fn leftover(&mut self) -> Leftover {
        self.unread.extend(self.asked..self.todo.len());
        let mut todo: Vec<_> = std::mem::take(&mut self.todo)
            .into_iter()
            .map(Some)
            .collect();
        let mut take = |indexes: &[usize]| {
            indexes
                .iter()
                .filter_map(|index| todo[*index].take())
                .collect()
        };
        Leftover {
            suspects: take(&self.suspects),
            unread: take(&self.unread),
            overtaken: self.overtaken,
        }
    }
}

impl Plan for ReadbackPlan {
    fn next(&mut self, now: Millis) -> Option<Op> {
        let item = self.todo.get(self.asked)?;
        self.asked += 1;
        let kind = if item.history.is_ended() {
            Kind::Ghost
        } else {
            Kind::Get
        };
        Some(read_op(
            kind,
            item.key,
            self.asked as u32 - 1,
            &item.history,
            now,
        ))
    }

    fn done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis) {
        let index = op.slot as usize;
        let Outcome::Value(value) = outcome else {
            self.unread.push(index);
            return;
        };
        let verdict = self
            .common
            .verdict(&self.todo[index].history, op, value, now);
        match verdict {
            Verdict::Fine => {}
            Verdict::Overtaken => self.overtaken += 1,
            // May be behind rather than lost: a second look decides.
            Verdict::Stale => self.suspects.push(index),
            // Wrong for good: a second look would not make it right.
            _ => self
                .common
                .tally
                .note(verdict, &self.common.space, op.key, "read-back"),
        }
    }

    fn readback(&mut self) -> Option<&mut ReadbackPlan> {
        Some(self)
    }
}

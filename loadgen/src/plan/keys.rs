//! Plain reads, writes and touches of a fixed set of keys.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prefetch_index::prefetch_index;

use super::{Common, Evidence, Kind, Op, Outcome, Plan, read_op, write_op};
use crate::{
    history::{History, Millis},
    rng::{Picker, Rng},
};

/// How often the write of one key is tried again while populating.
const MAX_RETRIES: usize = 10_000;

/// How many keys are drawn ahead, for their histories to be in cache when they are needed.
const AHEAD: usize = 8;

/// The histories of all keys, shared by all connections: any of them may write any key.
pub(crate) struct Book(Vec<Page>);

/// One key's history on a cache line of its own: with many keys the misses are the cost of a look.
#[derive(Default)]
#[repr(align(64))]
struct Page(Mutex<History>);

impl Book {
    pub(crate) fn new(keys: u32) -> Self {
        Self((0..keys).map(|_| Page::default()).collect())
    }

    /// Asks for a key's page without waiting for it.
    fn warm(&self, key: u32) {
        prefetch_index(&self.0, key as usize);
    }

    fn of(&self, key: u32) -> MutexGuard<'_, History> {
        self.0[key as usize]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys with an acknowledged write; to be called when no operation is under way.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        let all = (0..self.0.len() as u32).map(|key| (key, self.of(key)));
        all.filter(|(_, history)| history.has_acked())
            .map(|(key, history)| Evidence {
                key: key.into(),
                history: history.clone(),
            })
            .collect()
    }
}

/// How often each kind of operation is drawn, as shares of 0 to 1; the rest are writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    reads: f64,
    touches: f64,
}

impl Mix {
    /// Such a share of reads.
    pub(crate) fn reads(share: f64) -> Self {
        Self {
            reads: share,
            touches: 0.0,
        }
    }

    /// So many touches to one write.
    pub(crate) fn touches(to_one_write: u32) -> Self {
        let touches = f64::from(to_one_write);
        Self {
            reads: 0.0,
            touches: touches / (touches + 1.0),
        }
    }

    fn draw(self, rng: &mut Rng) -> Kind {
        if self.reads >= 1.0 {
            return Kind::Get;
        }
        if self.reads + self.touches <= 0.0 {
            return Kind::Set;
        }
        match rng.unit() {
            at if at < self.reads => Kind::Get,
            at if at < self.reads + self.touches => Kind::Touch,
            _ => Kind::Set,
        }
    }
}

/// Reads, writes and touches keys drawn by a distribution.
pub(crate) struct KeysPlan {
    common: Common,
    book: Arc<Book>,
    picker: Arc<Picker>,
    rng: Rng,
    mix: Mix,
    /// The next keys, in a ring that begins at `at`.
    upcoming: [u32; AHEAD],
    at: usize,
}

impl KeysPlan {
    pub(crate) fn new(
        common: Common,
        book: Arc<Book>,
        picker: Arc<Picker>,
        mut rng: Rng,
        mix: Mix,
    ) -> Self {
        let upcoming = std::array::from_fn(|_| picker.pick(&mut rng));
        Self {
            common,
            book,
            picker,
            rng,
            mix,
            upcoming,
            at: 0,
        }
    }

    fn draw(&mut self) -> u32 {
        let next = self.picker.pick(&mut self.rng);
        self.book.warm(next);
        let key = std::mem::replace(&mut self.upcoming[self.at], next);
        self.at = (self.at + 1) % AHEAD;
        key
    }
}

impl Plan for KeysPlan {
    fn next(&mut self, now: Millis) -> Option<Op> {
        let key = self.draw();
        let kind = self.mix.draw(&mut self.rng);
        let mut history = self.book.of(key);
        Some(match kind {
            Kind::Set => write_op(kind, key.into(), key, &mut history, now),
            _ => read_op(kind, key.into(), key, &history, now),
        })
    }

    fn done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis) {
        let mut history = self.book.of(op.slot);
        match outcome {
            Outcome::Value(value) => {
                self.common.judge(&history, op, value, now);
            }
            _ if op.kind == Kind::Touch => {
                self.common.settle_touch(&mut history, op, outcome, now);
            }
            _ if op.kind.is_write() => self.common.settle_write(&mut history, op, outcome, now),
            _ => {}
        }
    }

    fn warm(&self, op: &Op) {
        self.book.warm(op.slot);
    }
}

/// Writes every key of its share once, in order.
pub(crate) struct PopulatePlan {
    common: Common,
    book: Arc<Book>,
    next: u32,
    step: u32,
    again: Vec<u32>,
    retries: usize,
}

impl PopulatePlan {
    /// The share `first, first + step, …` of the keys.
    pub(crate) fn new(common: Common, book: Arc<Book>, first: u32, step: u32) -> Self {
        Self {
            common,
            book,
            next: first,
            step,
            again: Vec::new(),
            retries: 0,
        }
    }
}

impl Plan for PopulatePlan {
    fn next(&mut self, now: Millis) -> Option<Op> {
        let key = match self.again.pop() {
            Some(key) => key,
            None if (self.next as usize) < self.book.0.len() => {
                self.next += self.step;
                self.next - self.step
            }
            None => return None,
        };
        Some(write_op(
            Kind::Set,
            key.into(),
            key,
            &mut self.book.of(key),
            now,
        ))
    }

    fn done(&mut self, op: &Op, outcome: Outcome<'_>, now: Millis) {
        self.common
            .settle_write(&mut self.book.of(op.slot), op, outcome, now);
        if outcome != Outcome::Done(true) && self.retries < MAX_RETRIES {
            self.retries += 1;
            self.again.push(op.slot);
        }
    }
}

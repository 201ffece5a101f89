//! The hints for one target.
//!
//! A hint is a key and the generation of the newest write it stands for. Generations only grow, so
//! one index by generation is at once the order of sending (longest unchanged first) and the order
//! of expiry.
//!
//! ```text
//!            add                  take                     acked, same generation
//!  (none) ─────────▶ waiting ──────────────▶ in flight ───────────────────────────▶ (none)
//!                     │   ▲                   │     │
//!                     │   └───── returned ────┘     │ acked, but written again meanwhile
//!                     │   ▲                         │
//!              expire │   └─────────────────────────┘
//!                     ▼
//!                  (none)
//! ```
//!
//! "In flight" is a note beside the hint, not a place it moves to: the hint stays until it is
//! acknowledged or expires, so no path through this file can lose it.

use std::{collections::BTreeMap, sync::Arc};

use super::ToSend;
use crate::backoff::{Backoff, Delay};

#[derive(Debug)]
struct Hint {
    generation: u64,
    added_ms: u64,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Removed,
    Newer,
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct HintQueue {
    hints: BTreeMap<Arc<[u8]>, Hint>,
    /// The same hints by generation. Invariant: `order[hint.generation]` is the hint's key, and
    /// both maps have the same length.
    order: BTreeMap<u64, Arc<[u8]>>,
    /// What was sent and not answered: key and the generation it stood for then.
    in_flight: BTreeMap<Arc<[u8]>, u64>,
    sent_ms: u64,
    /// Whether a hint of the last batch failed.
    batch_failed: bool,
    backoff: Backoff,
}

impl HintQueue {
    pub(super) fn len(&self) -> usize {
        self.hints.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hints.is_empty() && self.in_flight.is_empty()
    }

    pub(super) fn generation(&self, key: &[u8]) -> Option<u64> {
        self.hints.get(key).map(|hint| hint.generation)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.hints.keys().map(|key| &**key)
    }

    /// Renews the hint of a key that has one. Returns false if it has none.
    pub(super) fn renew(&mut self, key: &[u8], generation: u64, now_ms: u64) -> bool {
        let Some(hint) = self.hints.get_mut(key) else {
            return false;
        };
        if let Some(key) = self.order.remove(&hint.generation) {
            self.order.insert(generation, key);
        }
        *hint = Hint {
            generation,
            added_ms: now_ms,
        };
        true
    }

    /// Adds a hint for a key that has none.
    pub(super) fn insert(&mut self, key: &[u8], generation: u64, now_ms: u64) {
        let key: Arc<[u8]> = key.into();
        self.order.insert(generation, Arc::clone(&key));
        self.hints.insert(
            key,
            Hint {
                generation,
                added_ms: now_ms,
            },
        );
    }

    /// Whether a batch may leave now: something waits, nothing is in flight, no back-off is on.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        !self.hints.is_empty() && self.in_flight.is_empty() && self.backoff.retry_at_ms() <= now_ms
    }

    /// Marks the oldest `max` hints as in flight and names them.
    pub(super) fn take(&mut self, max: usize, now_ms: u64) -> Vec<ToSend> {
        let oldest = self.order.iter().take(max);
        let batch: Vec<_> = oldest
            .map(|(&generation, key)| ToSend {
                key: Arc::clone(key),
                generation,
            })
            .collect();
        self.in_flight = batch
            .iter()
            .map(|hint| (Arc::clone(&hint.key), hint.generation))
            .collect();
        self.sent_ms = now_ms;
        self.batch_failed = false;
        batch
    }

    /// The target keeps `generation` of `key`.
    pub(super) fn settle(&mut self, key: &[u8], generation: u64) -> Settled {
        if self.in_flight.get(key) == Some(&generation) {
            self.in_flight.remove(key);
        }
        if !self.batch_failed {
            self.backoff = Backoff::default();
        }
        match self.generation(key) {
            Some(current) if current == generation => {
                self.remove(generation);
                Settled::Removed
            }
            Some(_) => Settled::Newer,
            None => Settled::Unknown,
        }
    }

    /// What is in flight waits again, until the back-off is over.
    pub(super) fn give_back(&mut self, delay: Delay) {
        if !self.in_flight.is_empty() {
            self.in_flight.clear();
            self.back_off(delay);
        }
    }

    /// One hint that is in flight at this generation waits again.
    pub(super) fn give_back_one(&mut self, key: &[u8], generation: u64, delay: Delay) {
        if self.in_flight.get(key) == Some(&generation) {
            self.in_flight.remove(key);
            self.back_off(delay);
        }
    }

    /// Backs off once per batch, however many of its hints fail.
    fn back_off(&mut self, delay: Delay) {
        if !std::mem::replace(&mut self.batch_failed, true) {
            self.backoff.failed(delay);
        }
    }

    /// The target is back: whatever waits may leave at once.
    pub(super) fn wake(&mut self) {
        self.backoff = Backoff::default();
    }

    /// Since when the batch in flight is unanswered.
    pub(super) fn unanswered_since(&self) -> Option<u64> {
        (!self.in_flight.is_empty()).then_some(self.sent_ms)
    }

    /// When the next batch may leave, if nothing is in flight.
    pub(super) fn next_batch_at(&self) -> Option<u64> {
        let idle = !self.hints.is_empty() && self.in_flight.is_empty();
        idle.then(|| self.backoff.retry_at_ms())
    }

    /// When the oldest hint was added or last renewed.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let (_, key) = self.order.first_key_value()?;
        self.hints.get(key).map(|hint| hint.added_ms)
    }

    /// Takes out the oldest hint if it was added before `before_ms`.
    pub(super) fn expire(&mut self, before_ms: u64) -> Option<Arc<[u8]>> {
        if self.oldest_ms()? >= before_ms {
            return None;
        }
        let (&generation, _) = self.order.first_key_value()?;
        self.remove(generation)
    }

    fn remove(&mut self, generation: u64) -> Option<Arc<[u8]>> {
        let key = self.order.remove(&generation)?;
        self.hints.remove(&key);
        Some(key)
    }
}

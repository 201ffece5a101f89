//! The membership log: a grow-only set of events, and the tag that names its content.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::{ChangeId, Event, NodeId, Op};

/// Names the content of a log, and so a ring. Travels on every message.
///
/// Equal tags: the same events (but for a collision of 64-bit hashes). Equal `lamport` and another
/// `hash`: concurrent logs, neither is older; exchange and unite them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RingTag {
    /// Largest lamport of the log; 0 if it is empty.
    pub lamport: u64,
    /// xxh3-64 chained over the canonical (postcard) encodings of the events in order: each
    /// event's hash is seeded with the one before; 0 if the log is empty.
    pub hash: u64,
}

impl RingTag {
    /// The tag of a log that continues with `event`.
    pub(crate) fn then(self, event: &Event) -> Self {
        // Writing integers, strings and enums into a Vec has no way to fail.
        let bytes = postcard::to_stdvec(event).expect("events are plain data");
        Self {
            lamport: event.lamport,
            hash: XxHash3_64::oneshot_with_seed(self.hash, &bytes),
        }
    }
}

/// The membership events a node knows: a grow-only set, ordered by
/// `(lamport, change, proposer, op)`.
///
/// Laws (tested): [`union`](Self::union) is commutative, associative and idempotent, and whoever
/// has the same events has the same [`tag`](Self::tag).
///
/// Architecture invariant: nothing is ever removed or rewritten, and a failure detector never
/// writes here: an operator does, or the policy that the operator set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Event>", into = "Vec<Event>")]
pub struct Log {
    events: BTreeSet<Event>,
    /// Always the tag of `events`.
    tag: RingTag,
}

/// A log that would get too long. Nothing was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a membership log of {events} events, at most {} are kept",
    Log::MAX_EVENTS
)]
pub struct LogTooLong {
    /// How many events it would have had.
    pub events: usize,
}

impl Log {
    /// The most events that are taken from others. A cluster of a hundred nodes that each come back
    /// a hundred times has as many; what bounds it is that a log is folded whole at start, at up to
    /// a millisecond for each change.
    pub const MAX_EVENTS: usize = 16_384;

    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event; says whether it was new.
    pub fn insert(&mut self, event: Event) -> bool {
        let appends = self.events.last().is_none_or(|last| *last < event);
        if appends {
            self.tag = self.tag.then(&event);
            return self.events.insert(event);
        }
        let new = self.events.insert(event);
        if new {
            self.retag();
        }
        new
    }

    /// Adds all events of `other`; says whether any was new.
    pub fn union(&mut self, other: &Self) -> bool {
        let before = self.events.len();
        self.extend(other.events.iter().cloned());
        self.events.len() > before
    }

    /// Adds events that somebody else sent; says whether any was new.
    ///
    /// # Errors
    /// [`LogTooLong`] beyond [`MAX_EVENTS`](Self::MAX_EVENTS).
    pub fn try_extend(&mut self, events: Vec<Event>) -> Result<bool, LogTooLong> {
        let before = self.events.len();
        let new: BTreeSet<Event> = events
            .into_iter()
            .filter(|event| !self.events.contains(event))
            .collect();
        let events = before + new.len();
        if events > Self::MAX_EVENTS {
            return Err(LogTooLong { events });
        }
        self.extend(new);
        Ok(events > before)
    }

    /// The events in their order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event> + DoubleEndedIterator + Clone {
        self.events.iter()
    }

    /// The events of this log that `other` lacks, in order: what to send to whom has `other`.
    pub fn missing_from<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Event> {
        self.events.difference(&other.events)
    }

    /// Whether the event is known.
    pub fn contains(&self, event: &Event) -> bool {
        self.events.contains(event)
    }

    /// Whether `other` has all of these events and more.
    pub fn is_before(&self, other: &Self) -> bool {
        self.len() < other.len() && self.events.is_subset(&other.events)
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Names the content.
    pub fn tag(&self) -> RingTag {
        self.tag
    }

    /// The lamport of the next event proposed by whoever knows this log.
    pub fn next_lamport(&self) -> u64 {
        self.tag.lamport.saturating_add(1)
    }

    /// The events of one change that follows everything known here. They are not yet inserted, so
    /// that a plan can be made (and refused) first.
    pub fn propose(
        &self,
        proposer: NodeId,
        change: ChangeId,
        ops: impl IntoIterator<Item = Op>,
    ) -> Vec<Event> {
        let lamport = self.next_lamport();
        let event = |op| Event {
            lamport,
            change,
            proposer,
            op,
        };
        ops.into_iter().map(event).collect()
    }

    fn retag(&mut self) {
        self.tag = self
            .events
            .iter()
            .fold(RingTag::default(), |tag, event| tag.then(event));
    }
}

impl Extend<Event> for Log {
    fn extend<I: IntoIterator<Item = Event>>(&mut self, events: I) {
        let before = self.events.len();
        self.events.extend(events);
        if self.events.len() > before {
            self.retag();
        }
    }
}

impl FromIterator<Event> for Log {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut log = Self::new();
        log.extend(events);
        log
    }
}

impl From<Vec<Event>> for Log {
    fn from(events: Vec<Event>) -> Self {
        events.into_iter().collect()
    }
}

impl From<Log> for Vec<Event> {
    fn from(log: Log) -> Self {
        log.events.into_iter().collect()
    }
}

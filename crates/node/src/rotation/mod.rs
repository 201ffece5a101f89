//! A session gets a new id, and for a short *grace* the old id still opens it.
//!
//! After a login or another change of privileges an application gives a session a new id, so that whoever
//! knows the old one is left behind. Requests that are under way with the old id must not fail for it.
//!
//! The record under the old id is the one truth: it says which id opens the session.
//!
//! ```text
//! new id   ── Succeed ──► the whole session, and whose successor it is: shown only if the old id says so
//! old id   ── HandOver ─► + successor, until: from now on the new id opens the session, and until then
//!                         the old id stands for it; its own fields are never shown again
//! ```
//!
//! * *The switch is one write* to one key, made by the key's decider after a quorum read, and only if the
//!   record is still what was copied. Before it the new id shows nothing, after it the old one is an alias.
//!   Whatever fails in between leaves exactly one of the two valid, and the same rotation again goes on
//!   from there. Of two rotations at once one hands over; the other's new id is never shown.
//! * *An alias is resolved where it is met*: a coordinator that finds a successor in its record carries the
//!   request out under the new id. Past the grace it reads as absent, and writes are absorbed.
//! * *Logging out* the new id leaves nothing that the old one could show. A logout under the old id is
//!   passed on like any write, and one at a node that has not heard of the rotation buries the old record:
//!   so a reader of the new id reads the old record too (the same R) and shows nothing if that is dead.
//!   With R + W > N this needs no order of arrival.
//! * *Settling*: [`SETTLED_MS`] after the grace every request that began within it has ended. The first
//!   read then drops the new id's look at the old one, and *retires* the old record: dead, in a life just
//!   after its last, so that it is told apart from a logout.
//! * Owner and cap are copied, and the principal's index gets an entry in the life that the session began
//!   in, before the new id can be shown: logging out everywhere ends both.
//!
//! What it costs: until it is settled each read of the session reads the old record too, one round trip
//! more; reads under the old id another. What is lost: a write under the old id at a node that has not
//! heard of the rotation, as if it had come after a logout.

mod rotate;
pub use rotate::{Rotated, Rotation};

mod service;

mod step;
pub use step::Step;

use henge_versioning::{ActorId, HlcTime, RecordRef, Stamp};

use crate::hidden::Hidden;

/// How long an old id stands for the new one if nobody says how long, in milliseconds: longer than nearly
/// all requests take.
pub const GRACE_MS: u64 = 10_000;

/// The longest grace, in milliseconds: as long as a request may take.
pub const MAX_GRACE_MS: u64 = 60_000;

/// How long after the grace a rotation is settled, in milliseconds: by then whatever began within the
/// grace has ended (60 s at most), whatever the clocks.
pub(crate) const SETTLED_MS: u64 = 70_000;

/// In the record of an old id: what comes after it.
pub(crate) const SUCCESSOR_FIELD: &[u8] = b"\0\0successor";
/// In the record of a new id: what came before it.
pub(crate) const PREDECESSOR_FIELD: &[u8] = b"\0\0predecessor";

/// The actor in the epoch of a retired record. Sessions' lives have actor 0 and are told apart by their
/// numbers, so this is a life between the present and the next.
const RETIRED: ActorId = ActorId(1);

/// What the record of an old id says of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Successor<'a> {
    /// Until when the old id stands for it, in milliseconds since 1970.
    pub(crate) until_ms: u64,
    /// The new id's key.
    pub(crate) key: &'a [u8],
}

impl<'a> Successor<'a> {
    /// `until 8 (little-endian) | key`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.until_ms.to_le_bytes(), self.key].concat()
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (until, key) = bytes.split_first_chunk()?;
        let until_ms = u64::from_le_bytes(*until);
        Some(Self { until_ms, key })
    }
}

/// What the record of a new id says of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Predecessor<'a> {
    /// The life in which the old id was the session.
    pub(crate) life: u64,
    /// The old id's key.
    pub(crate) key: &'a [u8],
}

impl<'a> Predecessor<'a> {
    /// `life 8 (little-endian) | key`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.life.to_le_bytes(), self.key].concat()
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (life, key) = bytes.split_first_chunk()?;
        let life = u64::from_le_bytes(*life);
        Some(Self { life, key })
    }
}

/// What the old record says of a session that names it as its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was handed over to this session, and the old id stands for it until then.
    HandedOver {
        /// Milliseconds since 1970.
        until_ms: u64,
    },
    /// It was, and nothing more can come of it.
    Settled,
    /// It was destroyed, and this session with it.
    LoggedOut,
    /// Nothing is known of a handover to this session: it is not shown.
    Unfinished,
}

impl Verdict {
    /// Of the record under the predecessor's key, on the session under `key`.
    pub(crate) fn of(
        predecessor: Predecessor<'_>,
        key: &[u8],
        record: Option<&RecordRef<'_>>,
    ) -> Self {
        let Some(record) = record else {
            return Self::Unfinished;
        };
        if record.epoch() == retired(life(predecessor.life)) {
            return Self::Settled;
        }
        let hidden = Hidden::of(record.as_bytes()).unwrap_or_default();
        match hidden.successor {
            _ if record.is_dead() => Self::LoggedOut,
            Some(successor) if successor.key == key && record.epoch() == life(predecessor.life) => {
                Self::HandedOver {
                    until_ms: successor.until_ms,
                }
            }
            _ => Self::Unfinished,
        }
    }
}

/// The epoch of a session's life with this number.
fn life(number: u64) -> Stamp {
    Stamp {
        time: HlcTime(number),
        actor: ActorId(0),
    }
}

/// The life in which a record is dead that was handed over in `life`.
pub(crate) fn retired(life: Stamp) -> Stamp {
    Stamp {
        actor: RETIRED,
        ..life
    }
}

#[cfg(test)]
mod tests;

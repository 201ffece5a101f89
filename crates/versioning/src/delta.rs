//! Deltas: the small records that writes are made of. Each function appends one encoded record to
//! `out`; merging it into a replica's record is the write.
//!
//! An `epoch` names the life a delta belongs to and a `stamp` orders it among the writes of that
//! life; stamps come from a [`Clock`](crate::Clock) that has observed the record's
//! [`newest`](RecordRef::newest) stamp. Times are milliseconds since 1970 or [`crate::NEVER`].
//!
//! Only [`begin`] and [`begin_fields`] make something visible: a life needs a deadline. Every other
//! delta changes a life that the caller has seen, and carries no deadline unless it moves it. Merge
//! [`life`] into it before it is sent, and a replica that lacks the beginning, or gets it when all
//! is over, can tell how long it matters.

use std::collections::BTreeMap;

use crate::record::{Cell, Counter, Membership, Record, Register, Set, write_plain};
use crate::{Deadline, RecordRef, Stamp};

/// Begins a new life with one unnamed value: `epoch` is its stamp too. Deadline in milliseconds
/// since 1970, or [`crate::NEVER`].
pub fn begin(out: &mut Vec<u8>, epoch: Stamp, deadline: u64, value: &[u8]) {
    write_plain(
        out,
        epoch,
        Some(Deadline {
            stamp: epoch,
            at: deadline,
        }),
        Some((epoch, value)),
    );
}

/// Begins a new life with named fields. Of a name given twice the last value is taken.
pub fn begin_fields(out: &mut Vec<u8>, epoch: Stamp, deadline: u64, fields: &[(&[u8], &[u8])]) {
    let register = |value| {
        Cell::Register(Register {
            stamp: epoch,
            value: Some(value),
        })
    };
    let body = fields
        .iter()
        .map(|&(name, value)| (name, register(value)))
        .collect();
    write(out, epoch, epoch, Some(deadline), body);
}

/// Sets the unnamed value within a life; a new deadline too, where given.
pub fn put(out: &mut Vec<u8>, epoch: Stamp, stamp: Stamp, deadline: Option<u64>, value: &[u8]) {
    let deadline = deadline.map(|at| Deadline { stamp, at });
    write_plain(out, epoch, deadline, Some((stamp, value)));
}

/// Sets (`Some`) or removes (`None`) named fields within a life; a new deadline too, where given.
/// Of a name given twice the last is taken.
pub fn put_fields(
    out: &mut Vec<u8>,
    epoch: Stamp,
    stamp: Stamp,
    deadline: Option<u64>,
    fields: &[(&[u8], Option<&[u8]>)],
) {
    let register = |value| Cell::Register(Register { stamp, value });
    let body = fields
        .iter()
        .map(|&(name, value)| (name, register(value)))
        .collect();
    write(out, epoch, stamp, deadline, body);
}

/// Moves the deadline within a life and nothing else: a touch. Never creates anything visible.
pub fn expire(out: &mut Vec<u8>, epoch: Stamp, stamp: Stamp, deadline: u64) {
    write_plain(
        out,
        epoch,
        Some(Deadline {
            stamp,
            at: deadline,
        }),
        None,
    );
}

/// Ends a life: dead, body gone, kept until `horizon` (and longer, if a later one is known).
/// `horizon` must cover every deadline that may have been set without this caller's knowledge: now
/// plus the longest lifetime allowed.
pub fn bury(out: &mut Vec<u8>, epoch: Stamp, horizon: u64) {
    Record {
        dead: true,
        horizon,
        ..Record::new(epoch)
    }
    .encode(out);
}

/// Keeps a life's record until `horizon` at least, and changes nothing that readers see. For a life
/// that begins over an older one whose copies could be live for longer: once this life's record
/// were gone they would show again.
pub fn retain(out: &mut Vec<u8>, epoch: Stamp, horizon: u64) {
    Record {
        horizon,
        ..Record::new(epoch)
    }
    .encode(out);
}

/// Lets a life end at `at` at the latest, in milliseconds since 1970, whatever its deadline is and
/// will be.
pub fn cap(out: &mut Vec<u8>, epoch: Stamp, at: u64) {
    Record {
        cap: at,
        ..Record::new(epoch)
    }
    .encode(out);
}

/// The life that `record` belongs to, without its body: epoch, deadline, cap, horizon, whether
/// dead.
/// Merged with a delta that leaves the deadline alone, it makes that delta complete.
pub fn life(out: &mut Vec<u8>, record: RecordRef<'_>) {
    record.write_life(out);
}

/// A counter cannot count that far in one direction within one actor's tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tally stands at {tally}; adding {by} more would pass 64 bits")]
pub struct CounterOverflow {
    /// What the actor has added (or taken away) so far.
    pub tally: u64,
    /// What it was to add (or take away) now.
    pub by: u64,
}

/// Adds `by` (which may be negative) to a named counter; a new deadline too, where given. Zero
/// makes the counter appear.
///
/// The tally is that of `stamp.actor`, continued from `local`, which must be this replica's
/// current record: it and the delta's merge must be one step under the key's lock. The same rule
/// holds for the actor as in [`crate::siblings`]: one that may have lost its tally must be fresh.
///
/// # Errors
/// If the actor's tally would overflow; nothing is written.
pub fn add(
    out: &mut Vec<u8>,
    local: Option<RecordRef<'_>>,
    epoch: Stamp,
    stamp: Stamp,
    deadline: Option<u64>,
    name: &[u8],
    by: i64,
) -> Result<(), CounterOverflow> {
    let local = local
        .filter(|record| record.epoch() == epoch)
        .map(|it| Record::decode(&it));
    let known = match local.as_ref().and_then(|record| record.body.get(name)) {
        Some(Cell::Counter(counter)) => counter.clone(),
        _ => Counter::default(),
    };
    let mut tally = known.tallies.get(&stamp.actor).copied().unwrap_or_default();
    let side = if by < 0 {
        &mut tally.down
    } else {
        &mut tally.up
    };
    let by = by.unsigned_abs();
    *side = side
        .checked_add(by)
        .ok_or(CounterOverflow { tally: *side, by })?;
    let tallies = BTreeMap::from([(stamp.actor, tally)]);
    let cell = Cell::Counter(Counter {
        reset: known.reset,
        tallies,
    });
    write(out, epoch, stamp, deadline, BTreeMap::from([(name, cell)]));
    Ok(())
}

/// Resets a named counter, which is then absent until something is added. What others add
/// concurrently is lost.
pub fn reset(out: &mut Vec<u8>, epoch: Stamp, stamp: Stamp, deadline: Option<u64>, name: &[u8]) {
    let cell = Cell::Counter(Counter {
        reset: stamp,
        tallies: BTreeMap::new(),
    });
    write(out, epoch, stamp, deadline, BTreeMap::from([(name, cell)]));
}

/// Inserts elements into a named set; a new deadline too, where given.
pub fn insert(
    out: &mut Vec<u8>,
    epoch: Stamp,
    stamp: Stamp,
    deadline: Option<u64>,
    name: &[u8],
    elements: &[&[u8]],
) {
    write_set(
        out,
        epoch,
        Membership {
            stamp,
            present: true,
        },
        deadline,
        name,
        elements,
    );
}

/// Removes elements from a named set; a new deadline too, where given. An element inserted
/// concurrently with a greater stamp stays.
pub fn remove(
    out: &mut Vec<u8>,
    epoch: Stamp,
    stamp: Stamp,
    deadline: Option<u64>,
    name: &[u8],
    elements: &[&[u8]],
) {
    write_set(
        out,
        epoch,
        Membership {
            stamp,
            present: false,
        },
        deadline,
        name,
        elements,
    );
}

fn write_set(
    out: &mut Vec<u8>,
    epoch: Stamp,
    membership: Membership,
    deadline: Option<u64>,
    name: &[u8],
    elements: &[&[u8]],
) {
    let elements = elements
        .iter()
        .map(|&element| (element, membership))
        .collect();
    let cell = Cell::Set(Set { elements });
    write(
        out,
        epoch,
        membership.stamp,
        deadline,
        BTreeMap::from([(name, cell)]),
    );
}

fn write(
    out: &mut Vec<u8>,
    epoch: Stamp,
    stamp: Stamp,
    deadline: Option<u64>,
    body: BTreeMap<&[u8], Cell<'_>>,
) {
    Record {
        body,
        ..Record::new(epoch)
    }
    .with_deadline(stamp, deadline)
    .encode(out);
}

#[cfg(test)]
mod tests;

//! Sibling records: opaque values of which concurrent ones are all kept until a writer that has
//! seen them replaces them.
//!
//! A writer hands back the causal context it read ([`context`]); the write replaces exactly the
//! values in that context. A writer without a context replaces nothing and adds a sibling. A
//! deletion leaves the dots behind as a tombstone, so that late copies of what was deleted are
//! recognised. All sibling records of a key share one epoch (the zero stamp, unless the key held
//! something else before), for their dots already say what replaces what.
//!
//! # Actors
//!
//! A dot (actor, number) must never name two different values, or replicas discard one of them as
//! old news, silently. The number comes from the *local* record, so an actor that has lost part of
//! its state may count from too low. Therefore an actor id must not outlive any loss of state: a
//! new one for each boot, and a new one as soon as the node has dropped any sibling record it may
//! have stamped (a fallback after its handoff, a partition moved away, a sweep): see
//! [`ActorId::derive_fresh`](crate::ActorId::derive_fresh). It is not enough to take a fresh id only
//! when the key is found absent: a peer's repair may have put an older copy there meanwhile.

mod dvvset;
#[cfg(test)]
mod tests;

pub(crate) use dvvset::{DvvSet, Events, Sibling};

use crate::record::{Cell, Record};
use crate::{ActorId, NEVER, RecordRef, Stamp, VersionVector};

/// Writes a value that replaces those in `context` and stands beside the others. Appends the whole
/// new record to `out`: it is above `local`, so storing it and merging it are the same.
///
/// The deadline is moved if one is given; a record that never had one gets [`NEVER`].
/// `local` must be this replica's current record and `actor` its own, see the module's text. A
/// record that is dead stays so.
pub fn put(
    local: Option<RecordRef<'_>>,
    context: &VersionVector,
    actor: ActorId,
    value: &[u8],
    stamp: Stamp,
    deadline: Option<u64>,
    out: &mut Vec<u8>,
) {
    let (record, mut set) = open(&local);
    set.update(
        context,
        actor,
        Sibling {
            time: stamp.time,
            value,
        },
    );
    let unset = record.deadline.is_none().then_some(NEVER);
    close(record.with_deadline(stamp, deadline.or(unset)), set, out);
}

/// Deletes the values in `context`; others stay. The dots stay too, as a tombstone. Appends the
/// whole new record to `out`.
pub fn delete(local: Option<RecordRef<'_>>, context: &VersionVector, out: &mut Vec<u8>) {
    let (record, mut set) = open(&local);
    set.discard(context);
    close(record, set, out);
}

/// What a reader of this record has seen, deletions included.
pub fn context(record: RecordRef<'_>) -> VersionVector {
    open(&Some(record)).1.context()
}

/// How many concurrent values there are. Callers warn at 32 and refuse further blind writes at
/// 256.
pub fn count(record: RecordRef<'_>) -> usize {
    open(&Some(record)).1.count()
}

fn open<'a>(local: &Option<RecordRef<'a>>) -> (Record<'a>, DvvSet<'a>) {
    let mut record = match local {
        Some(local) => Record::decode(local),
        None => Record::new(Stamp::default()),
    };
    match record.body.remove(&b""[..]) {
        Some(Cell::Siblings(set)) => (record, set),
        // A register under this name is overruled: siblings are the greater kind.
        _ => (record, DvvSet::default()),
    }
}

fn close<'a>(mut record: Record<'a>, set: DvvSet<'a>, out: &mut Vec<u8>) {
    if !record.dead {
        record.body.insert(b"", Cell::Siblings(set));
    }
    record.encode(out);
}

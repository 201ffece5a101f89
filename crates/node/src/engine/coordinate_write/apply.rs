//! The locked step of a write: look at the local record, decide, stamp and merge.

use std::sync::atomic::Ordering;

use henge_ring::{MAX_SIBLINGS, NodeId};
use henge_store::{Decision, Key, StoreError};
use henge_versioning::{
    ActorId, Clock, HlcTime, Merge, NEVER, RecordRef, Stamp, merge_records, siblings,
};

use super::{
    super::{
        longest_value,
        rules::{self, Effect, Facts},
    },
    Engine, Now, When,
};
use crate::{Bucket, Condition, Expiry, Operation, Request, hidden, principals};

/// What the locked step on the local store came to.
#[derive(PartialEq, Eq)]
pub(super) enum Local {
    /// The delta lies in the engine's buffer and in the store.
    Applied,
    /// So it does, and the caller is told that the session was over.
    Confirmed {
        dead: bool,
    },
    /// So it does, and the caller is told what was made of the old value.
    Modified,
    Declined,
    Absorbed,
    /// The session has a new id, whose key lies in the engine's buffer.
    Elsewhere,
    /// The record is not known well enough here: read at quorum, then come back.
    ReadFirst,
    /// A sibling set is full.
    TooManySiblings {
        count: usize,
        most: usize,
    },
    /// The value that was made is longer than the bucket allows.
    TooLong {
        length: usize,
        most: usize,
    },
    /// The record has the last stamp that there is, which only a broken peer makes.
    AtTheEndOfTime,
}

impl Engine {
    /// From now on what this engine writes bears another node's name, as it would if that node's state
    /// directory had been copied. Messages go where they went. For trying out what such a copy breaks:
    /// two nodes of one id refuse each other in their hello, and none of them gets this far.
    pub fn mint_as(&mut self, node: NodeId, boot: u64) {
        self.actor = ActorId::derive(node.0, boot);
        self.minter = (node, boot);
    }

    /// Look, decide, stamp, merge: in one step under the key's lock.
    pub(super) fn apply_here(
        &mut self,
        (now, when): (Now, When),
        key: Key<'_>,
        request: &Request<'_>,
        known: bool,
        before: &mut Option<Vec<u8>>,
    ) -> Result<Local, StoreError> {
        let bucket = self.buckets.of(key.bytes);
        let is_index = principals::is_index(key.bytes);
        let wants_before = is_index || request.operation.is_conditional();
        let (clock, actor) = (&self.parts.clock, self.actor);
        let (minter, boot) = self.minter;
        let max_value = self.parts.max_value;
        let sibling_actor = || {
            ActorId::derive_fresh(
                minter.0,
                boot,
                self.parts.forgotten_siblings.load(Ordering::Relaxed),
            )
        };
        // Taken by the one call there is, so that the store can be given what lies in it.
        let mut buffer = Some(&mut self.delta);
        let mut local = Local::Declined;
        self.parts.store.update(key, &mut |present, out| {
            let Some(delta) = buffer.take() else {
                return Decision::Keep;
            };
            delta.clear();
            let record = present.map(|stored| stored.record());
            if !known
                && (is_index || rules::reads_first(&request.operation, bucket.kind, record, when))
            {
                local = Local::ReadFirst;
                return Decision::Keep;
            }
            let mut stamp = Stamp {
                time: clock.now(now.wall_ms),
                actor,
            };
            let newest = record.map_or(Stamp::default(), |record| record.newest());
            if newest >= stamp {
                let Some(time) = next_after(clock, newest.time, now) else {
                    local = Local::AtTheEndOfTime;
                    return Decision::Keep;
                };
                stamp.time = time;
            }
            if wants_before {
                *before = record.map(|record| record.as_bytes().to_vec());
            }
            local = match &request.operation {
                Operation::PutSibling {
                    value,
                    context,
                    expiry,
                } => {
                    if let Some(count) = record.map(|r| r.siblings().count())
                        && count >= most_siblings(bucket)
                    {
                        local = Local::TooManySiblings {
                            count,
                            most: most_siblings(bucket),
                        };
                        return Decision::Keep;
                    }
                    let deadline = sibling_deadline(*expiry, bucket, record, now);
                    siblings::put(
                        record,
                        context,
                        sibling_actor(),
                        value,
                        stamp,
                        deadline,
                        delta,
                    );
                    Local::Applied
                }
                // Also where nothing is held here: what the context has seen may lie elsewhere.
                Operation::DeleteSiblings { context } => {
                    siblings::delete(record, context, delta);
                    Local::Applied
                }
                operation if is_index => index_effect(operation, record, stamp, when, delta),
                operation @ Operation::Modify { .. } => {
                    let digest = present.map_or(0, |stored| shown_digest(operation, &stored));
                    let known = record.zip(Some(digest));
                    let local = decide(operation, bucket, known, stamp, when, delta);
                    let local = within(longest_value(max_value, bucket), local, delta);
                    if local == Local::Modified {
                        // The outcome is made of it, be it of nothing.
                        before.get_or_insert_default();
                    }
                    local
                }
                operation => {
                    let digest = present.map_or(0, |stored| shown_digest(operation, &stored));
                    decide(
                        operation,
                        bucket,
                        record.zip(Some(digest)),
                        stamp,
                        when,
                        delta,
                    )
                }
            };
            match local {
                Local::Applied | Local::Modified | Local::Confirmed { .. } => {
                    merge_delta(record, delta, out)
                }
                _ => Decision::Keep,
            }
        })?;
        Ok(local)
    }
}

fn decide(
    operation: &Operation<'_>,
    bucket: &Bucket,
    present: Option<(RecordRef<'_>, u64)>,
    stamp: Stamp,
    when: When,
    delta: &mut Vec<u8>,
) -> Local {
    let facts = Facts {
        kind: bucket.kind,
        default_ttl_ms: bucket.default_ttl_ms,
        max_lifetime_ms: bucket.max_lifetime_ms,
        present: present.map(|(record, _)| record),
        digest: present.map_or(0, |(_, digest)| digest),
        stamp,
        when,
    };
    rules::decide(operation, &facts, delta).into()
}

/// A modification that was decided, unless it makes a longer value than the bucket takes.
fn within(most: usize, local: Local, delta: &[u8]) -> Local {
    if local != Local::Applied {
        return local;
    }
    let made = RecordRef::parse(delta).ok();
    let made = made.iter().flat_map(RecordRef::fields);
    match made.map(|(name, value)| name.len() + value.len()).sum() {
        length if length > most => Local::TooLong { length, most },
        _ => Local::Modified,
    }
}

impl From<Effect> for Local {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Apply => Self::Applied,
            Effect::Decline => Self::Declined,
            Effect::Absorb => Self::Absorbed,
            Effect::Confirm { dead } => Self::Confirmed { dead },
            Effect::Elsewhere => Self::Elsewhere,
        }
    }
}

fn index_effect(
    operation: &Operation<'_>,
    record: Option<RecordRef<'_>>,
    stamp: Stamp,
    when: When,
    delta: &mut Vec<u8>,
) -> Local {
    rules::decide_index(operation, record, stamp, when, delta).into()
}

/// The digest of a record as clients have seen it, for a write that names one.
fn shown_digest(operation: &Operation<'_>, stored: &henge_store::Stored<'_>) -> u64 {
    let named = matches!(operation.condition(), Condition::Digest(_));
    let visible = named.then(|| hidden::visible(stored.bytes)).flatten();
    let visible = visible.as_deref().map(RecordRef::parse);
    match visible {
        Some(Ok(record)) => record.digest(),
        _ => stored.digest,
    }
}

/// A time after the newest of the record: another thread merged a later one since the clock was
/// read, or a peer answered with one beyond the bound. `None`: there is no later time.
fn next_after(clock: &Clock, newest: HlcTime, now: Now) -> Option<HlcTime> {
    let next = clock.now(now.wall_ms);
    let after = || newest.0.checked_add(1).map(HlcTime);
    Some(next).filter(|next| *next > newest).or_else(after)
}

fn merge_delta<'a>(
    present: Option<RecordRef<'_>>,
    delta: &'a [u8],
    out: &mut Vec<u8>,
) -> Decision<'a> {
    let Ok(delta) = RecordRef::parse(delta) else {
        debug_assert!(false, "a delta that this node made is no record");
        return Decision::Keep;
    };
    match present.map(|present| merge_records(present, delta, out)) {
        None | Some(Merge::Incoming) => Decision::Put(delta),
        Some(Merge::Joined) => Decision::Write,
        Some(Merge::Unchanged) => Decision::Keep,
    }
}

/// More siblings than this are refused: somebody writes without ever reading.
fn most_siblings(bucket: &Bucket) -> usize {
    usize::from(bucket.max_siblings.unwrap_or(MAX_SIBLINGS))
}

/// `None` leaves the deadline alone, which takes a record that has one.
fn sibling_deadline(
    expiry: Expiry,
    bucket: &Bucket,
    record: Option<RecordRef<'_>>,
    now: Now,
) -> Option<u64> {
    match expiry {
        Expiry::At(at) => Some(at),
        Expiry::Keep if record.is_some() => None,
        Expiry::Keep | Expiry::Clear => Some(
            bucket
                .default_ttl_ms
                .map_or(NEVER, |ttl| now.wall_ms.saturating_add(ttl)),
        ),
    }
}

#[cfg(test)]
mod tests;

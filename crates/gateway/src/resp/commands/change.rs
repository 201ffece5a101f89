//! Read, decide, compare and set: how commands that depend on the old value change one key.
//!
//! Each round puts its result only if the record still is the one that was decided upon
//! ([`Condition::Digest`]); one coordinator per key decides that, so of two concurrent increments
//! one goes again with what the other left. Across a partition two coordinators may both decide,
//! and the later write wins: an increment can then be lost, which plain registers cannot prevent.

use henge_node::{Condition, Done, Expiry, Operation};
use henge_versioning::RecordRef;

use super::Stepper;
use crate::resp::{reply::Reply, shape::live};

/// Rounds before a command gives up: with so many, others are changing the key all the time.
pub(super) const ROUNDS: usize = 64;

/// What a command makes of the old value.
pub(super) enum Change {
    /// A new value, and what the client is told once it is in place.
    Put {
        /// The value.
        value: Vec<u8>,
        /// What becomes of the deadline.
        expiry: Expiry,
        /// The reply.
        reply: Reply,
    },
    /// The key's end.
    Delete {
        /// The reply.
        reply: Reply,
    },
    /// A new deadline.
    Expire {
        /// Milliseconds since 1970.
        at: u64,
        /// The reply.
        reply: Reply,
    },
    /// Nothing.
    Leave(Reply),
}

impl Stepper {
    /// Changes one key. `decide` sees the live record, if there is one, once per round.
    pub(super) async fn change(
        &self,
        key: &[u8],
        mut decide: impl FnMut(Option<RecordRef<'_>>) -> Result<Change, Reply>,
    ) -> Result<Reply, Reply> {
        let mut present = self.call(key, Operation::Get).await?;
        for _ in 0..ROUNDS {
            let record = live(present.record.as_deref(), self.node.wall_ms());
            let condition = unchanged(record.as_ref());
            let done = match decide(record)? {
                Change::Leave(reply) => return Ok(reply),
                Change::Put {
                    value,
                    expiry,
                    reply,
                } => {
                    let put = Operation::Put {
                        value: &value,
                        expiry,
                        condition,
                    };
                    let done = self.call(key, put).await?;
                    if is_settled(&done) {
                        return Ok(reply);
                    }
                    done
                }
                Change::Expire { at, reply } => {
                    let done = self.call(key, Operation::Expire { at, condition }).await?;
                    if is_settled(&done) {
                        return Ok(reply);
                    }
                    done
                }
                Change::Delete { reply } => {
                    let done = self.call(key, Operation::Delete { condition }).await?;
                    if is_settled(&done) {
                        return Ok(reply);
                    }
                    done
                }
            };
            present = done;
        }
        Err(busy())
    }
}

/// After so many [`ROUNDS`].
pub(super) fn busy() -> Reply {
    Reply::error("BUSY others keep changing this key; nothing was done")
}

/// The condition that a key still holds this record.
pub(super) fn unchanged(record: Option<&RecordRef<'_>>) -> Condition {
    record.map_or(Condition::Absent, |record| {
        Condition::Digest(record.digest())
    })
}

/// Whether there is nothing to try again. A write that a destroyed session absorbed is answered as
/// though it were done: `HENGE.SET` tells the difference to clients that ask.
pub(super) fn is_settled(done: &Done) -> bool {
    done.applied || done.absorbed
}

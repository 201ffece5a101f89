//! How commands that depend on the old value change one key.
//!
//! Sums, appended bytes and exchanges are made where the value is ([`Stepper::modify`],
//! [`Stepper::exchange`]): however many clients count at once, none is in another's way. What else depends on
//! the old value reads, decides, compares and sets.
//!
//! Each round puts its result only if the record still is the one that was decided upon
//! ([`Condition::Digest`]); one coordinator per key decides that, so of two concurrent changes
//! one goes again with what the other left. Across a partition two coordinators may both decide,
//! and the later write wins: a change, or an increment, can then be lost, which plain registers cannot prevent.

use henge_node::{Condition, Done, Expiry, Modification, Operation, Unfit};
use henge_versioning::RecordRef;

use super::{Stepper, strings::too_long};
use crate::resp::{
    reply::Reply,
    shape::{Kind, WRONG_TYPE, kind, live, string},
};

/// Rounds before a command gives up: with so many, others are changing the key all the time.
const ROUNDS: usize = 64;

/// What a command makes of the old value.
pub(super) enum Change {
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

/// What is made of a key's old value, and where.
#[derive(Clone, Copy)]
pub(super) struct Modify<'a> {
    /// The field of a hash; `None`: the value.
    pub(super) field: Option<&'a [u8]>,
    /// What is made of it.
    pub(super) by: Modification<'a>,
    /// The deadline, if there was nothing before.
    pub(super) expiry: Expiry,
    /// Only if the key is there.
    pub(super) only_present: bool,
}

impl<'a> Modify<'a> {
    /// Of the whole value.
    pub(super) fn value(by: Modification<'a>) -> Self {
        Self {
            field: None,
            by,
            expiry: Expiry::Keep,
            only_present: false,
        }
    }

    /// Of a field of a hash.
    pub(super) fn field(name: &'a [u8], by: Modification<'a>) -> Self {
        Self {
            field: Some(name),
            ..Self::value(by)
        }
    }

    fn operation(&self) -> Operation<'a> {
        Operation::Modify {
            field: self.field,
            by: self.by,
            expiry: self.expiry,
            condition: match self.only_present {
                true => Condition::Present,
                false => Condition::Always,
            },
        }
    }

    /// The new value in what was written.
    fn written(&self, delta: Option<&[u8]>) -> Option<Vec<u8>> {
        let delta = RecordRef::parse(delta?).ok()?;
        let value = match self.field {
            Some(name) => delta.field(name),
            None => delta.value(),
        };
        value.map(<[u8]>::to_vec)
    }

    /// The old value in a live record, which must be of the kind that is modified.
    fn old<'r>(&self, record: &RecordRef<'r>) -> Result<Option<&'r [u8]>, Reply> {
        match self.field {
            None => string(record).map(Some).map_err(Reply::error),
            Some(name) if kind(record) == Kind::Hash => Ok(record.field(name)),
            Some(_) => Err(Reply::error(WRONG_TYPE)),
        }
    }

    fn unfit(&self, why: Unfit) -> Reply {
        Reply::error(match (why, self.field) {
            (Unfit::TooLong { length, most }, _) => {
                return too_long(length as usize, most as usize);
            }
            (Unfit::NotWhole, None) => "ERR value is not an integer or out of range",
            (Unfit::NotWhole, Some(_)) => "ERR hash value is not an integer",
            (Unfit::NotFraction, None) => "ERR value is not a valid float",
            (Unfit::NotFraction, Some(_)) => "ERR hash value is not a float",
            (Unfit::Overflow, _) => "ERR increment or decrement would overflow",
            (Unfit::NotFinite, _) => "ERR increment would produce NaN or Infinity",
        })
    }
}

impl Stepper {
    /// Modifies a value where it is decided; answers with the new one. `None`: the key is not there, and had
    /// to be. Of a destroyed session it is answered as though there had been nothing.
    pub(super) async fn modify(
        &self,
        key: &[u8],
        modify: Modify<'_>,
    ) -> Result<Option<Vec<u8>>, Reply> {
        let of = |old: Option<&[u8]>| modify.by.of(old).map_err(|why| modify.unfit(why));
        // Once, unless what was in the way has expired on its way here.
        for _ in 0..ROUNDS {
            let done = self.call(key, modify.operation()).await?;
            if is_settled(&done) {
                // Nothing was written if the deadline had passed already.
                let written = modify.written(done.record.as_deref().filter(|_| done.applied));
                return written.map_or_else(|| of(None), Ok).map(Some);
            }
            match live(done.record.as_deref(), self.node.wall_ms()) {
                None if modify.only_present => return Ok(None),
                None => of(None)?,
                Some(record) => of(modify.old(&record)?)?,
            };
        }
        Err(busy())
    }
}

impl Stepper {
    /// Puts a value, or with `None` nothing, in the place of the old one, where that is decided; answers with
    /// the old one, as Redis' `SET` with `GET` does if the condition does not hold, too.
    pub(super) async fn exchange(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        expiry: Expiry,
        condition: Condition,
    ) -> Result<Reply, Reply> {
        let exchange = Operation::Exchange {
            value,
            expiry,
            condition,
        };
        // Once, unless what was in the way has expired on its way here.
        for _ in 0..ROUNDS {
            let done = self.call(key, exchange.clone()).await?;
            let old = live(done.record.as_deref(), self.node.wall_ms());
            let old = old.map(|record| string(&record)).transpose();
            let reply = Reply::bulk_or_null(old.map_err(Reply::error)?);
            let declined = match condition {
                Condition::Absent => reply != Reply::Null,
                Condition::Present => reply == Reply::Null,
                _ => false,
            };
            if is_settled(&done) || declined || value.is_none() {
                return Ok(reply);
            }
        }
        Err(busy())
    }

    /// Destroys a value and answers with it.
    pub(super) async fn take(&self, key: &[u8]) -> Result<Reply, Reply> {
        self.exchange(key, None, Expiry::Keep, Condition::Always)
            .await
    }
}

/// After so many [`ROUNDS`].
fn busy() -> Reply {
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

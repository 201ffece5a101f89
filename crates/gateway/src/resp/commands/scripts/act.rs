//! What the known scripts do, as operations of the store.
//!
//! A script that looks before it writes compares again when it writes ([`super::super::change`]), so that
//! of two that release the same lock one does. A script with two writes does them one after the
//! other: whoever reads in between sees the first alone.

use henge_node::{Condition, Expiry, FieldWrites, Modification, Operation};
use henge_versioning::{NEVER, RecordRef};

use super::known::Script;
use crate::resp::{
    commands::{
        Stepper,
        change::{Change, Modify},
        hashes,
        numbers::whole,
        parse::{integer, invalid_expire},
        scan::ScanOptions,
    },
    deadline::{Base, Unit, deadline, positive},
    reply::Reply,
    shape::{Kind, live, string},
};

/// The value of a live record, if there is one.
fn value<'a>(record: Option<RecordRef<'a>>) -> Result<Option<&'a [u8]>, Reply> {
    let value = record.map(|record| string(&record)).transpose();
    value.map_err(Reply::error)
}

impl Stepper {
    /// Carries a script out: `key` is empty if it has none, `args` begin with argument 1.
    pub(super) async fn script(
        &self,
        script: Script,
        key: &[u8],
        args: &[&[u8]],
    ) -> Result<Reply, Reply> {
        let unit = |millis| if millis { Unit::Millis } else { Unit::Seconds };
        match (script, args) {
            (Script::DeleteIfEqual, [token, ..]) => self.delete_if_equal(key, token).await,
            (Script::ExpireIfEqual { millis }, [token, time, ..]) => {
                let at = self.deadline(time, unit(millis))?;
                self.expire_if_equal(key, token, |_| Some(at)).await
            }
            (Script::ExtendIfEqual, [token, time, replaces, ..]) => {
                let (more, replaces) = (integer(time)?, *replaces != b"0");
                let now_ms = self.node.wall_ms();
                let later = |old: u64| {
                    let from = if replaces { now_ms } else { old };
                    (old != NEVER).then(|| from.saturating_add_signed(more))
                };
                self.expire_if_equal(key, token, later).await
            }
            (Script::GetAndRenew, [time, ..]) => {
                let at = self.deadline(time, Unit::Seconds)?;
                self.get_and_renew(key, at).await
            }
            (Script::GetAndDelete, _) => self.take(key).await,
            (Script::DeleteMatching, [pattern, ..]) => self.delete_matching(pattern).await,
            (Script::Increment { only_present, .. }, args) => {
                let by = args.first().map_or(Ok(1), |by| integer(by))?;
                self.increment(key, by, only_present).await
            }
            (Script::Count { millis }, [time, ..]) => {
                let at = self.deadline(time, unit(millis))?;
                self.count(key, at).await
            }
            (Script::Add, [value, time, ..]) => {
                let at = positive(
                    integer(time)?,
                    Unit::Seconds,
                    Base::Now,
                    self.node.wall_ms(),
                );
                self.add(key, value, at.map_err(|_| invalid_expire("setex"))?)
                    .await
            }
            (Script::SetCached, args) => self.set_cached(key, args).await,
            _ => Err(Reply::error("ERR the script has too few arguments")),
        }
    }

    fn deadline(&self, time: &[u8], unit: Unit) -> Result<u64, Reply> {
        deadline(integer(time)?, unit, Base::Now, self.node.wall_ms())
            .map_err(|_| invalid_expire("expire"))
    }

    /// Deletes a key that has this value; 1 or 0.
    pub(in crate::resp::commands) async fn delete_if_equal(
        &self,
        key: &[u8],
        token: &[u8],
    ) -> Result<Reply, Reply> {
        let decide = |record: Option<RecordRef<'_>>| match value(record)? == Some(token) {
            true => Ok(Change::Delete {
                reply: Reply::Integer(1),
            }),
            false => Ok(Change::Leave(Reply::Integer(0))),
        };
        self.change(key, decide).await
    }

    /// `later` makes a new deadline of the old one; `None`: it stays, and the answer is 0.
    async fn expire_if_equal(
        &self,
        key: &[u8],
        token: &[u8],
        later: impl Fn(u64) -> Option<u64>,
    ) -> Result<Reply, Reply> {
        let decide = |record: Option<RecordRef<'_>>| {
            let old = record.map(|record| record.deadline().at);
            let same = value(record)? == Some(token);
            Ok(match old.filter(|_| same).and_then(&later) {
                Some(at) => Change::Expire {
                    at,
                    reply: Reply::Integer(1),
                },
                None => Change::Leave(Reply::Integer(0)),
            })
        };
        self.change(key, decide).await
    }

    async fn get_and_renew(&self, key: &[u8], at: u64) -> Result<Reply, Reply> {
        let done = self.call(key, Operation::Get).await?;
        let record = live(done.record.as_deref(), self.node.wall_ms());
        if record.is_some_and(|record| record.deadline().at != NEVER) {
            let condition = Condition::Present;
            self.call(key, Operation::Expire { at, condition }).await?;
        }
        value(record).map(Reply::bulk_or_null)
    }

    async fn delete_matching(&self, pattern: &[u8]) -> Result<Reply, Reply> {
        let wanted = ScanOptions::matching(pattern, self.shared.limits.pattern)?;
        self.delete_all(&wanted).await.map(|()| Reply::Null)
    }

    async fn increment(&self, key: &[u8], by: i64, only_present: bool) -> Result<Reply, Reply> {
        let modify = Modify {
            only_present,
            ..Modify::value(Modification::Add(by))
        };
        self.modify(key, modify).await.map(whole)
    }

    /// A count that ends some time after it began. One that was there and comes to be 1 ends then, too.
    async fn count(&self, key: &[u8], first_until: u64) -> Result<Reply, Reply> {
        let modify = Modify {
            expiry: Expiry::At(first_until),
            ..Modify::value(Modification::Add(1))
        };
        let sum = whole(self.modify(key, modify).await?);
        if sum == Reply::Integer(1) {
            let expire = Operation::Expire {
                at: first_until,
                condition: Condition::Always,
            };
            self.call(key, expire).await?;
        }
        Ok(sum)
    }

    async fn add(&self, key: &[u8], value: &[u8], at: u64) -> Result<Reply, Reply> {
        let put = Operation::Put {
            value,
            expiry: Expiry::At(at),
            condition: Condition::Absent,
        };
        let done = self.call(key, put).await?;
        Ok(match done.applied || done.absorbed {
            true => Reply::OK,
            false => Reply::Null,
        })
    }

    /// Fields and lifetime in one write.
    async fn set_cached(&self, key: &[u8], args: &[&[u8]]) -> Result<Reply, Reply> {
        let [absolute, sliding, time, data, ..] = args else {
            return Err(Reply::error("ERR the script has too few arguments"));
        };
        // A value of another kind is refused, as by HSET.
        hashes::read(self, key, Kind::Hash).await?;
        // As after HSET without EXPIRE: what lifetime there was stays.
        let expiry = match *time == b"-1" {
            true => Expiry::Keep,
            false => Expiry::At(self.deadline(time, Unit::Seconds)?),
        };
        let fields = FieldWrites::from_iter([
            (&b"absexp"[..], Some(*absolute)),
            (b"data", Some(*data)),
            (b"sldexp", Some(*sliding)),
        ]);
        self.call(key, Operation::PutFields { fields, expiry })
            .await?;
        Ok(Reply::Integer(1))
    }
}

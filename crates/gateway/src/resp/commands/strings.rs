//! Commands on one string value.

use henge_node::{Condition, Expiry, Modification, Operation};

use super::{
    Call, Plan, Planned, Steps,
    change::{Change, Modify},
    parse::{integer, wrong_arity},
    set_options::{Renewal, SetOptions, lifetime},
};
use crate::resp::{
    deadline::{Base, Unit},
    decode::{Args, OwnedArgs},
    reply::Reply,
    shape::{Shape, live, string},
};

pub(super) fn get<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(args.at(1), Operation::Get, Shape::Value)
}

pub(super) fn set<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let options = SetOptions::parse(args.from(3), call.node.wall_ms())?;
    value_fits(call, args.at(2).len())?;
    if options.get {
        return Ok(Plan::Steps(exchange(call, args, options)));
    }
    let SetOptions {
        condition, expiry, ..
    } = options;
    let put = Operation::Put {
        value: args.at(2),
        expiry,
        condition,
    };
    call.one(args.at(1), put, Shape::Done)
}

pub(super) fn setnx<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    value_fits(call, args.at(2).len())?;
    let put = Operation::Put {
        value: args.at(2),
        expiry: Expiry::Clear,
        condition: Condition::Absent,
    };
    call.one(args.at(1), put, Shape::Applied)
}

pub(super) fn setex<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    set_for(call, args, Unit::Seconds)
}

pub(super) fn psetex<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    set_for(call, args, Unit::Millis)
}

fn set_for<'a>(call: &mut Call<'_>, args: Args<'a>, unit: Unit) -> Planned<'a> {
    let at = lifetime(
        args.at(2),
        unit,
        Base::Now,
        call.node.wall_ms(),
        call.command.name,
    )?;
    value_fits(call, args.at(3).len())?;
    let put = Operation::Put {
        value: args.at(3),
        expiry: Expiry::At(at),
        condition: Condition::Always,
    };
    call.one(args.at(1), put, Shape::Ok)
}

pub(super) fn getset<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    value_fits(call, args.at(2).len())?;
    let options = SetOptions {
        condition: Condition::Always,
        expiry: Expiry::Clear,
        get: true,
    };
    Ok(Plan::Steps(exchange(call, args, options)))
}

/// Sets and answers with the old value; one winner gets each value.
fn exchange(call: &Call<'_>, args: Args<'_>, options: SetOptions) -> Steps {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Box::pin(async move {
        let args = args.borrow();
        let decide = |record: Option<henge_versioning::RecordRef<'_>>| {
            let old = record
                .map(|record| string(&record))
                .transpose()
                .map_err(Reply::error)?;
            let reply = Reply::bulk_or_null(old);
            let declined = match options.condition {
                Condition::Absent => old.is_some(),
                Condition::Present => old.is_none(),
                _ => false,
            };
            if declined {
                return Ok(Change::Leave(reply));
            }
            Ok(Change::Put {
                value: args.at(2).to_vec(),
                expiry: options.expiry,
                reply,
            })
        };
        steps
            .change(args.at(1), decide)
            .await
            .unwrap_or_else(|error| error)
    })
}

pub(super) fn getdel<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let decide = |record: Option<henge_versioning::RecordRef<'_>>| match record {
            None => Ok(Change::Leave(Reply::Null)),
            Some(record) => {
                let reply = Reply::text(string(&record).map_err(Reply::error)?);
                Ok(Change::Delete { reply })
            }
        };
        steps
            .change(&key, decide)
            .await
            .unwrap_or_else(|error| error)
    })))
}

pub(super) fn getex<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let at = match Renewal::parse(args.from(2), call.node.wall_ms())? {
        Renewal::Leave => return get(call, args),
        Renewal::At(at) => at,
        Renewal::Persist => henge_versioning::NEVER,
    };
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let renewed = async {
            let done = steps.call(&key, Operation::Get).await?;
            let Some(record) = live(done.record.as_deref(), steps.node.wall_ms()) else {
                return Ok(Reply::Null);
            };
            let reply = Reply::text(string(&record).map_err(Reply::error)?);
            let expire = Operation::Expire {
                at,
                condition: Condition::Always,
            };
            steps.call(&key, expire).await?;
            Ok(reply)
        };
        renewed.await.unwrap_or_else(|error: Reply| error)
    })))
}

pub(super) fn strlen<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(args.at(1), Operation::Get, Shape::Length)
}

pub(super) fn append<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let (tail, most) = (args.at(2), steps.shared.limits.value as u64);
        let modify = Modify::value(Modification::Append { tail, most });
        let length = |value: Option<Vec<u8>>| value.map_or(0, |value| value.len() as i64);
        let value = steps.modify(args.at(1), modify).await;
        value.map_or_else(|error| error, |value| Reply::Integer(length(value)))
    })))
}

pub(super) fn setrange<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let offset = integer(args.at(2))?;
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Reply::error("ERR offset is out of range"));
    };
    let limit = call.shared.limits.value;
    if offset.saturating_add(args.at(3).len()) > limit {
        return Err(Reply::error(
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ));
    }
    rewrite(call, args, move |old, args| {
        let patch = args.at(3);
        if patch.is_empty() {
            return Ok(None);
        }
        let mut value = old.unwrap_or_default().to_vec();
        value.resize(value.len().max(offset + patch.len()), 0);
        value[offset..offset + patch.len()].copy_from_slice(patch);
        Ok(Some(value))
    })
}

/// Makes a new value of the old one, keeps the deadline, answers with the new length. `None`: it
/// stays as it is.
fn rewrite<'a>(
    call: &mut Call<'_>,
    args: Args<'a>,
    make: impl Fn(Option<&[u8]>, Args<'_>) -> Result<Option<Vec<u8>>, Reply> + 'static,
) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let limit = steps.shared.limits.value;
        let decide = |record: Option<henge_versioning::RecordRef<'_>>| {
            let old = record
                .map(|record| string(&record))
                .transpose()
                .map_err(Reply::error)?;
            let length = |bytes: usize| Reply::Integer(bytes as i64);
            match make(old, args)? {
                None => Ok(Change::Leave(length(old.map_or(0, <[u8]>::len)))),
                Some(value) if value.len() > limit => Err(too_long(value.len(), limit)),
                Some(value) => {
                    let reply = length(value.len());
                    Ok(Change::Put {
                        value,
                        expiry: Expiry::Keep,
                        reply,
                    })
                }
            }
        };
        steps
            .change(args.at(1), decide)
            .await
            .unwrap_or_else(|error| error)
    })))
}

pub(super) fn getrange<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (start, end) = (integer(args.at(2))?, integer(args.at(3))?);
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let done = match steps.call(&key, Operation::Get).await {
            Ok(done) => done,
            Err(error) => return error,
        };
        let record = live(done.record.as_deref(), steps.node.wall_ms());
        match record.map_or(Ok([].as_slice()), |record| string(&record)) {
            Ok(value) => Reply::text(&value[span(start, end, value.len())]),
            Err(wrong) => Reply::error(wrong),
        }
    })))
}

/// The bytes between two positions, both included; below zero they count from the end.
fn span(start: i64, end: i64, length: usize) -> std::ops::Range<usize> {
    let length = length as i64;
    let from_front = |at: i64| {
        if at < 0 {
            at.saturating_add(length).max(0)
        } else {
            at
        }
    };
    let start = from_front(start).min(length);
    let end = from_front(end).saturating_add(1).min(length);
    if start >= end {
        0..0
    } else {
        start as usize..end as usize
    }
}

/// Refuses a value that is longer than the limit, with both numbers.
pub(super) fn value_fits(call: &Call<'_>, length: usize) -> Result<(), Reply> {
    let limit = call.shared.limits.value;
    if length > limit {
        Err(too_long(length, limit))
    } else {
        Ok(())
    }
}

pub(super) fn too_long(length: usize, limit: usize) -> Reply {
    Reply::error(format!(
        "ERR the value has {length} bytes, at most {limit} are accepted"
    ))
}

/// Refuses an even number of arguments beyond the first `fixed`.
pub(super) fn pairs(call: &Call<'_>, args: Args<'_>, fixed: usize) -> Result<(), Reply> {
    if (args.len() - fixed.min(args.len())) % 2 == 1 {
        return Err(wrong_arity(call.command.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_as_redis_cuts_them() {
        let cut = |start, end| &"This is a string"[span(start, end, 16)];
        assert_eq!(cut(0, 3), "This");
        assert_eq!(cut(-3, -1), "ing");
        assert_eq!(cut(0, -1), "This is a string");
        assert_eq!(cut(10, 100), "string");
        assert_eq!(cut(5, 3), "");
        assert_eq!(cut(-100, 0), "T");
        assert_eq!(cut(-1, -100), "");
        assert_eq!(&""[span(0, -1, 0)], "");
        assert_eq!(cut(i64::MIN, i64::MAX), "This is a string");
    }
}

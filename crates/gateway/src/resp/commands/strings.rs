//! Commands on one string value.

use henge_node::{Condition, Expiry, Modification, Operation};

use super::{
    Call, Plan, Planned, Stepper, Steps,
    change::Modify,
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
        let SetOptions {
            condition, expiry, ..
        } = options;
        let value = Some(args.at(2));
        let old = steps.exchange(args.at(1), value, expiry, condition).await;
        old.unwrap_or_else(|error| error)
    })
}

pub(super) fn getdel<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        steps.take(&key).await.unwrap_or_else(|error| error)
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
        lengthen(&steps, args.at(1), Modification::Append { tail, most }).await
    })))
}

pub(super) fn setrange<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let offset = integer(args.at(2))?;
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Reply::error("ERR offset is out of range"));
    };
    let most = call.shared.limits.value;
    let from = u32::try_from(offset).ok();
    let from = from.filter(|from| *from as usize + args.at(3).len() <= most);
    let Some(from) = from else {
        return Err(Reply::error(
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ));
    };
    // Which writes nothing, and so begins nothing either.
    if args.at(3).is_empty() {
        return strlen(call, args);
    }
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let (patch, most) = (args.at(3), most as u64);
        let by = Modification::Overwrite { from, patch, most };
        lengthen(&steps, args.at(1), by).await
    })))
}

/// Modifies a value, answers with its new length.
async fn lengthen(steps: &Stepper, key: &[u8], by: Modification<'_>) -> Reply {
    let value = steps.modify(key, Modify::value(by)).await;
    let length = |value: Option<Vec<u8>>| value.map_or(0, |value| value.len() as i64);
    value.map_or_else(|error| error, |value| Reply::Integer(length(value)))
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

//! Counting: whole numbers and fractions kept as text.

use henge_node::Modification;

use super::{
    Call, Plan, Planned,
    change::Modify,
    parse::{float, integer},
};
use crate::resp::{
    decode::{Args, decimal},
    reply::Reply,
};

pub(super) fn incr<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    add(call, args, 1)
}

pub(super) fn decr<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    add(call, args, -1)
}

pub(super) fn incrby<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = integer(args.at(2))?;
    add(call, args, step)
}

pub(super) fn decrby<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = integer(args.at(2))?
        .checked_neg()
        .ok_or_else(|| Reply::error("ERR decrement would overflow"))?;
    add(call, args, step)
}

fn add<'a>(call: &mut Call<'_>, args: Args<'a>, step: i64) -> Planned<'a> {
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let modify = Modify::value(Modification::Add(step));
        let sum = steps.modify(&key, modify).await;
        sum.map_or_else(|error| error, whole)
    })))
}

pub(super) fn incrbyfloat<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = float(args.at(2))?;
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let modify = Modify::value(Modification::AddFraction(step));
        let sum = steps.modify(&key, modify).await;
        sum.map_or_else(|error| error, text)
    })))
}

/// A sum as a reply: a whole number.
pub(super) fn whole(sum: Option<Vec<u8>>) -> Reply {
    sum.and_then(|sum| decimal(&sum))
        .map_or(Reply::Null, Reply::Integer)
}

/// A sum as a reply: text.
pub(super) fn text(sum: Option<Vec<u8>>) -> Reply {
    sum.map_or(Reply::Null, Reply::text)
}

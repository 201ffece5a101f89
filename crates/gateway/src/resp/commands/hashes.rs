//! Hashes: records with named fields, which replicas merge field by field.
//!
//! Two clients that set different fields at the same time both succeed. Replies that tell what was
//! there before (how many fields are new) are those of a read just before the write.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use henge_node::{Expiry, FieldWrites, Modification, Operation};
use henge_versioning::RecordRef;

use super::{
    Call, Plan, Planned, Stepper,
    change::{Modify, is_settled, unchanged},
    numbers::{text, whole},
    parse::{float, integer},
    scan::{ScanOptions, cursor},
    strings::{pairs, value_fits},
};
use crate::resp::{
    decode::{Args, OwnedArgs},
    names,
    reply::Reply,
    shape::{Kind, WRONG_TYPE, kind, live},
};

/// A record that is of one kind, or absent.
pub(super) async fn read(
    steps: &Stepper,
    key: &[u8],
    wanted: Kind,
) -> Result<Option<Vec<u8>>, Reply> {
    let done = steps.call(key, Operation::Get).await?;
    of_kind(done.record, steps.node.wall_ms(), wanted)
}

/// What is live of a record, which must be of one kind.
fn of_kind(found: Option<Vec<u8>>, now_ms: u64, wanted: Kind) -> Result<Option<Vec<u8>>, Reply> {
    match live(found.as_deref(), now_ms) {
        None => Ok(None),
        Some(record) if kind(&record) == wanted => Ok(found),
        Some(_) => Err(Reply::error(WRONG_TYPE)),
    }
}

/// The record within what [`read`] returned.
pub(super) fn record(bytes: &Option<Vec<u8>>) -> Option<RecordRef<'_>> {
    RecordRef::parse(bytes.as_deref()?).ok()
}

/// Answers from the hash as it is.
fn look<'a>(
    call: &mut Call<'_>,
    args: Args<'a>,
    answer: impl Fn(Option<RecordRef<'_>>, Args<'_>) -> Reply + 'static,
) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        match read(&steps, args.at(1), Kind::Hash).await {
            Ok(present) => answer(record(&present), args),
            Err(error) => error,
        }
    })))
}

fn fields(record: Option<RecordRef<'_>>) -> Vec<(&[u8], &[u8])> {
    record.map_or_else(Vec::new, |record| {
        let named = |(kept, value)| Some((names::field_of(kept)?, value));
        record.fields().filter_map(named).collect()
    })
}

/// The names under which fields and members are kept, to look many up.
pub(super) fn kept_names(record: Option<RecordRef<'_>>) -> BTreeSet<&[u8]> {
    record.map_or_else(BTreeSet::new, |record| {
        let kept = record.fields().map(|(name, _)| name);
        kept.filter(|name| !name.is_empty()).collect()
    })
}

fn field<'a>(record: &Option<RecordRef<'a>>, name: &[u8]) -> Option<&'a [u8]> {
    record.as_ref()?.field(&names::field(name))
}

pub(super) fn hget<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, args| {
        Reply::bulk_or_null(field(&record, args.at(2)))
    })
}

pub(super) fn hmget<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, args| {
        let there: BTreeMap<&[u8], &[u8]> = fields(record).into_iter().collect();
        let value = |name| Reply::bulk_or_null(there.get(name).copied());
        Reply::Array(args.from(2).map(value).collect())
    })
}

pub(super) fn hgetall<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, _| {
        let pair = |(name, value)| (Reply::text(name), Reply::text(value));
        Reply::Map(fields(record).into_iter().map(pair).collect())
    })
}

pub(super) fn hkeys<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, _| {
        Reply::texts(fields(record).into_iter().map(|field| field.0))
    })
}

pub(super) fn hvals<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, _| {
        Reply::texts(fields(record).into_iter().map(|field| field.1))
    })
}

pub(super) fn hlen<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, _| {
        Reply::Integer(fields(record).len() as i64)
    })
}

pub(super) fn hexists<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, args| {
        Reply::from(field(&record, args.at(2)).is_some())
    })
}

pub(super) fn hstrlen<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, args| {
        Reply::Integer(field(&record, args.at(2)).map_or(0, |value| value.len() as i64))
    })
}

/// All fields in one page: a session has few.
pub(super) fn hscan<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    cursor(args.at(2))?;
    let options = ScanOptions::parse(args.from(3), call.shared.limits.pattern)?;
    look(call, args, move |record, _| {
        let matching = fields(record)
            .into_iter()
            .filter(|(name, _)| options.matches(name));
        let page: Vec<&[u8]> = match options.no_values {
            true => matching.map(|(name, _)| name).collect(),
            false => matching.flat_map(|(name, value)| [name, value]).collect(),
        };
        Reply::Array(vec![Reply::text("0"), Reply::texts(page)])
    })
}

/// How a command that set fields answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    New,
    Ok,
}

pub(super) fn hset<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    set_fields(call, args, Told::New)
}

pub(super) fn hmset<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    set_fields(call, args, Told::Ok)
}

fn set_fields<'a>(call: &mut Call<'_>, args: Args<'a>, told: Told) -> Planned<'a> {
    pairs(call, args, 2)?;
    value_fits(call, args.from(2).map(<[u8]>::len).sum())?;
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let set = async {
            let present = read(&steps, args.at(1), Kind::Hash).await?;
            let there = kept_names(record(&present));
            // Of a field that is named twice the last value counts.
            let fields: BTreeMap<Cow<'_, [u8]>, &[u8]> = (2..args.len())
                .step_by(2)
                .map(|at| (names::field(args.at(at)), args.at(at + 1)))
                .collect();
            let new = fields.keys().filter(|name| !there.contains(&***name));
            let new = new.count();
            let writes: FieldWrites<'_> = fields
                .iter()
                .map(|(name, value)| (&**name, Some(*value)))
                .collect();
            write(&steps, args.at(1), writes).await?;
            Ok(if told == Told::Ok {
                Reply::OK
            } else {
                Reply::Integer(new as i64)
            })
        };
        set.await.unwrap_or_else(|error: Reply| error)
    })))
}

/// Sets and removes fields; the deadline stays.
pub(super) async fn write<'r>(
    steps: &Stepper,
    key: &'r [u8],
    fields: FieldWrites<'r>,
) -> Result<(), Reply> {
    steps
        .call(
            key,
            Operation::PutFields {
                fields,
                expiry: Expiry::Keep,
            },
        )
        .await
        .map(drop)
}

pub(super) fn hsetnx<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    value_fits(call, args.at(3).len())?;
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let set = set_new_field(&steps, args.at(1), args.at(2), args.at(3)).await;
        set.map_or_else(|error| error, Reply::from)
    })))
}

/// Sets a field unless there is one of this name when the key's decider looks, and says whether it did.
async fn set_new_field(
    steps: &Stepper,
    key: &[u8],
    name: &[u8],
    after: &[u8],
) -> Result<bool, Reply> {
    let present = read(steps, key, Kind::Hash).await?;
    if field(&record(&present), name).is_some() {
        return Ok(false);
    }
    let kept = names::field(name);
    let replace = Operation::ReplaceField {
        name: &kept,
        before: None,
        after,
    };
    let done = steps.call(key, replace).await?;
    if is_settled(&done) {
        return Ok(true);
    }
    of_kind(done.record, steps.node.wall_ms(), Kind::Hash)?;
    Ok(false)
}

pub(super) fn hincrby<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = integer(args.at(3))?;
    modify_field(call, args, Modification::Add(step), whole)
}

pub(super) fn hincrbyfloat<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = float(args.at(3))?;
    if !step.is_finite() {
        return Err(Reply::error("ERR value is NaN or Infinity"));
    }
    modify_field(call, args, Modification::AddFraction(step), text)
}

/// Modifies field number 2.
fn modify_field<'a>(
    call: &mut Call<'_>,
    args: Args<'a>,
    by: Modification<'static>,
    told: impl Fn(Option<Vec<u8>>) -> Reply + 'static,
) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let name = names::field(args.at(2));
        let modify = Modify::field(&name, by);
        let sum = steps.modify(args.at(1), modify).await;
        sum.map_or_else(|error| error, told)
    })))
}

pub(super) fn hdel<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let kept = args.from(2).map(|name| names::field(name).into_owned());
        remove(&steps, args.at(1), Kind::Hash, kept.collect())
            .await
            .unwrap_or_else(|error| error)
    })))
}

/// Removes fields and answers how many there were. With the last field the key goes, unless someone
/// else has changed it meanwhile.
pub(super) async fn remove(
    steps: &Stepper,
    key: &[u8],
    wanted: Kind,
    mut kept: Vec<Vec<u8>>,
) -> Result<Reply, Reply> {
    let present = read(steps, key, wanted).await?;
    let Some(before) = record(&present) else {
        return Ok(Reply::Integer(0));
    };
    kept.sort_unstable();
    kept.dedup();
    let there = kept_names(Some(before));
    kept.retain(|name| there.contains(name.as_slice()));
    let removed = Reply::Integer(kept.len() as i64);
    if kept.is_empty() {
        return Ok(removed);
    }
    if kept.len() == there.len() {
        let condition = unchanged(Some(&before));
        if steps
            .call(key, Operation::Delete { condition })
            .await?
            .applied
        {
            return Ok(removed);
        }
    }
    write(
        steps,
        key,
        kept.iter().map(|name| (name.as_slice(), None)).collect(),
    )
    .await?;
    Ok(removed)
}

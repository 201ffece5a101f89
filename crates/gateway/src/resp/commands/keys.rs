//! Commands on keys whatever their value: kind, name, number.

use henge_node::{Condition, Expiry, FieldWrites, Kind as Bucket, Operation};

use super::{Call, Plan, Planned, Stepper, change::unchanged};
use crate::resp::{
    decode::{Args, OwnedArgs},
    reply::Reply,
    shape::{Kind, Shape, kind, live, string},
};

pub(super) fn type_name<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(args.at(1), Operation::Get, Shape::TypeName)
}

pub(super) fn rename<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    move_key(call, args, Condition::Always)
}

pub(super) fn renamenx<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    move_key(call, args, Condition::Absent)
}

fn move_key<'a>(call: &mut Call<'_>, args: Args<'a>, condition: Condition) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        moved(&steps, args.at(1), args.at(2), condition)
            .await
            .unwrap_or_else(|error| error)
    })))
}

/// Copies, then deletes: the two keys may live on different nodes, so a crash in between leaves
/// both. The deadline moves along.
async fn moved(
    steps: &Stepper,
    from: &[u8],
    to: &[u8],
    condition: Condition,
) -> Result<Reply, Reply> {
    let answer = |done: bool| match condition {
        Condition::Absent => Reply::from(done),
        _ => Reply::OK,
    };
    let done = steps.call(from, Operation::Get).await?;
    let Some(record) = live(done.record.as_deref(), steps.node.wall_ms()) else {
        return Err(Reply::error("ERR no such key"));
    };
    if from == to {
        return Ok(answer(false));
    }
    refuse_owned(steps, from).await?;
    let expiry = match record.deadline().at {
        henge_versioning::NEVER => Expiry::Clear,
        at => Expiry::At(at),
    };
    if kind(&record) == Kind::String {
        let value = string(&record).map_err(Reply::error)?;
        let copied = steps
            .call(
                to,
                Operation::Put {
                    value,
                    expiry,
                    condition,
                },
            )
            .await?;
        if !copied.applied && !copied.absorbed {
            return Ok(answer(false));
        }
    } else {
        let there = steps.call(to, Operation::Get).await?;
        if live(there.record.as_deref(), steps.node.wall_ms()).is_some() {
            if condition == Condition::Absent {
                return Ok(answer(false));
            }
            steps
                .call(
                    to,
                    Operation::Delete {
                        condition: Condition::Always,
                    },
                )
                .await?;
        }
        let fields: FieldWrites<'_> = record
            .fields()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name, Some(value)))
            .collect();
        steps
            .call(to, Operation::PutFields { fields, expiry })
            .await?;
    }
    steps
        .call(
            from,
            Operation::Delete {
                condition: unchanged(Some(&record)),
            },
        )
        .await?;
    Ok(answer(true))
}

/// The copy of a session that belongs to somebody would outlive their logout.
async fn refuse_owned(steps: &Stepper, key: &[u8]) -> Result<(), Reply> {
    if steps.node.buckets().of(key).kind != Bucket::Session {
        return Ok(());
    }
    let owner = steps.node.principal_of(key, steps.options).await;
    match owner.map_err(|failure| super::failed(&failure))? {
        None => Ok(()),
        Some(_) => Err(Reply::error(
            "ERR this session belongs to a principal: log in under the new id instead",
        )),
    }
}

/// Counts by a scan over the whole cluster: exact, and as slow as that sounds.
pub(super) fn dbsize<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    let steps = call.stepper();
    Ok(Plan::Steps(Box::pin(async move {
        let (mut cursor, mut keys) = (0, 0);
        loop {
            match steps.node.scan(cursor, 1000).await {
                Ok(page) => {
                    let named = |(key, _): &&(Vec<u8>, _)| steps.database.name_of(key).is_some();
                    keys += page.keys.iter().filter(named).count() as i64;
                    cursor = page.next;
                }
                Err(failure) => return super::failed(&failure),
            }
            if cursor == 0 {
                return Reply::Integer(keys);
            }
        }
    })))
}

/// A key of a page at a place that moves with the clock: arbitrary rather than random.
pub(super) fn randomkey<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    let steps = call.stepper();
    Ok(Plan::Steps(Box::pin(async move {
        let now = steps.node.wall_ms() as usize;
        let mut cursor = 0;
        loop {
            match steps.node.scan(cursor, 100).await {
                Ok(page) => {
                    let names = page.keys.iter().map(|(key, _)| steps.database.name_of(key));
                    let names: Vec<&[u8]> = names.flatten().collect();
                    if !names.is_empty() {
                        return Reply::text(names[now % names.len()]);
                    }
                    cursor = page.next;
                }
                Err(failure) => return super::failed(&failure),
            }
            if cursor == 0 {
                return Reply::Null;
            }
        }
    })))
}

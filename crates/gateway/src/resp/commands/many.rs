//! Commands on several keys. Each key is a request of its own, a bounded number of them at a time;
//! there is no atomicity across keys. With one key they are single requests like any other.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use henge_node::{Condition, Expiry, Operation};

use super::{
    Call, Plan, Planned, Stepper,
    strings::{pairs, value_fits},
};
use crate::resp::{
    decode::{Args, OwnedArgs},
    reply::Reply,
    shape::{Shape, live, string},
};

/// Requests of one command under way at a time.
const AT_ONCE: usize = 64;

pub(super) fn mget<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let limit = steps.shared.limits.output;
        let args = args.borrow();
        let mut values = stream::iter(args.from(1))
            .map(|key| value(&steps, key))
            .buffered(AT_ONCE);
        let (mut replies, mut size) = (Vec::new(), 0);
        while let Some(reply) = values.next().await {
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) => return error,
            };
            size += reply.size();
            if size > limit {
                return Reply::error(format!(
                    "ERR the reply would have more than {limit} bytes; ask for fewer keys at a time"
                ));
            }
            replies.push(reply);
        }
        Reply::Array(replies)
    })))
}

/// A key's value; nil if it is absent or no string.
async fn value(steps: &Stepper, key: &[u8]) -> Result<Reply, Reply> {
    let done = steps.call(key, Operation::Get).await?;
    let record = live(done.record.as_deref(), steps.node.wall_ms());
    Ok(Reply::bulk_or_null(
        record.and_then(|record| string(&record).ok()),
    ))
}

pub(super) fn mset<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    pairs(call, args, 1)?;
    args.from(1)
        .skip(1)
        .step_by(2)
        .try_for_each(|value| value_fits(call, value.len()))?;
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let keys: BTreeSet<&[u8]> = args.from(1).step_by(2).collect();
        if keys.len() < args.len() / 2 {
            // Of a key that is named twice the last value counts; requests on one key that are
            // under way at the same time have no order.
            return one_by_one(&steps, args).await;
        }
        let puts = (1..args.len())
            .step_by(2)
            .map(|at| put(&steps, args.at(at), args.at(at + 1)));
        let mut puts = stream::iter(puts).buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some(done) = puts.next().await {
            failed = failed.or(done.err());
        }
        failed.unwrap_or(Reply::OK)
    })))
}

async fn one_by_one(steps: &Stepper, args: Args<'_>) -> Reply {
    for at in (1..args.len()).step_by(2) {
        if let Err(error) = put(steps, args.at(at), args.at(at + 1)).await {
            return error;
        }
    }
    Reply::OK
}

async fn put(steps: &Stepper, key: &[u8], value: &[u8]) -> Result<(), Reply> {
    let put = Operation::Put {
        value,
        expiry: Expiry::Clear,
        condition: Condition::Always,
    };
    steps.call(key, put).await.map(drop)
}

/// All or none: if any key is there nothing is set. A key that another client sets meanwhile is noticed,
/// and what was set before it is taken back; readers may have seen that.
pub(super) fn msetnx<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    pairs(call, args, 1)?;
    args.from(1)
        .skip(1)
        .step_by(2)
        .try_for_each(|value| value_fits(call, value.len()))?;
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        // Of a key that is named twice the last value counts.
        let pairs = (1..args.len()).step_by(2);
        let wanted: BTreeMap<&[u8], &[u8]> =
            pairs.map(|at| (args.at(at), args.at(at + 1))).collect();
        set_all_or_none(&steps, &wanted)
            .await
            .map_or_else(|error| error, Reply::from)
    })))
}

async fn set_all_or_none(steps: &Stepper, wanted: &BTreeMap<&[u8], &[u8]>) -> Result<bool, Reply> {
    for key in wanted.keys() {
        let done = steps.call(key, Operation::Get).await?;
        if live(done.record.as_deref(), steps.node.wall_ms()).is_some() {
            return Ok(false);
        }
    }
    for (number, (key, value)) in wanted.iter().enumerate() {
        let put = Operation::Put {
            value,
            expiry: Expiry::Clear,
            condition: Condition::Absent,
        };
        let done = steps.call(key, put).await?;
        if !done.applied && !done.absorbed {
            for (key, value) in wanted.iter().take(number) {
                steps.delete_if_equal(key, value).await?;
            }
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn del<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let delete = Operation::Delete {
        condition: Condition::Always,
    };
    if args.len() == 2 {
        return call.one(args.at(1), delete, Shape::Applied);
    }
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let mut keys: Vec<&[u8]> = args.from(1).collect();
        keys.sort_unstable();
        keys.dedup();
        let deletes = keys.iter().map(async |key| {
            let delete = Operation::Delete {
                condition: Condition::Always,
            };
            steps.call(key, delete).await.map(|done| done.applied)
        });
        count(deletes).await
    })))
}

/// `EXISTS` and `TOUCH`: a key that is named twice counts twice.
pub(super) fn exists<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    if args.len() == 2 {
        return call.one(args.at(1), Operation::Get, Shape::Exists);
    }
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let reads = args.from(1).map(async |key| {
            let done = steps.call(key, Operation::Get).await?;
            Ok(live(done.record.as_deref(), steps.node.wall_ms()).is_some())
        });
        count(reads).await
    })))
}

/// Runs requests side by side and counts those that say yes. All are carried out even if one
/// fails; then its error is the reply.
async fn count(requests: impl Iterator<Item = impl Future<Output = Result<bool, Reply>>>) -> Reply {
    let mut outcomes = stream::iter(requests).buffer_unordered(AT_ONCE);
    let (mut yes, mut failed) = (0, None);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(done) => yes += i64::from(done),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.unwrap_or(Reply::Integer(yes))
}

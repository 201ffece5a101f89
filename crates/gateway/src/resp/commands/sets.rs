//! Sets: records whose field names are the members (behind a mark), so that members merge one by
//! one: of an add and a removal of the same member at the same time the later counts, and no add of
//! another member is lost.

use henge_node::FieldWrites;
use henge_versioning::RecordRef;

use super::{
    Call, Plan, Planned,
    hashes::{kept_names, read, record, remove, write},
    scan::{ScanOptions, cursor},
    strings::value_fits,
};
use crate::resp::{
    decode::{Args, OwnedArgs},
    names,
    reply::Reply,
    shape::Kind,
};

fn members(record: Option<RecordRef<'_>>) -> Vec<&[u8]> {
    record.map_or_else(Vec::new, |record| {
        let kept = record.fields().map(|(name, _)| name);
        kept.filter_map(names::member_of).collect()
    })
}

fn has(record: &Option<RecordRef<'_>>, member: &[u8]) -> bool {
    record
        .as_ref()
        .is_some_and(|record| record.field(&names::member(member)).is_some())
}

/// Answers from the set as it is.
fn look<'a>(
    call: &mut Call<'_>,
    args: Args<'a>,
    answer: impl Fn(Option<RecordRef<'_>>, Args<'_>) -> Reply + 'static,
) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        match read(&steps, args.at(1), Kind::Set).await {
            Ok(present) => answer(record(&present), args),
            Err(error) => error,
        }
    })))
}

pub(super) fn smembers<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, _| {
        Reply::Set(members(record).into_iter().map(Reply::text).collect())
    })
}

pub(super) fn scard<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, _| {
        Reply::Integer(members(record).len() as i64)
    })
}

pub(super) fn sismember<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, args| {
        Reply::from(has(&record, args.at(2)))
    })
}

pub(super) fn smismember<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    look(call, args, |record, args| {
        let there = kept_names(record);
        let is_member = |member| Reply::from(there.contains(names::member(member).as_slice()));
        Reply::Array(args.from(2).map(is_member).collect())
    })
}

/// All members in one page.
pub(super) fn sscan<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    cursor(args.at(2))?;
    let options = ScanOptions::parse(args.from(3), call.shared.limits.pattern)?;
    look(call, args, move |record, _| {
        let page = members(record)
            .into_iter()
            .filter(|member| options.matches(member));
        Reply::Array(vec![Reply::text("0"), Reply::texts(page)])
    })
}

pub(super) fn sadd<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    value_fits(call, args.from(2).map(<[u8]>::len).sum())?;
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let added = async {
            let present = read(&steps, args.at(1), Kind::Set).await?;
            let there = kept_names(record(&present));
            let mut new: Vec<Vec<u8>> = args.from(2).map(names::member).collect();
            new.retain(|field| !there.contains(field.as_slice()));
            new.sort_unstable();
            new.dedup();
            if !new.is_empty() {
                let writes: FieldWrites<'_> = new
                    .iter()
                    .map(|field| (field.as_slice(), Some([].as_slice())))
                    .collect();
                write(&steps, args.at(1), writes).await?;
            }
            Ok(Reply::Integer(new.len() as i64))
        };
        added.await.unwrap_or_else(|error: Reply| error)
    })))
}

pub(super) fn srem<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let names = args.from(2).map(names::member).collect();
        remove(&steps, args.at(1), Kind::Set, names)
            .await
            .unwrap_or_else(|error| error)
    })))
}

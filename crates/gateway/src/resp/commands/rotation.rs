//! `HENGE.ROTATE`: a session gets a new id.

use henge_node::rotation::{GRACE_MS, Rotated};

use super::{
    Call, Plan, Planned, failed,
    parse::{is, shown, syntax, unsigned},
    quorum::read_option,
};
use crate::resp::{decode::Args, reply::Reply};

/// `HENGE.ROTATE old new [GRACE ms] [R n] [W n] [STRICT | SLOPPY] [TIMEOUT ms]`: whether the session is
/// under the new key now, and for how many milliseconds the old one stands for it; or why it is not.
pub(super) fn rotate<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (mut options, mut words) = (call.client.defaults, args.from(3));
    let mut grace_ms = GRACE_MS;
    while let Some(word) = words.next() {
        if is(word, "GRACE") {
            let given = words.next().ok_or_else(syntax)?;
            grace_ms = unsigned(given, "the grace in milliseconds")?;
        } else if !read_option(word, &mut words, &mut options)? {
            let word = shown(&word[..word.len().min(64)]);
            return Err(Reply::error(format!("ERR unknown option '{word}'")));
        }
    }
    let (steps, old, new) = (call.stepper(), args.at(1).to_vec(), args.at(2).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        match steps.node.rotate(&old, &new, grace_ms, options).await {
            Ok(rotated) => told(rotated, steps.node.wall_ms()),
            Err(failure) => failed(&failure),
        }
    })))
}

fn told(rotated: Rotated, now_ms: u64) -> Reply {
    let (done, more) = match rotated {
        Rotated::Done { until_ms } => {
            let left = i64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(i64::MAX);
            (1, (Reply::text("grace_ms"), Reply::Integer(left)))
        }
        other => {
            let why = other.why_not().unwrap_or_default();
            (0, (Reply::text("why"), Reply::text(why)))
        }
    };
    Reply::Map(vec![(Reply::text("rotated"), Reply::Integer(done)), more])
}

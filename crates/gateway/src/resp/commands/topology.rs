//! `HENGE.RING` and `HENGE.EXPLAIN`: where keys lie, and what each replica holds.

use super::{Call, Plan, Planned};
use crate::{
    resp::{decode::Args, reply::Reply, telling},
    ring_view::ring_json,
};

/// `HENGE.RING`: the ring as JSON, for clients that go to a replica directly.
pub(super) fn ring<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    Ok(Plan::Reply(Reply::text(
        ring_json(&call.node.handle()).to_string(),
    )))
}

/// `HENGE.EXPLAIN key`.
pub(super) fn explain<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let views = steps.node.explain(&key).await;
        let now_ms = steps.node.wall_ms();
        Reply::Array(
            views
                .iter()
                .map(|view| telling::replica(view, now_ms))
                .collect(),
        )
    })))
}

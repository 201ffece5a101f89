//! `HENGE.REPAIR`, `HENGE.EXPORT` and `HENGE.MODEL`: what operators ask of the node that they are
//! connected to.

use henge_node::Export;

use super::{
    Call, Plan, Planned,
    parse::{is, syntax, unsigned},
};
use crate::{
    operating::{export_json, repair_json},
    quorum_view::quorum_json,
    resp::{decode::Args, reply::Reply},
};

/// `HENGE.REPAIR [START]`: how far anti-entropy has come, as JSON; `START` begins a round.
pub(super) fn repair<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let node = call.node.handle();
    match args.from(1).collect::<Vec<_>>()[..] {
        [] => {}
        [word] if is(word, "START") => node.start_repair(),
        _ => return Err(syntax()),
    }
    Ok(Plan::Reply(Reply::text(repair_json(&node).to_string())))
}

/// `HENGE.MODEL`: what each R and W costs and risks here, as JSON.
pub(super) fn model<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    let node = call.node.handle();
    Ok(Plan::Steps(Box::pin(async move {
        Reply::text(quorum_json(&node).await.to_string())
    })))
}

/// A token has 64 bits, one more than Redis' integers.
fn token(text: &[u8]) -> Result<u64, Reply> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(syntax)
}

/// `HENGE.EXPORT [PARTITION p] [PREFIX text] [SINCE ms] [AFTER token]`: a page of this node's own
/// records, as JSON.
pub(super) fn export<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let mut wanted = Export::default();
    let mut words = args.from(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(syntax)?;
        match () {
            () if is(word, "PARTITION") => {
                wanted.partition = Some(unsigned(value, "PARTITION")?);
            }
            () if is(word, "PREFIX") => wanted.prefix = value.to_vec(),
            () if is(word, "SINCE") => wanted.since_ms = unsigned(value, "SINCE")?,
            () if is(word, "AFTER") => wanted.after = Some(token(value)?),
            () => return Err(syntax()),
        }
    }
    let page = call.node.handle().export(&wanted);
    let page = page.map_err(|why| Reply::error(format!("ERR {why}")))?;
    let json = export_json(&page, call.node.wall_ms());
    Ok(Plan::Reply(Reply::text(json.to_string())))
}

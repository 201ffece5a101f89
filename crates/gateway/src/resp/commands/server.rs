//! Commands about the server: mostly what clients and tools ask before they trust a Redis.

use super::{
    Call, Plan, Planned,
    info::info_text,
    parse::{integer, is, shown, unknown_subcommand, wrong_arity},
};
use crate::resp::{database::Database, decode::Args, glob, reply::Reply};

pub(super) fn info<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let sections: Vec<String> = args
        .from(1)
        .map(|section| shown(section).to_ascii_lowercase())
        .collect();
    Ok(Plan::Reply(Reply::Verbatim(info_text(call, &sections))))
}

pub(super) fn time<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    let now = call.node.wall_ms();
    let (seconds, micros) = (now / 1000, now % 1000 * 1000);
    Ok(Plan::Reply(Reply::texts([
        seconds.to_string(),
        micros.to_string(),
    ])))
}

pub(super) fn role<'a>(_: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    let role = [
        Reply::text("master"),
        Reply::Integer(0),
        Reply::Array(Vec::new()),
    ];
    Ok(Plan::Reply(Reply::Array(role.into())))
}

/// Every write that was acknowledged is on W replicas already, the coordinator included: that is
/// W−1 others. More than that is not waited for; `HENGE.SET … W n` asks for more beforehand.
pub(super) fn wait<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    integer(args.at(1))?;
    if integer(args.at(2))? < 0 {
        return Err(Reply::error("ERR timeout is negative"));
    }
    let replicas = super::quorum::effective(call).w;
    Ok(Plan::Reply(Reply::Integer(replicas as i64 - 1)))
}

/// Nobody should take the node for a Redis Cluster.
pub(super) fn no_cluster<'a>(_: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    Err(Reply::error(
        "ERR This instance has cluster support disabled",
    ))
}

/// `CONFIG …`: what there is to configure is not configured over this protocol.
pub(super) fn config<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let word = args.at(1);
    let reply = match () {
        () if is(word, "GET") && args.len() < 3 => return Err(wrong_arity("config|get")),
        () if is(word, "SET") && args.len() < 4 => return Err(wrong_arity("config|set")),
        () if is(word, "GET") => {
            let known = settings(call);
            let asked = |name: &str| args.from(2).any(|pattern| asks_for(pattern, name));
            let found = known.into_iter().filter(|(name, _)| asked(name));
            Reply::Map(
                found
                    .map(|(name, value)| (Reply::text(name), Reply::text(value)))
                    .collect(),
            )
        }
        () if is(word, "SET") => Reply::error(format!(
            "ERR Unsupported CONFIG parameter: {}",
            shown(args.at(2))
        )),
        () if is(word, "RESETSTAT") => {
            call.shared.metrics.forget();
            Reply::OK
        }
        () => return Err(unknown_subcommand("config", word)),
    };
    Ok(Plan::Reply(reply))
}

/// Whether a pattern, in capitals or not, means this name.
pub(super) fn asks_for(pattern: &[u8], name: &str) -> bool {
    const LONGEST: usize = 64;
    pattern.len() <= LONGEST && glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())
}

/// The port of this door.
pub(super) fn port(call: &Call<'_>) -> String {
    let handle = call.node.handle();
    let info = handle.info();
    let port = info.endpoints.resp.rsplit(':').next();
    port.unwrap_or_default().to_owned()
}

/// What `CONFIG GET` knows. No secret is among it.
fn settings(call: &Call<'_>) -> Vec<(&'static str, String)> {
    let limits = &call.shared.limits;
    let memory = match call.node.handle().usage().limit {
        u64::MAX => 0,
        limit => limit,
    };
    vec![
        ("appendonly", "no".into()),
        ("cluster-enabled", "no".into()),
        ("databases", Database::COUNT.to_string()),
        ("maxmemory", memory.to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("notify-keyspace-events", String::new()),
        ("port", port(call)),
        ("proto-max-bulk-len", limits.decode.bulk.to_string()),
        ("save", String::new()),
        ("slave-read-only", "no".into()),
        ("replica-read-only", "no".into()),
        ("timeout", limits.idle_s.to_string()),
    ]
}

//! `INFO`: the lines that client libraries look at, and true figures where there are some.

use super::{Call, connection::REDIS_VERSION};

/// Writes one section.
type Section = fn(&Call<'_>) -> String;

/// The sections, in order.
const SECTIONS: [(&str, Section); 9] = [
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("stats", stats),
    ("replication", replication),
    ("cluster", cluster),
    ("clock", clock),
    ("transfer", transfer),
    ("keyspace", keyspace),
];

/// The sections asked for (all if none is named); of unknown ones, nothing.
pub(super) fn info_text(call: &Call<'_>, asked: &[String]) -> String {
    let all = asked.is_empty()
        || asked
            .iter()
            .any(|name| ["all", "default", "everything"].contains(&name.as_str()));
    let sections = SECTIONS
        .iter()
        .filter(|(name, _)| all || asked.iter().any(|a| a == name));
    sections
        .map(|(_, text)| text(call))
        .collect::<Vec<_>>()
        .join("\r\n")
}

/// Lines of one section.
fn section(title: &str, lines: &[(&str, String)]) -> String {
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name}:{value}\r\n"));
    format!("# {title}\r\n{}", lines.collect::<String>())
}

fn server(call: &Call<'_>) -> String {
    let handle = call.node.handle();
    let info = handle.info();
    let up_s = call.node.wall_ms().saturating_sub(info.started_ms) / 1000;
    section(
        "Server",
        &[
            ("redis_version", REDIS_VERSION.into()),
            ("redis_mode", "standalone".into()),
            ("henge_version", env!("CARGO_PKG_VERSION").into()),
            ("henge_node", info.id.to_string()),
            ("os", std::env::consts::OS.into()),
            ("arch_bits", usize::BITS.to_string()),
            ("process_id", std::process::id().to_string()),
            ("run_id", info.id.to_string()),
            ("tcp_port", super::server::port(call)),
            ("uptime_in_seconds", up_s.to_string()),
            ("uptime_in_days", (up_s / 86_400).to_string()),
            ("loading", "0".into()),
        ],
    )
}

fn clients(call: &Call<'_>) -> String {
    section(
        "Clients",
        &[("connected_clients", call.shared.clients.count().to_string())],
    )
}

fn memory(call: &Call<'_>) -> String {
    let usage = call.node.handle().usage();
    let limit = if usage.limit == u64::MAX {
        0
    } else {
        usage.limit
    };
    section(
        "Memory",
        &[
            ("used_memory", usage.bytes.to_string()),
            ("maxmemory", limit.to_string()),
            ("maxmemory_policy", "noeviction".into()),
        ],
    )
}

fn stats(call: &Call<'_>) -> String {
    let totals = call.shared.metrics.totals();
    section(
        "Stats",
        &[
            ("total_connections_received", totals.connections.to_string()),
            ("total_commands_processed", totals.commands.to_string()),
            ("rejected_connections", totals.refused.to_string()),
        ],
    )
}

fn replication(_: &Call<'_>) -> String {
    section(
        "Replication",
        &[("role", "master".into()), ("connected_slaves", "0".into())],
    )
}

fn cluster(_: &Call<'_>) -> String {
    section("Cluster", &[("cluster_enabled", "0".into())])
}

/// This node's clock, and its peers' as far as they are known: `id=+3`, with a `!` if beyond the bound.
fn clock(call: &Call<'_>) -> String {
    let report = call.node.handle().clocks();
    let peers = report.peers.iter().map(|it| {
        let mark = if it.beyond { "!" } else { "" };
        format!("{}={:+}{mark}", it.peer.short(), it.offset_ms)
    });
    section(
        "Clock",
        &[
            ("clock", report.standing.word().into()),
            ("clock_right", u8::from(report.may_stamp).to_string()),
            ("clock_offset_ms", report.standing.offset_ms().to_string()),
            ("clock_bound_ms", report.bound_ms.to_string()),
            ("clock_peers", peers.collect::<Vec<_>>().join(",")),
        ],
    )
}

/// Partitions that change hands, as far as this node knows and has a part in it.
fn transfer(call: &Call<'_>) -> String {
    let moving = call.node.handle().transition();
    section(
        "Transfer",
        &[
            ("partitions_in_motion", moving.in_motion.to_string()),
            ("partitions_to_pull", moving.to_pull.to_string()),
            ("partitions_to_drop", moving.to_drop.to_string()),
        ],
    )
}

/// This node's own records, the dead that are still remembered included.
fn keyspace(call: &Call<'_>) -> String {
    let records = call.node.handle().usage().records;
    let line = [("db0", format!("keys={records},expires=0,avg_ttl=0"))];
    section("Keyspace", if records == 0 { &[] } else { &line })
}

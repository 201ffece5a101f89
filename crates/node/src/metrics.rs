//! Metrics in Prometheus text form.

use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering},
};

use crate::{engine::Counters, shared::Shared};

/// Every metric of the layers below the doors.
pub(crate) fn render(shared: &Shared) -> String {
    let mut out = String::with_capacity(4096);
    for (at, (name, help, _)) in Counters::default().each().enumerate() {
        let total: u64 = shared.counters.iter().filter_map(|c| nth(c, at)).sum();
        line(
            &mut out,
            &format!("henge_{name}_total"),
            "counter",
            help.trim(),
            total,
        );
    }
    let usage = shared.store.usage();
    line(
        &mut out,
        "henge_store_records",
        "gauge",
        "Records held, dead ones included.",
        usage.records,
    );
    line(
        &mut out,
        "henge_store_bytes",
        "gauge",
        "Bytes used by the store.",
        usage.bytes,
    );
    line(
        &mut out,
        "henge_store_limit_bytes",
        "gauge",
        "Most bytes the store may use.",
        usage.limit,
    );
    let hints = shared.hints_waiting.load(Ordering::Relaxed);
    line(
        &mut out,
        "henge_hints_waiting",
        "gauge",
        "Hints waiting for delivery.",
        hints,
    );
    repair(&mut out, shared);
    let gossip = shared.gossip_bytes.load(Ordering::Relaxed);
    line(
        &mut out,
        "henge_gossip_bytes_total",
        "counter",
        "Bytes of gossip sent.",
        gossip,
    );
    let refused = shared.refused_connections.load(Ordering::Relaxed);
    line(
        &mut out,
        "henge_connections_refused_total",
        "counter",
        "Client connections closed because there were too many.",
        refused,
    );
    let up = shared.peers().iter().filter(|peer| peer.up).count() as u64;
    line(
        &mut out,
        "henge_peers_up",
        "gauge",
        "Peers whose link is up.",
        up,
    );
    let members = shared.ring().members().len() as u64;
    line(
        &mut out,
        "henge_ring_members",
        "gauge",
        "Members of the ring.",
        members,
    );
    let evicted = shared.evictions.load(Ordering::Relaxed);
    let help = "Members that were down for longer than --evict-after and that this node let go.";
    line(&mut out, "henge_evictions_total", "counter", help, evicted);
    let moving = shared.transition.status();
    for (name, kind, help, value) in [
        (
            "partitions_in_motion",
            "gauge",
            "Partitions with more than one replica set.",
            moving.in_motion,
        ),
        (
            "partitions_to_pull",
            "gauge",
            "Partitions this node has to pull.",
            moving.to_pull,
        ),
        (
            "partitions_to_drop",
            "gauge",
            "Partitions this node has left and holds.",
            moving.to_drop,
        ),
        (
            "bytes_pulled_total",
            "counter",
            "Bytes of partitions pulled.",
            moving.bytes_pulled,
        ),
    ] {
        line(
            &mut out,
            &format!("henge_transfer_{name}"),
            kind,
            help,
            value,
        );
    }
    clocks(&mut out, shared);
    let ready = u64::from(shared.condition().is_none());
    line(
        &mut out,
        "henge_ready",
        "gauge",
        "Whether the node serves requests.",
        ready,
    );
    for (name, value) in shared.links.snapshot() {
        line(
            &mut out,
            &format!("henge_link_{name}_total"),
            "counter",
            "See the links of henge-rpc.",
            value,
        );
    }
    out
}

/// This node's clock, and how far the peers' are from it.
fn clocks(out: &mut String, shared: &Shared) {
    let report = shared.clocks.report();
    let help =
        "Whether the clock is right, as far as the peers can tell: otherwise nothing is stamped.";
    let right = u64::from(report.may_stamp);
    line(out, "henge_clock_right", "gauge", help, right);
    let help = "How far clocks may be apart, in milliseconds.";
    line(out, "henge_clock_bound_ms", "gauge", help, report.bound_ms);
    let mut signed = |name: &str, help: &str, values: &[(String, i64)]| {
        // Writing into a string cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in values {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let own = (String::new(), report.standing.offset_ms());
    let help = "How far this node's clock is ahead of the median of all.";
    signed("henge_clock_offset_ms", help, &[own]);
    let peers = report.peers.iter();
    let peers: Vec<_> = peers
        .map(|it| (format!("{{peer=\"{}\"}}", it.peer), it.offset_ms))
        .collect();
    let help = "How far a peer's clock is ahead of this node's.";
    signed("henge_peer_clock_offset_ms", help, &peers);
}

/// What anti-entropy has done, and how long ago it last went through with each peer.
fn repair(out: &mut String, shared: &Shared) {
    let (totals, peers) = shared.repair.shown();
    for (name, help, value) in totals.each() {
        let name = format!("henge_repair_{name}_total");
        line(out, &name, "counter", help.trim(), value);
    }
    let left: u64 = peers.iter().map(|peer| peer.left).sum();
    let help = "Partitions that the rounds under way have still to look at.";
    line(out, "henge_repair_left", "gauge", help, left);
    let name = "henge_repair_round_age_seconds";
    let help = "How long ago the last round with a peer began in which nothing failed.";
    // Writing into a string cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    for peer in peers {
        if let Some(age_ms) = peer.round_age_ms {
            let age = age_ms as f64 / 1_000.0;
            let _ = writeln!(out, "{name}{{peer=\"{}\"}} {age}", peer.peer);
        }
    }
}

fn nth(counters: &Arc<Counters>, at: usize) -> Option<u64> {
    counters.each().nth(at).map(|(_, _, value)| value)
}

fn line(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    // Writing into a string cannot fail.
    let _ = write!(
        out,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
    );
}

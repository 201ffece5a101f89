//! What each R and W costs and risks, as JSON for both doors.

use henge_node::{
    Availability, Choice, Handle, Latency, Measurement, PeerReport, QuorumReport, STALE_AFTER_US,
    Staleness,
};
use serde_json::{Value, json};

/// What the model assumes, told with its figures.
const ASSUMES: &str = "predicted: each leg is half of a measured round trip, legs are independent \
     of each other, the write came in at any of the key's replicas with equal chance, and the read \
     comes in here. Observed goes before predicted";

/// `{"node", "n", "default": {…}, "probes", "probe_share", "unmodelled", "assumes",
/// "peers": [{"node", "up", "asked_last", "reads": {…}, "writes": {…}}],
/// "choices": [{"r", "w", "read_ms", "write_ms", "stale", "guarantees", "reads_go_on",
/// "writes_go_on"}]}`. Times are in milliseconds, shares between 0 and 1.
pub(crate) async fn quorum_json(node: &Handle) -> Value {
    let report = node.quorum().await;
    let defaults = &report.defaults;
    let strict = defaults.mode == henge_node::Mode::Strict;
    let choices = report.choices.iter();
    json!({
        "node": report.node.to_string(),
        "n": report.n,
        "default": {
            "r": defaults.r.min(report.n),
            "w": defaults.w.min(report.n),
            "mode": if strict { "strict" } else { "sloppy" },
        },
        "probes": report.probes,
        "probe_share": report.probe_share,
        "unmodelled": report.unmodelled,
        "assumes": ASSUMES,
        "peers": report.peers.iter().map(peer_json).collect::<Vec<_>>(),
        "choices": choices.map(|it| choice_json(&report, it)).collect::<Vec<_>>(),
    })
}

fn peer_json(peer: &PeerReport) -> Value {
    json!({
        "node": peer.node.to_string(),
        "up": peer.up,
        "asked_last": peer.is_asked_last,
        "reads": measurement_json(&peer.reads),
        "writes": measurement_json(&peer.writes),
    })
}

fn measurement_json(measured: &Measurement) -> Value {
    json!({
        "samples": measured.samples,
        "p50_ms": ms(measured.p50_us.into()),
        "p99_ms": ms(measured.p99_us.into()),
    })
}

fn choice_json(report: &QuorumReport, choice: &Choice) -> Value {
    let stale = choice.stale.iter().enumerate();
    json!({
        "r": choice.r,
        "w": choice.w,
        "read_ms": choice.read.map(latency_json),
        "write_ms": choice.write.map(latency_json),
        "stale": stale.map(|(at, it)| stale_json(at, it)).collect::<Vec<_>>(),
        "guarantees": {
            "strict_reads_see_acknowledged_writes": choice.overlaps(report.n),
            "strict_reads_never_go_back": choice.is_monotonic(report.n),
            "sloppy": "while no link between nodes is down, the first of these; otherwise none",
        },
        "reads_go_on": availability_json(&choice.reads),
        "writes_go_on": availability_json(&choice.writes),
    })
}

fn latency_json(latency: Latency) -> Value {
    json!({ "p50": ms(latency.p50_us), "p99": ms(latency.p99_us) })
}

/// `{"after_ms", "predicted", "probed": {"until_ms", "probes", "observed", "predicted"}}`.
fn stale_json(at: usize, stale: &Staleness) -> Value {
    let probed = stale.probed.filter(|it| it.probes > 0);
    let until_ms = STALE_AFTER_US.get(at + 1).map(|us| ms(*us));
    json!({
        "after_ms": ms(stale.after_us),
        "predicted": stale.predicted,
        "probed": probed.map(|it| json!({
            "until_ms": until_ms,
            "probes": it.probes,
            "observed": it.observed,
            "predicted": it.predicted,
        })),
    })
}

fn availability_json(it: &Availability) -> Value {
    json!({ "may_be_down": it.may_be_down, "strict_now": it.strict, "sloppy_now": it.sloppy })
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

//! The report as people see it.

use serde_json::json;

use super::*;

fn report() -> Value {
    let go_on = json!({ "may_be_down": 2, "strict_now": 1.0, "sloppy_now": true });
    let stale = json!([
        { "after_ms": 0.0, "predicted": 0.25,
          "probed": { "until_ms": 1.0, "probes": 40, "observed": 0.2, "predicted": 0.0005 } },
        { "after_ms": 1.0, "predicted": 0.0, "probed": null },
    ]);
    let choice = |r: u8, w: u8| {
        json!({
            "r": r, "w": w, "stale": stale,
            "read_ms": { "p50": 0.0, "p99": 0.31 }, "write_ms": null,
            "reads_go_on": go_on, "writes_go_on": go_on,
            "guarantees": { "strict_reads_see_acknowledged_writes": r + w > 3,
                            "strict_reads_never_go_back": 2 * r > 3 },
        })
    };
    json!({
        "node": "00", "n": 3, "default": { "r": 2, "w": 2, "mode": "sloppy" },
        "probes": 77, "probe_share": 0.01, "unmodelled": null, "assumes": "halves",
        "peers": [{ "node": "0123456789abcdef", "up": true, "asked_last": true,
                    "reads": { "samples": 9, "p50_ms": 0.2, "p99_ms": 4.0 },
                    "writes": { "samples": 0, "p50_ms": 0.0, "p99_ms": 0.0 } }],
        "choices": [choice(1, 1), choice(2, 2)],
    })
}

#[test]
fn predicted_and_observed_stand_side_by_side() {
    let text = shown("127.0.0.1:7379", &report());
    for part in [
        "R=2 W=2 sloppy",
        "25.0 % | 20.0 % (0.05 %, 40)",
        "0 | -",
        "2/2 *",
        "| 0 ms ",
        "77 probes in all, of\n1.0 % of the reads",
        "01234567",
        "up, read last",
        "halves.",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(
        !text.contains("1/1 *") && !text.contains("89abcdef"),
        "{text}"
    );
}

#[test]
fn what_is_not_known_is_a_dash_and_the_reason_is_told() {
    let mut report = report();
    report["unmodelled"] = "nothing was measured".into();
    for choice in report["choices"].as_array_mut().expect("a list") {
        choice["read_ms"] = Value::Null;
        choice["stale"][0] = json!({ "after_ms": 0.0, "predicted": null, "probed": null });
    }
    let text = shown("a", &report);
    assert!(
        text.contains("Nothing can be predicted: nothing was measured."),
        "{text}"
    );
    assert!(text.contains("- | -"), "{text}");
}

//! The report of one run: as a table, as JSON.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{
    plan::Kind,
    record::{Counts, Latencies, Recording, Row, Second},
    settings::{Protocol, Settings},
    tally::Findings,
};

/// Quorum of a run, as asked for or as the server's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Quorums {
    /// Whether the server is Henge; a plain Redis counts as N = R = W = 1.
    pub(crate) is_henge: bool,
    pub(crate) n: u32,
    pub(crate) r: u32,
    pub(crate) w: u32,
    pub(crate) strict: bool,
}

impl Quorums {
    /// Whether every read meets every acknowledged write, as long as no fallback stands in.
    pub(crate) fn overlap(&self) -> bool {
        self.r + self.w > self.n
    }
}

/// CPU time over the measured window.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct CpuReport {
    /// Length of the window in seconds.
    pub(crate) window_s: f64,
    /// Of the load generator, in seconds.
    pub(crate) own_s: f64,
    /// Of the servers named by --pids, in seconds each.
    pub(crate) servers_s: BTreeMap<u32, f64>,
    /// Of the load generator per successful operation, in µs.
    pub(crate) own_us_per_op: f64,
    /// Of all servers together per successful operation, in µs.
    pub(crate) servers_us_per_op: Option<f64>,
}

impl CpuReport {
    /// From readings at both ends of the window; a process that ended in between is left out.
    pub(crate) fn between(
        window: Duration,
        own: Duration,
        before: &BTreeMap<u32, Duration>,
        after: &BTreeMap<u32, Duration>,
    ) -> Self {
        let used = |(pid, at): (&u32, &Duration)| {
            Some((*pid, at.checked_sub(*before.get(pid)?)?.as_secs_f64()))
        };
        Self {
            window_s: window.as_secs_f64(),
            own_s: own.as_secs_f64(),
            servers_s: after.iter().filter_map(used).collect(),
            ..Self::default()
        }
    }

    fn per_operation(mut self, operations: u64) -> Self {
        let per_op = |seconds: f64| seconds * 1e6 / operations.max(1) as f64;
        self.own_us_per_op = per_op(self.own_s);
        self.servers_us_per_op =
            (!self.servers_s.is_empty()).then(|| per_op(self.servers_s.values().sum::<f64>()));
        self
    }
}

/// One row of the table. Latencies in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RowReport {
    pub(crate) operation: &'static str,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) per_second: f64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// Latency by percentile, for the plot.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// One second for the plots. Latencies in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SecondReport {
    pub(crate) second: u64,
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) connection_errors: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// All there is to say of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) targets: Vec<String>,
    pub(crate) what: String,
    pub(crate) quorum: Quorums,
    pub(crate) rows: Vec<RowReport>,
    pub(crate) total: RowReport,
    pub(crate) seconds: Vec<SecondReport>,
    pub(crate) cpu: CpuReport,
    /// Broken or refused connections.
    pub(crate) connection_errors: u64,
    pub(crate) error_texts: BTreeMap<String, u64>,
    /// Requests due and never sent (fixed rate only).
    pub(crate) unsent: u64,
    /// Longest time without a success, and when it began, in ms of the measured window.
    pub(crate) longest_gap_ms: u64,
    pub(crate) longest_gap_at_ms: u64,
    /// When the first error came, in ms of the measured window.
    pub(crate) first_error_ms: Option<u64>,
    /// From the first error to the first success followed by no error for a second, in ms.
    pub(crate) recovery_ms: Option<u64>,
    pub(crate) findings: Findings,
    /// Whether stale reads are an error in this run.
    pub(crate) stale_is_error: bool,
    pub(crate) verified: bool,
}

impl Report {
    pub(crate) fn new(
        settings: &Settings,
        quorum: Quorums,
        recording: Recording,
        seconds: &[Second],
        cpu: CpuReport,
        findings: Findings,
    ) -> Self {
        let window = Duration::from_secs_f64(cpu.window_s);
        let total = recording.total();
        let kinds = Kind::ALL
            .iter()
            .zip(&recording.rows)
            .filter(|(_, row)| row.counts != Counts::default());
        let (longest_gap_ms, longest_gap_at_ms) = recording.longest_gap();
        let recovery = recording.recovery(window);
        // Several plain Redis servers may be replicas of each other; only one is surely up to date.
        let stale_is_error =
            quorum.overlap() && quorum.strict && (quorum.is_henge || settings.target.len() == 1);
        Self {
            targets: settings.target.clone(),
            what: describe(settings),
            quorum,
            rows: kinds
                .map(|(kind, row)| row_report(kind.name(), row, window))
                .collect(),
            cpu: cpu.per_operation(total.counts.ok),
            total: row_report("all", &total, window),
            seconds: seconds.iter().map(second_report).collect(),
            connection_errors: recording.connection_errors,
            unsent: recording.unsent,
            longest_gap_ms,
            longest_gap_at_ms,
            first_error_ms: recovery.map(|(first, _)| first),
            recovery_ms: recovery.and_then(|(_, recovery)| recovery),
            stale_is_error,
            verified: findings.is_clean() && !(stale_is_error && findings.stale > 0),
            error_texts: recording.error_texts,
            findings,
        }
    }

    /// The report for the terminal.
    pub(crate) fn to_text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header([
            "operation",
            "ok",
            "failed",
            "unknown",
            "ops/s",
            "p50 ms",
            "p90",
            "p99",
            "p99.9",
            "max",
        ]);
        for row in self.rows.iter().chain([&self.total]) {
            table.add_row(cells(row));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{}\n{table}\n", self.what);
        self.push_lines(&mut text);
        text
    }

    fn push_lines(&self, text: &mut String) {
        let mut line = |words: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{words}");
        };
        let Quorums {
            n,
            r,
            w,
            strict,
            is_henge,
        } = self.quorum;
        if is_henge {
            line(format!(
                "quorum: N={n} R={r} W={w} {}",
                if strict { "strict" } else { "sloppy" }
            ));
        }
        let cpu = &self.cpu;
        line(format!(
            "loadgen CPU: {:.2} s, {:.2} µs/op",
            cpu.own_s, cpu.own_us_per_op
        ));
        if let Some(us) = cpu.servers_us_per_op {
            line(format!(
                "server CPU: {:.2} s, {us:.2} µs/op",
                cpu.servers_s.values().sum::<f64>()
            ));
        }
        line(format!(
            "longest gap without a success: {} ms",
            self.longest_gap_ms
        ));
        if self.unsent > 0 {
            line(format!("due and never sent: {}", self.unsent));
        }
        if let Some(first) = self.first_error_ms {
            let after = self
                .recovery_ms
                .map_or("not before the end".to_owned(), |ms| {
                    format!("after {ms} ms")
                });
            line(format!("first error at {first} ms, recovered {after}"));
        }
        if self.connection_errors > 0 {
            line(format!("connection errors: {}", self.connection_errors));
        }
        for (words, count) in &self.error_texts {
            line(format!("  {count} × {words}"));
        }
        let f = &self.findings;
        line(format!(
            "read back: {} keys   lost {}   resurrected {}   corrupt {}   phantom {}   unread {}",
            f.read_back, f.lost, f.resurrected, f.corrupt, f.phantom, f.unread
        ));
        let weight = if self.stale_is_error {
            ""
        } else {
            " (no error here)"
        };
        line(format!(
            "stale reads {}{weight}   overtaken {}   late {}",
            f.stale, f.overtaken, f.late
        ));
        f.examples
            .iter()
            .for_each(|example| line(format!("  {example}")));
        line(if self.verified {
            "VERIFIED".to_owned()
        } else {
            "VERIFICATION FAILED".to_owned()
        });
    }
}

/// Cells of a row of the table.
fn cells(row: &RowReport) -> [String; 10] {
    let ms = |ms: f64| format!("{ms:.3}");
    [
        row.operation.to_owned(),
        row.ok.to_string(),
        row.failed.to_string(),
        row.unknown.to_string(),
        format!("{:.0}", row.per_second),
        ms(row.p50),
        ms(row.p90),
        ms(row.p99),
        ms(row.p999),
        ms(row.max),
    ]
}

fn describe(settings: &Settings) -> String {
    let load = &settings.load;
    let workload = format!("{:?}", load.workload).to_lowercase();
    let protocol = if load.protocol == Protocol::Resp {
        "resp"
    } else {
        "native"
    };
    let pace = load.rate.map_or("as fast as answered".to_owned(), |rate| {
        format!("{rate} requests/s")
    });
    format!(
        "{workload} over {protocol}: {} connections, pipeline {}, {} keys, {} B values, {pace}",
        load.connections, load.pipeline, load.keys, load.value_size
    )
}

fn row_report(operation: &'static str, row: &Row, window: Duration) -> RowReport {
    let l = &row.latencies;
    let Counts {
        ok,
        failed,
        unknown,
    } = row.counts;
    let curve = [
        0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0,
    ];
    RowReport {
        operation,
        ok,
        failed,
        unknown,
        per_second: ok as f64 / window.as_secs_f64().max(1e-9),
        mean: l.mean() / 1e4,
        p50: millis(l, 50.0),
        p90: millis(l, 90.0),
        p99: millis(l, 99.0),
        p999: millis(l, 99.9),
        max: if l.is_empty() {
            0.0
        } else {
            l.max() as f64 / 1e4
        },
        curve: curve
            .iter()
            .map(|percentile| (*percentile, millis(l, *percentile)))
            .collect(),
    }
}

fn second_report(second: &Second) -> SecondReport {
    let Counts {
        ok,
        failed,
        unknown,
    } = second.counts;
    SecondReport {
        second: second.index,
        ok,
        failed,
        unknown,
        connection_errors: second.connection_errors,
        p50: millis(&second.latencies, 50.0),
        p99: millis(&second.latencies, 99.0),
    }
}

fn millis(latencies: &Latencies, percentile: f64) -> f64 {
    latencies.value_at_percentile(percentile) as f64 / 1e4
}

/// One table for all quorums of a sweep.
pub(crate) fn sweep_table(reports: &[Report]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "R",
        "W",
        "R+W>N",
        "ops/s",
        "p50 ms",
        "p99",
        "p99.9",
        "failed",
        "unknown",
        "stale",
        "lost",
        "resurrected",
    ]);
    for report in reports {
        let (q, t, f) = (&report.quorum, &report.total, &report.findings);
        table.add_row([
            q.r.to_string(),
            q.w.to_string(),
            if q.overlap() { "yes" } else { "no" }.to_owned(),
            format!("{:.0}", t.per_second),
            format!("{:.3}", t.p50),
            format!("{:.3}", t.p99),
            format!("{:.3}", t.p999),
            t.failed.to_string(),
            t.unknown.to_string(),
            f.stale.to_string(),
            f.lost.to_string(),
            f.resurrected.to_string(),
        ]);
    }
    table.to_string()
}

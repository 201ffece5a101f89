//! The report as one HTML page: inline SVG, no script, nothing loaded from elsewhere.

use crate::report::{Report, RowReport, SecondReport};

/// Width and height of a plot's area, in pixels.
const WIDTH: f64 = 700.0;
const HEIGHT: f64 = 180.0;

/// Colours of lines, distinguishable without seeing red and green apart (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#999999",
];

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:2em auto;max-width:840px;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}text{font:11px system-ui,sans-serif;fill:#444}\
.good{color:#00744f}.bad{color:#b00020}pre{background:#f5f5f5;padding:1em;overflow:auto}";

/// A page with all runs, one after another.
pub(crate) fn page(reports: &[Report]) -> String {
    let runs: String = reports.iter().map(run).collect();
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Load report</title>\
         <style>{STYLE}</style></head><body><h1>Load report</h1>{runs}</body></html>\n"
    )
}

fn run(report: &Report) -> String {
    let (class, verdict) = if report.verified {
        ("good", "verified")
    } else {
        ("bad", "verification failed")
    };
    let q = &report.quorum;
    let quorum = if q.is_henge {
        format!(" — N={} R={} W={}", q.n, q.r, q.w)
    } else {
        String::new()
    };
    format!(
        "<h2>{}{quorum} <span class=\"{class}\">{verdict}</span></h2>{}{}{}{}{}<pre>{}</pre>",
        escape(&report.what),
        table(report),
        throughput(&report.seconds),
        latency_over_time(&report.seconds),
        percentiles(&report.rows),
        errors(&report.seconds),
        escape(&report.to_text()),
    )
}

fn table(report: &Report) -> String {
    let row = |r: &RowReport| {
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{:.3}</td><td>{:.3}</td><td>{:.3}</td><td>{:.3}</td></tr>",
            r.operation, r.ok, r.failed, r.unknown, r.per_second, r.p50, r.p99, r.p999, r.max
        )
    };
    let rows: String = report.rows.iter().chain([&report.total]).map(row).collect();
    format!(
        "<table><tr><th>operation</th><th>ok</th><th>failed</th><th>unknown</th><th>ops/s</th>\
         <th>p50 ms</th><th>p99</th><th>p99.9</th><th>max</th></tr>{rows}</table>"
    )
}

fn throughput(seconds: &[SecondReport]) -> String {
    let points = per_second(seconds, |second| second.ok as f64);
    plot("Successful operations per second", "s", &[("ok", points)])
}

fn latency_over_time(seconds: &[SecondReport]) -> String {
    let p50 = per_second(seconds, |second| second.p50);
    let p99 = per_second(seconds, |second| second.p99);
    plot("Latency over time, ms", "s", &[("p50", p50), ("p99", p99)])
}

fn errors(seconds: &[SecondReport]) -> String {
    let failed = per_second(seconds, |second| second.failed as f64);
    let unknown = per_second(seconds, |second| second.unknown as f64);
    let connections = per_second(seconds, |second| second.connection_errors as f64);
    plot(
        "Errors per second",
        "s",
        &[
            ("failed", failed),
            ("unknown", unknown),
            ("connection", connections),
        ],
    )
}

/// The horizontal axis counts nines, so that the tail is seen: 0, 90, 99, 99.9 % at equal distances.
fn percentiles(rows: &[RowReport]) -> String {
    let nines = |percentile: f64| -(1.0 - percentile.min(99.999) / 100.0).log10();
    let line = |row: &RowReport| {
        let curve = row
            .curve
            .iter()
            .filter(|(percentile, _)| *percentile < 100.0);
        (
            row.operation,
            curve
                .map(|(percentile, ms)| (nines(*percentile), *ms))
                .collect(),
        )
    };
    let lines: Vec<_> = rows.iter().filter(|row| row.ok > 0).map(line).collect();
    plot(
        "Latency by percentile, ms",
        "nines (1: 90 %, 2: 99 %, 3: 99.9 %)",
        &lines,
    )
}

fn per_second(seconds: &[SecondReport], value: impl Fn(&SecondReport) -> f64) -> Vec<(f64, f64)> {
    seconds
        .iter()
        .map(|second| (second.second as f64, value(second)))
        .collect()
}

/// Lines over a common grid that begins at zero.
fn plot(title: &str, x_name: &str, lines: &[(&str, Vec<(f64, f64)>)]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let x_max = points().map(|(x, _)| *x).fold(0.0, f64::max).max(1.0);
    let y_max = rounded_up(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let at = |(x, y): &(f64, f64)| {
        format!(
            "{:.1},{:.1}",
            60.0 + x / x_max * WIDTH,
            10.0 + HEIGHT * (1.0 - y / y_max)
        )
    };
    let mut svg = String::new();
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let (x, y) = (60.0 + part * WIDTH, 10.0 + HEIGHT * (1.0 - part));
        svg += &format!(
            "<line x1=\"60\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>",
            60.0 + WIDTH
        );
        svg += &format!(
            "<text x=\"54\" y=\"{}\" text-anchor=\"end\">{}</text>",
            y + 4.0,
            short(part * y_max)
        );
        svg += &format!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT + 26.0,
            short(part * x_max)
        );
    }
    for (index, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<_> = points.iter().map(at).collect();
        svg += &format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            path.join(" ")
        );
        let x = 60.0 + 90.0 * index as f64;
        svg += &format!(
            "<text x=\"{x}\" y=\"{}\" style=\"fill:{colour}\">● {}</text>",
            HEIGHT + 44.0,
            escape(name)
        );
    }
    svg += &format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        60.0 + WIDTH,
        HEIGHT + 44.0,
        escape(x_name)
    );
    format!(
        "<h3>{}</h3><svg viewBox=\"0 0 800 {}\" width=\"800\" role=\"img\" aria-label=\"{}\">{svg}</svg>",
        escape(title),
        HEIGHT + 54.0,
        escape(title)
    )
}

/// The next 1, 2 or 5 times a power of ten.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= value);
    factor.unwrap_or(10.0) * power
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 10.0 || v == 0.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_round_up_to_what_people_read() {
        for (value, scale) in [
            (0.0, 1.0),
            (0.03, 0.05),
            (7.0, 10.0),
            (1200.0, 2000.0),
            (100.0, 100.0),
        ] {
            assert!((rounded_up(value) - scale).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_plot_holds_its_lines_within_its_frame_and_escapes_names() {
        let svg = plot(
            "a <b>",
            "s",
            &[("x\"y", vec![(0.0, 0.0), (1.0, 50.0), (2.0, 3.0)])],
        );
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("x&quot;y"));
        let points = svg
            .split("points=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        for point in points.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((60.0..=60.0 + WIDTH).contains(&x) && (10.0..=10.0 + HEIGHT).contains(&y));
        }
        assert_eq!(points.split(' ').count(), 3);
    }

    #[test]
    fn nothing_to_plot_is_no_error() {
        assert!(plot("empty", "s", &[("ok", Vec::new())]).contains("<svg"));
    }
}

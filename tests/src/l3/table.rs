//! What the trials showed, as a table.

use comfy_table::{CellAlignment, Table, presets};

use super::{phases::Latency, trial::Row};

const TITLES: [&str; 12] = [
    "fault",
    "good",
    "acked",
    "lost",
    "seen again",
    "stale",
    "unavailable %",
    "gap ms",
    "p99 before",
    "during",
    "converged s",
    "verdict",
];

/// One line for each trial, and one for all.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(TITLES);
    for row in rows {
        table.add_row(cells(row));
    }
    for column in table.column_iter_mut().skip(1).take(TITLES.len() - 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    format!(
        "{table}\n{} trials: {} requests answered well, {} writes among them acknowledged; {} lost, \
         {} destroyed sessions seen again; {} keys read back",
        rows.len(),
        sum(|it| it.figures.good),
        sum(|it| it.figures.acked),
        sum(|it| it.found.lost),
        sum(|it| it.found.seen_again),
        sum(|it| it.found.read_back),
    )
}

fn cells(row: &Row) -> Vec<String> {
    let figures = &row.figures;
    let p99 = |latency: Latency| format!("{:.1}", latency.p99);
    let converged = row.converged.map(|it| format!("{:.1}", it.as_secs_f64()));
    vec![
        row.name.clone(),
        figures.good.to_string(),
        figures.acked.to_string(),
        row.found.lost.to_string(),
        row.found.seen_again.to_string(),
        row.found.stale.to_string(),
        format!("{:.3}", (1.0 - figures.availability()) * 100.0),
        figures.gap.as_millis().to_string(),
        p99(figures.before),
        p99(figures.during),
        converged.unwrap_or_else(|| "-".to_owned()),
        if row.wrong.is_empty() { "pass" } else { "FAIL" }.to_owned(),
    ]
}

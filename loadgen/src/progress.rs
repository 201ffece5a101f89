//! The line on stderr each second.

use std::{collections::BTreeMap, sync::mpsc};

use crate::record::{Latencies, Second};

/// Merges the seconds of all threads, tells each when it is whole, and gives them all at the end.
pub(crate) fn watch(
    name: &str,
    seconds: &mpsc::Receiver<Second>,
    threads: usize,
    quiet: bool,
) -> Vec<Second> {
    let mut merged: BTreeMap<u64, (Second, usize)> = BTreeMap::new();
    while let Ok(second) = seconds.recv() {
        let (whole, parts) = merged
            .entry(second.index)
            .or_insert_with(|| (Second::new(second.index), 0));
        whole.add(&second);
        *parts += 1;
        if *parts == threads && !quiet && whole.counts != Default::default() {
            eprintln!("{}", line(name, whole));
        }
    }
    merged.into_values().map(|(second, _)| second).collect()
}

fn line(name: &str, second: &Second) -> String {
    let counts = &second.counts;
    format!(
        "{name:>9} {:>4} s  {:>8} ops/s  p50 {:>7} ms  p99 {:>7} ms  failed {}  unknown {}  connection errors {}",
        second.index + 1,
        counts.ok,
        millis(&second.latencies, 0.5),
        millis(&second.latencies, 0.99),
        counts.failed,
        counts.unknown,
        second.connection_errors,
    )
}

fn millis(latencies: &Latencies, quantile: f64) -> String {
    format!("{:.3}", latencies.value_at_quantile(quantile) as f64 / 1e4)
}

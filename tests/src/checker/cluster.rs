//! What concerns the whole run: replicas in the end (C8), availability (C10), worth (C12).

use std::collections::BTreeMap;

use super::{Limits, Report, Rule, is_write};
use crate::history::{Entry, Fault, Hints, History, Micros, Outcome, Phase, Replica};

/// Judges the run as a whole and fills in its figures.
pub(super) fn check(history: &History, limits: &Limits, report: &mut Report) {
    count(history, report);
    replicas_are_equal(history, limits, report);
    enough_succeeded(history, limits, report);
    it_was_worth_something(history, limits, report);
}

fn count(history: &History, report: &mut Report) {
    for op in history.ops() {
        match op.outcome {
            Outcome::Ok { .. } => report.ok += 1,
            Outcome::Failed { .. } => report.failed += 1,
            Outcome::Unknown => report.unknown += 1,
        }
        report.acked += u64::from(op.is_ok() && is_write(op));
    }
}

/// C8.
fn replicas_are_equal(history: &History, limits: &Limits, report: &mut Report) {
    let mut owners: BTreeMap<&str, &Replica> = BTreeMap::new();
    for entry in &history.entries {
        match entry {
            Entry::Replica(replica) if replica.owner => {
                let first = *owners.entry(&replica.key).or_insert(replica);
                if first.digest != replica.digest {
                    let text = format!(
                        "node {} holds {}, node {} holds {}",
                        first.node,
                        digest(first),
                        replica.node,
                        digest(replica)
                    );
                    report.broken(Rule::Convergence, &replica.key, None, text);
                }
            }
            Entry::Replica(stranger) if limits.owners_only && stranger.digest.is_some() => {
                let text = format!("node {} holds it and is no owner", stranger.node);
                report.broken(Rule::Convergence, &stranger.key, None, text);
            }
            Entry::Hints(Hints { node, count }) if *count > 0 => {
                let text = format!("node {node} still holds {count} hints");
                report.broken(Rule::Convergence, "", None, text);
            }
            _ => {}
        }
    }
}

fn digest(replica: &Replica) -> String {
    replica
        .digest
        .map_or("nothing".to_owned(), |digest| format!("{digest:016x}"))
}

/// C10. The gap is measured from the first to the last operation.
fn enough_succeeded(history: &History, limits: &Limits, report: &mut Report) {
    let mut successes: Vec<Micros> = history
        .ops()
        .filter(|op| op.is_ok())
        .map(|op| op.returned)
        .collect();
    successes.extend(history.ops().map(|op| op.invoked).min());
    successes.extend(history.ops().map(|op| op.returned).max());
    successes.sort_unstable();
    let gaps = successes.windows(2).map(|pair| pair[1] - pair[0]);
    report.longest_gap = gaps.max().unwrap_or(0);
    if report.longest_gap > limits.longest_gap {
        let text = format!(
            "nothing succeeded for {} ms, at most {} ms are allowed",
            report.longest_gap / 1000,
            limits.longest_gap / 1000
        );
        report.broken(Rule::Availability, "", None, text);
    }
    let asked = report.ok + report.failed + report.unknown;
    if (report.ok as f64) < limits.min_ok_share * asked as f64 {
        let text = format!(
            "{} of {asked} operations succeeded, {:.2} % are needed",
            report.ok,
            100.0 * limits.min_ok_share
        );
        report.broken(Rule::Availability, "", None, text);
    }
}

/// C12.
fn it_was_worth_something(history: &History, limits: &Limits, report: &mut Report) {
    if report.acked < limits.min_acks {
        let text = format!(
            "{} writes acknowledged, {} needed",
            report.acked, limits.min_acks
        );
        report.broken(Rule::Vacuous, "", None, text);
    }
    for entry in &history.entries {
        if let Entry::Fault(Fault { name, fired: 0 }) = entry {
            let text = format!("the planned fault {name:?} never struck");
            report.broken(Rule::Vacuous, "", None, text);
        }
    }
    let healed = |entry: &Entry| matches!(entry, Entry::Phase(mark) if mark.phase == Phase::Healed);
    let faults = |entry: &Entry| matches!(entry, Entry::Phase(mark) if mark.phase == Phase::Faults);
    if history.entries.iter().any(faults) && !history.entries.iter().any(healed) {
        report.broken(Rule::Vacuous, "", None, "the faults never ended".to_owned());
    }
}

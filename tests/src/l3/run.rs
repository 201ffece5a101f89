//! A whole run: what the machine allows, every fault alone, some at once, the table, the verdict.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Weak},
    time::Instant,
};

use anyhow::Context;

use super::{
    away::away,
    criteria::{Criteria, Stage},
    expiry::expiry,
    fault::Fault,
    growth::growth,
    lab::Lab,
    options::{Checked, Options, Scenario},
    plan::Plan,
    probe::Abilities,
    pulse::Pulse,
    scale::scale,
    table::table,
    tails::tails,
    trial::{Row, Trial, broken},
};
use crate::sim::Rng;

/// How a run ended; the numbers are exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every promise was kept.
    Kept = 0,
    /// One was broken.
    Broken = 1,
    /// None was broken, but some fault could not be made here.
    NotAllRun = 3,
}

/// Makes the run that the options ask for.
///
/// # Errors
/// If nothing can be tried on this machine.
pub fn run(options: &Options, checked: &Checked) -> anyhow::Result<Ending> {
    let logs = options
        .logs
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("henge-l3-{}", std::process::id())));
    std::fs::create_dir_all(&logs)?;
    let mut trial = Trial {
        henge: checked.henge.clone(),
        logs: logs.clone(),
        hold: checked.hold,
        around: checked.around,
        rate: options.rate,
        users: checked.users,
        fake_clock: None,
    };
    let ending = match options.scenario {
        // Loopback is all it needs.
        Some(Scenario::Scale) => played(&logs, || scale(&trial, options.nodes, options.seed)),
        scenario => in_lab(options, checked, scenario, &mut trial),
    }?;
    if ending != Ending::Broken && options.logs.is_none() {
        forget(&logs);
    }
    Ok(ending)
}

/// Plays a scenario, or all trials, in network namespaces.
fn in_lab(
    options: &Options,
    checked: &Checked,
    scenario: Option<Scenario>,
    trial: &mut Trial,
) -> anyhow::Result<Ending> {
    let lab = Arc::new(Lab::new().context(NO_LAB)?);
    remove_on_signals(Arc::downgrade(&lab))?;
    lab.build(1).context(NO_LAB)?;
    let abilities = Abilities::probe(&lab, 1).context(NO_LAB)?;
    trial.fake_clock = abilities.fake_clock.clone().ok();
    if let Some(scenario) = scenario {
        let stage = Stage { lab: &lab, trial };
        return played(&trial.logs, || match scenario {
            Scenario::Growth => growth(&stage),
            Scenario::Away => away(&stage),
            Scenario::Expiry => expiry(&stage),
            Scenario::Tails => tails(&stage),
            Scenario::Scale => scale(trial, options.nodes, options.seed),
        });
    }
    every_fault(options, checked, &abilities, &lab, trial)
}

/// Tries every fault alone, and some at once.
fn every_fault(
    options: &Options,
    checked: &Checked,
    abilities: &Abilities,
    lab: &Lab,
    trial: &Trial,
) -> anyhow::Result<Ending> {
    let (faults, missing) = possible(&checked.faults, abilities);
    for line in &missing {
        println!("{line}");
    }
    println!("seed {}, logs in {}", options.seed, trial.logs.display());
    let begun = Instant::now();
    let rows: Vec<Row> = plans(&faults, checked.mixed, options.seed)
        .iter()
        .map(|plan| tried(trial, lab, plan))
        .collect();
    println!("{}", table(&rows));
    missing.iter().for_each(|line| println!("{line}"));
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    Ok(ending(&rows, !missing.is_empty() && !options.allow_missing))
}

/// Why nothing can be tried.
const NO_LAB: &str = "NOT RUN: no network namespaces with a packet filter here (needs root or \
                      CAP_NET_ADMIN and CAP_SYS_ADMIN, and the programs ip, nft and iptables; Debian: \
                      apt-get install iproute2 nftables iptables)";

/// The faults that can be made here, and a line for each that cannot.
fn possible(faults: &[Fault], abilities: &Abilities) -> (Vec<Fault>, Vec<String>) {
    let (mut possible, mut missing) = (Vec::new(), Vec::new());
    for fault in faults {
        match fault.need().and_then(|need| abilities.lacks(need)) {
            None => possible.push(*fault),
            Some(why) => missing.push(format!("NOT RUN: {fault}: {why}")),
        }
    }
    (possible, missing)
}

/// Every fault alone, then so many pairs.
fn plans(faults: &[Fault], mixed: u32, seed: u64) -> Vec<Plan> {
    let mut rng = Rng::new(seed);
    let mut mixing = rng.fork();
    let alone = faults.iter().map(|fault| Plan::alone(*fault, &mut rng));
    let mut plans: Vec<Plan> = alone.collect();
    plans.extend((0..mixed).filter_map(|_| Plan::mixed(faults, &mut mixing)));
    plans
}

/// Plays a scenario and says what it showed.
fn played(
    logs: &Path,
    scenario: impl FnOnce() -> anyhow::Result<Criteria>,
) -> anyhow::Result<Ending> {
    println!("logs in {}", logs.display());
    let pulse = Pulse::start();
    let criteria = scenario()?;
    println!("{}", criteria.text());
    if let Some(disturbed) = pulse.missed() {
        println!("     {disturbed}: times are of no use");
    }
    Ok(if criteria.are_kept() {
        Ending::Kept
    } else {
        Ending::Broken
    })
}

/// Makes a trial and says in a line how it went. One that went wrong while the machine stood still is
/// made once more.
fn tried(trial: &Trial, lab: &Lab, plan: &Plan) -> Row {
    let mut row = trial.run(lab, plan);
    if let Some(disturbed) = row.disturbed.as_ref().filter(|_| !row.wrong.is_empty()) {
        println!(
            "once more {}: {}; {disturbed}",
            row.name,
            row.wrong.join("; ")
        );
        if !broken(&row.found).is_empty() {
            // No stall excuses lost data.
            return told(row);
        }
        row = trial.run(lab, plan);
    }
    told(row)
}

fn told(row: Row) -> Row {
    let verdict = if row.wrong.is_empty() { "pass" } else { "FAIL" };
    println!(
        "{verdict} {}: {} writes acknowledged",
        row.name, row.figures.acked
    );
    for wrong in &row.wrong {
        println!("     {wrong}");
    }
    if !row.wrong.is_empty() {
        for (words, count) in without_figures(&row.found.errors) {
            println!("     {count} × {words}");
        }
    }
    if let Some(disturbed) = &row.disturbed {
        println!("     {disturbed}");
    }
    row
}

/// Error texts that differ in figures only, counted together.
pub(super) fn without_figures(errors: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for (words, count) in errors {
        let figure =
            |word: &str| word.contains('.') && word.starts_with(|it: char| it.is_ascii_digit());
        let words: Vec<_> = words
            .split(' ')
            .map(|word| if figure(word) { "…" } else { word })
            .collect();
        *counted.entry(words.join(" ")).or_default() += count;
    }
    counted
}

fn ending(rows: &[Row], missing: bool) -> Ending {
    if rows.iter().any(|row| !row.wrong.is_empty()) {
        Ending::Broken
    } else if missing || rows.is_empty() {
        Ending::NotAllRun
    } else {
        Ending::Kept
    }
}

fn forget(logs: &Path) {
    if let Err(error) = std::fs::remove_dir_all(logs) {
        eprintln!("{}: {error}", logs.display());
    }
}

/// Ctrl-C and SIGTERM remove the lab, with all that runs in it, before they end the process.
fn remove_on_signals(lab: Weak<Lab>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                eprintln!("signals cannot be caught: Ctrl-C leaves namespaces to the next run");
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            eprintln!("stopping, and removing namespaces");
            if let Some(lab) = lab.upgrade() {
                lab.remove();
            }
            std::process::exit(130);
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_here_is_named_and_the_rest_is_tried() {
        let abilities = Abilities {
            packet_queue: Err("no such kernel".to_owned()),
            fake_clock: Ok("/lib/faketime.so".into()),
        };
        let (faults, missing) = possible(&Fault::ALL, &abilities);
        assert_eq!(faults.len(), Fault::ALL.len() - 1);
        assert_eq!(missing, ["NOT RUN: delay: no such kernel"]);
    }

    #[test]
    fn a_broken_promise_outweighs_what_was_not_run() {
        let kept = Row::default();
        let broken = Row {
            wrong: vec!["1 lost".to_owned()],
            ..Row::default()
        };
        assert_eq!(
            ending(&[kept.clone(), broken.clone()], true),
            Ending::Broken
        );
        assert_eq!(ending(std::slice::from_ref(&kept), true), Ending::NotAllRun);
        assert_eq!(ending(&[kept], false), Ending::Kept);
        assert_eq!(ending(&[], false), Ending::NotAllRun);
    }

    #[test]
    fn errors_that_differ_in_figures_are_one_error() {
        let texts = [
            ("no answer within 1.2s", 1),
            ("no answer within 138.8ms", 2),
            ("2 replicas needed, 1 answered", 3),
        ];
        let errors = texts.map(|(text, count)| (text.to_owned(), count)).into();
        let counted: Vec<_> = without_figures(&errors).into_iter().collect();
        assert_eq!(
            counted,
            [
                ("2 replicas needed, 1 answered".to_owned(), 3),
                ("no answer within …".to_owned(), 3)
            ]
        );
    }

    #[test]
    fn one_fault_more_does_not_change_who_is_struck_by_those_before() {
        let few = plans(&Fault::ALL[..3], 0, 5);
        let more = plans(&Fault::ALL[..4], 0, 5);
        assert_eq!(few[..], more[..3]);
        assert_eq!(plans(&Fault::ALL, 3, 5).len(), Fault::ALL.len() + 3);
    }
}

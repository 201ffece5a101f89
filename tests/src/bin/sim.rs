//! Runs the simulator over many seeds.
//!
//! ```text
//! sim --seeds 5000 --from 1 --threads 2 [--workload mixed|siblings|sessions|registers]
//! sim --seed 17 [--workload …] [--trace]
//! ```
//! `--anti-entropy-alone` leaves it to anti-entropy to make replicas equal: no hints, no read repair;
//! every run must converge by itself. `--any-sessions` uses sessions with whatever quorum was drawn, also with those that are known not
//! to keep the promises to sessions. Every tenth seed runs the last-writer-wins control, unless a workload is given. The exit status
//! is 1 if a promise was broken, a mark was never hit, or the control lost too little.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use henge_tests::sim::{Mark, Marks, Plan, Verdict, Workload, register_loss, run};

/// The least share of writes that last-writer-wins must be seen to lose.
const CONTROL_LOSES: f64 = 0.05;

/// Fewer seeds than this need not hit every mark.
const ENOUGH_SEEDS: u64 = 100;

struct Options {
    from: u64,
    seeds: u64,
    threads: usize,
    workload: Option<Workload>,
    trace: bool,
    any_sessions: bool,
    anti_entropy_alone: bool,
    reconfigure: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(options) => execute(&options),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        from: 1,
        seeds: 100,
        threads: 1,
        workload: None,
        trace: false,
        any_sessions: false,
        anti_entropy_alone: false,
        reconfigure: false,
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|_| format!("{text:?} is no number"))
        };
        match name.as_str() {
            "--from" => options.from = number(value()?)?,
            "--seeds" => options.seeds = number(value()?)?,
            "--threads" => options.threads = number(value()?)? as usize,
            "--seed" => (options.from, options.seeds) = (number(value()?)?, 1),
            "--trace" => options.trace = true,
            "--reconfigure" => options.reconfigure = true,
            "--any-sessions" => options.any_sessions = true,
            "--anti-entropy-alone" => options.anti_entropy_alone = true,
            "--workload" => {
                options.workload = Some(match value()?.as_str() {
                    "mixed" => Workload::Mixed,
                    "siblings" => Workload::Siblings,
                    "sessions" => Workload::Sessions,
                    "registers" => Workload::Registers,
                    other => return Err(format!("{other:?} is no workload")),
                });
            }
            other => return Err(format!("{other:?} is no option")),
        }
    }
    Ok(options)
}

fn execute(options: &Options) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let work = || {
        let mut verdicts = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return verdicts;
            }
            let control = if seed.is_multiple_of(10) {
                Workload::Registers
            } else {
                Workload::Mixed
            };
            let plan = Plan::draw(seed, options.workload.unwrap_or(control));
            let plan = if options.any_sessions {
                plan.with_any_sessions()
            } else {
                plan
            };
            let plan = if options.reconfigure {
                plan.with_changes()
            } else {
                plan
            };
            let plan = if options.anti_entropy_alone {
                plan.with_anti_entropy_alone()
            } else {
                plan
            };
            let mut verdict = run(&plan, options.trace);
            report(&verdict);
            // What is counted afterwards needs neither.
            verdict.history.entries.clear();
            verdict.text.clear();
            verdicts.push(verdict);
        }
    };
    let verdicts: Vec<Verdict> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    summary(&verdicts, options, started.elapsed().as_secs_f64())
}

/// Says what is wrong with a run, with everything needed to repeat it.
fn report(verdict: &Verdict) {
    for line in &verdict.text {
        println!("{line}");
    }
    if verdict.is_clean() {
        return;
    }
    let mut text = format!("FAILED {}", verdict.plan);
    for broken in &verdict.broken {
        text += &format!("  always: {broken}\n");
    }
    for violation in verdict.report.violations.iter().take(20) {
        text += &format!("  {violation}\n");
    }
    let broken: BTreeSet<&str> = verdict
        .report
        .violations
        .iter()
        .map(|violation| violation.key.as_str())
        .collect();
    if !verdict.text.is_empty() {
        for op in verdict
            .history
            .ops()
            .filter(|op| broken.contains(op.key.as_str()))
        {
            text += &format!("  {op:?}\n");
        }
    }
    println!("{text}");
}

fn summary(verdicts: &[Verdict], options: &Options, seconds: f64) -> ExitCode {
    let sum = |of: fn(&Verdict) -> u64| verdicts.iter().map(of).sum::<u64>();
    let mut marks = Marks::default();
    verdicts
        .iter()
        .for_each(|verdict| marks.merge(&verdict.marks));
    let count = verdicts.len() as u64;
    let failures = verdicts
        .iter()
        .filter(|verdict| !verdict.is_clean())
        .count();
    let loss = register_loss(verdicts);
    println!(
        "{count} seeds in {seconds:.1} s: {:.1} seeds/s, {} events",
        count as f64 / seconds,
        sum(|verdict| verdict.events)
    );
    println!(
        "{} writes acknowledged; {} operations ok, {} failed, {} unknown",
        sum(|verdict| verdict.report.acked),
        sum(|verdict| verdict.report.ok),
        sum(|verdict| verdict.report.failed),
        sum(|verdict| verdict.report.unknown)
    );
    let by_themselves = verdicts
        .iter()
        .filter_map(|verdict| verdict.converged_after);
    let slowest = by_themselves.clone().max().unwrap_or(0) / 1000;
    println!(
        "{} of {count} converged before anything was read, the slowest after {slowest} ms",
        by_themselves.count()
    );
    for mark in Mark::ALL {
        println!("{:>10} {mark:?}", marks.count(mark));
    }
    let control = verdicts
        .iter()
        .any(|it| it.plan.workload == Workload::Registers);
    if control {
        println!(
            "the last-writer-wins control lost {:.1} % of its writes",
            100.0 * loss
        );
    }
    println!("{failures} failures");
    let unhit = marks.unhit();
    let as_it_is = options.workload.is_none() && !options.anti_entropy_alone;
    let enough = count >= ENOUGH_SEEDS && as_it_is;
    if enough && !unhit.is_empty() {
        println!("never happened: {unhit:?}");
    }
    let bad = failures > 0 || (enough && !unhit.is_empty()) || (control && loss < CONTROL_LOSES);
    ExitCode::from(u8::from(bad))
}

//! Runs the simulator over many seeds.
//!
//! ```text
//! sim --seeds 5000 --from 1 --threads 2 [--workload mixed|siblings|sessions|principals|registers]
//! sim --seed 17 [--workload …] [--trace]
//! ```
//! In every second seed the ring changes one to three times, mostly while another fault lasts;
//! with `--reconfigure` in every seed, with `--stable-ring` in none.
//! `--anti-entropy-alone` leaves it to anti-entropy to make replicas equal: no hints, no read repair;
//! every run must converge by itself. `--any-sessions` uses sessions with whatever quorum was drawn, also with those that are known not
//! to keep the promises to sessions. Every tenth seed runs the last-writer-wins control, unless a workload is given. The exit status
//! is 1 if a promise was broken, a mark was never hit, or the control lost too little.

use std::{collections::BTreeSet, process::ExitCode, time::Instant};

use clap::Parser;
use henge_tests::{
    history::History,
    seeds::Seeds,
    sim::{Mark, Marks, Plan, Verdict, Workload, register_loss, run},
};

// A run allocates at every message: with this allocator there are an eighth more runs in the same time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The least share of writes that last-writer-wins must be seen to lose.
const CONTROL_LOSES: f64 = 0.05;

/// Fewer seeds than this need not hit every mark.
const ENOUGH_SEEDS: u64 = 100;

/// Runs the simulator.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    seeds: Seeds<100>,
    /// What clients do; without it each tenth seed runs the last-writer-wins control
    #[arg(long, value_enum)]
    workload: Option<Workload>,
    /// Use sessions with whatever quorum was drawn
    #[arg(long)]
    any_sessions: bool,
    /// No hints and no read repair
    #[arg(long)]
    anti_entropy_alone: bool,
    /// The ring changes in every seed, not only in every second one
    #[arg(long, conflicts_with = "stable_ring")]
    reconfigure: bool,
    /// A node's clock jumps in every seed, not only in every second pair of seeds
    #[arg(long)]
    clock_jumps: bool,
    /// The ring never changes
    #[arg(long)]
    stable_ring: bool,
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        let control = if seed.is_multiple_of(10) {
            Workload::Registers
        } else {
            Workload::Mixed
        };
        let mut plan = Plan::draw(seed, self.workload.unwrap_or(control));
        if self.any_sessions {
            plan = plan.with_any_sessions();
        }
        if self.reconfigure || (!self.stable_ring && seed % 2 == 1) {
            plan = plan.with_changes_amid_faults();
            if seed % 4 == 1 {
                plan = plan.with_one_uninformed();
            }
        }
        if self.clock_jumps || seed % 4 >= 2 {
            plan = plan.with_clock_jumps();
        }
        if seed.is_multiple_of(5) {
            plan = plan.with_tokens();
        }
        if self.anti_entropy_alone {
            plan = plan.with_anti_entropy_alone();
        }
        plan
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    match options.seeds.run(|seed| one(seed, &options)) {
        Ok(verdicts) => summary(&verdicts, &options, started.elapsed().as_secs_f64()),
        Err(panicked) => {
            println!("{panicked}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, options: &Options) -> Verdict {
    let mut verdict = run(&options.plan(seed), options.seeds.trace);
    report(&verdict);
    // What is counted afterwards needs neither, and of a hundred thousand seeds they would fill the memory.
    verdict.history = History::default();
    verdict.text = Vec::new();
    verdict
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
    println!(
        "{} reconfigurations, {} of them amid another fault",
        sum(|verdict| verdict.changes),
        sum(|verdict| verdict.changes_amid_faults)
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

//! Runs real nodes over the simulated network, many seeds or one.
//!
//! ```text
//! l2 --seeds 200 --from 1 --threads 2
//! l2 --seed 17 [--trace] [--log henge_node=debug] [--history]
//! ```
//! With `--twice` each seed is run twice and must give the same trace; if it does not, a third run
//! decides whether the machine disturbed one of them (see `tests/tests/l2.rs`), which is counted. The
//! exit status is 1 if a promise was broken or three traces differed.

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use clap::Parser;
use henge_tests::{
    history::History,
    l2::{Plan, Verdict, run},
    seeds::Seeds,
};

/// Runs real nodes over the simulated network.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    seeds: Seeds<20>,
    /// Print the history that the checker judges
    #[arg(long)]
    history: bool,
    /// Run each seed twice and compare the traces
    #[arg(long)]
    twice: bool,
    /// Print what nodes log, such as henge_node=debug
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(filter) = &options.log {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .init();
    }
    let started = Instant::now();
    match options.seeds.run(|seed| one(seed, &options)) {
        Ok(verdicts) => summary(&verdicts, started.elapsed().as_secs_f64()),
        Err(panicked) => {
            println!("{panicked}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, options: &Options) -> Verdict {
    let plan = Plan::draw(seed);
    let mut verdict = run(&plan, options.seeds.trace);
    if options.twice {
        let mut hashes = vec![verdict.hash, run(&plan, false).hash];
        if hashes[0] != hashes[1] {
            println!("seed {seed}: two runs differ");
            let third = run(&plan, false).hash;
            if !hashes.contains(&third) {
                hashes.push(third);
                verdict
                    .broken
                    .push(format!("three runs differ: {hashes:016x?}"));
            }
        }
    }
    for line in &verdict.text {
        println!("{line}");
    }
    if options.history {
        // Standard output, as for everything here; if it is closed nobody reads on.
        let _ = verdict.history.write(std::io::stdout().lock());
    }
    if !verdict.is_clean() {
        report(&verdict);
    }
    verdict.history = History::default();
    verdict.text = Vec::new();
    verdict
}

/// Says what is wrong with a run, with everything needed to repeat it.
fn report(verdict: &Verdict) {
    let mut text = format!("FAILED {}", verdict.plan);
    for broken in verdict.broken.iter().take(20) {
        text += &format!("  always: {broken}\n");
    }
    for violation in verdict.report.violations.iter().take(20) {
        text += &format!("  {violation}\n");
    }
    println!("{text}");
}

fn summary(verdicts: &[Verdict], seconds: f64) -> ExitCode {
    let sum = |of: fn(&Verdict) -> u64| verdicts.iter().map(of).sum::<u64>();
    let count = verdicts.len();
    let failures = verdicts.iter().filter(|it| !it.is_clean()).count();
    let simulated = sum(|it| it.lasted) as f64 / 1e6;
    println!(
        "{count} seeds in {seconds:.1} s: {simulated:.0} simulated seconds, {:.0} times as fast",
        simulated / seconds
    );
    println!(
        "{} writes acknowledged; {} operations ok, {} failed, {} unknown; {} events",
        sum(|it| it.report.acked),
        sum(|it| it.report.ok),
        sum(|it| it.report.failed),
        sum(|it| it.report.unknown),
        sum(|it| it.events)
    );
    let converged = verdicts.iter().filter_map(|it| it.converged_after);
    let slowest = converged.clone().max().unwrap_or(0) / 1000;
    println!(
        "{} of {count} converged before anything was read, the slowest after {slowest} ms",
        converged.count()
    );
    let mut fired = BTreeMap::<&str, u64>::new();
    for (name, times) in verdicts.iter().flat_map(|it| &it.fired) {
        *fired.entry(name).or_default() += times;
    }
    for (name, times) in fired {
        println!("{times:>10} {name}");
    }
    let mut hash = 0u64;
    for verdict in verdicts {
        hash ^= verdict.hash.rotate_left((verdict.plan.seed % 64) as u32);
    }
    println!("{failures} failures; all traces together {hash:016x}");
    ExitCode::from(u8::from(failures > 0))
}

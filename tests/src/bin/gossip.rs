//! Gossip among a few members in bad company, seed after seed: nobody may be declared down by older news.
//!
//! ```text
//! gossip [--seeds 10000] [--from 1] [--seed N] [--threads 1]
//! ```
//! The exit status is 1 if a rule was broken in any run.

use std::process::ExitCode;

use clap::Parser;
use henge_tests::{
    gossip::{Verdict, play},
    seeds::Seeds,
};

/// Gossips with members that lose frames, die and come back.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    seeds: Seeds<10_000>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let verdicts = options.seeds.run(|seed| (seed, play(seed, None)));
    let mut verdicts = match verdicts {
        Ok(verdicts) => verdicts,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    verdicts.sort_by_key(|(seed, _)| *seed);
    let mut broken = 0;
    for (seed, verdict) in &verdicts {
        broken += u64::from(!verdict.broken.is_empty());
        for text in &verdict.broken {
            println!("seed {seed} {text}");
        }
    }
    let sum = |of: fn(&Verdict) -> u64| verdicts.iter().map(|(_, it)| of(it)).sum::<u64>();
    println!(
        "{} runs, {broken} with a broken rule; {} restarts, {} refuted suspicions heard, {} next lives \
         heard of, {} deaths declared of members that lived",
        verdicts.len(),
        sum(|it| it.restarts),
        sum(|it| it.refuted),
        sum(|it| it.reborn),
        sum(|it| it.false_deaths),
    );
    ExitCode::from(u8::from(broken > 0))
}

//! Logs out again and again, and looks whether the session comes back.
//!
//! ```text
//! logout [--seeds 40000] [--from 1] [--threads 1] [--others 4000]
//! logout --seed 17
//! ```
//! `--seeds` are the runs of each quorum that the promise is made for, with tombstones treated as they
//! are; `--others` those of every other row, which are there to be seen to fail. The exit status is 1
//! if a session came back that should not, or did not come back where a mistake is made on purpose.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use henge_tests::{
    logout::{Row, rows},
    seeds::Seeds,
};

/// Logs out again and again.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    seeds: Seeds<40_000>,
    /// The most runs of each row that promises nothing
    #[arg(long, default_value_t = 4_000)]
    others: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut wrong = 0;
    println!("| tombstones | R | W | quorum | runs | came back | by the mistake | s |");
    println!("|---|---|---|---|---|---|---|---|");
    for (policy, quorum) in rows() {
        let started = Instant::now();
        let seeds = match policy.promises(quorum) {
            true => options.seeds.clone(),
            false => options.seeds.at_most(options.others),
        };
        let row = match Row::of(policy, quorum, &seeds) {
            Ok(row) => row,
            Err(panicked) => {
                println!("{panicked}");
                return ExitCode::FAILURE;
            }
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} |",
            policy.name(),
            quorum.r,
            quorum.w,
            if quorum.strict { "strict" } else { "sloppy" },
            row.tried,
            row.back.len(),
            row.by_mistake,
            started.elapsed().as_secs_f64(),
        );
        if !row.is_as_expected() {
            wrong += 1;
            println!(
                "FAILED: seeds {:?} ...",
                row.back.iter().take(8).collect::<Vec<_>>()
            );
        }
    }
    ExitCode::from(u8::from(wrong > 0))
}

//! Explores the interleavings of two concurrent changes of a partition's set.
//!
//! ```text
//! transitions [--states 2000000] [--flaws]
//! ```
//! `--states` bounds each exploration; `--flaws` leaves out one rule after the other instead, each of
//! which must be seen to matter. The exit status is 1 if an acknowledged write can be missed, or if a
//! flaw goes unnoticed.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use henge_tests::transitions::{Flaw, Pair, explore};

/// Explores two concurrent changes of a partition's set.
#[derive(Parser)]
struct Options {
    /// The most states of each exploration.
    #[arg(long, default_value_t = 2_000_000)]
    states: u64,
    /// Leaves out one rule after the other.
    #[arg(long)]
    flaws: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let good = if options.flaws {
        Flaw::ALL
            .iter()
            .filter(|flaw| !matters(**flaw, options.states))
            .count()
            == 0
    } else {
        Pair::ALL
            .iter()
            .filter(|pair| !holds(**pair, options.states))
            .count()
            == 0
    };
    ExitCode::from(u8::from(!good))
}

/// The members that a write is coordinated by in turn: the first leaves or is lost, the last stays.
const COORDINATORS: [usize; 2] = [2, 0];

fn holds(pair: Pair, states: u64) -> bool {
    COORDINATORS.iter().all(|&coordinator| {
        let started = Instant::now();
        let found = explore(pair, coordinator, None, 0, states);
        let seconds = started.elapsed().as_secs_f64();
        println!("{pair:?}, node {coordinator} writes: {found:?} in {seconds:.1} s");
        found.violations == 0
    })
}

/// How many ways of searching share the bound: one alone sees too little of all there is.
const WAYS: u64 = 40;

fn matters(flaw: Flaw, states: u64) -> bool {
    for salt in 0..WAYS {
        for pair in Pair::ALL {
            let coordinator = COORDINATORS[salt as usize % COORDINATORS.len()];
            let found = explore(pair, coordinator, Some(flaw), salt, states / WAYS);
            if found.violations > 0 {
                println!(
                    "{flaw:?}: noticed with {pair:?}, node {coordinator} writing, the {}. way, after {} states",
                    salt + 1,
                    found.states
                );
                return true;
            }
        }
    }
    println!("{flaw:?}: NOT NOTICED");
    false
}

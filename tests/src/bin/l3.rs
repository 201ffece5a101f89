//! Real nodes in network namespaces, under load and faults; needs root, but for one scenario.
//!
//! ```text
//! cargo build --profile quick --bin henge --bin l3
//! target/quick/l3                              # every fault, a few minutes
//! target/quick/l3 --only kill,one-way --seed 7
//! target/quick/l3 --long
//! target/quick/l3 --scenario growth
//! target/quick/l3 --scenario scale             # fifty nodes on loopback; needs no root
//! ```

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use henge_tests::l3::{Fault, Options, hold_packets, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    if let [delay, jitter, seed] = options.hold_packets[..] {
        return hold(delay, jitter, seed);
    }
    if options.list {
        for fault in Fault::ALL {
            println!("{:10} {}", fault.name(), fault.words());
        }
        return ExitCode::SUCCESS;
    }
    let done = options
        .checked()
        .map_err(anyhow::Error::msg)
        .and_then(|checked| run(&options, &checked));
    match done {
        Ok(ending) => ExitCode::from(ending as u8),
        Err(error) => {
            eprintln!("l3: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn hold(delay: u64, jitter: u64, seed: u64) -> ExitCode {
    let (delay, jitter) = (Duration::from_millis(delay), Duration::from_millis(jitter));
    match hold_packets(delay, jitter, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("l3: {error:#}");
            ExitCode::from(2)
        }
    }
}

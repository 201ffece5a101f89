//! Session load, measured and verified: the program `loadgen`, and the same load for tests that do
//! things to the servers meanwhile ([`Load`]).
//!
//! A run is a sequence of phases (populate, load, read back). In each, threads run connections, and
//! each connection asks its plan for operations and brings back their outcomes. What may be answered
//! to a read is decided in [`history`], without I/O; the raw path is [`resp`], the path through the
//! Rust client is [`native`].

use std::{path::Path, process::ExitCode, sync::Arc};

use clap::Parser;

use crate::{
    report::{Report, sweep_table},
    settings::Settings,
};

mod cpu;
mod history;
mod html;
mod native;
mod pace;
mod plan;
mod progress;
mod record;
mod report;
mod resp;
mod rng;
mod run;
mod scan;
mod settings;
mod stamp;
mod tally;
mod wire;
mod worker;

mod watched;
pub use watched::{Load, Outcome, Sample, Summary};

/// The program: reads the command line, makes the run or the runs, prints and saves the reports.
pub fn program() -> ExitCode {
    match Settings::parse()
        .checked()
        .and_then(|settings| execute(&settings))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(2)
        }
    }
}

/// Makes the run, or all runs of a sweep; whether all verified.
fn execute(settings: &Settings) -> Result<bool, String> {
    let quorums = run::probe(settings)?;
    let mut reports = Vec::new();
    for settings in variants(settings, quorums.n) {
        let quorum = &settings.quorum;
        let asked = report::Quorums {
            r: quorum.r.unwrap_or(quorums.r),
            w: quorum.w.unwrap_or(quorums.w),
            ..quorums
        };
        let report = run::run(&Arc::new(settings), asked)?;
        println!("{}", report.to_text());
        reports.push(report);
    }
    if settings.sweep {
        println!("{}", sweep_table(&reports));
    }
    save(settings, &reports)?;
    Ok(reports.iter().all(|report| report.verified))
}

/// The settings of each run: one, or one per R and W.
fn variants(settings: &Settings, n: u32) -> Vec<Settings> {
    if !settings.sweep {
        return vec![settings.clone()];
    }
    let pairs = (1..=n).flat_map(|r| (1..=n).map(move |w| (r, w)));
    let with = |(r, w)| {
        let mut one = settings.clone();
        (one.quorum.r, one.quorum.w) = (Some(r), Some(w));
        one
    };
    pairs.map(with).collect()
}

fn save(settings: &Settings, reports: &[Report]) -> Result<(), String> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = &settings.json {
        let json = match reports {
            [one] if !settings.sweep => serde_json::to_string_pretty(one),
            all => serde_json::to_string_pretty(all),
        };
        write(path, json.map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &settings.html {
        write(path, html::page(reports))?;
    }
    Ok(())
}

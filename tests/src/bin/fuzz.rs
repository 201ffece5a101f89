//! Fuzzes everything that takes bytes from outside.
//!
//! ```text
//! fuzz [TARGET…] [--seconds 60] [--seed N] [--threads N]
//! fuzz TARGET --input HEX
//! fuzz --list
//! ```
//! Each target runs for the given time on one thread, as many at a time as there are threads (one
//! per core). The exit status is 1 if any input panics, breaks a law, takes longer than a second,
//! allocates too much, or if the process has grown beyond its limit; what is printed then replays
//! the input.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use henge_tests::fuzz::{Options, Report, TARGETS, Target, replay, run};

/// The most memory the process may ever have occupied, in bytes.
const MOST_RESIDENT: u64 = 512 << 20;

struct Arguments {
    targets: Vec<Target>,
    options: Options,
    input: Option<Vec<u8>>,
    list: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(arguments) => execute(&arguments),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut parsed = Arguments {
        targets: Vec::new(),
        options: Options {
            time: Duration::from_secs(60),
            seed: since.unwrap_or_default().as_secs(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        },
        input: None,
        list: false,
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--seconds" => {
                let seconds: f64 = number(&value()?)?;
                parsed.options.time = Duration::try_from_secs_f64(seconds)
                    .map_err(|error| format!("--seconds {seconds}: {error}"))?;
            }
            "--seed" => parsed.options.seed = number(&value()?)?,
            "--threads" => parsed.options.threads = number(&value()?)?,
            "--input" => parsed.input = Some(unhex(&value()?)?),
            "--list" => parsed.list = true,
            target => {
                let found = TARGETS.iter().find(|known| known.name == target);
                let unknown = || format!("{target:?} is no target or option; try --list");
                parsed.targets.push(*found.ok_or_else(unknown)?);
            }
        }
    }
    if parsed.targets.is_empty() {
        parsed.targets = TARGETS.to_vec();
    }
    Ok(parsed)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "--input is pairs of hexadecimal digits".to_owned();
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    pairs.map(|pair| byte(pair).ok_or_else(wrong)).collect()
}

/// Counts what one input allocates, on its thread.
fn measure(run: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(run).bytes_max
}

fn execute(arguments: &Arguments) -> ExitCode {
    if arguments.list {
        for target in TARGETS {
            println!("{:>9}  {}", target.name, target.about);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(input) = &arguments.input {
        let failures = arguments.targets.iter();
        let failures: Vec<_> = failures
            .filter_map(|target| replay(target, input, measure))
            .collect();
        failures.iter().for_each(|failure| println!("{failure}"));
        return ExitCode::from(u8::from(!failures.is_empty()));
    }
    let options = &arguments.options;
    println!("seed {}, {:?} for each target", options.seed, options.time);
    let reports = run(&arguments.targets, options, measure, &|report| show(report));
    let resident = peak_resident();
    println!("{} MiB were resident at most", resident >> 20);
    let failed = reports.iter().any(|report| report.failure.is_some());
    if resident > MOST_RESIDENT {
        println!("FAILED: more than {} MiB", MOST_RESIDENT >> 20);
    }
    ExitCode::from(u8::from(failed || resident > MOST_RESIDENT))
}

fn show(report: &Report) {
    println!(
        "{:>9} {:>10} executions {:>8.0}/s, {:>5} in the corpus, slowest {:>6.1} ms, most {:>6} KiB",
        report.target,
        report.executions,
        report.executions as f64 / report.time.as_secs_f64(),
        report.corpus,
        report.slowest.as_secs_f64() * 1e3,
        report.most_bytes >> 10,
    );
    if let Some(failure) = &report.failure {
        println!("{failure}");
    }
}

/// The most memory this process has occupied; 0 where the system does not tell.
fn peak_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

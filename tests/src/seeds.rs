//! Many seeds or one, on some threads: what the simulators' binaries take and do alike.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use clap::Args;

/// How often a long run says on standard error how far it is, in seconds.
const PROGRESS: u64 = 30;

/// Which seeds to run, and on how many threads; `COUNT` of them unless it is said.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Seeds<const COUNT: u64> {
    /// How many seeds
    #[arg(long, default_value_t = COUNT)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// This one alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many at a time
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Print everything that happens
    #[arg(long)]
    pub trace: bool,
}

/// A run panicked instead of giving a verdict; what it said stands on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread of the simulation itself panicked: {missing} of {seeds} seeds have no verdict")]
pub struct Panicked {
    /// Seeds without a verdict.
    pub missing: u64,
    /// Seeds asked for.
    pub seeds: u64,
}

impl<const COUNT: u64> Seeds<COUNT> {
    /// The first of these, no more than so many.
    #[must_use]
    pub fn at_most(&self, seeds: u64) -> Self {
        Self {
            seeds: self.seeds.min(seeds),
            ..self.clone()
        }
    }

    /// Runs each seed once; the verdicts, in the order in which threads came to them.
    ///
    /// # Errors
    /// [`Panicked`]: what has no verdict must not pass for clean.
    pub fn run<T: Send>(&self, one: impl Fn(u64) -> T + Sync) -> Result<Vec<T>, Panicked> {
        let (first, seeds) = match self.seed {
            Some(seed) => (seed, 1),
            None => (self.from, self.seeds),
        };
        let (next, end) = (AtomicU64::new(first), first.saturating_add(seeds));
        let progress = Progress::of(seeds);
        let work = || {
            let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let one = |seed| {
                let verdict = one(seed);
                progress.ended();
                verdict
            };
            taken.take_while(|seed| *seed < end).map(one).collect()
        };
        let verdicts: Vec<T> = std::thread::scope(|scope| {
            let start = |_| scope.spawn(work);
            let threads: Vec<_> = (0..self.threads.max(1)).map(start).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .flat_map(|it: Result<Vec<T>, _>| it.unwrap_or_default())
                .collect()
        });
        match seeds - verdicts.len() as u64 {
            0 => Ok(verdicts),
            missing => Err(Panicked { missing, seeds }),
        }
    }
}

/// How far a run is.
struct Progress {
    started: Instant,
    seeds: u64,
    ended: AtomicU64,
    /// Seconds after the start of the next report.
    next_report: AtomicU64,
}

impl Progress {
    fn of(seeds: u64) -> Self {
        Self {
            started: Instant::now(),
            seeds,
            ended: AtomicU64::new(0),
            next_report: AtomicU64::new(PROGRESS),
        }
    }

    /// One more seed has its verdict.
    fn ended(&self) {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let seconds = self.started.elapsed().as_secs();
        let due = self.next_report.load(Ordering::Relaxed);
        let later = seconds + PROGRESS;
        // Of several threads one reports.
        let mine = || {
            self.next_report
                .compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed)
        };
        if seconds >= due && mine().is_ok() {
            eprintln!("{ended} of {} seeds after {seconds} s", self.seeds);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        seeds: Seeds<20>,
    }

    fn ran(line: &str) -> Vec<u64> {
        let words = std::iter::once("program").chain(line.split_whitespace());
        let program = Program::try_parse_from(words).expect("it is well-formed");
        let mut seeds = program.seeds.run(|seed| seed).expect("nothing panics");
        seeds.sort_unstable();
        seeds
    }

    #[test]
    fn every_seed_is_run_once_whatever_the_threads() {
        assert_eq!(ran(""), (1..=20).collect::<Vec<_>>());
        assert_eq!(ran("--from 7 --seeds 100 --threads 3").len(), 100);
        assert_eq!(ran("--from 7 --seeds 3 --threads 9"), [7, 8, 9]);
        assert_eq!(ran("--seed 17 --threads 2"), [17]);
        assert!(ran("--seeds 0").is_empty());
        let both = Program::try_parse_from(["program", "--seed", "1", "--seeds", "2"]);
        assert!(both.is_err());
    }

    #[test]
    fn a_seed_that_panics_is_missed() {
        let program = Program::parse_from(["program", "--seeds", "3"]);
        let ran = program.seeds.run(|seed| assert_ne!(seed, 2));
        let (missing, seeds) = (3, 3);
        assert_eq!(ran, Err(Panicked { missing, seeds }));
    }
}

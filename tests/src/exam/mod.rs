//! The exam of the tests: mistakes are made on purpose, one by one, and each must be noticed, by a
//! check that is meant to notice it, within a bounded number of seeds.
//!
//! ```text
//! cargo run --profile quick -p henge-tests --bin exam
//! ```
//! A question is passed when a seed is found whose run breaks one of the promises that the mistake
//! breaks, *and* the same seed without the mistake is clean: then it is the mistake that was noticed.
//! What cannot be asked here, and why, is [`NOT_ASKED`].

mod table;

use std::sync::atomic::{AtomicU64, Ordering};

pub use table::{NOT_ASKED, QUESTIONS};

use crate::{
    checker::Rule,
    sim::{Plan, Planted, Verdict, run},
};

/// Something that may notice a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A promise to clients, judged from the history.
    Promise(Rule),
    /// An invariant that the simulator watches all the time, or at the end of each run: how it says
    /// that it is broken.
    Always(&'static str),
}

/// One mistake, and what is expected of the tests.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Its short name, for the command line.
    pub name: &'static str,
    /// Where the list is that it comes from: `6.4-n` is number n of the planted bugs of the
    /// simulator's specification, `2.3` are mutants of the transition protocol, `4.4` policies for
    /// tombstones.
    pub listed: &'static str,
    /// The mistake.
    pub planted: Planted,
    /// What it breaks.
    pub breaks: &'static str,
    /// Any of these is expected to notice.
    pub expected: &'static [Check],
    /// The run that a seed makes.
    pub plan: fn(u64) -> Plan,
}

/// How a mistake was noticed.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The first seed that showed it.
    pub seed: u64,
    /// How many seeds that took.
    pub seeds: u64,
    /// By what, in the check's own words.
    pub by: String,
}

impl Question {
    /// The run of a seed, with the mistake.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan {
            planted: Some(self.planted),
            ..(self.plan)(seed)
        }
    }

    /// Runs one seed. Says what noticed the mistake, if anything did that should.
    pub fn ask(&self, seed: u64) -> Option<String> {
        let found = self.noticed(&run(&self.plan(seed), false))?;
        run(&(self.plan)(seed), false).is_clean().then_some(found)
    }

    fn noticed(&self, verdict: &Verdict) -> Option<String> {
        self.expected.iter().find_map(|check| match check {
            Check::Promise(rule) => {
                let mut violations = verdict.report.violations.iter();
                violations
                    .find(|it| it.rule == *rule)
                    .map(ToString::to_string)
            }
            Check::Always(words) => verdict.broken.iter().find(|it| it.contains(words)).cloned(),
        })
    }

    /// Runs seeds until the mistake is noticed, at most so many. With several threads the answer is
    /// the same: the lowest seed that shows it.
    pub fn search(&self, from: u64, seeds: u64, threads: usize) -> Option<Caught> {
        let (next, lowest) = (AtomicU64::new(from), AtomicU64::new(from + seeds));
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= lowest.load(Ordering::Relaxed) {
                    return None;
                }
                if let Some(by) = self.ask(seed) {
                    lowest.fetch_min(seed, Ordering::Relaxed);
                    return Some((seed, by));
                }
            }
        };
        let found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let found = threads
                .into_iter()
                .filter_map(|it| it.join().ok().flatten());
            found.min()
        });
        found.map(|(seed, by)| Caught {
            seed,
            seeds: seed - from + 1,
            by,
        })
    }
}

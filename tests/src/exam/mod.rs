//! The exam of the tests: mistakes are made on purpose, one by one, and each must be noticed, by a
//! check that is meant to notice it, within a bounded number of seeds.
//!
//! ```text
//! cargo run --profile quick -p henge-tests --bin exam
//! ```
//! A question is passed when a seed is found whose run breaks one of the promises that the mistake
//! breaks, *and* the same seed without the mistake is clean: then it is the mistake that was noticed.
//! All of the two lists that the questions come from is asked.

mod table;

use std::sync::atomic::{AtomicU64, Ordering};

pub use table::QUESTIONS;

use crate::{
    checker::{Rule, Violation},
    gossip,
    history::Quorum,
    logout::{self, Policy, Told},
    sim::{Plan, Planted, run},
};

/// The quorums under which no session may come back after its logout.
const STRICT: Quorum = Quorum {
    n: 3,
    r: 2,
    w: 2,
    strict: true,
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
    /// The mistake, and the runs that it is made in.
    pub made: Made,
    /// What it breaks.
    pub breaks: &'static str,
    /// Any of these is expected to notice.
    pub expected: &'static [Check],
}

/// A mistake, and where it is made: by whom a seed is played.
#[derive(Clone, Copy, Debug)]
pub enum Made {
    /// In the [simulated cluster](crate::sim), in the run that the seed makes.
    InCluster(Planted, fn(u64) -> Plan),
    /// Around the [logout] of one session, under strict R=W=2.
    AtLogout(Policy),
    /// In the [gossip] of a few members.
    InGossip(gossip::Planted),
}

/// What was seen in a run.
#[derive(Debug)]
struct Seen {
    violations: Vec<Violation>,
    broken: Vec<String>,
    /// Whether that is nothing, and the run was one that proves something.
    is_clean: bool,
}

impl Made {
    /// Plays a seed, with the mistake or without it.
    fn play(self, seed: u64, with: bool) -> Seen {
        match self {
            Self::InCluster(planted, plan) => {
                let planted = with.then_some(planted);
                let plan = Plan {
                    planted,
                    ..plan(seed)
                };
                let verdict = run(&plan, false);
                Seen {
                    is_clean: verdict.is_clean(),
                    violations: verdict.report.violations,
                    broken: verdict.broken,
                }
            }
            Self::AtLogout(policy) => {
                let policy = if with { policy } else { Policy::Kept };
                let told = logout::play(seed, policy, STRICT);
                let back = match told {
                    Told::Back(it) => Some(format!(
                        "n{} showed a session that came back after its logout, {} ms later",
                        it.node + 1,
                        it.after / 1000
                    )),
                    Told::Untried | Told::Away => None,
                };
                Seen {
                    is_clean: told == Told::Away,
                    violations: Vec::new(),
                    broken: back.into_iter().collect(),
                }
            }
            Self::InGossip(planted) => {
                let verdict = gossip::play(seed, with.then_some(planted));
                Seen {
                    is_clean: verdict.is_clean(),
                    violations: Vec::new(),
                    broken: verdict.broken,
                }
            }
        }
    }
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
    /// Runs one seed. Says what noticed the mistake, if anything did that should.
    pub fn ask(&self, seed: u64) -> Option<String> {
        let found = self.noticed(&self.made.play(seed, true))?;
        self.made.play(seed, false).is_clean.then_some(found)
    }

    fn noticed(&self, seen: &Seen) -> Option<String> {
        self.expected.iter().find_map(|check| match check {
            Check::Promise(rule) => {
                let mut violations = seen.violations.iter();
                violations
                    .find(|it| it.rule == *rule)
                    .map(ToString::to_string)
            }
            Check::Always(words) => seen.broken.iter().find(|it| it.contains(words)).cloned(),
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

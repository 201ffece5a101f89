//! The command line, and the checked choice made from it.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use super::{fault::Fault, herd::MOST};

/// Real nodes in network namespaces, under load and faults; needs root.
///
/// Every fault is tried alone, then some pairs at once. Exits with 0 if every promise was kept, with 1 if
/// one was broken, with 2 if nothing could be tried, and with 3 if a fault could not be made on this
/// machine (see --allow-missing).
#[derive(Clone, Debug, Parser)]
#[command(name = "l3", max_term_width = 100)]
pub struct Options {
    /// Says what faults there are, and tries none.
    #[arg(long)]
    pub list: bool,

    /// Only these faults.
    #[arg(long, value_delimiter = ',', value_name = "FAULT,...")]
    pub only: Vec<Fault>,

    /// How long each fault lasts [default: 8, with --long 60].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub seconds_per_fault: Option<u64>,

    /// Trials of two faults at once [default: 3, with --long 20].
    #[arg(long, value_name = "TRIALS")]
    pub mixed: Option<u32>,

    /// The long form, for before a release: three quarters of an hour.
    #[arg(long)]
    pub long: bool,

    /// Instead of single faults: one of the promises that take more than a fault to see.
    #[arg(long, value_enum, conflicts_with_all = ["only", "mixed", "list"])]
    pub scenario: Option<Scenario>,

    /// Who is struck, and which faults are mixed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Requests per second.
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,

    /// Users that are logged in at any time, or keys that expire [default: 3000; growth: 20000;
    /// away: 100000; expiry: 1000000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(64..=10_000_000))]
    pub users: Option<u32>,

    /// Nodes of the scenario scale.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(3..=i64::from(MOST)))]
    pub nodes: u8,

    /// The program [default: `henge` beside this one].
    #[arg(long, value_name = "PATH")]
    pub henge: Option<PathBuf>,

    /// Where the nodes' logs go. Without it they are kept only if something is wrong.
    #[arg(long, value_name = "DIRECTORY")]
    pub logs: Option<PathBuf>,

    /// Faults that cannot be made on this machine are no failure.
    #[arg(long)]
    pub allow_missing: bool,

    /// Used by the program itself, in a machine's namespace: delays packets.
    #[arg(
        long,
        hide = true,
        value_name = "MS,JITTER,SEED",
        value_delimiter = ',',
        num_args = 1
    )]
    pub hold_packets: Vec<u64>,
}

/// Promises that take more than a fault to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Five nodes become seven, lose one, have one replaced, one stopped, one link cut.
    Growth,
    /// A node is cut off for a minute and catches up.
    Away,
    /// A million keys expire.
    Expiry,
    /// Fifty nodes on loopback: founding, idle traffic, one killed. Needs no root.
    Scale,
    /// One replica of three is slow: predicted staleness beside probed, and what hedging does for reads.
    Tails,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// These faults, each alone.
    pub faults: Vec<Fault>,
    /// Trials of two of them.
    pub mixed: u32,
    /// How long a fault lasts.
    pub hold: Duration,
    /// How long the load runs before it, and after it is mended.
    pub around: Duration,
    /// Users of the load, or keys.
    pub users: u32,
    /// The program.
    pub henge: PathBuf,
}

impl Options {
    /// Checks what clap cannot, and fills in what is not given.
    ///
    /// # Errors
    /// In words.
    pub fn checked(&self) -> Result<Checked, String> {
        let henge = match &self.henge {
            Some(path) => path.clone(),
            None => beside_this_program()?,
        };
        if !henge.is_file() {
            let path = henge.display();
            return Err(format!(
                "{path} is no program: build it (cargo build --profile quick --bin henge) or name it \
                 with --henge"
            ));
        }
        let (seconds, mixed, around) = if self.long { (60, 20, 10) } else { (8, 3, 4) };
        let mut faults = self.only.clone();
        faults.sort_unstable();
        faults.dedup();
        if faults.is_empty() {
            faults = Fault::ALL.to_vec();
        }
        Ok(Checked {
            // One fault by itself asks for no mixture.
            mixed: self
                .mixed
                .unwrap_or(if self.only.is_empty() { mixed } else { 0 }),
            hold: Duration::from_secs(self.seconds_per_fault.unwrap_or(seconds)),
            around: Duration::from_secs(around),
            users: self.users.unwrap_or(match self.scenario {
                None => 3_000,
                Some(Scenario::Growth) => 20_000,
                Some(Scenario::Away) => 100_000,
                Some(Scenario::Expiry) => 1_000_000,
                Some(Scenario::Scale | Scenario::Tails) => 1_000,
            }),
            faults,
            henge,
        })
    }
}

fn beside_this_program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name("henge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<Checked, String> {
        let own = std::env::current_exe().unwrap();
        let words = std::iter::once("l3").chain(line.split_whitespace());
        let mut options = Options::try_parse_from(words).map_err(|error| error.to_string())?;
        options.henge.get_or_insert(own);
        options.checked()
    }

    #[test]
    fn the_default_is_every_fault_for_a_few_seconds() {
        let all = check("").unwrap();
        assert_eq!(all.faults, Fault::ALL);
        assert_eq!((all.mixed, all.hold.as_secs()), (3, 8));
        let long = check("--long").unwrap();
        assert_eq!((long.mixed, long.hold.as_secs()), (20, 60));
        assert_eq!(all.users, 3_000);
        assert_eq!(check("--scenario expiry").unwrap().users, 1_000_000);
        assert_eq!(check("--scenario expiry --users 64").unwrap().users, 64);
    }

    #[test]
    fn a_few_faults_are_tried_alone_unless_it_is_said_otherwise() {
        let few = check("--only pause,kill,pause --seconds-per-fault 30").unwrap();
        assert_eq!(few.faults, [Fault::Kill, Fault::Pause]);
        assert_eq!((few.mixed, few.hold.as_secs()), (0, 30));
        assert_eq!(check("--only pause,kill --mixed 2").unwrap().mixed, 2);
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for (line, word) in [
            ("--only nonsense", "nonsense"),
            ("--scenario nonsense", "growth"),
            ("--scenario away --only kill", "--only"),
            ("--seconds-per-fault 0", "seconds-per-fault"),
            ("--henge /nowhere/henge", "cargo build"),
            ("--rate 0", "rate"),
        ] {
            let error = check(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}

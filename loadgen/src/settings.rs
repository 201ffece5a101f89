//! The command line, and the checked settings made from it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Parser, ValueEnum};

use crate::{plan::Weights, rng::Distribution, stamp, watched::Watch};

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Plain Redis commands over connections spread over the targets; any Redis will do.
    Resp,
    /// The Rust client: goes straight to a primary of each key.
    Native,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Users that log in, read, touch, change and log out.
    Session,
    /// Reads only.
    Get,
    /// Writes only.
    Set,
    /// Reads and writes, see --reads.
    Mixed,
    /// Sessions that are prolonged more often than written, see --touches.
    Touch,
}

/// Load for session stores that verifies what it wrote.
///
/// Drives Henge, or any Redis, and reads everything back: every value names its writer, its number
/// among the writes of its key, and a checksum. Exits with 0 when no acknowledged write was lost, no
/// destroyed session came back and no value was corrupt; with 1 when one was; with 2 when it could
/// not run.
///
/// Reads older than the newest acknowledged write are counted as stale. They are an error where none
/// may occur: with --strict and R + W > N, and against a single Redis.
#[derive(Clone, Debug, Parser)]
#[command(name = "loadgen", version, max_term_width = 100)]
pub(crate) struct Settings {
    /// Servers, host:port, separated by commas; connections are spread over them.
    #[arg(long, required = true, value_delimiter = ',', value_name = "HOST:PORT")]
    pub(crate) target: Vec<String>,

    /// Password of the servers.
    #[arg(long, env = "LOADGEN_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,

    #[command(flatten)]
    pub(crate) load: Load,

    #[command(flatten)]
    pub(crate) quorum: Quorum,

    /// Issue WAIT with this number of replicas (100 ms) after each write; fewer make it unknown.
    #[arg(long, value_name = "REPLICAS")]
    pub(crate) wait_n: Option<u32>,

    /// Run once for every R and W from 1 to N, and print one table.
    #[arg(long)]
    pub(crate) sweep: bool,

    /// N, where the server does not tell it (for --sweep and for what may be stale).
    #[arg(long)]
    pub(crate) n: Option<u32>,

    /// Pause before everything is read back, for hints and repairs to arrive.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) settle: Duration,

    /// Also report the CPU time of these processes, in µs per operation.
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pub(crate) pids: Vec<u32>,

    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the report as one HTML page with plots.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// No progress lines.
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Who watches the run from within the same process.
    #[arg(skip)]
    pub(crate) watch: Option<Arc<Watch>>,
}

/// What is asked, how fast and for how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// How requests travel.
    #[arg(long, value_enum, default_value = "resp")]
    pub(crate) protocol: Protocol,

    /// What is done.
    #[arg(long, value_enum, default_value = "session")]
    pub(crate) workload: Workload,

    /// Share of reads in the mixed workload.
    #[arg(long, default_value_t = 0.9)]
    pub(crate) reads: f64,

    /// Touches to one write in the touch workload.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) touches: u32,

    /// Weights of the session workload's steps.
    #[arg(long, default_value = "read=65,touch=20,change=10,logout=3,ghost=2")]
    pub(crate) weights: Weights,

    /// Number of keys, or of users of the session workload.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) keys: u32,

    /// Prefix of all keys.
    #[arg(long, default_value = "sess:")]
    pub(crate) key_prefix: String,

    /// Bytes of each value, at least 44.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(stamp::HEADER as i64..=16 << 20))]
    pub(crate) value_size: u32,

    /// Time to live of what is written; "0" for none. Default 30m in the session and touch workloads, else
    /// none.
    #[arg(long, value_parser = duration)]
    ttl: Option<Duration>,

    /// Which keys are asked for: uniform, zipf, zipf:EXPONENT, hot or hot:SHARE (that share of the requests
    /// goes to one hundredth of the keys).
    #[arg(long, default_value = "uniform")]
    pub(crate) distribution: Distribution,

    /// Write all keys, or log in all users, before the run.
    #[arg(long)]
    pub(crate) populate: bool,

    /// Connections, over all targets.
    #[arg(long, short, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) connections: u32,

    /// Requests under way per connection.
    #[arg(long, short = 'P', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) pipeline: u32,

    /// Threads of this program.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,

    /// Requests per second, sent when they are due however slow the answers are; latency then counts
    /// from the time a request was due. Without it each connection waits for its answers.
    #[arg(long)]
    pub(crate) rate: Option<f64>,

    /// Length of the measured run.
    #[arg(long, short, default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,

    /// Run this long before measuring.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub(crate) warmup: Duration,

    /// End after this many requests, if the duration does not end first.
    #[arg(long)]
    pub(crate) requests: Option<u64>,
}

/// Quorum of all requests; what is not given is the server's default.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Quorum {
    /// Replicas a read waits for.
    #[arg(long)]
    pub(crate) r: Option<u32>,

    /// Replicas a write waits for.
    #[arg(long)]
    pub(crate) w: Option<u32>,

    /// Primaries only.
    #[arg(long = "strict", conflicts_with = "sloppy")]
    strict_flag: bool,

    /// Fallbacks may stand in.
    #[arg(long)]
    sloppy: bool,

    /// `Some(true)` strict, `Some(false)` sloppy.
    #[arg(skip)]
    pub(crate) strict: Option<bool>,

    /// Deadline of each request; at this program 1 s is added to it (5 s where it is not given).
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

impl Settings {
    /// Checks what clap cannot.
    pub(crate) fn checked(mut self) -> Result<Self, String> {
        let load = &mut self.load;
        if !(0.0..=1.0).contains(&load.reads) {
            return Err(format!("--reads {} is not within 0 to 1", load.reads));
        }
        if load.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e8)) {
            return Err("--rate must be above 0".to_owned());
        }
        let touches = match load.workload {
            Workload::Session => Some(load.weights.touch > 0),
            Workload::Touch => Some(true),
            Workload::Get | Workload::Set | Workload::Mixed => None,
        };
        if let Some(touches) = touches {
            let ttl = load.ttl.get_or_insert(Duration::from_secs(1800));
            if ttl.is_zero() && touches {
                return Err("a workload with touches needs a --ttl".to_owned());
            }
        }
        if load.protocol == Protocol::Native && self.wait_n.is_some() {
            return Err("--wait-n is of the resp protocol".to_owned());
        }
        load.connections = load.connections.max(load.threads);
        let quorum = &mut self.quorum;
        quorum.strict = (quorum.strict_flag || quorum.sloppy).then_some(quorum.strict_flag);
        Ok(self)
    }

    /// How long this program waits for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.quorum
            .timeout
            .map_or(Duration::from_secs(5), |timeout| {
                timeout + Duration::from_secs(1)
            })
    }
}

impl Load {
    /// Time to live in milliseconds.
    pub(crate) fn ttl_ms(&self) -> Option<u32> {
        self.ttl
            .filter(|ttl| !ttl.is_zero())
            .map(|ttl| u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX))
    }
}

/// A duration such as `500ms`, `10s`, `30m`, `1h`; seconds without a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is not ms, s, m or h")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, String> {
        let words = std::iter::once("loadgen").chain(line.split_whitespace());
        Settings::try_parse_from(words)
            .map_err(|error| error.to_string())?
            .checked()
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        for bad in ["", "x", "5 parsecs", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn defaults_depend_on_the_workload() {
        assert_eq!(
            parse("--target a:1").unwrap().load.ttl_ms(),
            Some(1_800_000)
        );
        assert_eq!(
            parse("--target a:1 --workload touch")
                .unwrap()
                .load
                .ttl_ms(),
            Some(1_800_000)
        );
        assert_eq!(
            parse("--target a:1 --workload set").unwrap().load.ttl_ms(),
            None
        );
        assert_eq!(parse("--target a:1,b:2").unwrap().target, ["a:1", "b:2"]);
        assert_eq!(
            parse("--target a:1 --sloppy").unwrap().quorum.strict,
            Some(false)
        );
        assert_eq!(parse("--target a:1").unwrap().quorum.strict, None);
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for (line, word) in [
            ("--target a:1 --reads 2", "--reads"),
            ("--target a:1 --rate 0", "--rate"),
            ("--target a:1 --ttl 0", "--ttl"),
            ("--target a:1 --workload touch --ttl 0", "--ttl"),
            ("--target a:1 --workload touch --touches 0", "--touches"),
            ("--target a:1 --value-size 10", "value-size"),
            ("--target a:1 --strict --sloppy", "--sloppy"),
            ("--target a:1 --weights ghost=1", "ghost"),
            ("--target a:1 --distribution x", "uniform"),
            ("--workload get", "--target"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}

//! One replica of three stands still now and then. What the slowest reads take when a read may ask one
//! replica more, and when it may not.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use henge_loadgen::Outcome;

use super::{
    cluster::Cluster,
    criteria::{Criteria, Stage},
    tails::{NODES, Registers},
};

/// The node that stands still (`SIGSTOP`), for how long, and how often. Half of the reads at the others ask
/// it until one of their pings meets a pause, which one in ten does; then they spare it for a while. So
/// about one read in a hundred meets a pause: less than the budget, more than the thousandth that is judged.
const HALTING: u8 = 3;
const STILL: Duration = Duration::from_millis(60);
const EVERY: Duration = Duration::from_millis(700);

/// Rounds with hedging and as many without, in turn, so that what else the machine does strikes both. Of
/// the rounds of a kind the middle one counts: where the whole machine stands still once no hedge helps.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(15);

/// How long nodes find out before how long reads take: until then hedges wait for 50 ms.
const BEFORE: Duration = Duration::from_secs(8);

/// What clients ask for, at the two nodes that do not stand still.
const RATE: u32 = 400;
const KEYS: u32 = 5_000;
const READS: f64 = 0.95;

/// Of a hundred reads, those that may hedge, and how many more at once after a quiet time.
const PERCENT: u8 = 5;
const BURST: f64 = 20.0;

/// What the rounds of one kind have seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Of each round, below which 50, 99 and 99.9 of a hundred reads lie that were answered.
    slowest: Vec<[Duration; 3]>,
    /// Reads that were answered.
    reads: u64,
    /// Reads that asked one replica more.
    hedged: u64,
}

/// The quantiles of [`Seen::slowest`].
const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

impl Seen {
    /// A quantile, by its place in [`SHARES`], in the middle round; in milliseconds, NaN without any.
    fn middle(&self, at: usize) -> f64 {
        let mut rounds: Vec<_> = self.slowest.iter().map(|it| it[at]).collect();
        rounds.sort_unstable();
        let middle = rounds.get(rounds.len() / 2);
        middle.map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)
    }
}

/// Plays it.
pub(super) fn hedging(stage: &Stage<'_>, criteria: &mut Criteria) -> anyhow::Result<()> {
    let mut seen = BTreeMap::from([(0, Seen::default()), (PERCENT, Seen::default())]);
    for number in 0..ROUNDS {
        // Neither is always the first.
        let mut order = [0, PERCENT];
        order.rotate_left(number % 2);
        for percent in order {
            let seen = seen.entry(percent).or_default();
            let before = (seen.reads, seen.hedged);
            round(stage, percent, seen)?;
            println!(
                "hedging {percent} %: {} of {} reads hedged, p99.9 {:.1} ms",
                seen.hedged - before.1,
                seen.reads - before.0,
                seen.slowest
                    .last()
                    .map_or(f64::NAN, |it| it[2].as_secs_f64() * 1e3)
            );
        }
    }
    let [without, with] = [0, PERCENT].map(|it| seen.remove(&it).unwrap_or_default());
    judge(&without, &with, criteria);
    Ok(())
}

/// One round in a cluster of its own.
fn round(stage: &Stage<'_>, percent: u8, seen: &mut Seen) -> anyhow::Result<()> {
    let percent = percent.to_string();
    let flags = ["--hedge-percent", &percent, "--probe-share", "0"];
    let mut cluster = Cluster::found(stage.lab, stage.setup(&flags), NODES)?;
    let registers = Registers {
        keys: KEYS,
        reads: READS,
        quorum: (2, 2),
        rate: RATE,
    };
    let clients: Vec<u8> = (1..=NODES).filter(|it| *it != HALTING).collect();
    let mut hedged = 0;
    let found = registers.load(&mut cluster, &clients, |cluster| {
        let before = hedged_reads(cluster);
        halt_now_and_then(cluster)?;
        hedged = hedged_reads(cluster) - before;
        Ok(())
    })?;
    seen.hedged += hedged;
    let good = |it: &&henge_loadgen::Sample| !it.is_write && it.outcome == Outcome::Good;
    let reads = found.samples.iter().filter(good);
    let mut took: Vec<_> = reads.map(|it| it.took).collect();
    took.sort_unstable();
    seen.reads += took.len() as u64;
    seen.slowest.push(SHARES.map(|it| quantile(&took, it.1)));
    Ok(())
}

fn halt_now_and_then(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    std::thread::sleep(BEFORE);
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        cluster.pause(HALTING, true)?;
        std::thread::sleep(STILL);
        cluster.pause(HALTING, false)?;
        std::thread::sleep(EVERY - STILL);
    }
    Ok(())
}

fn hedged_reads(cluster: &Cluster<'_>) -> u64 {
    cluster.metric("henge_hedged_reads_total").values().sum()
}

fn judge(without: &Seen, with: &Seen, criteria: &mut Criteria) {
    for (at, (name, _)) in SHARES.iter().enumerate() {
        let (off, on) = (without.middle(at), with.middle(at));
        criteria.note(format!(
            "{name} of reads: {off:.2} ms without hedging, {on:.2} ms with it"
        ));
    }
    let (off, on) = (without.middle(2), with.middle(2));
    criteria.at_most(
        "p99.9 of reads with hedging, as multiple of without",
        on / off,
        1.0,
        &format!(
            "{off:.1} ms to {on:.1} ms, {} and {} reads with R=2",
            without.reads, with.reads
        ),
    );
    // Each hedge is one question more, and one answer.
    let budget = with.reads as f64 * f64::from(PERCENT) / 100.0;
    let starts = with.slowest.len() as f64 * f64::from(NODES) * BURST;
    criteria.at_most(
        &format!(
            "reads that asked one replica more, of {PERCENT} % and {BURST} of a node at its start"
        ),
        with.hedged as f64,
        budget + starts,
        &format!(
            "{:.2} % of the reads",
            with.hedged as f64 * 100.0 / with.reads.max(1) as f64
        ),
    );
    criteria.at_most("hedges with a budget of 0", without.hedged as f64, 0.0, "");
}

/// The smallest that so large a share does not exceed, of values in order.
fn quantile(took: &[Duration], share: f64) -> Duration {
    let rank = (took.len() as f64 * share).ceil() as usize;
    took.get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rounds whose slowest reads took so long.
    fn seen(slowest_ms: [u64; 3], hedged: u64) -> Seen {
        Seen {
            slowest: slowest_ms
                .map(|ms| [1, 2, ms].map(Duration::from_millis))
                .to_vec(),
            reads: 1_000,
            hedged,
        }
    }

    fn kept(without: &Seen, with: &Seen) -> bool {
        let mut criteria = Criteria::default();
        judge(without, with, &mut criteria);
        criteria.are_kept()
    }

    #[test]
    fn hedging_has_to_help_and_to_stay_within_its_budget() {
        let (most, without) = (50 + 20 * 9, seen([50; 3], 0));
        assert!(kept(&without, &seen([10; 3], most)));
        assert!(!kept(&without, &seen([51; 3], 1)));
        assert!(!kept(&without, &seen([10; 3], most + 1)));
        assert!(
            !kept(&seen([50; 3], 1), &seen([10; 3], 1)),
            "it was not off"
        );
        assert!(
            !kept(&Seen::default(), &Seen::default()),
            "nothing was read"
        );
    }

    #[test]
    fn one_round_in_which_the_machine_stood_still_does_not_count() {
        assert!(kept(&seen([50; 3], 0), &seen([10, 1_400, 9], 1)));
        assert!(!kept(&seen([50; 3], 0), &seen([10, 1_400, 51], 1)));
    }

    #[test]
    fn a_quantile_is_a_value_that_occurs() {
        let took: Vec<_> = (1..=1_000).map(Duration::from_millis).collect();
        assert_eq!(quantile(&took, 0.999), Duration::from_millis(999));
        assert_eq!(quantile(&took, 1.0), Duration::from_millis(1_000));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}

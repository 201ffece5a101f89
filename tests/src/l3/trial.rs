//! One trial: a cluster, a load, a fault or two, and what came of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use henge_loadgen::{Load, Summary};

use super::{
    MEMBERS,
    cluster::{Cluster, Setup},
    fault::Fault,
    lab::Lab,
    phases::{Figures, GRACE, Timeline, diary},
    plan::Plan,
    pulse::Pulse,
    replicas::compare,
    strike::{Strike, clock_variables, set_clock_right},
};

/// Longest time from mending until every replica of every key is equal.
const CONVERGING: Duration = Duration::from_secs(60);

/// Longest time for a change of the ring under load.
const CHANGING: Duration = Duration::from_secs(120);

/// Share of requests that have to go well outside the grace.
pub(super) const AVAILABILITY: f64 = 0.999;

/// Acknowledged writes below which a trial proves nothing.
const LEAST_ACKED: u64 = 500;

/// Memory of a node that is to be filled.
const SMALL_MEMORY: &str = "96mb";

/// How often a fault is looked after.
const STEP: Duration = Duration::from_millis(20);

/// How a trial is made, the same for all of a run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The program.
    pub henge: PathBuf,
    /// Where the trials' folders of logs go.
    pub logs: PathBuf,
    /// How long a fault lasts.
    pub hold: Duration,
    /// How long the load runs before it, and after it is mended.
    pub around: Duration,
    /// Requests per second.
    pub rate: u32,
    /// Users of the load.
    pub users: u32,
    /// libfaketime, where there is one.
    pub fake_clock: Option<PathBuf>,
}

/// What a trial showed.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The faults and whom they struck.
    pub name: String,
    /// What the load saw.
    pub figures: Figures,
    /// What reading back found.
    pub found: Summary,
    /// From mending until all replicas were equal.
    pub converged: Option<Duration>,
    /// Promises that were broken, in words; none: it passed.
    pub wrong: Vec<String>,
    /// What the machine itself did meanwhile that makes times of no use.
    pub disturbed: Option<String>,
}

impl Trial {
    /// Makes one. Whatever goes wrong is part of the row.
    pub fn run(&self, lab: &Lab, plan: &Plan) -> Row {
        let mut row = Row {
            name: plan.name(),
            ..Row::default()
        };
        let pulse = Pulse::start();
        if let Err(error) = self.attempt(lab, plan, &mut row) {
            row.wrong.push(format!("{error:#}"));
        }
        row.disturbed = pulse.missed();
        row
    }

    fn attempt(&self, lab: &Lab, plan: &Plan, row: &mut Row) -> anyhow::Result<()> {
        let logs = self.logs.join(plan.slug());
        std::fs::create_dir_all(&logs)?;
        let clock = logs.join("clock");
        let mut cluster = self.found(lab, plan, &logs, &clock)?;
        let load = start_load(&cluster, self.rate, self.users, &[])?;
        let mut timeline = Timeline::new(Instant::now());
        std::thread::sleep(self.around);
        let mut strikes: Vec<_> = plan
            .blows
            .iter()
            .map(|blow| Strike::new(*blow, clock.clone()))
            .collect();
        self.strike(&mut cluster, &mut strikes, &mut timeline)?;
        if plan.blows.iter().any(|it| changes_ring(it.fault)) {
            cluster.wait_until_settled(CHANGING)?;
        }
        let healed = Instant::now();
        timeline.healed = Some(healed);
        std::thread::sleep(self.around);
        load.stop();
        row.converged = converge(&mut cluster, healed, &mut row.wrong)?;
        row.found = load.read_back().map_err(anyhow::Error::msg)?;
        row.figures = Figures::of(&row.found.samples, &timeline);
        let diary = diary(&row.found.samples, &timeline);
        std::fs::write(logs.join("diary.txt"), diary)?;
        row.found.samples = Vec::new();
        judge(plan, row);
        Ok(())
    }

    fn found<'lab>(
        &self,
        lab: &'lab Lab,
        plan: &Plan,
        logs: &Path,
        clock: &Path,
    ) -> anyhow::Result<Cluster<'lab>> {
        let struck_by = |fault| plan.blows.iter().find(move |it| it.fault == fault);
        let mut variables = BTreeMap::new();
        if let (Some(blow), Some(library)) = (struck_by(Fault::Clock), &self.fake_clock) {
            set_clock_right(clock)?;
            variables.insert(blow.victim, clock_variables(library, clock));
        }
        let mut flags = vec!["--log".to_owned(), "info".to_owned()];
        if struck_by(Fault::Full).is_some() {
            flags.extend(["--memory-limit", SMALL_MEMORY].map(str::to_owned));
        }
        let setup = Setup {
            henge: self.henge.clone(),
            logs: logs.to_owned(),
            flags,
        };
        Cluster::found_with(lab, setup, MEMBERS, variables)
    }

    /// Begins all faults, lets them last, and mends them.
    fn strike(
        &self,
        cluster: &mut Cluster<'_>,
        strikes: &mut [Strike],
        timeline: &mut Timeline,
    ) -> anyhow::Result<()> {
        for strike in &mut *strikes {
            timeline.strike(Instant::now(), !strike.blow().fault.is_planned());
            strike.begin(cluster)?;
        }
        let begun = Instant::now();
        while begun.elapsed() < self.hold {
            std::thread::sleep(STEP);
            for strike in &mut *strikes {
                if strike.go_on(cluster, begun.elapsed(), self.hold)? {
                    timeline.strike(Instant::now(), true);
                }
            }
        }
        strikes.iter_mut().try_for_each(|it| it.end(cluster))
    }
}

/// Whether a fault is over only when the ring has come to rest.
fn changes_ring(fault: Fault) -> bool {
    fault.loses_memory() || matches!(fault, Fault::Join | Fault::Leave)
}

/// Logs users in and begins to load a cluster; `more` are further arguments of `loadgen`.
pub(super) fn start_load(
    cluster: &Cluster<'_>,
    rate: u32,
    users: u32,
    more: &[String],
) -> anyhow::Result<Load> {
    let fixed = "--protocol native --workload session --populate --connections 64 --pipeline 48 --duration 2h \
                 --timeout 1s --value-size 200 --quiet \
                 --weights read=20,touch=25,change=45,logout=6,ghost=4";
    let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
    arguments.push(format!("--target={}", cluster.targets().join(",")));
    arguments.push(format!("--rate={rate}"));
    arguments.push(format!("--keys={users}"));
    arguments.extend_from_slice(more);
    let load = Load::start(&arguments).map_err(anyhow::Error::msg)?;
    load.wait_until_loading().map_err(anyhow::Error::msg)?;
    Ok(load)
}

/// Waits until the cluster is at rest and all owners of every key hold the same; how long after
/// `healed` that was.
pub(super) fn converge(
    cluster: &mut Cluster<'_>,
    healed: Instant,
    wrong: &mut Vec<String>,
) -> anyhow::Result<Option<Duration>> {
    if let Err(error) = cluster.wait_until_settled(CONVERGING) {
        wrong.push(format!("{error:#}"));
        return Ok(None);
    }
    loop {
        let asked = healed.elapsed();
        // Some partitions first: while those differ, nobody need look at all.
        let mut found = compare(cluster, 32)?;
        if found.differing == 0 {
            found = compare(cluster, 1)?;
            if found.differing == 0 {
                return Ok(Some(asked));
            }
        }
        if healed.elapsed() > CONVERGING {
            wrong.push(format!(
                "after {} s {} of {} keys differ: {}",
                CONVERGING.as_secs(),
                found.differing,
                found.keys,
                found.examples.join("; ")
            ));
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Compares what was seen with what is promised.
fn judge(plan: &Plan, row: &mut Row) {
    row.wrong.extend(broken(&row.found));
    let figures = &row.figures;
    if figures.acked < LEAST_ACKED {
        row.wrong.push(format!(
            "only {} writes acknowledged: proves nothing",
            figures.acked
        ));
    }
    let alone = plan.blows.len() == 1 && plan.blows[0].fault.spares_requests();
    if alone && figures.availability() < AVAILABILITY {
        row.wrong.push(format!(
            "{} of {} requests went wrong later than {} s after a blow",
            figures.held_bad,
            figures.held,
            GRACE.as_secs()
        ));
    }
}

/// Promises about data that were broken, in words.
pub(super) fn broken(found: &Summary) -> Vec<String> {
    let counts = [
        (found.lost, "acknowledged writes lost"),
        (found.seen_again, "destroyed sessions seen again"),
        (found.corrupt, "values corrupt"),
        (found.phantom, "writes said to have failed, and seen"),
        (found.stale, "reads of less than was acknowledged"),
        (found.unread, "keys that cannot be read"),
    ];
    let mut wrong: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !wrong.is_empty() {
        wrong.extend(found.examples.iter().take(5).cloned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(good: u64, held: u64, held_bad: u64) -> Row {
        let figures = Figures {
            good,
            acked: good,
            held,
            held_bad,
            ..Figures::default()
        };
        Row {
            figures,
            ..Row::default()
        }
    }

    fn judged(fault: Fault, mut row: Row) -> Vec<String> {
        let plan = Plan::alone(fault, &mut crate::sim::Rng::new(1));
        judge(&plan, &mut row);
        row.wrong
    }

    #[test]
    fn one_lost_write_is_one_too_many() {
        let mut lost = row(10_000, 10_000, 0);
        assert!(judged(Fault::Kill, lost.clone()).is_empty());
        lost.found.lost = 1;
        lost.found.examples = vec!["lost: sess:x".to_owned()];
        let wrong = judged(Fault::Kill, lost);
        assert_eq!(wrong, ["1 acknowledged writes lost", "lost: sess:x"]);
    }

    #[test]
    fn one_request_in_a_thousand_may_go_wrong() {
        assert!(judged(Fault::Pause, row(10_000, 10_000, 10)).is_empty());
        assert_eq!(judged(Fault::Pause, row(10_000, 10_000, 11)).len(), 1);
        assert!(judged(Fault::Full, row(10_000, 10_000, 5_000)).is_empty());
    }

    #[test]
    fn a_load_that_did_nothing_proves_nothing() {
        assert!(judged(Fault::Loss, row(10, 0, 0))[0].contains("proves nothing"));
    }
}

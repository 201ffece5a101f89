//! A million keys expire. Replicas drop them each by itself: nothing is compared, sent or repaired for it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::bail;
use henge_loadgen::Load;

use super::{
    MEMBERS,
    cluster::Cluster,
    criteria::{Criteria, Stage},
};

/// How often replicas are compared, so that several rounds fall into the time in which keys expire.
const ROUNDS: &str = "10s";

/// Longest time that records stay after their deadline: a minute and some (see ARCHITECTURE.md), and as
/// long as sweeping a million takes.
const KEPT: Duration = Duration::from_secs(300);

/// What must not grow: records that were fetched, sent or handed over because replicas differed.
const REPAIRS: [&str; 4] = [
    "henge_repair_repaired_total",
    "henge_repair_pushed_total",
    "henge_read_repairs_total",
    "henge_hints_delivered_total",
];

/// Plays it.
///
/// # Errors
/// If it cannot be played to its end.
pub fn expiry(stage: &Stage<'_>) -> anyhow::Result<Criteria> {
    let keys = stage.trial.users;
    let flags = ["--anti-entropy-interval", ROUNDS];
    let cluster = Cluster::found(stage.lab, stage.setup(&flags), MEMBERS)?;
    // As long as writing them may take, and two rounds more.
    let ttl = Duration::from_secs(40 + u64::from(keys) / 10_000);
    let arguments = format!(
        "--target={} --protocol resp --workload get --populate --keys {keys} --key-prefix cache: \
         --value-size 64 --ttl {}s --connections 32 --duration 1s --quiet",
        cluster.targets().join(","),
        ttl.as_secs()
    );
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let begun = Instant::now();
    let load = Load::start(&arguments).map_err(anyhow::Error::msg)?;
    load.wait_until_loading().map_err(anyhow::Error::msg)?;
    // Nothing is read back: most of it will be gone.
    drop(load);
    let written = begun.elapsed();
    println!("{keys} keys written in {:.1} s", written.as_secs_f64());
    if written > ttl {
        bail!(
            "writing took longer than keys live: {:.0} s",
            written.as_secs_f64()
        );
    }
    let before = repairs(&cluster);
    let (most, rounds) = (
        records(&cluster),
        sum(&cluster, "henge_repair_rounds_total"),
    );
    while begun.elapsed() < ttl + written + KEPT && records(&cluster) > 0 {
        std::thread::sleep(Duration::from_secs(1));
    }
    let rounds = sum(&cluster, "henge_repair_rounds_total") - rounds;
    let left = records(&cluster);
    let mut criteria = Criteria::default();
    for (name, after) in repairs(&cluster) {
        let more = after - before[name];
        criteria.at_most(
            name,
            more as f64,
            0.0,
            &format!("{rounds} rounds meanwhile"),
        );
    }
    criteria.at_least(
        "rounds of comparing while keys expired",
        rounds as f64,
        1.0,
        "",
    );
    let wanted = u64::from(keys) * 3;
    criteria.at_least("records before", most as f64, wanted as f64, "all replicas");
    criteria.at_most("records left", left as f64, 0.0, "");
    Ok(criteria)
}

fn repairs(cluster: &Cluster<'_>) -> BTreeMap<&'static str, u64> {
    REPAIRS.map(|name| (name, sum(cluster, name))).into()
}

fn records(cluster: &Cluster<'_>) -> u64 {
    sum(cluster, "henge_store_records")
}

fn sum(cluster: &Cluster<'_>, name: &str) -> u64 {
    cluster.metric(name).values().sum()
}

//! Fifty nodes on one machine: how soon they serve, what they say to each other when there is nothing to
//! do, how soon all know that one has died, and that clients hardly notice.
//!
//! Figures of a cluster that is so far from the two cores it shares say little about latency; traffic,
//! detection and what becomes of requests do not depend on that.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use henge_loadgen::Load;
use serde_json::Value;

use super::{
    cluster::Setup,
    criteria::Criteria,
    herd::Herd,
    phases::{Figures, Timeline},
    run::without_figures,
    trial::{AVAILABILITY, Trial, broken},
};
use crate::sim::Rng;

/// Longest time until all serve and reach each other.
const SETTLING: Duration = Duration::from_secs(180);

/// How long nodes are left alone before idle traffic is measured: joins are told of, links known.
const CALM: Duration = Duration::from_secs(15);

/// Idle traffic is measured for three windows: together as long as one round of comparing replicas takes,
/// so that each node's round is in it, once.
const WINDOW: Duration = Duration::from_secs(20);
const WINDOWS: usize = 3;

/// Bytes a second of a node at rest, in and out together. Every byte is counted at both ends.
const MOST_IDLE: f64 = 2_048.0;
const LINK_BYTES: [&str; 2] = ["henge_link_bytes_in_total", "henge_link_bytes_out_total"];

/// By when each node has to know that another has died.
const DETECTION: Duration = Duration::from_secs(30);

/// Requests a second, through two nodes, and how long before and after the death.
const RATE: u32 = 200;
const AROUND: Duration = Duration::from_secs(5);

/// How often all nodes are asked who is down.
const LOOK: Duration = Duration::from_millis(100);

/// Plays it with so many nodes; the seed says who dies and through whom clients go.
///
/// # Errors
/// If it cannot be played to its end.
pub fn scale(trial: &Trial, nodes: u8, seed: u64) -> anyhow::Result<Criteria> {
    let flags = "--log warn --data-threads 1 --replicas 3 --r 2 --w 2";
    let setup = Setup {
        henge: trial.henge.clone(),
        logs: trial.logs.clone(),
        flags: flags.split(' ').map(str::to_owned).collect(),
    };
    let mut criteria = Criteria::default();
    let mut herd = Herd::start(&setup, nodes)?;
    let (ready, settled) = herd.wait_until_settled(SETTLING)?;
    criteria.at_most(
        &format!("seconds until all {nodes} nodes serve and each reaches each"),
        settled.as_secs_f64(),
        SETTLING.as_secs_f64(),
        &format!("all served after {:.1} s", ready.as_secs_f64()),
    );
    let founding = herd.metrics(&LINK_BYTES)?;
    criteria.note(format!(
        "bytes in and out of a node until then: {:.0} on average",
        mean(founding.values().map(|bytes| *bytes as f64))
    ));
    std::thread::sleep(CALM);
    idle(&herd, &mut criteria)?;
    let resident = herd.resident_bytes();
    criteria.note(format!(
        "memory of a node: {:.1} MiB on average, {:.1} MiB at most",
        mean(resident.iter().map(|bytes| mebibytes(*bytes))),
        resident.iter().copied().map(mebibytes).fold(0.0, f64::max),
    ));
    death(&mut herd, trial.users, seed, &mut criteria)?;
    Ok(criteria)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn mean(figures: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = figures.len().max(1);
    figures.sum::<f64>() / count as f64
}

/// What nodes say to each other when nobody asks them anything.
fn idle(herd: &Herd, criteria: &mut Criteria) -> anyhow::Result<()> {
    let mut marks = vec![(Instant::now(), herd.metrics(&LINK_BYTES)?)];
    for number in 1..=WINDOWS {
        std::thread::sleep(WINDOW);
        marks.push((Instant::now(), herd.metrics(&LINK_BYTES)?));
        let rates = rates(&marks[number - 1], &marks[number]);
        println!(
            "at rest, window {number}: {} bytes/s of a node",
            spread(&rates)
        );
    }
    let all = rates(&marks[0], &marks[WINDOWS]);
    let worst = all.values().copied().fold(0.0, f64::max);
    let seconds = (marks[WINDOWS].0 - marks[0].0).as_secs();
    criteria.at_most(
        "bytes a second of a node at rest, in and out, the worst node",
        worst,
        MOST_IDLE,
        &format!("{} over {seconds} s", spread(&all)),
    );
    Ok(())
}

type Mark = (Instant, BTreeMap<u8, u64>);

/// What each node has moved a second, between two marks.
fn rates(from: &Mark, to: &Mark) -> BTreeMap<u8, f64> {
    let seconds = (to.0 - from.0).as_secs_f64();
    let moved = to.1.iter().filter_map(|(node, after)| {
        let before = from.1.get(node)?;
        Some((*node, after.saturating_sub(*before) as f64 / seconds))
    });
    moved.collect()
}

fn spread(rates: &BTreeMap<u8, f64>) -> String {
    let worst = rates.iter().max_by(|a, b| a.1.total_cmp(b.1));
    let worst = worst.map_or(String::new(), |(node, rate)| {
        format!("{rate:.0} (node {node})")
    });
    format!("mean {:.0}, worst {worst}", mean(rates.values().copied()))
}

/// One node dies while clients go through two others.
fn death(herd: &mut Herd, users: u32, seed: u64, criteria: &mut Criteria) -> anyhow::Result<()> {
    let [victim, one, other] = draw(&herd.running(), seed);
    println!("node {victim} is killed; clients go through nodes {one} and {other}");
    let load = start_load(&[herd.door(one), herd.door(other)], users)?;
    let mut timeline = Timeline::new(Instant::now());
    std::thread::sleep(AROUND);
    let address = herd.peer(victim);
    timeline.strike(Instant::now(), true);
    let killed = Instant::now();
    herd.kill(victim)?;
    let heard = wait_until_known(herd, &address, killed);
    std::thread::sleep(AROUND);
    load.stop();
    let found = load.read_back().map_err(anyhow::Error::msg)?;
    let survivors = herd.running().len();
    for (what, at) in [
        ("has no link to it", &heard.unlinked),
        ("holds it to be down", &heard.declared),
    ] {
        let last = at.values().max().filter(|_| at.len() == survivors);
        let first = at.values().min().map_or(f64::NAN, Duration::as_secs_f64);
        criteria.at_most(
            &format!("seconds after a kill until every other node {what}"),
            last.map_or(f64::INFINITY, Duration::as_secs_f64),
            DETECTION.as_secs_f64(),
            &format!(
                "{} of {survivors} nodes, the first after {first:.1} s",
                at.len()
            ),
        );
    }
    let figures = Figures::of(&found.samples, &timeline);
    criteria.none_of("0 acknowledged writes lost, 0 stale reads", &broken(&found));
    let (good, bad) = (figures.good, figures.bad);
    // No grace: the node that died was one of fifty, and its links were closed by its kernel.
    criteria.at_least(
        "share of requests through two nodes that went well, from before the kill on",
        good as f64 / (good + bad).max(1) as f64,
        AVAILABILITY,
        &format!("{bad} of {} did not, R=2 W=2", good + bad),
    );
    for (words, count) in without_figures(&found.errors) {
        criteria.note(format!("{count} × {words}"));
    }
    Ok(())
}

/// Three different nodes.
fn draw(nodes: &[u8], seed: u64) -> [u8; 3] {
    let (mut rng, mut left) = (Rng::new(seed), nodes.to_vec());
    [(); 3].map(|()| left.swap_remove(rng.below(left.len() as u64) as usize))
}

fn start_load(doors: &[String], users: u32) -> anyhow::Result<Load> {
    let arguments = format!(
        "--target={} --protocol resp --workload session --populate --keys {users} --value-size 200 \
         --connections 16 --rate {RATE} --duration 2h --timeout 1s --strict --quiet",
        doors.join(",")
    );
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let load = Load::start(&arguments).map_err(anyhow::Error::msg)?;
    load.wait_until_loading().map_err(anyhow::Error::msg)?;
    Ok(load)
}

/// By node, how long after the death it was first seen to know.
#[derive(Debug, Default)]
struct Heard {
    unlinked: BTreeMap<u8, Duration>,
    declared: BTreeMap<u8, Duration>,
}

fn wait_until_known(herd: &Herd, address: &str, killed: Instant) -> Heard {
    let (mut heard, survivors) = (Heard::default(), herd.running());
    while killed.elapsed() < DETECTION && heard.declared.len() < survivors.len() {
        for node in &survivors {
            let Ok(seen) = herd.members_as_seen_by(*node) else {
                continue;
            };
            let view = view(&seen, address);
            for (known, at) in [
                (view.is_unlinked, &mut heard.unlinked),
                (view.is_declared_down, &mut heard.declared),
            ] {
                if known {
                    at.entry(*node).or_insert_with(|| killed.elapsed());
                }
            }
        }
        std::thread::sleep(LOOK);
    }
    heard
}

/// What a node thinks of another.
#[derive(Debug, PartialEq, Eq)]
struct View {
    is_unlinked: bool,
    is_declared_down: bool,
}

/// What `/v1/members` says of the member at a peer address.
fn view(seen: &Value, address: &str) -> View {
    let members = seen["members"].as_array().map_or(&[][..], Vec::as_slice);
    let member = members.iter().find(|it| it["peer"] == address);
    View {
        is_unlinked: member.is_some_and(|it| it["up"] == false),
        is_declared_down: member.is_some_and(|it| it["declared_down"] == true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_is_drawn_is_drawn_once() {
        for seed in 0..200 {
            let [a, b, c] = draw(&[1, 2, 3, 4], seed);
            assert!(a != b && b != c && a != c);
        }
        assert_ne!(draw(&[1, 2, 3, 4], 1), draw(&[1, 2, 3, 4], 2));
    }

    #[test]
    fn rates_are_of_nodes_that_were_there_both_times() {
        let begun = Instant::now();
        let before = (begun, BTreeMap::from([(1, 1_000), (2, 5_000)]));
        let after = (
            begun + Duration::from_secs(4),
            BTreeMap::from([(1, 5_000), (3, 9)]),
        );
        assert_eq!(rates(&before, &after), BTreeMap::from([(1, 1_000.0)]));
        assert_eq!(
            spread(&rates(&before, &after)),
            "mean 1000, worst 1000 (node 1)"
        );
    }

    #[test]
    fn a_death_is_known_when_it_is_said_of_that_node() {
        let seen = json!({"members": [
            {"peer": "127.18.0.11:7381", "up": true, "declared_down": false},
            {"peer": "127.18.0.12:7381", "up": false, "declared_down": true},
        ]});
        let of = |address| view(&seen, address);
        assert_eq!(of("127.18.0.11:7381"), of("127.18.0.19:7381"));
        let known = View {
            is_unlinked: true,
            is_declared_down: true,
        };
        assert_eq!(of("127.18.0.12:7381"), known);
    }
}

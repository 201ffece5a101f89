//! Five nodes become seven, lose one, have one killed and replaced, one stopped for half a minute and
//! one link cut one way, while sessions are read and written.

use std::time::{Duration, Instant};

use henge_loadgen::Sample;

use super::{
    MEMBERS,
    cluster::Cluster,
    criteria::{Criteria, Stage},
    fault::{Blow, Fault},
    phases::{Figures, GRACE, Latency, Timeline, diary},
    replicas::held_by,
    run::without_figures,
    strike::Strike,
    trial::{AVAILABILITY, broken, converge, start_load},
};

/// How long the load is looked at before anything is done, and after everything.
const BEFORE: Duration = Duration::from_secs(20);
const AFTER: Duration = Duration::from_secs(5);

/// How long a node is stopped, and a link cut.
const STOPPED: Duration = Duration::from_secs(30);
const CUT: Duration = Duration::from_secs(15);

/// Longest time for one change of the ring.
const CHANGING: Duration = Duration::from_secs(180);

/// What a change may make of the latency before, and a join of the bytes that have to move.
const SLOWER: f64 = 3.0;
const MORE_BYTES: f64 = 1.05;

/// What is done, in order.
const STEPS: [Blow; 6] = [
    step(Fault::Join, MEMBERS + 1, 0),
    step(Fault::Join, MEMBERS + 2, 0),
    step(Fault::Leave, 2, 0),
    step(Fault::Replace, 3, 0),
    step(Fault::Pause, 4, 0),
    step(Fault::OneWay, 5, 1),
];

const fn step(fault: Fault, victim: u8, other: u8) -> Blow {
    Blow {
        fault,
        victim,
        other,
    }
}

/// Plays it.
///
/// # Errors
/// If it cannot be played to its end.
pub fn growth(stage: &Stage<'_>) -> anyhow::Result<Criteria> {
    let trial = stage.trial;
    let mut cluster = Cluster::found(stage.lab, stage.setup(&[]), MEMBERS)?;
    let load = start_load(&cluster, trial.rate, trial.users, &[])?;
    let mut timeline = Timeline::new(Instant::now());
    let mut criteria = Criteria::default();
    std::thread::sleep(BEFORE);
    let mut parts = Vec::new();
    for blow in STEPS {
        let begun = Instant::now();
        timeline.strike(begun, !blow.fault.is_planned());
        play(&mut cluster, blow)?;
        let ended = Instant::now();
        println!("{blow}: {:.1} s", (ended - begun).as_secs_f64());
        if blow.fault == Fault::Join {
            judge_bytes(&cluster, blow.victim, &mut criteria)?;
        }
        parts.push((blow, begun, ended));
    }
    let healed = Instant::now();
    timeline.healed = Some(healed);
    std::thread::sleep(AFTER);
    load.stop();
    let mut wrong = Vec::new();
    let converged = converge(&mut cluster, healed, &mut wrong)?;
    let found = load.read_back().map_err(anyhow::Error::msg)?;
    std::fs::write(
        trial.logs.join("diary.txt"),
        diary(&found.samples, &timeline),
    )?;
    let figures = Figures::of(&found.samples, &timeline);
    wrong.extend(broken(&found));
    criteria.none_of(
        "0 acknowledged writes lost, 0 destroyed sessions seen again",
        &wrong,
    );
    criteria.note(format!(
        "{} requests answered well, {} writes among them acknowledged, {} keys read back",
        figures.good, figures.acked, found.read_back
    ));
    judge_latency(&found.samples, &parts, &timeline, &mut criteria);
    criteria.at_least(
        &format!(
            "availability outside {} s after each fault",
            GRACE.as_secs()
        ),
        figures.availability(),
        AVAILABILITY,
        &format!(
            "{} of {} requests went wrong",
            figures.held_bad, figures.held
        ),
    );
    criteria.at_most(
        "seconds until all replicas are equal",
        converged.map_or(f64::INFINITY, |it| it.as_secs_f64()),
        60.0,
        "",
    );
    for (words, count) in without_figures(&found.errors) {
        criteria.note(format!("{count} × {words}"));
    }
    Ok(criteria)
}

/// Does one thing, and waits until it is over.
fn play(cluster: &mut Cluster<'_>, blow: Blow) -> anyhow::Result<()> {
    if blow.fault == Fault::Join {
        cluster.join(blow.victim)?;
        cluster.wait_until_settled(CHANGING)?;
        return Ok(());
    }
    let mut strike = Strike::new(blow, Default::default());
    strike.begin(cluster)?;
    match blow.fault {
        Fault::Pause => std::thread::sleep(STOPPED),
        Fault::OneWay => std::thread::sleep(CUT),
        _ => {}
    }
    strike.end(cluster)?;
    cluster.wait_until_settled(CHANGING)?;
    Ok(())
}

/// What was done, from when until when the cluster was settled again.
type Parts = [(Blow, Instant, Instant)];

/// Changes of the ring have no grace. A node that stops and a link that is cut have the one that
/// availability has too: until the failure is noticed, requests wait for it.
fn judge_latency(samples: &[Sample], parts: &Parts, timeline: &Timeline, criteria: &mut Criteria) {
    let is_fault = |blow: &Blow| matches!(blow.fault, Fault::Pause | Fault::OneWay);
    let within = |it: &Sample, part: &(Blow, Instant, Instant)| it.due >= part.1 && it.due < part.2;
    for part in parts {
        let seen = Latency::of(samples.iter().filter(|it| within(it, part)));
        println!("{}: p50 {:.1} ms, p99 {:.1} ms", part.0, seen.p50, seen.p99);
    }
    let before = Figures::of(samples, timeline).before.p99;
    for (name, faults) in [
        ("p99 while the ring changes", false),
        ("p99 while a node or a link is gone, after the grace", true),
    ] {
        let counts = |it: &&Sample| {
            let mut parts = parts.iter().filter(|part| is_fault(&part.0) == faults);
            parts.any(|part| within(it, part)) && !(faults && timeline.is_excused(it))
        };
        let during = Latency::of(samples.iter().filter(counts)).p99;
        criteria.at_most(
            &format!("{name}, as multiple of before"),
            during / before.max(1e-3),
            SLOWER,
            &format!("{before:.2} ms to {during:.2} ms"),
        );
    }
}

/// A newcomer holds what its partitions hold; it should not have fetched much more. The least is every
/// record once, key and record; what counts is all that crossed the wire for pages: what it has, in
/// outline, and what it got, with what frames them. News of sets, which go with them, are not pages.
fn judge_bytes(cluster: &Cluster<'_>, machine: u8, criteria: &mut Criteria) -> anyhow::Result<()> {
    let held = held_by(cluster, machine)?;
    let pulled = cluster.metric("henge_transfer_bytes_pulled_total");
    let pulled = pulled.get(&machine).copied().unwrap_or_default();
    criteria.at_most(
        &format!("bytes moved to node {machine}, as multiple of the least"),
        pulled as f64 / (held.bytes as f64).max(1.0),
        MORE_BYTES,
        &format!(
            "{pulled} bytes for {} records of {} bytes",
            held.keys, held.bytes
        ),
    );
    Ok(())
}

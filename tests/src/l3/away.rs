//! A node is cut off for a minute under load. What it is sent afterwards is compared with what it missed.

use std::time::{Duration, Instant};

use super::{
    MEMBERS,
    cluster::Cluster,
    criteria::{Criteria, Stage},
    fault::{Blow, Fault},
    phases::{Figures, Timeline, diary},
    replicas::missed_by,
    strike::Strike,
    trial::{AVAILABILITY, broken, converge, start_load},
};

/// How long it is away.
const AWAY: Duration = Duration::from_secs(60);

/// How long the load is looked at before.
const BEFORE: Duration = Duration::from_secs(5);

/// What is under way when the load stops is answered within this.
const CALM: Duration = Duration::from_secs(3);

/// What it may be sent, as multiple of what it missed, and the time it may take.
const MORE_BYTES: f64 = 3.0;
const SECONDS: f64 = 60.0;

/// Plays it.
///
/// # Errors
/// If it cannot be played to its end.
pub fn away(stage: &Stage<'_>) -> anyhow::Result<Criteria> {
    let trial = stage.trial;
    let mut cluster = Cluster::found(stage.lab, stage.setup(&[]), MEMBERS)?;
    let load = start_load(&cluster, trial.rate, trial.users, &[])?;
    let mut timeline = Timeline::new(Instant::now());
    std::thread::sleep(BEFORE);
    let blow = Blow {
        fault: Fault::Isolate,
        victim: 3,
        other: 1,
    };
    let mut strike = Strike::new(blow, Default::default());
    timeline.strike(Instant::now(), true);
    strike.begin(&mut cluster)?;
    std::thread::sleep(AWAY);
    // The load ends first: from here on, what the node receives is what it missed.
    load.stop();
    std::thread::sleep(CALM);
    let missed = missed_by(&cluster, blow.victim)?;
    let received = |cluster: &Cluster<'_>, name: &str| {
        cluster
            .metric(name)
            .get(&blow.victim)
            .copied()
            .unwrap_or_default()
    };
    let before = received(&cluster, LINK_BYTES);
    let healed = Instant::now();
    timeline.healed = Some(healed);
    strike.end(&mut cluster)?;
    let mut wrong = Vec::new();
    let converged = converge(&mut cluster, healed, &mut wrong)?;
    let sent = received(&cluster, LINK_BYTES).saturating_sub(before);
    let repair = received(&cluster, "henge_repair_bytes_in_total");
    let found = load.read_back().map_err(anyhow::Error::msg)?;
    std::fs::write(
        trial.logs.join("diary.txt"),
        diary(&found.samples, &timeline),
    )?;
    let figures = Figures::of(&found.samples, &timeline);
    wrong.extend(broken(&found));

    let mut criteria = Criteria::default();
    criteria.none_of(
        "0 acknowledged writes lost, 0 destroyed sessions seen again",
        &wrong,
    );
    criteria.at_most(
        "bytes sent to the node, as multiple of what it missed",
        sent as f64 / (missed.bytes as f64).max(1.0),
        MORE_BYTES,
        &format!(
            "{sent} bytes for {} records of {} bytes; anti-entropy had {repair} of them",
            missed.keys, missed.bytes
        ),
    );
    criteria.at_most(
        &format!(
            "seconds until all replicas of {} users' sessions are equal",
            trial.users
        ),
        converged.map_or(f64::INFINITY, |it| it.as_secs_f64()),
        SECONDS,
        "",
    );
    criteria.at_least(
        "availability while it was away",
        figures.availability(),
        AVAILABILITY,
        &format!(
            "{} of {} requests went wrong",
            figures.held_bad, figures.held
        ),
    );
    Ok(criteria)
}

/// All that a node receives from its peers.
const LINK_BYTES: &str = "henge_link_bytes_in_total";

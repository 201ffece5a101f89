//! Faults in the doing: how each begins, goes on and is mended.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    MEMBERS,
    cluster::Cluster,
    fault::{Blow, Fault},
    filler::Filler,
    hold::Holding,
    server::RESP,
};

/// How late packets are, and by how much that varies, in milliseconds.
const LATE: (u64, u64) = (50, 20);

/// How long a flapping link is cut, and how long it is whole.
const FLAP: Duration = Duration::from_secs(1);

/// Longest wait for a leaving node to have handed over everything.
const LEAVING: Duration = Duration::from_secs(60);

/// What a wrong clock shows, as libfaketime reads it.
const TRUE_TIME: &str = "+0";
const AN_HOUR_AHEAD: &str = "+3600";
const AN_HOUR_BEHIND: &str = "-3600";

/// One fault under way.
pub struct Strike {
    blow: Blow,
    /// What a kill, a flap or a clock has done so far.
    done: u32,
    late: Vec<Holding>,
    filler: Option<Filler>,
    /// What its clock shows.
    clock: PathBuf,
}

impl Strike {
    /// Nothing is done yet. `clock` is the file that the victim's clock follows.
    pub fn new(blow: Blow, clock: PathBuf) -> Self {
        Self {
            blow,
            done: 0,
            late: Vec::new(),
            filler: None,
            clock,
        }
    }

    /// What it is.
    pub fn blow(&self) -> Blow {
        self.blow
    }

    /// Strikes.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn begin(&mut self, cluster: &mut Cluster<'_>) -> anyhow::Result<()> {
        let (victim, other) = (self.blow.victim, self.blow.other);
        match self.blow.fault {
            Fault::Kill => cluster.kill(victim),
            Fault::Pause => cluster.pause(victim, true),
            Fault::Unplug => cluster.lab().plug(victim, false),
            Fault::Isolate => cut(cluster, |a, b| a == victim || b == victim),
            Fault::Split => cut(cluster, |a, b| {
                [victim, other].contains(&a) != [victim, other].contains(&b)
            }),
            Fault::Bridge => cut(cluster, |a, b| side(victim, a) * side(victim, b) < 0),
            Fault::Ring => cut(cluster, |a, b| ![1, MEMBERS - 1].contains(&a.abs_diff(b))),
            Fault::Flap => cut(cluster, |a, b| is_link(a, b, victim, other)),
            Fault::OneWay => cluster.set_filter(victim, |it| {
                it.deaf_to.insert(other);
            }),
            Fault::Deaf => {
                let others = all(cluster).into_iter().filter(|it| *it != victim);
                let others: Vec<u8> = others.collect();
                cluster.set_filter(victim, |it| it.deaf_to.extend(others))
            }
            Fault::Loss => everywhere(cluster, |it| it.loss = 5),
            Fault::Double => everywhere(cluster, |it| it.doubled = 5),
            Fault::Delay => {
                for machine in all(cluster) {
                    let holding = Holding::start(cluster.lab(), machine, LATE.0, LATE.1)?;
                    self.late.push(holding);
                }
                Ok(())
            }
            Fault::Clock => self.show(AN_HOUR_AHEAD),
            Fault::Join => cluster.join(MEMBERS + 1),
            Fault::Leave => cluster.leave(victim, LEAVING),
            Fault::Replace => {
                cluster.destroy(victim)?;
                cluster.join(victim)
            }
            Fault::Full => self.fill(cluster),
        }
    }

    /// Goes on with it, `since` the beginning of a fault that lasts `hold`; true if this was another
    /// blow.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn go_on(
        &mut self,
        cluster: &mut Cluster<'_>,
        since: Duration,
        hold: Duration,
    ) -> anyhow::Result<bool> {
        let (victim, other) = (self.blow.victim, self.blow.other);
        match self.blow.fault {
            Fault::Kill if self.done == 0 && since >= hold / 2 => {
                self.done = 1;
                cluster.join(victim)?;
            }
            Fault::Clock if self.done == 0 && since >= hold / 2 => {
                self.done = 1;
                self.show(AN_HOUR_BEHIND)?;
                return Ok(true);
            }
            Fault::Flap if since >= FLAP * (self.done + 1) => {
                self.done += 1;
                let cut_now = self.done.is_multiple_of(2);
                if cut_now {
                    cut(cluster, |a, b| is_link(a, b, victim, other))?;
                } else {
                    mend(cluster, victim, other)?;
                }
                return Ok(cut_now);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Mends it. For a change of the ring that is over by itself, waits for its end.
    ///
    /// # Errors
    /// If it cannot be done.
    pub fn end(&mut self, cluster: &mut Cluster<'_>) -> anyhow::Result<()> {
        let victim = self.blow.victim;
        match self.blow.fault {
            Fault::Kill if self.done == 0 => cluster.join(victim),
            Fault::Pause => cluster.pause(victim, false),
            Fault::Unplug => cluster.lab().plug(victim, true),
            Fault::Clock => self.show(TRUE_TIME),
            Fault::Leave => until_left(cluster, victim),
            Fault::Delay => {
                // What ran on a machine that was destroyed meanwhile has ended with it.
                let lost = |it: &Holding| cluster.was_destroyed(it.machine());
                let mut late = self.late.iter_mut().filter(|it| !lost(it));
                if !late.all(Holding::is_running) {
                    bail!("packets were not delayed: see what l3 --hold-packets said");
                }
                self.late.clear();
                Ok(())
            }
            Fault::Full => self.filler.take().map_or(Ok(()), |mut it| it.remove()),
            Fault::Kill | Fault::Join | Fault::Replace => Ok(()),
            _ => heal(cluster),
        }
    }

    fn show(&self, time: &str) -> anyhow::Result<()> {
        std::fs::write(&self.clock, time).with_context(|| self.clock.display().to_string())
    }

    fn fill(&mut self, cluster: &Cluster<'_>) -> anyhow::Result<()> {
        let door = |machine: u8| SocketAddr::new(cluster.lab().address(machine), RESP);
        let doors = cluster.running().into_iter().map(door).collect();
        let filler = self.filler.insert(Filler::new(doors));
        filler.fill()
    }
}

/// What the victim's process is started with, so that its clock can be made wrong.
pub(super) fn clock_variables(
    library: &std::path::Path,
    clock: &std::path::Path,
) -> Vec<(String, String)> {
    let text = |path: &std::path::Path| path.display().to_string();
    [
        ("LD_PRELOAD", text(library)),
        ("FAKETIME_TIMESTAMP_FILE", text(clock)),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What a clock shows before it is made wrong.
pub(super) fn set_clock_right(clock: &std::path::Path) -> anyhow::Result<()> {
    std::fs::write(clock, TRUE_TIME).with_context(|| clock.display().to_string())
}

/// Machines that could send each other anything.
fn all(cluster: &Cluster<'_>) -> Vec<u8> {
    cluster.running()
}

fn everywhere(
    cluster: &mut Cluster<'_>,
    change: impl Fn(&mut super::Filter),
) -> anyhow::Result<()> {
    for machine in all(cluster) {
        cluster.set_filter(machine, &change)?;
    }
    Ok(())
}

/// Cuts all links, in both directions, of which the rule says so; the rule is symmetric. Machines that
/// do not run now are cut off as well: they may come back.
fn cut(cluster: &mut Cluster<'_>, rule: impl Fn(u8, u8) -> bool) -> anyhow::Result<()> {
    for machine in all(cluster) {
        let deaf_to = (1..=MEMBERS + 1).filter(|it| *it != machine && rule(machine, *it));
        let deaf_to: Vec<u8> = deaf_to.collect();
        cluster.set_filter(machine, |it| it.deaf_to.extend(deaf_to))?;
    }
    Ok(())
}

fn mend(cluster: &mut Cluster<'_>, a: u8, b: u8) -> anyhow::Result<()> {
    let running = all(cluster);
    for (machine, other) in [(a, b), (b, a)] {
        if running.contains(&machine) {
            cluster.set_filter(machine, |it| {
                it.deaf_to.remove(&other);
            })?;
        }
    }
    Ok(())
}

/// Lets everything through again, and sees whether anything was ever stopped.
fn heal(cluster: &mut Cluster<'_>) -> anyhow::Result<()> {
    cluster.heal_network()?;
    if cluster.struck() == 0 {
        bail!("not one packet was dropped or doubled: the fault never was");
    }
    Ok(())
}

fn is_link(a: u8, b: u8, one: u8, other: u8) -> bool {
    (a, b) == (one, other) || (a, b) == (other, one)
}

/// On which side of a bridge a machine stands: the middle reaches both.
fn side(middle: u8, machine: u8) -> i8 {
    let step = (machine + MEMBERS - middle) % MEMBERS;
    match step {
        0 => 0,
        _ if step <= MEMBERS / 2 => 1,
        _ => -1,
    }
}

/// Waits until a leaving node says that all it held is elsewhere, and stops it.
fn until_left(cluster: &mut Cluster<'_>, machine: u8) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let seen = cluster.members_as_seen_by(machine);
        match &seen {
            Ok(seen) if seen["moving"]["left"] == true => return cluster.kill(machine),
            _ if begun.elapsed() < LEAVING => std::thread::sleep(Duration::from_millis(100)),
            Ok(seen) => bail!("node {machine} does not get to leave: {}", seen["moving"]),
            Err(error) => bail!("node {machine} does not get to leave: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_has_two_on_each_side_and_one_between() {
        for middle in 1..=MEMBERS {
            let sides: Vec<i8> = (1..=MEMBERS).map(|it| side(middle, it)).collect();
            assert_eq!(sides[usize::from(middle) - 1], 0);
            let on = |side| sides.iter().filter(|it| **it == side).count();
            assert_eq!((on(1), on(-1), on(0)), (2, 2, 1), "{sides:?}");
        }
    }

    #[test]
    fn a_link_has_two_ends() {
        assert!(is_link(1, 2, 2, 1) && is_link(1, 2, 1, 2));
        assert!(!is_link(1, 3, 1, 2));
    }
}

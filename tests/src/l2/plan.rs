//! What one seed makes of a run over the simulated network.

use std::{fmt, time::Duration};

use crate::{
    history::{Micros, Quorum},
    sim::{self, Plan as Workings, Rng, SECOND, Weather, Workload},
};

/// Everything that is decided about a run before it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Nodes, clients, keys and quorums, as in runs of the engine alone. Its faults are not used.
    pub workings: Workings,
    /// Least and greatest time a segment takes from host to host.
    pub latency: (Duration, Duration),
    /// How long faults strike.
    pub faulty: Micros,
    /// What strikes, by time. No two overlap, except that a crash may overlap with one other.
    pub faults: Vec<Fault>,
    /// Which nodes may lose their memory, one at a time: see [`Plan::draw`].
    pub mortal: Vec<usize>,
}

/// Something goes wrong for a while, counted from the start of the faults.
pub type Fault = sim::Fault<FaultKind>;

/// What may go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Whatever these nodes and the others send each other is lost, and with it their connections:
    /// simulated TCP does not send again.
    Partition(Vec<usize>),
    /// Every node can talk to its two neighbours on a ring and to no other.
    MajoritiesRing,
    /// What the first sends to the second is lost, not what comes back.
    OneWay(usize, usize),
    /// What the node and the other nodes send each other arrives only when this is over.
    Hold(usize),
    /// Everything between these two nodes takes this much longer.
    Slow(usize, usize, Duration),
    /// What a client and a node send each other is lost.
    CutOff(usize, usize),
    /// The host is switched off, its memory is gone, and it is switched on again.
    Crash(usize),
}

impl FaultKind {
    /// Its name in histories.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
            Self::MajoritiesRing => "majorities ring",
            Self::OneWay(..) => "one-way cut",
            Self::Hold(_) => "hold",
            Self::Slow(..) => "slow link",
            Self::CutOff(..) => "client cut off",
            Self::Crash(_) => "crash",
        }
    }
}

impl Plan {
    /// What this seed makes: five nodes, four clients, twenty seconds of faults.
    ///
    /// Nodes keep their data in memory, so a crash is a loss, and what can be promised is bounded by
    /// W. In strict runs any node may crash once all others serve: it fetches what it owned from all
    /// other replicas before it serves again. In sloppy runs a write may be on one primary and one
    /// fallback; hints are memory too, so that W - 1 nodes may ever crash.
    pub fn draw(seed: u64) -> Self {
        let mut workings = Workings::draw(seed, Workload::Mixed);
        workings.weather = Weather::FAIR;
        let mut rng = Rng::new(seed ^ 0x6865_6e67_6532); // "henge2"
        let faulty = 20 * SECOND;
        let Quorum { w, strict, .. } = workings.quorum;
        let mut mortal: Vec<usize> = (0..workings.nodes).collect();
        let first = rng.below(workings.nodes as u64) as usize;
        mortal.rotate_left(first);
        if !strict || w < 2 {
            mortal.truncate(usize::from(w) - 1);
        }
        let low = rng.between(1, 3);
        let high = low
            + if rng.chance(500) {
                rng.between(1, 20)
            } else {
                1
            };
        let latency = (Duration::from_millis(low), Duration::from_millis(high));
        let faults = draw_faults(&mut rng, &workings, &mortal, faulty);
        Self {
            seed,
            latency,
            faulty,
            faults,
            mortal,
            workings: Workings {
                faults: Vec::new(),
                faulty,
                ..workings
            },
        }
    }
}

impl Plan {
    /// The same run with nothing going wrong, and these quorums.
    #[must_use]
    pub fn calm(mut self, quorum: Quorum) -> Self {
        self.faults.clear();
        self.workings.quorum = quorum;
        self.workings.session_quorum = quorum;
        self
    }
}

fn draw_faults(rng: &mut Rng, workings: &Workings, mortal: &[usize], faulty: Micros) -> Vec<Fault> {
    let nodes = workings.nodes;
    let clients = workings.clients as u64;
    let one = |rng: &mut Rng| rng.below(nodes as u64) as usize;
    let pair = |rng: &mut Rng| {
        let from = one(rng);
        (
            from,
            (from + 1 + rng.below(nodes as u64 - 1) as usize) % nodes,
        )
    };
    let on: Vec<u64> = (0..6).filter(|_| rng.chance(500)).collect();
    let mut faults = Vec::new();
    let mut at = rng.between(500, 3000) * 1000;
    while at < faulty - 3 * SECOND && !on.is_empty() {
        let kind = match rng.pick(&on) {
            0 => FaultKind::Partition(some_nodes(rng, nodes)),
            1 => FaultKind::MajoritiesRing,
            2 => {
                let (from, to) = pair(rng);
                FaultKind::OneWay(from, to)
            }
            3 => FaultKind::Hold(one(rng)),
            4 => {
                let (from, to) = pair(rng);
                FaultKind::Slow(from, to, Duration::from_millis(rng.between(20, 400)))
            }
            _ => FaultKind::CutOff(rng.below(clients) as usize, one(rng)),
        };
        // Short ones break connections and are over before anybody has noticed.
        let lasts = if rng.chance(300) {
            rng.between(5, 100)
        } else {
            rng.between(200, 5000)
        };
        let lasts = (lasts * 1000).min(faulty - at);
        faults.push(Fault { at, lasts, kind });
        at += lasts + rng.between(50, 4000) * 1000;
    }
    if !mortal.is_empty() && (on.is_empty() || rng.chance(600)) {
        let mut at = rng.between(1000, 5000) * 1000;
        while at < faulty - 3 * SECOND {
            let lasts = rng.between(50, 4000) * 1000;
            let kind = FaultKind::Crash(*rng.pick(mortal));
            faults.push(Fault { at, lasts, kind });
            at += lasts + rng.between(4, 12) * SECOND;
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// One node, or a minority or majority of them.
fn some_nodes(rng: &mut Rng, nodes: usize) -> Vec<usize> {
    let count = match rng.below(10) {
        0..5 => 1,
        5..8 => nodes / 2,
        _ => nodes / 2 + 1,
    };
    let first = rng.below(nodes as u64) as usize;
    (first..first + count).map(|node| node % nodes).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.workings)?;
        writeln!(
            f,
            "  a segment takes {:?} to {:?}",
            self.latency.0, self.latency.1
        )?;
        for fault in &self.faults {
            let (at, end) = (fault.at / 1000, (fault.at + fault.lasts) / 1000);
            writeln!(f, "  {at} to {end} ms: {:?}", fault.kind)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FaultKind, Plan};

    #[test]
    fn a_seed_always_draws_the_same_plan() {
        for seed in 0..50 {
            assert_eq!(Plan::draw(seed), Plan::draw(seed));
        }
    }

    #[test]
    fn only_crashes_overlap_with_other_faults_and_never_with_each_other() {
        for seed in 0..200 {
            let plan = Plan::draw(seed);
            let crash = |fault: &&super::Fault| matches!(fault.kind, FaultKind::Crash(_));
            let (crashes, others): (Vec<_>, Vec<_>) = plan.faults.iter().partition(crash);
            for track in [crashes, others] {
                let apart = |pair: &[&super::Fault]| pair[0].at + pair[0].lasts < pair[1].at;
                assert!(track.windows(2).all(apart), "{plan}");
            }
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_none_always() {
        let plans: Vec<_> = (0..200).map(Plan::draw).collect();
        for name in [
            "partition",
            "majorities ring",
            "one-way cut",
            "hold",
            "slow link",
            "client cut off",
            "crash",
        ] {
            let has = |plan: &&Plan| plan.faults.iter().any(|it| it.kind.name() == name);
            let with = plans.iter().filter(has).count();
            assert!((40..160).contains(&with), "{name} in {with} of 200 plans");
        }
    }
}

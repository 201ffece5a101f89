//! What one seed makes of a run: everything is drawn beforehand and can be printed in full.
//!
//! Swarm testing (Groce et al., 2012): each kind of fault is on with probability one half, because
//! runs in which everything happens at once hide what only happens when some of it does not.

use std::fmt;

use super::{network::Weather, node::Convergence, planted::Planted, rng::Rng};
use crate::history::{Micros, Quorum};

/// One second.
pub const SECOND: Micros = 1_000_000;

/// By how much a clock jumps.
const HOUR_MS: i64 = 3_600_000;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Read-merge-write of siblings, and sessions that are written, touched and logged out.
    Mixed,
    /// Siblings alone.
    Siblings,
    /// Sessions alone.
    Sessions,
    /// Users who log in, are listed, and are logged out everywhere.
    Principals,
    /// Read-merge-write of last-writer-wins registers: the control, which must lose writes.
    Registers,
}

/// Everything that is decided about a run before it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where all randomness comes from.
    pub seed: u64,
    /// What the clients do.
    pub workload: Workload,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many clients there are.
    pub clients: usize,
    /// How many sibling or register keys they share.
    pub keys: u64,
    /// N, R, W and mode of operations on siblings and registers.
    pub quorum: Quorum,
    /// N, R, W and mode of operations on sessions: see [`sessions_need`].
    pub session_quorum: Quorum,
    /// Mean time between an answer and the client's next request.
    pub think: Micros,
    /// How messages fare while faults strike.
    pub weather: Weather,
    /// How far each node's wall clock is off, in milliseconds.
    pub skew_ms: Vec<i64>,
    /// How long it takes a node to notice that a link is dead.
    pub detect: Micros,
    /// How long it takes to connect again.
    pub reconnect: Micros,
    /// How often a node looks at its deadlines.
    pub tick: Micros,
    /// How long faults strike.
    pub faulty: Micros,
    /// What strikes, by time.
    pub faults: Vec<Fault>,
    /// How many requests in a thousand are reads at R=1 with the token of an own write.
    pub tokens: u32,
    /// What brings replicas together.
    pub convergence: Convergence,
    /// Nodes that may join later.
    pub spares: usize,
    /// The mistake made on purpose: none, except where the tests are tested.
    pub planted: Option<Planted>,
}

/// Something goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault<Kind = FaultKind> {
    /// When it begins.
    pub at: Micros,
    /// How long it lasts.
    pub lasts: Micros,
    /// What it is.
    pub kind: Kind,
}

/// What may go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// These nodes cannot talk to the others.
    Partition(Vec<usize>),
    /// Every node can talk to its two neighbours on a ring and to no other: each sees a majority,
    /// no two the same.
    MajoritiesRing,
    /// Messages from the first to the second are lost, not those back.
    OneWay(usize, usize),
    /// The process dies and comes back, its store as it was, everything else gone.
    Crash(Vec<usize>),
    /// The process stops for a while and then goes on as if nothing had been.
    Pause(usize),
    /// A node's wall clock jumps by so many milliseconds, and back again at the end.
    ClockJump(usize, i64),
    /// A node hears no news of the ring and tells none: its control plane is cut, its batches pass.
    Uninformed(usize),
    /// The ring changes, for good.
    Change(Change),
}

/// A change of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node that was not there before joins.
    Join(usize),
    /// A node leaves; it lives on.
    Leave(usize),
    /// A node that leaves, or has left, is a member again.
    Return(usize),
    /// The first one's machine and memory are lost; the second takes its place.
    Replace(usize, usize),
}

impl FaultKind {
    /// Its name in histories.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
            Self::MajoritiesRing => "majorities ring",
            Self::OneWay(..) => "one-way cut",
            Self::Crash(_) => "crash",
            Self::Pause(_) => "pause",
            Self::ClockJump(..) => "clock jump",
            Self::Uninformed(_) => "uninformed",
            Self::Change(Change::Join(_)) => "join",
            Self::Change(Change::Leave(_)) => "leave",
            Self::Change(Change::Return(_)) => "return",
            Self::Change(Change::Replace(..)) => "replace",
        }
    }
}

impl Plan {
    /// What this seed makes of this workload: five nodes, four clients, sixty seconds of faults.
    pub fn draw(seed: u64, workload: Workload) -> Self {
        let mut rng = Rng::new(seed ^ 0x6865_6e67_6531); // "henge1"
        let nodes = 5;
        let faulty = 60 * SECOND;
        let quorum = draw_quorum(&mut rng, workload);
        Self {
            seed,
            workload,
            nodes,
            clients: 4,
            keys: rng.between(2, 8),
            quorum,
            session_quorum: sessions_need(quorum),
            think: rng.between(60, 160) * 1000,
            weather: draw_weather(&mut rng),
            skew_ms: (0..nodes)
                .map(|_| rng.between(0, 400) as i64 - 200)
                .collect(),
            detect: rng.between(200, 1500) * 1000,
            reconnect: rng.between(20, 400) * 1000,
            tick: rng.between(5, 20) * 1000,
            faulty,
            faults: draw_faults(&mut rng, nodes, faulty, quorum),
            tokens: 0,
            convergence: Convergence::default(),
            spares: 0,
            planted: None,
        }
    }

    /// The same run with one to three changes of the ring, some of them at once.
    ///
    /// A machine is lost for good only where everything acknowledged or seen is elsewhere too.
    #[must_use]
    pub fn with_changes(mut self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x6368_616e_6765); // "change"
        self.spares = 3;
        let bound = 2 * 200 + 1;
        let skews = (0..self.spares).map(|_| rng.below(bound) as i64 - 200);
        self.skew_ms.extend(skews.collect::<Vec<_>>());
        let Quorum { n, r, w, strict } = self.quorum;
        // A read of one replica may show what only that one has, and it is lost with its machine.
        let may_lose = strict && w > 1 && 2 * r > n;
        let (mut joined, mut left) = (self.nodes, 0);
        let mut at = rng.between(3, 25) * SECOND;
        for _ in 0..rng.between(1, 3) {
            let kind = match rng.below(3) {
                0 if left < 2 => Change::Leave(left),
                1 if left < 2 && may_lose && left == 0 => Change::Replace(left, joined),
                _ => Change::Join(joined),
            };
            left += usize::from(!matches!(kind, Change::Join(_)));
            joined += usize::from(!matches!(kind, Change::Leave(_)));
            self.faults.push(Fault {
                at,
                lasts: 0,
                kind: FaultKind::Change(kind),
            });
            at += match rng.below(2) {
                0 => rng.below(20_000),
                _ => rng.between(1, 14) * SECOND,
            };
        }
        self.faults.sort_by_key(|fault| fault.at);
        self
    }

    /// The same run with a node that joins and leaves again: what it took over goes back to those
    /// who gave it away and forgot it.
    #[must_use]
    pub fn with_a_visit(mut self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x76_6973_6974); // "visit"
        self.spares = 1;
        self.skew_ms.push(0);
        let (comes, goes) = (rng.between(3, 15), rng.between(25, 40));
        for (at, change) in [
            (comes, Change::Join(self.nodes)),
            (goes, Change::Leave(self.nodes)),
        ] {
            self.faults.push(Fault {
                at: at * SECOND,
                lasts: 0,
                kind: FaultKind::Change(change),
            });
        }
        self.faults.sort_by_key(|fault| fault.at);
        self
    }

    /// The same run with a leave that is taken back, soon or late: midway, or when the node has handed
    /// everything over and forgotten it.
    #[must_use]
    pub fn with_a_leave_undone(mut self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x75_6e_64_6f); // "undo"
        let goes = rng.between(3, 30) * SECOND;
        let comes = match rng.below(2) {
            0 => goes + rng.below(2_000) * 1_000,
            _ => goes + rng.between(5, 20) * SECOND,
        };
        for (at, change) in [(goes, Change::Leave(0)), (comes, Change::Return(0))] {
            self.faults.push(Fault {
                at,
                lasts: 0,
                kind: FaultKind::Change(change),
            });
        }
        self.faults.sort_by_key(|fault| fault.at);
        self
    }

    /// The same run with three joins and two leaves, a few seconds apart.
    #[must_use]
    pub fn with_turnover(mut self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x7475_726e); // "turn"
        self.spares = 3;
        self.skew_ms.extend([0; 3]);
        let first = self.nodes;
        let mut at = rng.between(3, 15) * SECOND;
        for change in [
            Change::Join(first),
            Change::Leave(0),
            Change::Join(first + 1),
            Change::Leave(1),
            Change::Join(first + 2),
        ] {
            self.faults.push(Fault {
                at,
                lasts: 0,
                kind: FaultKind::Change(change),
            });
            at += rng.between(500, 8_000) * 1000;
        }
        self.faults.sort_by_key(|fault| fault.at);
        self
    }

    /// The same run with one founder that hears nothing of the changes, from the first of them on.
    #[must_use]
    pub fn with_one_uninformed(mut self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x6e65_7773); // "news"
        let is_change = |fault: &&Fault| matches!(fault.kind, FaultKind::Change(_));
        let Some(first) = self.faults.iter().find(is_change) else {
            return self;
        };
        let at = first.at.saturating_sub(SECOND);
        self.faults.push(Fault {
            at,
            lasts: self.faulty.saturating_sub(at),
            kind: FaultKind::Uninformed(rng.below(self.nodes as u64) as usize),
        });
        self.faults.sort_by_key(|fault| fault.at);
        self
    }

    /// The same run with each change of the ring moved to a moment at which another fault lasts, as
    /// long as there is one: what two things at once may break is what changes are tried for.
    #[must_use]
    pub fn with_changes_amid_faults(self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x616d_6964); // "amid"
        let mut plan = self.with_changes();
        let is_change = |fault: &Fault| matches!(fault.kind, FaultKind::Change(_));
        let others: Vec<_> = plan.faults.iter().filter(|it| !is_change(it)).collect();
        let mut moments: Vec<Micros> = others
            .iter()
            .map(|it| it.at + rng.below(it.lasts.max(1)))
            .collect();
        let changes = plan.faults.iter().filter(|it| is_change(it)).count();
        // In order, because a node that is replaced must not have left before.
        while moments.len() > changes {
            moments.swap_remove(rng.below(moments.len() as u64) as usize);
        }
        moments.sort_unstable();
        let changes = plan.faults.iter_mut().filter(|it| is_change(it));
        for (change, at) in changes.zip(moments) {
            change.at = at;
        }
        plan.faults.sort_by_key(|fault| fault.at);
        plan
    }

    /// The same run with one node's wall clock that jumps by an hour and back, once to four times, ahead
    /// or behind. Nothing else is drawn anew.
    #[must_use]
    pub fn with_clock_jumps(mut self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x63_6c6f_636b); // "clock"
        let node = rng.below(self.nodes as u64) as usize;
        let mut at = rng.between(2, 20) * SECOND;
        for _ in 0..rng.between(1, 4) {
            let by_ms = if rng.chance(500) { HOUR_MS } else { -HOUR_MS };
            let lasts = rng.between(100, 12_000) * 1000;
            if at + lasts >= self.faulty {
                break;
            }
            self.faults.push(Fault {
                at,
                lasts,
                kind: FaultKind::ClockJump(node, by_ms),
            });
            at += lasts + rng.between(1, 8_000) * 1000;
        }
        self.faults.sort_by_key(|fault| fault.at);
        self
    }

    /// The same faults, and clients that keep the tokens of what they write to sessions, and read at R=1
    /// with them.
    #[must_use]
    pub fn with_tokens(mut self) -> Self {
        self.tokens = 400;
        self
    }

    /// max(R, W) of what clients ask for.
    pub fn sources(&self) -> u8 {
        let of = |quorum: Quorum| quorum.r.max(quorum.w);
        of(self.quorum).max(of(self.session_quorum))
    }

    /// The same run with nothing going wrong.
    #[must_use]
    pub fn without_faults(mut self) -> Self {
        self.faults.clear();
        self.weather = Weather::FAIR;
        self
    }

    /// Whether a machine is lost with what it held.
    pub fn loses_a_machine(&self) -> bool {
        let lost = |fault: &Fault| matches!(fault.kind, FaultKind::Change(Change::Replace(..)));
        self.faults.iter().any(lost)
    }

    /// The same run with no hints and no read repair.
    #[must_use]
    pub fn with_anti_entropy_alone(mut self) -> Self {
        self.convergence = Convergence::AntiEntropyAlone;
        self
    }

    /// The same run with sessions used as everything else is.
    #[must_use]
    pub fn with_any_sessions(mut self) -> Self {
        self.session_quorum = self.quorum;
        self
    }
}

/// Mostly 2 of 3, both ways; else any mix. Registers take the usual one.
fn draw_quorum(rng: &mut Rng, workload: Workload) -> Quorum {
    let strict = rng.chance(500);
    let (r, w) = match rng.below(10) {
        0 => (1, 3),
        1 => (3, 1),
        2 => (rng.between(1, 3) as u8, rng.between(1, 3) as u8),
        _ => (2, 2),
    };
    let (r, w) = if workload == Workload::Registers {
        (2, 2)
    } else {
        (r, w)
    };
    Quorum { n: 3, r, w, strict }
}

/// The quorum that sessions are used with: strict, with R + W > N and W > 1.
///
/// Otherwise a write may find no replica that knows the session, begin a second life of it there,
/// and overrule the first one, its logout included. And with W=1 a write may lie on one replica
/// alone, cut off from a touch that the others have: it goes when the session's old time is over.
fn sessions_need(quorum: Quorum) -> Quorum {
    let enough = quorum.r + quorum.w > quorum.n && quorum.w > 1;
    let (r, w) = if enough { (quorum.r, quorum.w) } else { (2, 2) };
    Quorum {
        n: quorum.n,
        r,
        w,
        strict: true,
    }
}

fn draw_weather(rng: &mut Rng) -> Weather {
    let mut on = |most: u64| {
        if rng.chance(500) {
            rng.between(1, most) as u32
        } else {
            0
        }
    };
    let (loss, doubled, held_up) = (on(50), on(30), on(30));
    let low = rng.between(100, 2000);
    let high = low
        + if rng.chance(500) {
            rng.between(100, 20_000)
        } else {
            300
        };
    Weather {
        delay: (low, high),
        loss,
        doubled,
        held_up,
    }
}

/// Hints are kept in memory. What sloppy writes left with fallbacks is safe as long as fewer than W
/// nodes lose their memory before the hints are delivered: in sloppy runs only W - 1 nodes crash.
fn draw_faults(rng: &mut Rng, nodes: usize, faulty: Micros, quorum: Quorum) -> Vec<Fault> {
    let budget: Vec<usize> = if quorum.strict {
        (0..nodes).collect()
    } else {
        let first = rng.below(nodes as u64) as usize;
        (0..usize::from(quorum.w) - 1)
            .map(|step| (first + step) % nodes)
            .collect()
    };
    let drawers: [fn(&mut Rng, usize) -> FaultKind; 5] = [
        |rng, nodes| FaultKind::Partition(some_nodes(rng, nodes)),
        |_, _| FaultKind::MajoritiesRing,
        |rng, nodes| {
            let from = rng.below(nodes as u64) as usize;
            let to = (from + 1 + rng.below(nodes as u64 - 1) as usize) % nodes;
            FaultKind::OneWay(from, to)
        },
        |rng, nodes| FaultKind::Crash(some_nodes(rng, nodes)),
        |rng, nodes| FaultKind::Pause(rng.below(nodes as u64) as usize),
    ];
    let mut on: Vec<_> = drawers.iter().filter(|_| rng.chance(500)).collect();
    if on.is_empty() {
        on.push(rng.pick(&drawers));
    }
    let mut faults = Vec::new();
    let mut at = rng.between(1, 5) * SECOND;
    while at < faulty - 6 * SECOND {
        let mut kind = rng.pick(&on)(rng, nodes);
        if let FaultKind::Crash(who) = &mut kind {
            who.retain(|node| budget.contains(node));
        }
        if kind == FaultKind::Crash(Vec::new()) {
            kind = FaultKind::Pause(rng.below(nodes as u64) as usize);
        }
        let lasts = rng.between(200, 8000) * 1000;
        faults.push(Fault {
            at,
            lasts: lasts.min(faulty - at),
            kind,
        });
        at += rng.between(1, 14) * SECOND;
    }
    faults
}

/// One node, a minority, a majority, or (rarely) all.
fn some_nodes(rng: &mut Rng, nodes: usize) -> Vec<usize> {
    let count = match rng.below(10) {
        0..4 => 1,
        4..7 => nodes / 2,
        7..9 => nodes / 2 + 1,
        _ => nodes,
    };
    let mut all: Vec<usize> = (0..nodes).collect();
    let mut chosen: Vec<usize> = (0..count)
        .map(|_| all.swap_remove(rng.below(all.len() as u64) as usize))
        .collect();
    chosen.sort_unstable();
    chosen
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quorum { n, r, w, strict } = self.quorum;
        let mode = if strict { "strict" } else { "sloppy" };
        writeln!(
            f,
            "seed {}: {:?}, N={n} R={r} W={w} {mode}",
            self.seed, self.workload
        )?;
        let (nodes, clients, keys) = (self.nodes, self.clients, self.keys);
        writeln!(
            f,
            "  {nodes} nodes, {clients} clients, {keys} keys, think {} ms",
            ms(self.think)
        )?;
        writeln!(f, "  {:?}", self.weather)?;
        let (detect, reconnect, tick) = (ms(self.detect), ms(self.reconnect), ms(self.tick));
        writeln!(
            f,
            "  detect {detect} ms, reconnect {reconnect} ms, tick {tick} ms"
        )?;
        writeln!(f, "  clocks off by {:?} ms", self.skew_ms)?;
        for fault in &self.faults {
            let end = ms(fault.at + fault.lasts);
            writeln!(f, "  {} to {end} ms: {:?}", ms(fault.at), fault.kind)?;
        }
        Ok(())
    }
}

fn ms(at: Micros) -> Micros {
    at / 1000
}

#[cfg(test)]
mod tests {
    use super::{FaultKind, Plan, Workload};

    #[test]
    fn a_seed_always_draws_the_same_plan() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, Workload::Mixed);
            assert_eq!(plan, Plan::draw(seed, Workload::Mixed));
            assert!(!plan.faults.is_empty());
            assert!(
                plan.faults
                    .iter()
                    .all(|fault| fault.at + fault.lasts <= plan.faulty)
            );
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_none_always() {
        let plans: Vec<_> = (0..200)
            .map(|seed| Plan::draw(seed, Workload::Mixed))
            .collect();
        for name in [
            "partition",
            "majorities ring",
            "one-way cut",
            "crash",
            "pause",
        ] {
            let has = |plan: &&Plan| plan.faults.iter().any(|fault| fault.kind.name() == name);
            let with = plans.iter().filter(has).count();
            assert!((60..160).contains(&with), "{name} in {with} of 200 plans");
        }
        let everybody = |kind: &FaultKind| matches!(kind, FaultKind::Crash(all) if all.len() == 5);
        assert!(
            plans
                .iter()
                .any(|plan| plan.faults.iter().any(|f| everybody(&f.kind)))
        );
    }
}

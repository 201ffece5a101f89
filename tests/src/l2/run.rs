//! One run: real nodes found a cluster over the simulated network, clients ask, faults strike,
//! everything heals, and the history is judged.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::{Arc, Mutex, Once, PoisonError},
    time::{Duration, SystemTime},
};

use henge_store::{Key, Store};
use turmoil::Sim;

use super::{
    client::Caller,
    host::{CLOCK_BOUND_MS, Host, name},
    network::SharedTrace,
    plan::{FaultKind, Plan},
};
use crate::{
    checker::{self, Limits, Report},
    history::{Entry, Fault, Hints, History, Micros, Op, OpId, Phase, PhaseMark, Replica},
    sim::{Rng, SECOND, START_MS, Shared, Step, Trace},
};

/// How long the cluster may take to serve, at first and after the faults.
const READY: Micros = 60 * SECOND;

/// How long it may take until all nodes hold all others to be up again.
const GOSSIP: Micros = 10 * SECOND;

/// How long partitions may move after the faults: machines that lost their data have come back as
/// new ones.
const SETTLED: Micros = 60 * SECOND;

/// How long replicas may take to become equal by themselves.
const QUIET: Micros = 30 * SECOND;

/// How long the last reads may take.
const LAST_READS: Micros = 120 * SECOND;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was run.
    pub plan: Plan,
    /// The checker's verdict on the history.
    pub report: Report,
    /// What must never happen and did.
    pub broken: Vec<String>,
    /// Hash of everything that happened.
    pub hash: u64,
    /// How many events that was.
    pub events: u64,
    /// How many times each planned fault struck.
    pub fired: BTreeMap<&'static str, u64>,
    /// Simulated time from the heal until all replicas were equal by themselves, if they became so.
    pub converged_after: Option<Micros>,
    /// Simulated time of the whole run.
    pub lasted: Micros,
    /// The history.
    pub history: History,
    /// The whole trace, if it was asked for.
    pub text: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.report.is_clean() && self.broken.is_empty()
    }
}

/// What the clients of a run share.
pub(super) struct Bench {
    /// What is run.
    pub(super) plan: Plan,
    /// Which element replaced which, and the sessions in use.
    pub(super) shared: RefCell<Shared>,
    /// Every key that was ever asked for.
    pub(super) keys: RefCell<BTreeSet<String>>,
    history: RefCell<History>,
    broken: RefCell<Vec<String>>,
    next: Cell<OpId>,
    asking: Cell<bool>,
    trace: SharedTrace,
}

impl Bench {
    /// Whether clients go on.
    pub(super) fn is_asking(&self) -> bool {
        self.asking.get()
    }

    /// A new operation's number.
    pub(super) fn begin(&self, step: &Step) -> OpId {
        self.keys.borrow_mut().insert(step.key.clone());
        self.next.replace(self.next.get() + 1)
    }

    /// An operation has ended.
    pub(super) fn end(&self, op: Op) {
        let line = format!("{op:?}");
        let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        let client = self.plan.workings.nodes + op.session as usize;
        trace.event(op.returned, client, b'o', line.as_bytes(), || line.clone());
        drop(trace);
        self.history.borrow_mut().entries.push(Entry::Op(op));
    }

    /// Something happened that never must.
    pub(super) fn broke(&self, what: String) {
        self.broken.borrow_mut().push(what);
    }
}

/// Runs a plan. `keep_text` makes the trace readable.
pub fn run(plan: &Plan, keep_text: bool) -> Verdict {
    count_panics();
    let before = PANICS.get();
    let mut run = Run::new(plan, keep_text);
    let outcome = run.play();
    if let Err(error) = &outcome {
        run.bench.broke(format!("a host failed: {error}"));
    }
    let panics = PANICS.get() - before;
    if panics > 0 {
        run.bench.broke(format!("{panics} panics"));
    }
    run.judge(outcome.unwrap_or_default())
}

struct Run<'p> {
    plan: &'p Plan,
    sim: Sim<'static>,
    hosts: Vec<Rc<Host>>,
    bench: Rc<Bench>,
    rng: Rng,
    fired: BTreeMap<&'static str, u64>,
    /// Faults under way, by number, with their ends.
    under_way: BTreeMap<usize, Micros>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, keep_text: bool) -> Self {
        let mut rng = Rng::new(plan.seed);
        let mut sim = turmoil::Builder::new()
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_millis(START_MS))
            .simulation_duration(Duration::from_secs(3600))
            .min_message_latency(plan.latency.0)
            .max_message_latency(plan.latency.1)
            .tcp_capacity(4096)
            .enable_random_order()
            .rng_seed(rng.next())
            .build();
        let trace: SharedTrace = Arc::new(Mutex::new(Trace::new(keep_text)));
        let nodes = plan.workings.nodes;
        let seed = rng.next();
        let hosts: Vec<_> = (0..nodes)
            .map(|node| {
                let skew = plan.workings.skew_ms[node];
                Host::new(node, nodes, skew, seed, Arc::clone(&trace))
            })
            .collect();
        for (node, host) in hosts.iter().enumerate() {
            let host = Rc::clone(host);
            sim.host(name(node), move || Rc::clone(&host).run());
        }
        let bench = Rc::new(Bench {
            plan: plan.clone(),
            shared: RefCell::default(),
            keys: RefCell::default(),
            history: RefCell::default(),
            broken: RefCell::default(),
            next: Cell::new(1),
            asking: Cell::new(true),
            trace,
        });
        Self {
            plan,
            sim,
            hosts,
            bench,
            rng,
            fired: BTreeMap::new(),
            under_way: BTreeMap::new(),
        }
    }

    fn now(&self) -> Micros {
        self.sim.elapsed().as_micros() as Micros
    }

    /// The whole run. Says when the replicas had become equal by themselves, counted from the heal.
    fn play(&mut self) -> turmoil::Result<Option<Micros>> {
        if !self.until(READY, |run| run.all_ready())? {
            self.bench.broke("the cluster was not founded".to_owned());
            return Ok(None);
        }
        self.start_clients();
        self.faulty_phase()?;
        let healed = self.now();
        self.phase(Phase::Healed);
        self.bench.asking.set(false);
        if !self.until(READY, |run| run.all_ready())? {
            self.bench
                .broke("not all nodes serve after the heal".to_owned());
        }
        if !self.until(GOSSIP, |run| run.all_see_all())? {
            self.bench
                .broke("not all nodes hold all others to be up again".to_owned());
        }
        if !self.until(SETTLED, |run| run.all_settled())? {
            self.bench
                .broke("partitions still move long after the heal".to_owned());
        }
        let equal = self.until(QUIET, |run| run.replicas_are_equal())?;
        let converged = equal.then(|| self.now() - healed);
        self.phase(Phase::Quiesced);
        self.last_reads()?;
        Ok(converged)
    }

    /// Steps until the condition holds, looked at every 50 ms. `false`: it did not within `limit`.
    fn until(&mut self, limit: Micros, holds: impl Fn(&mut Self) -> bool) -> turmoil::Result<bool> {
        let end = self.now() + limit;
        while !holds(self) {
            if self.now() >= end {
                return Ok(false);
            }
            for _ in 0..50 {
                self.sim.step()?;
            }
        }
        Ok(true)
    }

    fn all_ready(&self) -> bool {
        self.hosts.iter().all(|host| host.is_ready())
    }

    /// Whether each node is linked to each other one and holds it to be up.
    fn all_see_all(&self) -> bool {
        let running: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|host| host.running())
            .collect();
        let ids: Vec<_> = running.iter().map(|it| it.handle.info().id).collect();
        running.iter().all(|node| {
            let peers = node.handle.peers();
            let sees = |id| {
                peers
                    .iter()
                    .any(|it| it.id == id && it.up && !it.declared_down)
            };
            let mut others = ids.iter().filter(|id| **id != node.handle.info().id);
            others.all(|id| sees(*id))
        })
    }

    /// Whether every partition has one replica set, which has all its data.
    fn all_settled(&self) -> bool {
        let running = self.hosts.iter().filter_map(|host| host.running());
        running.map(|node| node.handle.transition()).all(|status| {
            let to_do = status.in_motion + status.to_pull + status.to_drop;
            to_do == 0
        })
    }

    fn start_clients(&mut self) {
        self.phase(Phase::Faults);
        for client in 0..self.plan.workings.clients {
            let caller = Caller::new(client, Rc::clone(&self.bench));
            self.sim
                .client(client_name(client), caller.run(self.rng.fork()));
        }
    }

    fn faulty_phase(&mut self) -> turmoil::Result {
        let start = self.now();
        let mut next = 0;
        while self.now() < start + self.plan.faulty {
            let at = self.now() - start;
            let ended: Vec<usize> = self
                .under_way
                .iter()
                .filter(|(_, end)| **end <= at)
                .map(|(fault, _)| *fault)
                .collect();
            for fault in ended {
                self.end(fault);
            }
            while self
                .plan
                .faults
                .get(next)
                .is_some_and(|fault| fault.at <= at)
            {
                self.begin(next);
                next += 1;
            }
            self.sim.step()?;
        }
        while let Some((&fault, _)) = self.under_way.first_key_value() {
            self.end(fault);
        }
        Ok(())
    }

    fn begin(&mut self, number: usize) {
        let fault = &self.plan.faults[number];
        if let FaultKind::Crash(node) = fault.kind {
            // One loss of memory at a time: the one before has been made good.
            if !self.all_ready() {
                return;
            }
            self.sim.crash(name(node));
            self.hosts[node].crashed();
        }
        self.note(&format!("{:?} begins", fault.kind));
        *self.fired.entry(fault.kind.name()).or_default() += 1;
        self.under_way.insert(number, fault.at + fault.lasts);
        match &fault.kind {
            FaultKind::Crash(_) => {}
            FaultKind::Hold(node) => {
                for other in (0..self.hosts.len()).filter(|other| other != node) {
                    self.sim.hold(name(*node), name(other));
                }
            }
            FaultKind::Slow(a, b, latency) => {
                let (low, _) = self.plan.latency;
                self.sim
                    .set_link_latency(name(*a), name(*b), low + *latency);
            }
            FaultKind::CutOff(client, node) => {
                self.sim.partition(client_name(*client), name(*node));
            }
            FaultKind::OneWay(from, to) => self.sim.partition_oneway(name(*from), name(*to)),
            kind => {
                for (a, b) in cut_pairs(kind, self.hosts.len()) {
                    self.sim.partition(name(a), name(b));
                }
            }
        }
    }

    fn end(&mut self, number: usize) {
        self.under_way.remove(&number);
        let fault = &self.plan.faults[number];
        self.note(&format!("{:?} ends", fault.kind));
        match &fault.kind {
            FaultKind::Crash(node) => self.sim.bounce(name(*node)),
            FaultKind::Hold(node) => {
                for other in (0..self.hosts.len()).filter(|other| other != node) {
                    self.sim.release(name(*node), name(other));
                }
            }
            FaultKind::Slow(a, b, _) => {
                let (low, _) = self.plan.latency;
                self.sim.set_link_latency(name(*a), name(*b), low);
            }
            FaultKind::CutOff(client, node) => {
                self.sim.repair(client_name(*client), name(*node));
            }
            FaultKind::OneWay(from, to) => self.sim.repair_oneway(name(*from), name(*to)),
            kind => {
                for (a, b) in cut_pairs(kind, self.hosts.len()) {
                    self.sim.repair(name(a), name(b));
                }
            }
        }
    }

    fn note(&self, text: &str) {
        let mut trace = self
            .bench
            .trace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        trace.event(self.now(), 0, b'f', text.as_bytes(), || text.to_owned());
    }

    fn last_reads(&mut self) -> turmoil::Result {
        let number = self.plan.workings.clients;
        let reader = Caller::new(number, Rc::clone(&self.bench));
        self.sim.client(client_name(number), reader.read_all());
        let end = self.now() + LAST_READS;
        while !self.sim.step()? {
            if self.now() > end {
                self.bench.broke("the last reads did not end".to_owned());
                break;
            }
        }
        // Repairs that the reads made are on their way.
        self.until(2 * SECOND, |_| false)?;
        let keys = self.bench.keys.borrow().clone();
        for key in keys {
            let owners = self.owners(&key);
            for node in 0..self.hosts.len() {
                let replica = Replica {
                    key: key.clone(),
                    node: node as u32,
                    owner: owners.contains(&node),
                    digest: self.visible(node, &key),
                };
                self.record(Entry::Replica(replica));
            }
        }
        for node in 0..self.hosts.len() {
            self.record(Entry::Hints(Hints {
                node: node as u32,
                count: self.hints(node),
            }));
        }
        Ok(())
    }

    fn judge(self, converged_after: Option<Micros>) -> Verdict {
        for (name, fired) in &self.fired {
            self.record(Entry::Fault(Fault {
                name: (*name).to_owned(),
                fired: *fired,
            }));
        }
        let limits = Limits {
            // Runs of 20 s in which W = N meets crashes and partitions acknowledge fewer than 50 (seed 56: 46).
            min_acks: 30,
            clock_bound: CLOCK_BOUND_MS * 1000,
            seen_stays: !self.fired.contains_key("crash"),
            ..Limits::default()
        };
        let history = self.bench.history.take();
        let mut trace = self
            .bench
            .trace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Verdict {
            plan: self.plan.clone(),
            report: checker::check(&history, &limits),
            broken: self.bench.broken.take(),
            hash: trace.hash(),
            events: trace.events(),
            fired: self.fired.clone(),
            converged_after,
            lasted: self.now(),
            history,
            text: trace.take_text(),
        }
    }

    fn phase(&self, phase: Phase) {
        let at = self.now();
        self.record(Entry::Phase(PhaseMark { at, phase }));
    }

    fn record(&self, entry: Entry) {
        self.bench.history.borrow_mut().entries.push(entry);
    }

    /// The hosts of a key's primaries, by the ring of the first node that runs.
    fn owners(&self, key: &str) -> Vec<usize> {
        let running: Vec<_> = self.hosts.iter().map(|host| host.running()).collect();
        let Some(ring) = running.iter().flatten().next().map(|it| it.handle.ring()) else {
            return Vec::new();
        };
        let primaries = ring.primaries(ring.partition_of(Key::new(key.as_bytes()).token));
        let number = |id| {
            let is = |it: &super::host::Running| it.handle.info().id == id;
            running.iter().position(|it| it.as_ref().is_some_and(is))
        };
        primaries
            .iter()
            .filter_map(|index| number(ring.member(*index).id))
            .collect()
    }

    fn replicas_are_equal(&mut self) -> bool {
        let hosts = 0..self.hosts.len();
        let keys = self.bench.keys.borrow().clone();
        hosts.clone().all(|node| self.hints(node) == 0)
            && keys.iter().all(|key| {
                let mut owners = self.owners(key).into_iter();
                let first = owners.next().map(|node| self.visible(node, key));
                owners.all(|node| Some(self.visible(node, key)) == first)
            })
    }

    /// The digest of a node's record, if it holds one that counts.
    fn visible(&self, node: usize, key: &str) -> Option<u64> {
        let soon = START_MS + self.now() / 1000 + CLOCK_BOUND_MS;
        let mut digest = None;
        let store = self.hosts[node].running()?.store;
        store.read(Key::new(key.as_bytes()), &mut |stored| {
            let record = stored.map(|it| it.record());
            let counts = record.filter(|record| record.horizon() > soon);
            digest = counts.map(|record| record.digest());
        });
        digest
    }

    fn hints(&self, node: usize) -> u64 {
        let metrics = self.hosts[node].running().map(|it| it.handle.metrics());
        let metrics = metrics.unwrap_or_default();
        let waiting = metrics
            .lines()
            .find_map(|line| line.strip_prefix("henge_hints_waiting "));
        waiting
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }
}

fn client_name(client: usize) -> String {
    format!("client-{client}")
}

/// The pairs of nodes that a fault keeps apart.
fn cut_pairs(kind: &FaultKind, nodes: usize) -> Vec<(usize, usize)> {
    let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
    match kind {
        FaultKind::Partition(side) => pairs
            .filter(|(a, b)| side.contains(a) != side.contains(b))
            .collect(),
        FaultKind::MajoritiesRing => pairs
            .filter(|(a, b)| b - a != 1 && b - a != nodes - 1)
            .collect(),
        _ => Vec::new(),
    }
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts panics by thread: those of spawned tasks are not heard otherwise.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

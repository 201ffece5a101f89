//! One run of one plan: clients ask, faults strike, everything heals, and the history is judged.

use std::collections::{BTreeMap, BTreeSet};

use henge_node::{Failure, Outcome as Ended};
use henge_versioning::{RecordRef, siblings};

use super::{
    ask::{Ask, START_MS, What},
    clients::{Client, Seen, Shared},
    invariants::{an_acknowledgement_covers_w_distinct_places, fields, number, siblings as shown},
    marks::{Mark, Marks},
    network::Weather,
    node::CLOCK_BOUND_MS,
    plan::{FaultKind, Plan, SECOND, Workload},
    principals::Principals,
    rng::Rng,
    strike,
    world::{Notice, Setting, World},
};
use crate::{
    checker::Report,
    history::{
        Action, Element, Entry, History, Micros, Op, OpId, Outcome, Phase, PhaseMark, Quorum,
    },
};

mod ending;
mod users;

/// How long a node may take to answer, in milliseconds, and how long a client waits beyond that.
const TIMEOUT_MS: u64 = 800;
const PATIENCE: Micros = TIMEOUT_MS * 1000 + SECOND / 2;

/// How long replicas may take to become equal by themselves.
pub const QUIET: Micros = 60 * SECOND;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was run.
    pub plan: Plan,
    /// The checker's verdict on the history.
    pub report: Report,
    /// Always-on invariants that were broken.
    pub broken: Vec<String>,
    /// What happened, in short.
    pub marks: Marks,
    /// Hash of everything that happened.
    pub hash: u64,
    /// How many events that was.
    pub events: u64,
    /// Simulated time from the heal until all replicas were equal by themselves; `None`: they were
    /// not within [`QUIET`].
    pub converged_after: Option<Micros>,
    /// How many times the ring was changed.
    pub changes: u64,
    /// How many of these changes were made, or moved partitions, while another fault lasted.
    pub changes_amid_faults: u64,
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

/// Runs a plan. `keep_text` makes the trace readable, and the run slow.
pub fn run(plan: &Plan, keep_text: bool) -> Verdict {
    let mut run = Run::new(plan, keep_text);
    run.faulty_phase();
    let converged_after = run.quiet_phase();
    run.final_reads();
    run.judge(converged_after)
}

/// What the run is reminded of.
pub(super) enum Alarm {
    /// The client has thought.
    Client(usize),
    /// The client waits no longer.
    GiveUp(OpId),
    /// The plan's fault begins.
    Begin(usize),
    /// It ends.
    End(usize),
}

struct Pending {
    client: Option<usize>,
    ask: Ask,
    action: Action,
    replaces: usize,
    node: usize,
    invoked: Micros,
}

/// Changes of the ring so far.
#[derive(Default)]
struct Changes {
    made: u64,
    amid_faults: u64,
    /// Made since the ring was last seen at rest, with no fault so far.
    calm: u64,
}

struct Run<'p> {
    plan: &'p Plan,
    world: World<Alarm>,
    rng: Rng,
    clients: Vec<Client>,
    shared: Shared,
    pending: BTreeMap<OpId, Pending>,
    history: History,
    keys: BTreeSet<String>,
    fired: BTreeMap<&'static str, u64>,
    partitions: u32,
    /// How many faults last that are no changes of the ring.
    lasting: u32,
    changes: Changes,
    /// Users and their sessions, where clients are users.
    principals: Principals,
    broken: Vec<String>,
    next: OpId,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, keep_text: bool) -> Self {
        let mut rng = Rng::new(plan.seed);
        let setting = Setting {
            seed: rng.next(),
            n: plan.quorum.n,
            skew_ms: plan.skew_ms.clone(),
            founders: plan.nodes,
            sources: plan.sources(),
            weather: plan.weather,
            detect: plan.detect,
            reconnect: plan.reconnect,
            tick: plan.tick,
            keep_text,
            planted: plan.planted,
            convergence: plan.convergence,
        };
        let mut world = World::new(setting);
        for client in 0..plan.clients {
            world.alarm(SECOND + rng.below(plan.think), Alarm::Client(client));
        }
        let mut fired = BTreeMap::new();
        for (number, fault) in plan.faults.iter().enumerate() {
            fired.insert(fault.kind.name(), 0);
            world.alarm(fault.at, Alarm::Begin(number));
        }
        let nodes = plan.nodes as u64;
        Self {
            plan,
            world,
            clients: (0..plan.clients)
                .map(|_| Client::new(rng.below(nodes) as usize))
                .collect(),
            rng,
            shared: Shared::default(),
            pending: BTreeMap::new(),
            history: History::default(),
            keys: BTreeSet::new(),
            fired,
            partitions: 0,
            lasting: 0,
            changes: Changes::default(),
            principals: Principals::default(),
            broken: Vec::new(),
            next: 1,
        }
    }

    fn faulty_phase(&mut self) {
        self.phase(Phase::Faults);
        self.drive(self.plan.faulty);
        // Faults end by then; answers to what was asked last may take a little longer.
        self.world.set_weather(Weather::FAIR);
        self.phase(Phase::Healed);
    }

    /// Waits until the replicas are equal. Says how long that took.
    fn quiet_phase(&mut self) -> Option<Micros> {
        let healed = self.world.now;
        let mut converged = None;
        while converged.is_none() && self.world.now < healed + QUIET {
            self.drive(self.world.now + SECOND / 2);
            let settled = self.pending.is_empty() && self.replicas_are_equal();
            converged = settled.then(|| self.world.now - healed);
        }
        self.phase(Phase::Quiesced);
        converged
    }

    fn phase(&mut self, phase: Phase) {
        let at = self.world.now;
        self.history
            .entries
            .push(Entry::Phase(PhaseMark { at, phase }));
    }

    fn replicas_are_equal(&self) -> bool {
        let nodes = &self.world.nodes;
        self.world.is_settled()
            && nodes.iter().all(|node| node.hints() == 0)
            && self.keys.iter().all(|key| {
                let mut owners = self.world.owners(key).into_iter();
                let first = owners.next().map(|node| self.visible(node, key));
                owners.all(|node| Some(self.visible(node, key)) == first)
            })
    }

    /// The digest of a node's record, if it holds one that counts: what is past its horizon is taken
    /// away by each node in its own time.
    fn visible(&self, node: usize, key: &str) -> Option<u64> {
        let bytes = self.world.nodes[node].store.record(key.as_bytes())?;
        let record = RecordRef::parse(&bytes).ok()?;
        let soon = START_MS + self.world.now / 1000 + CLOCK_BOUND_MS;
        (record.horizon() > soon).then(|| record.digest())
    }

    /// Runs until this time.
    fn drive(&mut self, until: Micros) {
        while let Some(notice) = self.world.next(until) {
            match notice {
                Notice::Completed {
                    node,
                    token,
                    outcome,
                } if self.principals.has(token) => self.user_ended(node, token, *outcome),
                Notice::Completed {
                    node,
                    token,
                    outcome,
                } => self.ended(node, token, *outcome),
                Notice::Alarm(Alarm::Client(client)) => self.client_asks(client),
                Notice::Alarm(Alarm::GiveUp(op)) => {
                    if let Some(client) = self.principals.give_up(op) {
                        self.world.marks.hit(Mark::Unknown);
                        self.client_thinks(client);
                    }
                    if let Some(pending) = self.pending.remove(&op) {
                        self.world.marks.hit(Mark::Unknown);
                        self.answer(op, pending, Outcome::Unknown, None);
                    }
                }
                Notice::Alarm(Alarm::Begin(number)) => self.strike(number, true),
                Notice::Alarm(Alarm::End(number)) => self.strike(number, false),
            }
        }
    }

    fn strike(&mut self, number: usize, begins: bool) {
        let fault = &self.plan.faults[number];
        let cuts = matches!(
            fault.kind,
            FaultKind::Partition(_) | FaultKind::MajoritiesRing
        );
        self.count_change(number, begins);
        if begins {
            *self.fired.entry(fault.kind.name()).or_default() += 1;
            self.world
                .alarm(self.world.now + fault.lasts, Alarm::End(number));
            self.partitions += u32::from(cuts);
            let dies = |node| matches!(&fault.kind, FaultKind::Crash(them) if them.contains(node));
            let busy = self
                .pending
                .values()
                .filter(|pending| dies(&pending.node))
                .count();
            self.world.marks.add(Mark::DiedWithRequest, busy as u64);
            strike::begin(&mut self.world, &fault.kind);
        } else {
            self.partitions -= u32::from(cuts);
            strike::end(&mut self.world, &fault.kind);
        }
    }

    /// Counts changes of the ring, and those that another fault met before they were over.
    fn count_change(&mut self, number: usize, begins: bool) {
        let is_change = matches!(self.plan.faults[number].kind, FaultKind::Change(_));
        match (is_change, begins) {
            (true, true) => {
                self.changes.made += 1;
                if self.lasting > 0 {
                    self.changes.amid_faults += 1;
                } else {
                    self.changes.calm += 1;
                }
            }
            (true, false) => {}
            (false, true) => {
                self.lasting += 1;
                let met = std::mem::take(&mut self.changes.calm);
                if !self.world.is_settled() {
                    self.changes.amid_faults += met;
                }
            }
            (false, false) => self.lasting -= 1,
        }
    }

    fn client_asks(&mut self, number: usize) {
        let at = self.world.now;
        if at >= self.plan.faulty - SECOND {
            return;
        }
        if self.plan.workload == Workload::Principals {
            return self.user_asks(number);
        }
        if self.plan.tokens > 0 && self.rng.chance(self.plan.tokens) && self.reads_own(number) {
            return;
        }
        let client = &mut self.clients[number];
        let step = client.step(self.plan, at, &mut self.shared, &mut self.rng);
        let node = client.node;
        let session = step.key.starts_with("sess:");
        let quorum = if session {
            self.plan.session_quorum
        } else {
            self.plan.quorum
        };
        let ask = Ask {
            key: step.key,
            what: step.what,
            quorum,
            timeout_ms: TIMEOUT_MS,
            after: None,
        };
        self.ask(Some(number), node, ask, step.action, step.replaces);
    }

    /// The client reads a session that it has written, from one replica and with its token.
    fn reads_own(&mut self, number: usize) -> bool {
        let client = &self.clients[number];
        let Some((key, write, context)) = client.own_session(&mut self.rng) else {
            return false;
        };
        let ask = Ask {
            key,
            what: What::Get,
            quorum: Quorum {
                r: 1,
                ..self.plan.session_quorum
            },
            timeout_ms: TIMEOUT_MS,
            after: Some(context),
        };
        let node = self.rng.below(self.plan.nodes as u64) as usize;
        self.ask(Some(number), node, ask, Action::GetAfter { write }, 0);
        true
    }

    fn ask(
        &mut self,
        client: Option<usize>,
        node: usize,
        ask: Ask,
        action: Action,
        replaces: usize,
    ) {
        let id = self.next;
        self.next += 1;
        self.keys.insert(ask.key.clone());
        if ask.is_write() && self.partitions > 0 {
            self.world.marks.hit(Mark::WriteDuringPartition);
        }
        let invoked = self.world.now;
        let pending = Pending {
            client,
            ask: ask.clone(),
            action,
            replaces,
            node,
            invoked,
        };
        if self.world.ask(node, ask, id) {
            self.pending.insert(id, pending);
            self.world.alarm(invoked + PATIENCE, Alarm::GiveUp(id));
        } else {
            let reason = "connection refused".to_owned();
            self.answer(id, pending, Outcome::Failed { reason }, None);
        }
    }

    /// A node answers. If the client has given up already, nobody hears it.
    fn ended(&mut self, node: usize, op: OpId, ended: Ended) {
        let Some(pending) = self.pending.remove(&op) else {
            return;
        };
        let writes = pending.ask.is_write();
        let done = match ended.result {
            Ok(done) => done,
            Err(Failure::Unknown { .. }) if writes => {
                self.world.marks.hit(Mark::Unknown);
                return self.answer(op, pending, Outcome::Unknown, None);
            }
            Err(failure) => {
                self.world.marks.hit(Mark::Failed);
                let reason = failure.to_string();
                return self.answer(op, pending, Outcome::Failed { reason }, None);
            }
        };
        if !writes {
            return self.show(node, op, pending, done.record.as_deref());
        }
        // A strict logout of an expired session saw to it that W replicas know, and binds like any.
        // A sloppy one may have seen the life before.
        let confirmed = matches!(pending.ask.what, What::Logout)
            && pending.ask.quorum.strict
            && ended.receipt.is_some();
        if done.absorbed || !(done.applied || confirmed) {
            self.world
                .marks
                .add(Mark::Absorbed, u64::from(done.absorbed));
            // The session is dead, or there was nothing to delete or to touch: nothing was done.
            let reason = "there was nothing to change".to_owned();
            return self.answer(op, pending, Outcome::Failed { reason }, None);
        }
        self.keep_token(op, &pending, ended.receipt.as_deref());
        if let Some(receipt) = &ended.receipt {
            let fallback = |place: &henge_node::ReceiptPlace| {
                matches!(place.role, henge_node::ReplicaRole::FallbackFor(_))
                    && place.answer == henge_node::ReplicaAnswer::InMemory
            };
            if receipt.places.iter().any(fallback) {
                self.world.marks.hit(Mark::FallbackKept);
            }
            let lineage = &self.shared.lineage;
            let covered = an_acknowledgement_covers_w_distinct_places(
                &self.world,
                &pending.ask,
                receipt,
                lineage,
            );
            if !self.shared.sessions.expires(&pending.ask.key) {
                self.broken.extend(covered.err());
            }
        } else if pending.ask.wants_receipt() {
            self.broken
                .push(format!("no receipt for {:?}", pending.ask));
        }
        self.answer(op, pending, Outcome::Ok { values: Vec::new() }, None);
    }

    /// The client keeps the token of a session's write, where clients use tokens.
    fn keep_token(&mut self, op: OpId, pending: &Pending, receipt: Option<&henge_node::Receipt>) {
        let written = receipt.and_then(|receipt| receipt.written.clone());
        let (Some(number), Some(context)) = (pending.client, written) else {
            return;
        };
        let key = &pending.ask.key;
        if self.plan.tokens > 0 && key.starts_with("sess:") {
            let own = &mut self.clients[number].own;
            own.insert(key.clone(), (op, context));
        }
    }

    /// A read shows this record.
    fn show(&mut self, node: usize, op: OpId, pending: Pending, record: Option<&[u8]>) {
        let record = record.and_then(|bytes| RecordRef::parse(bytes).ok());
        let now = self.world.nodes[node].now(self.world.now).wall_ms;
        let live = record.filter(|record| record.is_live(now));
        if record.is_some_and(|it| !it.is_dead()) && live.is_none() {
            self.world.marks.hit(Mark::Expired);
        }
        let key = pending.ask.key.clone();
        let values: Vec<Element> = match live {
            None => Vec::new(),
            Some(record) if key.starts_with("siblings:") => shown(record),
            Some(record) if key.starts_with("sess:") => fields(record),
            Some(record) => record.value().and_then(number).into_iter().collect(),
        };
        if values.len() > 1 && key.starts_with("siblings:") {
            self.world.marks.hit(Mark::SiblingsSeen);
        }
        let context = record.map(siblings::context).unwrap_or_default();
        let seen = Seen {
            key,
            read: op,
            elements: values.clone(),
            context,
        };
        self.answer(op, pending, Outcome::Ok { values }, Some(seen));
    }

    /// The client has its answer: it is recorded, and the client thinks.
    fn answer(&mut self, op: OpId, pending: Pending, outcome: Outcome, seen: Option<Seen>) {
        let at = self.world.now;
        if let Some(number) = pending.client {
            self.learn(number, &pending, &outcome, seen);
            let wait = 1 + self.rng.wait(self.plan.think);
            self.world.alarm(at + wait, Alarm::Client(number));
        }
        let session = pending.client.unwrap_or(self.plan.clients);
        self.history.entries.push(Entry::Op(Op {
            id: op,
            session: session as u32,
            node: pending.node as u32,
            key: pending.ask.key,
            action: pending.action,
            quorum: pending.ask.quorum,
            invoked: pending.invoked,
            returned: at,
            outcome,
        }));
    }

    fn learn(&mut self, number: usize, pending: &Pending, outcome: &Outcome, seen: Option<Seen>) {
        let at = self.world.now;
        let client = &mut self.clients[number];
        let key = &pending.ask.key;
        let ok = matches!(outcome, Outcome::Ok { .. });
        if !ok {
            client.node = self.rng.below(self.plan.nodes as u64) as usize;
        }
        match &pending.ask.what {
            What::Get if key.starts_with("sess:") => {
                let gone = seen.is_some_and(|seen| seen.elements.is_empty());
                client.gone.extend(gone.then(|| key.clone()));
            }
            What::Get => client.seen = seen,
            What::PutField(_, Some(_)) if ok => self.shared.sessions.opened(key),
            What::PutField(_, Some(_)) => self.shared.sessions.closed(key, 0),
            What::Logout if ok => {
                self.world.marks.hit(Mark::LoggedOut);
                client.gone.insert(key.clone());
                self.shared.sessions.closed(key, at);
            }
            What::Touch(_) if ok => self.world.marks.hit(Mark::Touched),
            What::DeleteSiblings(_) if ok => self.world.marks.hit(Mark::SiblingsDeleted),
            What::PutSibling(..) if ok && pending.replaces > 1 => {
                self.world.marks.hit(Mark::SiblingsMerged);
            }
            _ => {}
        }
    }
}

/// The share of acknowledged writes that the control lost.
pub fn register_loss(verdicts: &[Verdict]) -> f64 {
    let control = || {
        verdicts
            .iter()
            .filter(|it| it.plan.workload == Workload::Registers)
    };
    let lost: u64 = control().map(|verdict| verdict.report.register_lost).sum();
    let acked: u64 = control().map(|verdict| verdict.report.register_acked).sum();
    lost as f64 / acked.max(1) as f64
}

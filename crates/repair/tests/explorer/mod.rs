//! A cluster of eight nodes that hold one partition, driven by a random schedule.
//!
//! Which set the partition has is drawn for every subset of the events, so that rings differ in one to
//! all members, more wildly than real ones do. A node's knowledge is a [`PartitionConfig`]; what it
//! pulls and from whom is decided by [`Incoming`]; both are the real ones. Everything around them
//! (coordinators, messages, stores) is as simple as can be, and so are the flaws.

use std::collections::{BTreeMap, BTreeSet};

use henge_repair::transfer::{Incoming, Page, Pull, TransferLimits, Wanted};
use henge_ring::{
    Assignment, NodeId, Partition, PartitionConfig, RingTag, Sources, Synced, ViewOrder,
};

mod rng;
use rng::Rng;

const NODES: usize = 8;
const PARTITION: Partition = Partition(0);

/// N, R and W.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quorums {
    pub(crate) n: usize,
    pub(crate) r: usize,
    pub(crate) w: usize,
}

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    NoFence,
    NewestOnly,
    OneSource,
    SnapshotBeforeFence,
    SomeJoiner,
    RetireUnsynced,
    OldestAndNewest,
    PendingRanges,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) reads: u64,
    pub(crate) violations: u64,
    /// Whether one set was left.
    pub(crate) settled: bool,
}

/// Views are sets of events; one comes before another if it is a proper subset.
struct Subsets;

impl ViewOrder for Subsets {
    fn precedes(&self, a: RingTag, b: RingTag) -> bool {
        a.hash != b.hash && a.hash & b.hash == a.hash
    }
}

fn view(events: u64) -> RingTag {
    RingTag {
        lamport: u64::from(events.count_ones()),
        hash: events,
    }
}

fn id(node: usize) -> NodeId {
    NodeId([node as u8; 16])
}

fn number(id: NodeId) -> usize {
    usize::from(id.0[0])
}

struct Node {
    events: u64,
    config: PartitionConfig,
    incoming: Incoming,
    writes: BTreeSet<u64>,
    alive: bool,
}

struct Operation {
    coordinator: usize,
    /// The write's number; `None` for a read.
    write: Option<u64>,
    /// The sets it counts in.
    sets: Vec<Assignment>,
    accepted: BTreeSet<NodeId>,
    seen: BTreeSet<u64>,
    /// What was acknowledged when the read began.
    must_see: BTreeSet<u64>,
    tries: u32,
}

enum Message {
    /// A pull on its way, with what the joiner holds already, which is not sent; with the flaw, with
    /// what was seen before the fence.
    Pull(usize, Pull, BTreeSet<u64>, Option<BTreeSet<u64>>),
    Page(usize, Pull, Page, BTreeSet<u64>, Box<Knowledge>),
    Lost(usize, Pull),
}

struct Knowledge {
    events: BTreeSet<u64>,
    config: PartitionConfig,
}

struct Cluster {
    rng: Rng,
    quorums: Quorums,
    flaw: Option<Flaw>,
    /// The set of every subset of the events.
    sets: BTreeMap<u64, Vec<NodeId>>,
    nodes: Vec<Node>,
    operations: Vec<Operation>,
    messages: Vec<Message>,
    acked: BTreeSet<u64>,
    next_write: u64,
    now_ms: u64,
    end: End,
}

/// Runs one schedule.
pub(crate) fn explore(seed: u64, quorums: Quorums, flaw: Option<Flaw>) -> End {
    let mut cluster = Cluster::new(seed, quorums, flaw);
    let (steps, events) = (cluster.rng.between(60, 240), cluster.rng.between(1, 3));
    let mut proposed = 0;
    let crash_at = cluster
        .rng
        .chance(30)
        .then(|| cluster.rng.between(0, steps));
    for step in 0..steps {
        if crash_at == Some(step) {
            let node = cluster.rng.below(NODES as u64) as usize;
            cluster.nodes[node].alive = false;
        }
        if proposed < events && cluster.rng.chance(8) {
            let node = cluster.rng.below(NODES as u64) as usize;
            cluster.learn(node, 1 << proposed);
            proposed += 1;
        }
        cluster.step();
    }
    cluster.finish();
    cluster.end
}

impl Cluster {
    fn new(seed: u64, quorums: Quorums, flaw: Option<Flaw>) -> Self {
        let mut rng = Rng::new(seed);
        let sets = draw_sets(&mut rng, quorums.n);
        let limits = TransferLimits {
            retry_ms: 1,
            bytes_per_second: 1 << 40,
            ..TransferLimits::default()
        };
        let node = |number| Node {
            events: 0,
            config: PartitionConfig::default(),
            incoming: Incoming::new(id(number), limits, 0),
            writes: BTreeSet::new(),
            alive: true,
        };
        let mut cluster = Self {
            rng,
            quorums,
            flaw,
            sets,
            nodes: (0..NODES).map(node).collect(),
            operations: Vec::new(),
            messages: Vec::new(),
            acked: BTreeSet::new(),
            next_write: 0,
            now_ms: 0,
            end: End::default(),
        };
        for node in 0..NODES {
            cluster.learn(node, 0);
        }
        cluster
    }

    fn step(&mut self) {
        self.now_ms += 1;
        match self.rng.below(20) {
            0..3 => self.begin(),
            3..13 => self.advance(),
            13..15 => self.gossip(),
            15..17 => self.ask_for_pages(),
            _ => self.deliver(),
        }
    }

    /// A node hears of events, and of the join ring they make with its own.
    fn learn(&mut self, node: usize, events: u64) {
        let known = self.nodes[node].events | events;
        let knows = |it: &Assignment| it.id.view.hash == events;
        if self.nodes[node].config.known().iter().any(knows) {
            return;
        }
        for view_of in [events, known] {
            let set = Assignment::new(view(view_of), self.sets[&view_of].clone());
            self.nodes[node].config.learn(set);
        }
        self.nodes[node].events = known;
        self.conclude(node);
    }

    fn knowledge(&self, node: usize) -> Knowledge {
        let config = self.nodes[node].config.clone();
        let events = config.known().iter().map(|set| set.id.view.hash).collect();
        Knowledge { events, config }
    }

    fn merge(&mut self, node: usize, told: &Knowledge) {
        for events in &told.events {
            self.learn(node, *events);
        }
        self.nodes[node]
            .config
            .facts_mut()
            .merge(told.config.facts());
        self.conclude(node);
    }

    /// What follows from what a node knows: facts, retired sets, and what to pull.
    fn conclude(&mut self, number: usize) {
        let (flaw, hasty) = (self.flaw, self.rng.chance(30));
        let sources = self.sources();
        let node = &mut self.nodes[number];
        let (me, config) = (id(number), &mut node.config);
        config.vouch(&me, &Subsets);
        config.retire_what_may(&Subsets, &sources);
        match flaw {
            Some(Flaw::SomeJoiner) => {
                let synced: Vec<Synced> = config.facts().synced().iter().copied().collect();
                synced.iter().for_each(|fact| {
                    config.facts_mut().retire(fact.from);
                });
            }
            Some(Flaw::RetireUnsynced) if hasty => {
                let newest = config.newest(&Subsets).map(|set| set.id);
                let old: Vec<_> = config.active().map(|set| set.id).collect();
                for set in old.into_iter().filter(|set| Some(*set) != newest) {
                    config.facts_mut().retire(set);
                }
            }
            _ => {}
        }
        let pull = config.to_pull(&me, &Subsets);
        let wanted = pull.map(|(from, to)| Wanted {
            from: from.id,
            to: to.id,
            sources: from
                .replicas
                .iter()
                .filter(|it| **it != me)
                .copied()
                .collect(),
            needed: sources
                .needed(from)
                .saturating_sub(usize::from(from.has(&me))),
        });
        node.incoming.want(PARTITION, wanted);
        if let Some((_, fact)) = node.incoming.finished() {
            node.config.facts_mut().record_synced(fact);
            self.conclude(number);
        }
    }

    fn sources(&self) -> Sources {
        let wanted = match self.flaw {
            Some(Flaw::OneSource) => 1,
            _ => self.quorums.r.max(self.quorums.w) as u8,
        };
        Sources {
            wanted,
            lost: BTreeSet::new(),
        }
    }

    fn begin(&mut self) {
        let coordinator = self.rng.below(NODES as u64) as usize;
        if !self.nodes[coordinator].alive {
            return;
        }
        let write = self.rng.chance(50).then(|| {
            self.next_write += 1;
            self.next_write
        });
        let mut operation = Operation {
            coordinator,
            write,
            sets: Vec::new(),
            accepted: BTreeSet::new(),
            seen: BTreeSet::new(),
            must_see: self.acked.clone(),
            tries: 0,
        };
        self.restart(&mut operation);
        self.operations.push(operation);
    }

    /// Counts anew, with what the coordinator knows now.
    fn restart(&self, operation: &mut Operation) {
        let active = self.nodes[operation.coordinator].config.active();
        let mut sets: Vec<Assignment> = active.cloned().collect();
        sets.sort_by_key(|set| set.id.view);
        match self.flaw {
            Some(Flaw::NewestOnly) => drop(sets.drain(..sets.len() - 1)),
            Some(Flaw::OldestAndNewest) if sets.len() > 2 => drop(sets.drain(1..sets.len() - 1)),
            _ => {}
        }
        operation.sets = sets;
        operation.accepted.clear();
        operation.seen.clear();
    }

    /// One replica gets one operation's request.
    fn advance(&mut self) {
        if self.operations.is_empty() {
            return;
        }
        let at = self.rng.below(self.operations.len() as u64) as usize;
        let mut operation = self.operations.swap_remove(at);
        operation.tries += 1;
        let mut left: Vec<NodeId> = operation
            .sets
            .iter()
            .flat_map(|s| s.replicas.clone())
            .collect();
        left.retain(|node| !operation.accepted.contains(node));
        if operation.tries > 40 || left.is_empty() || !self.nodes[operation.coordinator].alive {
            return; // given up
        }
        let replica = number(*self.rng.pick(&left));
        if self.nodes[replica].alive {
            self.ask(&mut operation, replica);
        }
        if self.is_enough(&operation) {
            self.end_operation(&operation);
        } else {
            self.operations.push(operation);
        }
    }

    fn ask(&mut self, operation: &mut Operation, replica: usize) {
        let lost = self.rng.chance(10);
        if !self.admits(operation, replica) {
            let told = self.knowledge(replica);
            if !lost {
                self.merge(operation.coordinator, &told);
                self.restart(operation);
            }
            // Whoever is refused tells what it knows, too.
            let told = self.knowledge(operation.coordinator);
            return self.merge(replica, &told);
        }
        let node = &mut self.nodes[replica];
        match operation.write {
            Some(write) => drop(node.writes.insert(write)),
            None if lost => {}
            None => operation.seen.extend(&node.writes),
        }
        if !lost {
            operation.accepted.insert(id(replica));
        }
    }

    fn admits(&self, operation: &Operation, replica: usize) -> bool {
        let counted: Vec<u64> = operation.sets.iter().map(|set| set.id.set).collect();
        let config = &self.nodes[replica].config;
        let mut active: Vec<&Assignment> = config.active().collect();
        active.sort_by_key(|set| set.id.view);
        let has = |set: Option<&&Assignment>| set.is_none_or(|set| counted.contains(&set.id.set));
        match self.flaw {
            Some(Flaw::NoFence | Flaw::PendingRanges) => true,
            Some(Flaw::NewestOnly) => has(active.last()),
            Some(Flaw::OldestAndNewest) => has(active.first()) && has(active.last()),
            _ => config.admits(&counted),
        }
    }

    fn is_enough(&self, operation: &Operation) -> bool {
        let quorum = match operation.write {
            Some(_) => self.quorums.w,
            None => self.quorums.r,
        };
        let count = |set: &Assignment| {
            set.replicas
                .iter()
                .filter(|it| operation.accepted.contains(it))
                .count()
        };
        if self.flaw == Some(Flaw::PendingRanges) {
            let old = &operation.sets[0];
            let others = operation.sets[1..].iter().flat_map(|set| &set.replicas);
            let pending: BTreeSet<_> = others.filter(|it| !old.has(it)).collect();
            return match operation.write {
                Some(_) => operation.accepted.len() >= quorum + pending.len(),
                None => count(old) >= quorum,
            };
        }
        operation.sets.iter().all(|set| count(set) >= quorum)
    }

    fn end_operation(&mut self, operation: &Operation) {
        match operation.write {
            Some(write) => drop(self.acked.insert(write)),
            None => {
                self.end.reads += 1;
                let missed = !operation.must_see.is_subset(&operation.seen);
                self.end.violations += u64::from(missed);
            }
        }
    }

    /// One node tells another all it knows.
    fn gossip(&mut self) {
        let (from, to) = (self.rng.below(NODES as u64), self.rng.below(NODES as u64));
        let (from, to) = (from as usize, to as usize);
        if self.nodes[from].alive && self.nodes[to].alive {
            let told = self.knowledge(from);
            self.merge(to, &told);
        }
    }

    fn ask_for_pages(&mut self) {
        let joiner = self.rng.below(NODES as u64) as usize;
        let alive: Vec<bool> = self.nodes.iter().map(|node| node.alive).collect();
        let node = &mut self.nodes[joiner];
        if !node.alive {
            return;
        }
        let up = |id: &NodeId| alive[number(*id)];
        if let Some(pull) = node.incoming.next_pull(self.now_ms, up) {
            let early = self.flaw == Some(Flaw::SnapshotBeforeFence);
            let early = early.then(|| self.nodes[number(pull.source)].writes.clone());
            let held = self.nodes[joiner].writes.clone();
            self.messages.push(Message::Pull(joiner, pull, held, early));
        }
    }

    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let at = self.rng.below(self.messages.len() as u64) as usize;
        match self.messages.swap_remove(at) {
            Message::Pull(joiner, pull, held, early) => self.serve(joiner, pull, &held, early),
            Message::Page(joiner, pull, page, writes, told) => {
                self.merge(joiner, &told);
                if self.nodes[joiner].alive {
                    self.nodes[joiner].writes.extend(writes);
                    self.nodes[joiner].incoming.pulled(&pull, page);
                    self.conclude(joiner);
                }
            }
            Message::Lost(joiner, pull) => {
                let now_ms = self.now_ms;
                self.nodes[joiner].incoming.failed(&pull, now_ms);
            }
        }
    }

    /// A source is asked for a page: even writes first, odd ones in the second.
    fn serve(
        &mut self,
        joiner: usize,
        pull: Pull,
        held: &BTreeSet<u64>,
        early: Option<BTreeSet<u64>>,
    ) {
        let source = number(pull.source);
        let told = self.knowledge(joiner);
        if !self.nodes[source].alive || self.rng.chance(10) {
            return self.messages.push(Message::Lost(joiner, pull));
        }
        self.merge(source, &told);
        let node = &self.nodes[source];
        if !node.config.is_base(pull.from, &Subsets) {
            return self.messages.push(Message::Lost(joiner, pull));
        }
        let half = |write: &u64| write % 2 == pull.first && !held.contains(write);
        let writes = early.unwrap_or_else(|| node.writes.clone());
        let writes = writes.into_iter().filter(half).collect();
        let next = (pull.first == 0).then_some(1);
        let told = Box::new(self.knowledge(source));
        let page = Page { next, bytes: 1 };
        self.messages
            .push(Message::Page(joiner, pull, page, writes, told));
    }

    /// Everybody who lives talks to everybody until nothing moves; then every read quorum of what is
    /// left must see what was acknowledged.
    fn finish(&mut self) {
        self.operations.clear();
        let alive: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].alive).collect();
        for _ in 0..24 {
            let one = *self.rng.pick(&alive);
            for other in alive.iter().chain(&alive) {
                let told = self.knowledge(*other);
                self.merge(one, &told);
                let told = self.knowledge(one);
                self.merge(*other, &told);
            }
            for _ in 0..20 {
                self.now_ms += 1;
                self.ask_for_pages();
                self.deliver();
            }
            let settled = |node: &usize| !self.nodes[*node].config.is_in_motion();
            if alive.iter().all(settled) {
                break;
            }
        }
        let Some(witness) = self.nodes.iter().position(|node| node.alive) else {
            return;
        };
        let sets: Vec<Assignment> = self.nodes[witness].config.active().cloned().collect();
        self.end.settled = sets.len() == 1;
        let lacks = |node: &&Node, write: &u64| node.alive && !node.writes.contains(write);
        let hidden = |set: &Assignment, write: &u64| {
            let members = set.replicas.iter().map(|it| &self.nodes[number(*it)]);
            members.filter(|node| lacks(node, write)).count() >= self.quorums.r
        };
        let missed = |write: &&u64| sets.iter().all(|set| hidden(set, write));
        self.end.violations += self.acked.iter().filter(missed).count() as u64;
    }
}

/// A set for every subset of three events: one that differs from a smaller subset's in one to all
/// members.
fn draw_sets(rng: &mut Rng, n: usize) -> BTreeMap<u64, Vec<NodeId>> {
    let mut sets: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    sets.insert(0, (0..n).collect());
    for events in 1..8u64 {
        let dropped = 1 << rng.below(3);
        let mut set = sets[&(events & (events - 1) & !dropped)].clone();
        for _ in 0..rng.between(1, n as u64) {
            let at = rng.below(n as u64) as usize;
            let strangers: Vec<usize> = (0..NODES).filter(|it| !set.contains(it)).collect();
            set[at] = *rng.pick(&strangers);
        }
        sets.insert(events, set);
    }
    sets.into_iter()
        .map(|(events, set)| (events, set.into_iter().map(id).collect()))
        .collect()
}

//! One simulated node: the real engine over a watched store, with the clocks it is given.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use henge_coordinator::{Defaults, HedgePolicy, Mode};
use henge_node::{
    Buckets, Counters, Engine, EngineParts, Now, Outcome, StoreReplica, Ticket, TransferLimits,
    Transition,
};
use henge_repair::{
    anti_entropy::{AntiEntropy, Settings, Time, Totals},
    sketch::SketchKey,
};
use henge_ring::{Endpoints, Event, Log, NodeId, Op, Partition, Ring, Weight, Zone};
use henge_store::{Limits, MemoryStore, Store};
use henge_versioning::GRACE_MS;

use super::{
    ask::Ask,
    clock::NodeClock,
    planted::{
        Planted, host,
        store::{FlawedStore, StoreFlaw},
    },
    principals::OwnStep,
    watched::{Observed, WatchedStore},
};
use crate::history::Micros;

/// Partitions of a simulated ring: 2^4 are enough for a dozen keys.
pub(super) const PARTITION_BITS: u8 = 4;

/// Wall clocks of nodes and of peers' stamps may be this far apart.
pub(super) const CLOCK_BOUND_MS: u64 = 500;

/// Records are kept for this long beyond their horizon: four times the clock bound and the longest
/// request.
pub(super) const SWEEP_MARGIN_MS: u64 = 4 * CLOCK_BOUND_MS + 1000;

/// How often a node compares itself with each other one, by anti-entropy, in milliseconds.
const ROUND_MS: u64 = 4_000;

/// What brings replicas together after a write has left them different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convergence {
    /// Hints, read repair and anti-entropy: as it is.
    #[default]
    Everything,
    /// Hints and read repair.
    WithoutAntiEntropy,
    /// Anti-entropy.
    AntiEntropyAlone,
    /// Nothing: the control, in which replicas must be seen to stay different.
    Nothing,
}

impl Convergence {
    fn has_anti_entropy(self) -> bool {
        matches!(self, Self::Everything | Self::AntiEntropyAlone)
    }

    fn has_hints_and_read_repair(self) -> bool {
        matches!(self, Self::Everything | Self::WithoutAntiEntropy)
    }
}

/// What a running node has in memory.
struct Process {
    engine: Engine,
    repair: Option<AntiEntropy>,
    replica: StoreReplica,
    transition: Arc<Transition>,
}

impl Process {
    fn deal_with(
        &mut self,
        now: Now,
        input: &Input,
        ring: &Ring,
        peer: impl Fn(usize) -> NodeId,
        output: &mut Output,
    ) {
        let engine = &mut self.engine;
        match input {
            Input::Batch { from, bytes, .. } => {
                engine.receive_batch(now, peer(*from), bytes, &mut output.replies);
            }
            Input::Replies { from, bytes, .. } => engine.receive_replies(now, peer(*from), bytes),
            Input::Up(other) => engine.peer_up(now, peer(*other)),
            Input::Down(other) => engine.peer_down(now, peer(*other)),
            Input::Ask(ask, token) => {
                let ticket = Ticket {
                    sink: 0,
                    token: *token,
                };
                ask.with_request(|request| engine.submit(now, request, ticket));
            }
            Input::AskOwn {
                step,
                token,
                forgets_owner,
            } => {
                let ticket = Ticket {
                    sink: 0,
                    token: *token,
                };
                step.with_request(|request| {
                    let mut request = request.clone();
                    if *forgets_owner {
                        host::forget_owner(&mut request);
                    }
                    engine.submit_own(now, &request, ticket);
                });
            }
            Input::Tick => engine.tick(now),
            Input::Call { from, bytes, .. } => {
                output.call_answer = engine.receive_call(now, peer(*from), bytes);
            }
            Input::CallAnswer { call, bytes, .. } => {
                let answer = (!bytes.is_empty()).then_some(&bytes[..]);
                engine.call_answered(now, *call, answer);
            }
            Input::Question { .. } | Input::Answer { .. } => {}
        }
        let owed = engine.take_owed();
        let Some(repair) = &mut self.repair else {
            return;
        };
        let (now, replica) = (time(now), &mut self.replica);
        repair.set_moving(self.transition.moving());
        for (peer, partition) in owed {
            repair.compare_soon(peer, partition);
        }
        match input {
            Input::Up(other) => repair.peer_up(now, peer(*other)),
            Input::Down(other) => repair.peer_down(peer(*other)),
            Input::Tick => repair.tick(now, ring, replica),
            Input::Question { from, bytes, .. } => {
                output.answer = repair.answer(now, ring, replica, peer(*from), bytes);
            }
            Input::Answer { number, bytes, .. } => {
                repair.answered(now, replica, *number, Some(bytes));
            }
            Input::Call { .. }
            | Input::CallAnswer { .. }
            | Input::Batch { .. }
            | Input::Replies { .. }
            | Input::Ask(..)
            | Input::AskOwn { .. } => {}
        }
    }
}

fn add(mut sum: Totals, more: Totals) -> Totals {
    sum.add(&more);
    sum
}

fn time(now: Now) -> Time {
    Time {
        mono_ms: now.mono_ms,
        wall_ms: now.wall_ms,
    }
}

/// Something that a node has to deal with.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another node's messages.
    Batch {
        /// Who sent them.
        from: usize,
        /// On which connection.
        generation: u32,
        /// The messages.
        bytes: Vec<u8>,
    },
    /// Another node's answers.
    Replies {
        /// Who sent them.
        from: usize,
        /// On which connection.
        generation: u32,
        /// The answers.
        bytes: Vec<u8>,
    },
    /// A link came up.
    Up(usize),
    /// A link went down.
    Down(usize),
    /// A client's request.
    Ask(Box<Ask>, u64),
    /// A step of an operation on a user's sessions, which doors take for a client.
    AskOwn {
        /// The step.
        step: Box<OwnStep>,
        /// Of the operation.
        token: u64,
        /// A mistake made on purpose.
        forgets_owner: bool,
    },
    /// Another node's question about partitions that move.
    Call {
        /// Who asks.
        from: usize,
        /// On which connection.
        generation: u32,
        /// Its number.
        call: u64,
        /// The question.
        bytes: Vec<u8>,
    },
    /// The answer to one.
    CallAnswer {
        /// Who answers.
        from: usize,
        /// On which connection.
        generation: u32,
        /// The question's number.
        call: u64,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// Time to look at deadlines.
    Tick,
    /// A question of another node's anti-entropy.
    Question {
        /// Who asks.
        from: usize,
        /// On which connection.
        generation: u32,
        /// Its number.
        number: u64,
        /// The question.
        bytes: Vec<u8>,
    },
    /// The answer to one of this node's.
    Answer {
        /// Who answers.
        from: usize,
        /// On which connection.
        generation: u32,
        /// The question's number.
        number: u64,
        /// The answer.
        bytes: Vec<u8>,
    },
}

/// What a node gave in return.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Batches for other nodes.
    pub batches: Vec<(NodeId, Vec<u8>)>,
    /// Answers to the batch that came in.
    pub replies: Vec<u8>,
    /// Questions for other nodes.
    pub calls: Vec<(NodeId, u64, Vec<u8>)>,
    /// The answer to the question about partitions that came in.
    pub call_answer: Vec<u8>,
    /// Requests that ended.
    pub completions: Vec<(Ticket, Outcome)>,
    /// Questions of anti-entropy.
    pub questions: Vec<(NodeId, u64, Vec<u8>)>,
    /// The answer to the question that came in.
    pub answer: Vec<u8>,
}

/// A node, running or not.
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// How many times it has started.
    pub boot: u64,
    /// Its store, which outlives its process.
    pub store: Arc<WatchedStore>,
    /// What its engines have counted, all boots together.
    pub counters: Arc<Counters>,
    /// What its anti-entropy has done, all boots together.
    pub repair: Totals,
    /// What that was when its present process started.
    repaired_before: Totals,
    /// Its process; `None` while it is dead.
    engine: Option<Process>,
    /// What brings it together with other replicas.
    convergence: Convergence,
    /// What came in while it stood still; `None` while it runs.
    pub waiting: Option<VecDeque<Input>>,
    /// Its clocks.
    pub(super) clock: NodeClock,
    /// Names its store: see `Replica::life`.
    life: u64,
    ring: Arc<Ring>,
    /// What it knows of partitions that move; kept or lost together with the store.
    pub transition: Arc<Transition>,
    swept: u16,
    /// Grows whenever a sweep has taken something.
    forgotten: Arc<AtomicU64>,
    /// The mistake made on purpose, with what it needs.
    planted: Option<Planted>,
    flawed: Option<Arc<FlawedStore>>,
    seen_dead: host::SeenDead,
}

impl Node {
    /// A node that has not started yet.
    pub(super) fn new(
        id: NodeId,
        ring: Arc<Ring>,
        skew_ms: i64,
        convergence: Convergence,
        sources: u8,
        planted: Option<Planted>,
        observed: &Arc<Mutex<Observed>>,
    ) -> Self {
        let store = empty_store(observed);
        let unguarded = planted.is_some_and(Planted::leaves_the_clock_unguarded);
        Self {
            id,
            boot: 0,
            flawed: flawed(planted, &store),
            planted,
            seen_dead: host::SeenDead::new(),
            store,
            counters: Arc::default(),
            repair: Totals::default(),
            repaired_before: Totals::default(),
            engine: None,
            convergence,
            waiting: None,
            clock: NodeClock::new(skew_ms, unguarded),
            life: u64::from(id.0[0]),
            ring,
            transition: Arc::new(Transition::new(id, sources, TransferLimits::default(), 1)),
            swept: 0,
            forgotten: Arc::default(),
        }
    }

    /// A process starts on the store: a new boot number, a new clock that is ahead of every stamp
    /// the store has seen, and no memory of anything else.
    pub(super) fn start(&mut self, at: Micros, defaults: Defaults) {
        self.boot += 1;
        self.waiting = None;
        self.repaired_before = self.repair;
        self.clock.start(at);
        let clock = Arc::clone(&self.clock.stamps);
        let now = self.now(at);
        // A stamp further ahead than the bound was refused when it came: this cannot fail.
        let _ = clock.observe(self.store.newest().time, now.wall_ms);
        let flaw = self.planted.and_then(Planted::store_flaw);
        let own: Arc<dyn Store> = self.store.clone();
        let flawed = self.flawed.clone().map(|it| it as Arc<dyn Store>);
        let (store, compared) = match (flaw, flawed) {
            (Some(StoreFlaw::StaleDigests), Some(flawed)) => (own, flawed),
            (_, Some(flawed)) => (flawed.clone(), flawed),
            (_, None) => (own.clone(), own),
        };
        let keeps = |planted: Planted| planted.keeps_boot();
        let boot = match self.planted.is_some_and(keeps) {
            true => 1,
            false => self.boot,
        };
        let parts = EngineParts {
            node: self.id,
            boot,
            defaults,
            hedge: HedgePolicy::default(),
            max_value: 1 << 20,
            max_key: 1024,
            touch_slack_ms: 10_000,
            store,
            clock: Arc::clone(&clock),
            ring: self.ring.clone(),
            transition: self.transition.clone(),
            thread: 0,
            buckets: Arc::new(Buckets::builtin()),
            sketch: SketchKey::new(b"the secret of simulated clusters"),
            counters: self.counters.clone(),
            forgotten_siblings: match self.planted {
                Some(Planted::NodeAsActor) => Arc::default(),
                _ => self.forgotten.clone(),
            },
        };
        let mut engine = Engine::new(parts, now);
        if let Some(other) = self.planted.and_then(|it| it.copied_from(self.id)) {
            engine.mint_as(other, boot);
        }
        if !self.convergence.has_hints_and_read_repair() {
            engine.leave_it_to_anti_entropy();
        }
        self.engine = Some(Process {
            engine,
            replica: StoreReplica::new(compared, clock, self.life),
            transition: Arc::clone(&self.transition),
            repair: self
                .convergence
                .has_anti_entropy()
                .then(|| self.anti_entropy(now)),
        });
    }

    /// Without memory of what it has compared before.
    fn anti_entropy(&self, now: Now) -> AntiEntropy {
        let key = SketchKey::new(b"the secret of simulated clusters");
        let settings = Settings {
            interval_ms: ROUND_MS,
            pause_ms: 200,
            patience_ms: 1_000,
            margin_ms: CLOCK_BOUND_MS,
            // Nodes differ by less, and keep what may go for longer.
            clocks_ms: 1_000,
            ..Settings::default()
        };
        let seed = u64::from(self.id.0[0]) << 32 | self.boot;
        AntiEntropy::new(self.id, key, settings, seed, time(now))
    }

    /// Its store is lost.
    pub(super) fn forget(&mut self, observed: &Arc<Mutex<Observed>>) {
        self.life += 1 << 32;
        self.store = empty_store(observed);
        self.flawed = flawed(self.planted, &self.store);
    }

    /// The process dies: everything but the store is gone.
    pub(super) fn crash(&mut self) {
        self.engine = None;
        self.waiting = None;
        if let Some(flawed) = &self.flawed {
            flawed.lose_unsynced();
        }
        if self.planted == Some(Planted::RecoveryTruncates) {
            host::truncate(&self.store);
        }
    }

    /// Whether a process is there, standing still or not.
    pub(super) fn is_alive(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether it does anything.
    pub(super) fn is_running(&self) -> bool {
        self.is_alive() && self.waiting.is_none()
    }

    /// Hints waiting for delivery.
    pub(super) fn hints(&self) -> u64 {
        let process = self.engine.as_ref();
        process.map_or(0, |process| process.engine.hints_waiting() as u64)
    }

    /// The partition it sweeps next.
    pub(super) fn swept(&self) -> Partition {
        Partition(self.swept)
    }

    /// Its clocks, the wall clock guarded as in a real node.
    pub(super) fn now(&self, at: Micros) -> Now {
        self.clock.now(at)
    }

    /// A peer's machine says this time, and whether it knows that this is wrong.
    pub(super) fn hear_clock(&mut self, at: Micros, peer: NodeId, wall_ms: u64, is_astray: bool) {
        let is_beyond = self.clock.hear(at, peer, wall_ms);
        if let Some(process) = &mut self.engine {
            process.engine.peer_astray(peer, is_beyond || is_astray);
        }
    }

    /// Deals with one input. `peer` names nodes.
    pub(super) fn handle(
        &mut self,
        at: Micros,
        input: &Input,
        peer: impl Fn(usize) -> NodeId,
        output: &mut Output,
    ) {
        self.clock.look(at, matches!(input, Input::Tick));
        let now = self.now(at);
        if matches!(input, Input::Tick) {
            self.sweep(now);
        }
        let Some(process) = &mut self.engine else {
            return;
        };
        process.replica.set_wall_ms(now.wall_ms);
        let ring = self
            .transition
            .ring()
            .unwrap_or_else(|| Arc::clone(&self.ring));
        process.deal_with(now, input, &ring, peer, output);
        if let Some(repair) = &mut process.repair {
            output.questions = repair.take_questions();
            self.repair = add(self.repaired_before, repair.totals());
        }
        let engine = &mut process.engine;
        if engine.has_output() {
            let batches = &mut output.batches;
            engine.take_batches(&mut |to, bytes| batches.push((to, std::mem::take(bytes))));
            engine.take_completions(&mut output.completions);
            let calls = &mut output.calls;
            engine.take_calls(&mut |to, call, bytes| calls.push((to, call, bytes)));
        }
    }

    /// One partition more is rid of what nobody can see any longer.
    fn sweep(&mut self, now: Now) {
        let before = now.wall_ms.saturating_sub(SWEEP_MARGIN_MS);
        if let Some(planted) = self.planted {
            let (partition, seen) = (Partition(self.swept), &mut self.seen_dead);
            host::reap(planted, &self.store, partition, now.mono_ms, seen);
        }
        if self.swept == 0
            && let Some(flawed) = &self.flawed
        {
            flawed.sync();
        }
        let forgets = self.clock.may_forget();
        if forgets
            && self
                .store
                .sweep(Partition(self.swept), before, GRACE_MS)
                .records
                > 0
        {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        self.swept = (self.swept + 1) % (1 << PARTITION_BITS);
    }
}

/// The store with a flaw, if one is planted.
fn flawed(planted: Option<Planted>, store: &Arc<WatchedStore>) -> Option<Arc<FlawedStore>> {
    let flaw = planted.and_then(Planted::store_flaw)?;
    Some(Arc::new(FlawedStore::new(Arc::clone(store), flaw)))
}

fn empty_store(observed: &Arc<Mutex<Observed>>) -> Arc<WatchedStore> {
    let limits = Limits {
        partition_bits: PARTITION_BITS,
        bytes: u64::MAX,
        op_log_bytes: 64 << 10,
    };
    Arc::new(WatchedStore::new(
        MemoryStore::new(limits),
        Arc::clone(observed),
    ))
}

/// The ids of a simulated cluster's nodes: the same in every run.
pub(super) fn node_ids(count: usize) -> Vec<NodeId> {
    (1..=count as u8)
        .map(|number| NodeId([number; 16]))
        .collect()
}

/// The log that founds a cluster of them.
pub(super) fn founding(ids: &[NodeId], n: u8) -> Log {
    let mut log = Log::new();
    let joins = ids.iter().map(|node| join_of(*node));
    let founding = [
        Op::Genesis {
            bits: PARTITION_BITS,
        },
        Op::SetN { n },
    ];
    let events: Vec<Event> = log.propose(
        ids[0],
        henge_ring::ChangeId(1),
        founding.into_iter().chain(joins),
    );
    log.extend(events);
    log
}

/// Where a node listens.
pub(super) fn endpoints_of(node: NodeId) -> Endpoints {
    let address = format!("127.0.0.1:{}", node.0[0]);
    Endpoints {
        peer: address.clone(),
        resp: address.clone(),
        http: address,
    }
}

/// A node joins.
pub(super) fn join_of(node: NodeId) -> Op {
    Op::Join {
        node,
        weight: Weight::default(),
        zone: Zone::default(),
        endpoints: endpoints_of(node),
    }
}

/// A node that has left is a member again.
pub(super) fn return_of(node: NodeId) -> Op {
    Op::Return {
        node,
        weight: Weight::default(),
        zone: Zone::default(),
        endpoints: endpoints_of(node),
    }
}

/// What requests get that say nothing else; the simulator's always do.
pub(super) fn defaults(n: u8) -> Defaults {
    Defaults {
        n,
        r: n / 2 + 1,
        w: n / 2 + 1,
        mode: Mode::Sloppy,
        deadline_ms: 1000,
    }
}

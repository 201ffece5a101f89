//! The engine against itself: several engines, a perfect network, and links that can be cut.

use std::{collections::BTreeMap, sync::Arc};

use henge_coordinator::{Defaults, HedgePolicy};
use henge_repair::sketch::SketchKey;
use henge_ring::{ChangeId, Endpoints, Event, Log, NodeId, Op, Ring, Weight, Zone};
use henge_store::{Key, Limits, MemoryStore, Store};
use henge_versioning::{Clock, NEVER, RecordRef, VersionVector, siblings};

use super::{Counters, Engine, EngineParts, Now, Ticket};
use crate::{
    Buckets, Condition, Done, Expiry, Failure, FieldWrites, Operation, Options, Outcome, Request,
};

mod after;
mod announced;
mod bounded;
mod buckets;
mod counting;
mod deciders;
mod departed;
mod exchanging;
mod forwarded;
mod full;
mod handing_over;
mod logins;
mod misses;
mod principals;
mod pulled;
mod ranking;
mod restarted;
mod rotations;
mod rotations_at_random;
mod scaling;
mod sessions;
mod staleness;
mod touches;

struct Cluster {
    nodes: BTreeMap<NodeId, (Engine, Arc<MemoryStore>)>,
    down: Vec<NodeId>,
    /// Whether batches get lost, while questions arrive.
    only_calls: bool,
    now: Now,
    tokens: u64,
    /// Bytes of batches and their answers.
    carried: u64,
}

fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

fn ring_of(nodes: u8) -> Arc<Ring> {
    Arc::new(Ring::fold(&log_of(nodes)))
}

fn log_of(nodes: u8) -> Log {
    let join = |number: u8| Event {
        lamport: 1,
        change: ChangeId(0),
        proposer: id(number),
        op: Op::Join {
            node: id(number),
            weight: Weight::default(),
            zone: Zone::new("z").expect("short"),
            endpoints: Endpoints {
                peer: format!("node{number}"),
                resp: String::new(),
                http: String::new(),
            },
        },
    };
    (1..=nodes).map(join).collect()
}

fn node(number: u8, ring: &Arc<Ring>, now: Now) -> (Engine, Arc<MemoryStore>) {
    node_within(Limits::default(), number, ring, now)
}

fn node_within(
    limits: Limits,
    number: u8,
    ring: &Arc<Ring>,
    now: Now,
) -> (Engine, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(limits));
    let parts = EngineParts {
        node: id(number),
        boot: 1,
        defaults: Defaults::default(),
        hedge: HedgePolicy::default(),
        max_value: 1 << 20,
        max_key: 1024,
        touch_slack_ms: 10_000,
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::new(Clock::new(500)),
        ring: Arc::clone(ring),
        transition: Arc::new(crate::Transition::new(id(number), 2, Default::default(), 1)),
        thread: 0,
        buckets: Arc::new(Buckets::builtin()),
        forgotten_siblings: Arc::default(),
        sketch: SketchKey::new(&[9; 32]),
        counters: Arc::<Counters>::default(),
    };
    (Engine::new(parts, now), store)
}

impl Cluster {
    fn new(nodes: u8) -> Self {
        let ring = ring_of(nodes);
        let now = Now {
            mono_ms: 1_000,
            mono_sub_us: 0,
            wall_ms: 1_700_000_000_000,
        };
        let node = |number: u8| (id(number), node(number, &ring, now));
        let nodes: BTreeMap<_, _> = (1..=nodes).map(node).collect();
        let mut cluster = Self {
            nodes,
            down: Vec::new(),
            only_calls: false,
            now,
            tokens: 0,
            carried: 0,
        };
        let ids: Vec<_> = cluster.nodes.keys().copied().collect();
        for &a in &ids {
            for &b in ids.iter().filter(|b| **b != a) {
                cluster.engine(a).peer_up(now, b);
            }
        }
        cluster
    }

    fn engine(&mut self, id: NodeId) -> &mut Engine {
        &mut self.nodes.get_mut(&id).expect("a node").0
    }

    fn kill(&mut self, number: u8) {
        self.down.push(id(number));
        let now = self.now;
        for (engine, _) in self.nodes.values_mut() {
            engine.peer_down(now, id(number));
        }
    }

    fn revive(&mut self, number: u8) {
        self.down.retain(|down| *down != id(number));
        let now = self.now;
        for (engine, _) in self.nodes.values_mut() {
            engine.peer_up(now, id(number));
        }
        self.deliver();
    }

    /// Carries batches, questions and their answers until nothing is left to carry.
    fn deliver(&mut self) {
        while self.carry_calls() | self.carry_batches() {}
    }

    fn carry_calls(&mut self) -> bool {
        let now = self.now;
        let mut calls = Vec::new();
        for (&from, (engine, _)) in &mut self.nodes {
            engine.take_calls(&mut |to, call, question| calls.push((from, to, call, question)));
        }
        for (from, to, call, question) in &calls {
            if self.down.contains(from) || self.down.contains(to) {
                continue;
            }
            let answer = self.engine(*to).receive_call(now, *from, question);
            self.engine(*from).call_answered(now, *call, Some(&answer));
        }
        !calls.is_empty()
    }

    fn carry_batches(&mut self) -> bool {
        let now = self.now;
        let mut carried = false;
        loop {
            let mut batches = Vec::new();
            for (&from, (engine, _)) in &mut self.nodes {
                engine.take_batches(&mut |to, batch| batches.push((from, to, batch.clone())));
            }
            if batches.is_empty() {
                return carried;
            }
            carried = true;
            for (from, to, batch) in batches {
                if self.only_calls || self.down.contains(&from) || self.down.contains(&to) {
                    continue;
                }
                let mut replies = Vec::new();
                self.engine(to)
                    .receive_batch(now, from, &batch, &mut replies);
                self.carried += (batch.len() + replies.len()) as u64;
                self.engine(from).receive_replies(now, to, &replies);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        let now = self.now;
        for (engine, _) in self.nodes.values_mut() {
            engine.tick(now);
        }
        self.deliver();
    }

    fn ask(&mut self, at: u8, request: &Request<'_>) -> Outcome {
        self.begin(at, request, Engine::submit);
        self.outcome(at, request)
    }

    /// A step of the node's own.
    fn ask_own(&mut self, at: u8, request: &Request<'_>) -> Outcome {
        self.begin(at, request, Engine::submit_own);
        self.outcome(at, request)
    }

    fn begin(
        &mut self,
        at: u8,
        request: &Request<'_>,
        submit: impl FnOnce(&mut Engine, Now, &Request<'_>, Ticket),
    ) {
        self.tokens += 1;
        let ticket = Ticket {
            sink: 1,
            token: self.tokens,
        };
        let now = self.now;
        submit(self.engine(id(at)), now, request, ticket);
    }

    fn outcome(&mut self, at: u8, request: &Request<'_>) -> Outcome {
        self.deliver();
        let mut completions = Vec::new();
        for _ in 0..2 {
            self.engine(id(at)).take_completions(&mut completions);
            if let Some((_, outcome)) = completions.pop() {
                return outcome;
            }
            self.pass(2_000);
        }
        panic!("never answered: {request:?}");
    }

    fn run<'a>(&mut self, at: u8, key: &'a str, operation: Operation<'a>) -> Result<Done, Failure> {
        self.with(at, key, operation, Options::default())
    }

    fn with<'a>(
        &mut self,
        at: u8,
        key: &'a str,
        operation: Operation<'a>,
        options: Options,
    ) -> Result<Done, Failure> {
        self.ask(
            at,
            &Request {
                key: key.as_bytes(),
                operation,
                options,
            },
        )
        .result
    }

    /// The record that a read finds.
    fn found(&mut self, at: u8, key: &str) -> Vec<u8> {
        let read = self.run(at, key, Operation::Get).expect("read");
        read.record.expect("there")
    }

    fn get(&mut self, at: u8, key: &str) -> Option<Vec<u8>> {
        let record = self
            .run(at, key, Operation::Get)
            .expect("readable")
            .record?;
        let record = RecordRef::parse(&record).expect("a record");
        record
            .is_live(self.now.wall_ms)
            .then(|| record.value().expect("a value").to_vec())
    }

    fn copies(&self, key: &str) -> usize {
        let holds = |store: &Arc<MemoryStore>| {
            let mut held = false;
            store.read(Key::new(key.as_bytes()), &mut |stored| {
                held = stored.is_some()
            });
            held
        };
        self.nodes
            .values()
            .filter(|(_, store)| holds(store))
            .count()
    }
}

fn put(value: &str) -> Operation<'_> {
    put_if(value, Condition::Always)
}

fn put_if(value: &str, condition: Condition) -> Operation<'_> {
    Operation::Put {
        value: value.as_bytes(),
        expiry: Expiry::Clear,
        condition,
    }
}

const DELETE: Operation<'static> = Operation::Delete {
    condition: Condition::Always,
};

fn quorum(r: u64, w: u64) -> Options {
    Options {
        r: Some(r),
        w: Some(w),
        ..Options::default()
    }
}

#[test]
fn what_is_written_on_one_node_is_read_on_every_node() {
    let mut cluster = Cluster::new(5);
    for number in 0..50 {
        let (key, value) = (format!("sess:{number}"), format!("value {number}"));
        let done = cluster
            .run(1 + number % 5, &key, put(&value))
            .expect("written");
        assert!(done.applied);
        assert_eq!(
            cluster.copies(&key),
            3,
            "on its three places and nowhere else"
        );
        for node in 1..=5 {
            assert_eq!(cluster.get(node, &key).as_deref(), Some(value.as_bytes()));
        }
    }
}

#[test]
fn quorums_are_chosen_per_request_and_shortfalls_carry_numbers() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, "k", put("old")).expect("written");
    cluster.kill(3);
    let short = cluster
        .with(1, "k", put("new"), quorum(2, 3))
        .expect_err("too few");
    assert!(
        matches!(
            short,
            Failure::Failed {
                needed: 3,
                got: 2,
                ..
            }
        ),
        "{short:?}"
    );
    assert!(short.to_string().contains("needed 3 got 2"));
    assert_eq!(
        cluster.get(2, "k").as_deref(),
        Some(&b"old"[..]),
        "failed means nothing happened"
    );
    let short = cluster
        .with(2, "k", Operation::Get, quorum(3, 2))
        .expect_err("too few");
    assert!(
        matches!(
            short,
            Failure::Failed {
                needed: 3,
                got: 2,
                ..
            }
        ),
        "{short:?}"
    );
    cluster
        .with(1, "k", put("new"), quorum(2, 2))
        .expect("two of three are enough");
    cluster
        .with(1, "k", put("newer"), quorum(1, 1))
        .expect("one is enough");
    let nonsense = cluster
        .with(1, "k", Operation::Get, quorum(7, 1))
        .expect_err("nonsense");
    assert!(nonsense.to_string().contains("R=7"), "{nonsense}");
}

#[test]
fn a_write_whose_replicas_fall_silent_is_unknown_and_reaches_them_by_hint() {
    let mut cluster = Cluster::new(3);
    cluster.down = vec![id(2), id(3)]; // silent: nobody has noticed yet
    let unknown = cluster.run(1, "k", put("v")).expect_err("nobody answered");
    assert!(
        matches!(unknown, Failure::Unknown { needed: 2, got: 1 }),
        "{unknown:?}"
    );
    cluster.revive(2);
    cluster.revive(3);
    (0..100).for_each(|_| cluster.pass(500));
    assert_eq!(cluster.copies("k"), 3);
}

#[test]
fn a_node_that_was_away_gets_what_it_missed() {
    let mut cluster = Cluster::new(3);
    cluster.kill(3);
    for number in 0..20 {
        cluster
            .run(1, &format!("k{number}"), put("v"))
            .expect("two of three");
    }
    cluster.revive(3);
    (0..20).for_each(|_| cluster.pass(500));
    assert!((0..20).all(|number| cluster.copies(&format!("k{number}")) == 3));
}

/// The nodes of a cluster of five that own a key, in the order of its preference list.
fn owners_among_five(key: &[u8]) -> Vec<u8> {
    let ring = ring_of(5);
    let partition = ring.partition_of(henge_ring::Token::of(key));
    let primaries = ring.primaries(partition).iter();
    primaries.map(|at| ring.member(*at).id.0[0]).collect()
}

#[test]
fn a_fallback_stands_in_and_hands_over() {
    let mut cluster = Cluster::new(5);
    let owners = owners_among_five(b"k");
    cluster.kill(owners[1]);
    cluster.kill(owners[2]);
    let options = Options {
        strict: Some(true),
        ..Options::default()
    };
    cluster
        .with(owners[0], "k", put("v"), options)
        .expect_err("strict: one primary is not two");
    cluster
        .run(owners[0], "k", put("v"))
        .expect("sloppy: fallbacks stand in");
    assert_eq!(cluster.copies("k"), 3);
    cluster.revive(owners[1]);
    cluster.revive(owners[2]);
    (0..20).for_each(|_| cluster.pass(500));
    let options = Options {
        strict: Some(true),
        r: Some(3),
        ..Options::default()
    };
    let done = cluster
        .with(owners[1], "k", Operation::Get, options)
        .expect("all three hold it");
    assert!(done.record.is_some());
}

#[test]
fn conditions_have_one_winner() {
    let mut cluster = Cluster::new(5);
    let applied: Vec<bool> = (1..=5)
        .map(|node| {
            let operation = put_if("mine", Condition::Absent);
            cluster
                .run(node, "lock", operation)
                .expect("decided")
                .applied
        })
        .collect();
    assert_eq!(applied.iter().filter(|applied| **applied).count(), 1);
    let missing = cluster
        .run(2, "absent", put_if("v", Condition::Present))
        .expect("decided");
    assert!(!missing.applied);
    let record = cluster.found(4, "lock");
    let digest = RecordRef::parse(&record).expect("a record").digest();
    let swap = cluster
        .run(3, "lock", put_if("next", Condition::Digest(digest)))
        .expect("decided");
    assert!(swap.applied && swap.record.is_some());
    let stale = cluster
        .run(3, "lock", put_if("last", Condition::Digest(digest)))
        .expect("decided");
    assert!(!stale.applied);
}

#[test]
fn siblings_are_kept_until_a_write_has_seen_them() {
    let mut cluster = Cluster::new(5);
    for node in 1..=3 {
        let operation = Operation::PutSibling {
            value: &[node],
            context: VersionVector::new(),
            expiry: Expiry::Clear,
        };
        cluster.run(node, "siblings:k", operation).expect("written");
    }
    let record = cluster.found(4, "siblings:k");
    let record = RecordRef::parse(&record).expect("a record");
    assert_eq!(record.siblings().count(), 3);
    let context = siblings::context(record);
    let operation = Operation::PutSibling {
        value: b"one",
        context,
        expiry: Expiry::Clear,
    };
    cluster.run(5, "siblings:k", operation).expect("written");
    let record = cluster.found(1, "siblings:k");
    let record = RecordRef::parse(&record).expect("a record");
    assert_eq!(record.siblings().collect::<Vec<_>>(), [b"one"]);
}

#[test]
fn a_read_repairs_the_replica_that_missed_a_write() {
    let mut cluster = Cluster::new(3);
    cluster.down = vec![id(3)];
    cluster.run(1, "k2", put("v")).expect("two of three");
    cluster.down.clear();
    let all = cluster
        .with(2, "k2", Operation::Get, quorum(3, 2))
        .expect("read");
    assert!(all.record.is_some());
    cluster.deliver();
    assert_eq!(cluster.copies("k2"), 3);
}

#[test]
fn bounds_are_errors_with_numbers() {
    let mut cluster = Cluster::new(1);
    let long = "k".repeat(1025);
    let error = cluster.run(1, &long, Operation::Get).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "a key has at most 1024 bytes, this one 1025"
    );
    let large = "v".repeat((1 << 20) + 1);
    let error = cluster.run(1, "k", put(&large)).expect_err("too large");
    assert!(error.to_string().contains("1048577"), "{error}");
}

#[test]
fn sessions_are_strict_unless_a_request_says_otherwise() {
    let mut cluster = Cluster::new(5);
    let owners = owners_among_five(b"sess:k");
    cluster.kill(owners[1]);
    cluster.kill(owners[2]);
    let refused = cluster
        .run(owners[0], "sess:k", put("v"))
        .expect_err("one primary is not two");
    assert!(
        matches!(
            refused,
            Failure::Failed {
                needed: 2,
                got: 1,
                ..
            }
        ),
        "{refused:?}"
    );
    let sloppy = Options {
        strict: Some(false),
        ..Options::default()
    };
    cluster
        .with(owners[0], "sess:k", put("v"), sloppy)
        .expect("fallbacks stand in");
}

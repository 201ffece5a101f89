//! The engine among peers that send anything, in any order.

use std::{collections::BTreeSet, sync::Arc};

use henge_coordinator::{Defaults, HedgePolicy, MAX_DEADLINE_MS};
use henge_node::{
    Buckets, Condition, Counters, Engine, EngineParts, Expiry, Modification, Now, Operation,
    Options, Outcome, Request, Ticket, Transition,
};
use henge_repair::sketch::SketchKey;
use henge_ring::{NodeId, Ring};
use henge_rpc::{Message, Messages, Refusal, Replies, Reply, WriteStatus};
use henge_store::{Limits, MemoryStore};
use henge_versioning::{ActorId, Clock, Context, HlcTime, NEVER, Stamp, VersionVector, delta};

use super::{Behaviour, Run, Signature, Target, bytes, join, kind, parts, records, rings};
use crate::sim::Rng;

const START_MS: u64 = 1_700_000_000_000;
const NODES: u8 = 4;
/// Keys of each kind of bucket.
const KEYS: [&[u8]; 6] = [b"sess:1", b"sess:2", b"k1", b"k2", b"siblings:1", b""];

/// An engine, what it sent, and what it answered.
struct Rig {
    engine: Engine,
    counters: Arc<Counters>,
    ring: Arc<Ring>,
    now: Now,
    up: BTreeSet<NodeId>,
    /// Batches that nobody has answered yet.
    sent: Vec<(NodeId, Vec<u8>)>,
    asked: u64,
    answered: BTreeSet<u64>,
}

impl Rig {
    /// Node 1 of four, with every link up.
    fn new(node: u8, ring: &Arc<Ring>) -> Self {
        let now = Now {
            mono_ms: 1_000,
            mono_sub_us: 0,
            wall_ms: START_MS,
        };
        let counters = Arc::<Counters>::default();
        let limits = Limits {
            partition_bits: ring.bits(),
            ..Limits::default()
        };
        let parts = EngineParts {
            node: rings::id(node),
            boot: 1,
            defaults: Defaults::default(),
            hedge: HedgePolicy::default(),
            max_value: 4096,
            max_key: 1024,
            touch_slack_ms: 10_000,
            store: Arc::new(MemoryStore::new(limits)),
            clock: Arc::new(Clock::new(500)),
            ring: Arc::clone(ring),
            transition: Arc::new(Transition::new(rings::id(node), 2, Default::default(), 1)),
            thread: 0,
            buckets: Arc::new(Buckets::builtin()),
            forgotten_siblings: Arc::default(),
            sketch: SketchKey::new(&[1; 32]),
            counters: Arc::clone(&counters),
        };
        let mut rig = Self {
            engine: Engine::new(parts, now),
            counters,
            ring: Arc::clone(ring),
            now,
            up: BTreeSet::new(),
            sent: Vec::new(),
            asked: 0,
            answered: BTreeSet::new(),
        };
        for other in (1..=NODES).filter(|other| *other != node) {
            rig.toggle(rings::id(other));
        }
        rig
    }

    fn toggle(&mut self, peer: NodeId) {
        if self.up.remove(&peer) {
            self.engine.peer_down(self.now, peer);
        } else {
            self.up.insert(peer);
            self.engine.peer_up(self.now, peer);
        }
        self.collect();
    }

    fn submit(&mut self, request: &Request<'_>) {
        let ticket = Ticket {
            sink: 1,
            token: self.asked,
        };
        self.asked += 1;
        self.engine.submit(self.now, request, ticket);
        self.collect();
    }

    /// A batch comes in; what is answered at once must be well-formed, and not more than was asked.
    fn receive(&mut self, from: NodeId, batch: &[u8]) {
        let mut replies = Vec::new();
        self.engine
            .receive_batch(self.now, from, batch, &mut replies);
        let answers: Result<Vec<_>, _> = Replies::new(&replies).collect();
        let answers = answers.expect("its own replies can be decoded").len();
        assert!(
            answers <= Messages::new(batch).count(),
            "more answers than questions"
        );
        self.collect();
    }

    fn tick(&mut self, millis: u64) {
        self.now.mono_ms += millis;
        self.now.wall_ms += millis;
        self.engine.tick(self.now);
        self.collect();
    }

    /// Takes out what the engine has to say, and checks its form.
    fn collect(&mut self) -> Vec<Outcome> {
        let sent = &mut self.sent;
        self.engine.take_batches(&mut |to, batch| {
            sent.push((to, std::mem::take(batch)));
        });
        let mut completions = Vec::new();
        self.engine.take_completions(&mut completions);
        let ended = completions.into_iter().map(|(ticket, outcome)| {
            assert!(
                ticket.sink == 1 && ticket.token < self.asked,
                "answers a stranger"
            );
            assert!(
                self.answered.insert(ticket.token),
                "answers a request twice"
            );
            outcome
        });
        ended.collect()
    }

    /// Answers everything that is outstanding.
    fn answer(&mut self, choose: &mut dyn FnMut() -> u8, record: &[u8]) {
        for (peer, batch) in std::mem::take(&mut self.sent) {
            let mut replies = Vec::new();
            for message in Messages::new(&batch) {
                match message.expect("its own batches can be decoded") {
                    Message::Write { op, .. } | Message::Read { op, .. } => {
                        // Fails only for records over their limit, which are then not sent.
                        let _ = reply(op, choose(), record).encode(&mut replies);
                    }
                    Message::Forward { op, .. } => {
                        let mut back = Vec::new();
                        let outcome = record;
                        let _ = Message::Forwarded { op, outcome }.encode(&mut back);
                        self.receive(peer, &back);
                    }
                    Message::Repair { .. }
                    | Message::Forwarded { .. }
                    | Message::View { .. }
                    | Message::Under { .. }
                    | Message::Decided => {}
                }
            }
            self.engine.receive_replies(self.now, peer, &replies);
            self.collect();
        }
    }

    /// After the longest deadline everything has been answered, whatever happened before.
    fn end(mut self) -> Signature {
        for peer in self.up.clone() {
            self.toggle(peer);
        }
        for _ in 0..4 {
            self.tick(u64::from(MAX_DEADLINE_MS));
        }
        assert_eq!(
            self.answered.len() as u64,
            self.asked,
            "a request was forgotten"
        );
        assert_eq!(
            self.engine.in_flight(),
            0,
            "something is in flight for ever"
        );
        let mut signature = Signature::default();
        for (_, _, count) in self.counters.each() {
            signature.size(count.min(2) as usize);
        }
        signature.size(self.engine.hints_waiting().min(2));
        signature
    }
}

fn reply(op: u64, choice: u8, record: &[u8]) -> Reply<'_> {
    let status = WriteStatus::Applied;
    match choice % 7 {
        0 | 1 => Reply::Wrote { op, status },
        2 => Reply::Refused {
            op,
            reason: Refusal::Full,
        },
        3 => Reply::Same { op },
        4 => Reply::Absent { op },
        5 => Reply::Record { op, record },
        // An answer to something never asked.
        _ => Reply::Absent { op: op ^ 1 },
    }
}

fn request<'a>(key: &'a [u8], choice: u8, value: &'a [u8]) -> Request<'a> {
    let expiry = Expiry::At(START_MS + 60_000);
    let condition = if choice & 0x80 == 0 {
        Condition::Always
    } else {
        Condition::Absent
    };
    let operation = match choice % 11 {
        0 if choice & 0x40 != 0 => Operation::GetWithin {
            max_staleness_ms: value.len() as u64,
        },
        0 => Operation::Get,
        1 => Operation::GetAfter {
            context: Box::new(Context::decode(value).unwrap_or_default()),
        },
        2 => Operation::Put {
            value,
            expiry,
            condition,
        },
        3 => Operation::PutFields {
            fields: [(&b"f"[..], Some(value)), (b"g", None)]
                .into_iter()
                .collect(),
            expiry,
        },
        8 => Operation::ReplaceField {
            name: b"f",
            before: Some(value),
            after: value,
        },
        9 => Operation::Modify {
            field: (choice & 0x08 != 0).then_some(&b"f"[..]),
            by: match choice & 0x04 {
                0 if choice & 0x10 != 0 => Modification::Overwrite {
                    from: value.len() as u32,
                    patch: value,
                    most: 512,
                },
                0 => Modification::Add(1),
                _ => Modification::Append {
                    tail: value,
                    most: 512,
                },
            },
            expiry,
            condition,
        },
        10 => Operation::Exchange {
            value: (choice & 0x08 != 0).then_some(value),
            expiry,
            condition,
        },
        4 => Operation::Delete { condition },
        5 => Operation::Expire {
            at: NEVER,
            condition,
        },
        6 => Operation::PutSibling {
            value,
            context: VersionVector::new(),
            expiry,
        },
        _ => Operation::DeleteSiblings {
            context: VersionVector::new(),
        },
    };
    let options = Options {
        w: (choice & 0x40 != 0).then_some(1),
        strict: Some(choice & 0x20 != 0),
        receipt: choice & 0x10 != 0,
        ..Options::default()
    };
    Request {
        key,
        operation,
        options,
    }
}

/// A key that node 1 holds no replica of.
fn foreign_key(ring: &Arc<Ring>) -> Vec<u8> {
    let me = ring.index_of(&rings::id(1)).expect("a member");
    let keys = (0..1000).map(|number| format!("k{number}").into_bytes());
    let foreign = |key: &Vec<u8>| {
        let partition = ring.partition_of(henge_ring::Token::of(key));
        !ring.is_primary(partition, me)
    };
    keys.into_iter()
        .find(foreign)
        .expect("a quarter of all keys")
}

pub(super) const FORWARD: Target = Target {
    name: "forward",
    about: "requests and outcomes passed on between nodes: answered once, or counted as bad",
    longest: 1024,
    seeds: forward_seeds,
    tokens: &[&[0], &[1, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f]],
    make: || {
        let ring = rings::ring(NODES);
        let key = foreign_key(&ring);
        Box::new(move |input, rng| forward(input, &ring, &key, rng))
    },
};

/// What engines say to each other when one of them holds no replica.
fn forward_seeds() -> Vec<Vec<u8>> {
    let ring = rings::ring(NODES);
    let key = foreign_key(&ring);
    let mut seeds = Vec::new();
    for choice in (0..10).chain([0x92, 0x74]) {
        let mut asking = Rig::new(1, &ring);
        asking.submit(&request(&key, choice, b"value"));
        let Some((to, batch)) = asking.sent.pop() else {
            continue;
        };
        seeds.extend(passed_on(&batch));
        let mut asked = Rig::new(to.0[0], &ring);
        asked.receive(rings::id(1), &batch);
        let mut told = asked.sent.clone();
        asked.answer(&mut || 0, b"");
        told.append(&mut asked.sent);
        asked.tick(2 * u64::from(MAX_DEADLINE_MS));
        told.append(&mut asked.sent);
        seeds.extend(told.iter().flat_map(|(_, batch)| passed_on(batch)));
    }
    assert!(seeds.len() >= 10, "nothing is passed on");
    seeds
}

/// The requests and outcomes of other nodes in a batch.
fn passed_on(batch: &[u8]) -> Vec<Vec<u8>> {
    let messages = Messages::new(batch).flatten();
    let passed_on = messages.filter_map(|message| match message {
        Message::Forward { request: bytes, .. } | Message::Forwarded { outcome: bytes, .. } => {
            Some(bytes.to_vec())
        }
        _ => None,
    });
    passed_on.collect()
}

fn forward(input: &[u8], ring: &Arc<Ring>, key: &[u8], rng: &mut Rng) -> Behaviour {
    let peer = rings::id(2);
    let mut rig = Rig::new(1, ring);
    let mut batch = Vec::new();
    let (op, request) = (7, input);
    Message::Forward { op, request }
        .encode(&mut batch)
        .expect("inputs are short");
    rig.receive(peer, &batch);
    let understood = rig.counters.bad_messages.get() == 0;
    let mut told = told_of(7, &rig.sent);
    let choices = rng.next().to_le_bytes();
    let mut turn = 0;
    rig.answer(
        &mut || {
            turn += 1;
            choices[turn % 8]
        },
        b"",
    );
    told += told_of(7, &rig.sent);
    rig.sent.clear();
    rig.tick(2 * u64::from(MAX_DEADLINE_MS));
    told += told_of(7, &rig.sent);
    assert_eq!(
        told,
        usize::from(understood),
        "understood {understood}, told {told} times"
    );
    let mut signature = rig.end();

    let mut rig = Rig::new(1, ring);
    rig.submit(&self::request(key, 0, b""));
    let (to, batch) = rig.sent.pop().expect("it cannot coordinate itself");
    let Some(Ok(Message::Forward { op, .. })) = Messages::new(&batch).next() else {
        panic!("passed on as something else");
    };
    let mut batch = Vec::new();
    let outcome = input;
    Message::Forwarded { op, outcome }
        .encode(&mut batch)
        .expect("inputs are short");
    let mut replies = Vec::new();
    rig.engine.receive_batch(rig.now, to, &batch, &mut replies);
    for outcome in rig.collect() {
        match outcome.result {
            Ok(done) => signature.size(done.record.map_or(0, |record| record.len())),
            Err(failure) => signature.note(kind(&failure)),
        };
    }
    // If the node asked was not ready, the read has gone to another one, which says nothing.
    rig.tick(2 * u64::from(MAX_DEADLINE_MS));
    assert_eq!(rig.answered.len(), 1);
    signature
        .note(rig.end().behaviour().to_le_bytes())
        .behaviour()
}

/// How often the outcome of this op was sent.
fn told_of(wanted: u64, sent: &[(NodeId, Vec<u8>)]) -> usize {
    let messages = sent
        .iter()
        .flat_map(|(_, batch)| Messages::new(batch))
        .flatten();
    let told = messages
        .filter(|message| matches!(message, Message::Forwarded { op, .. } if *op == wanted));
    told.count()
}

pub(super) const ENGINE: Target = Target {
    name: "engine",
    about: "an engine among hostile peers: every request ends once, every batch is well-formed",
    longest: 2048,
    seeds: engine_seeds,
    tokens: &[&[1, 0, 0], &[1, 0, 4], &[2, 0, 6, 0]],
    make: engine,
};

/// A program: steps, of which the first byte says what, the second with which peer or key, and the
/// rest with which bytes.
/// Nothing can be stamped later. The engine looked for a later stamp for ever, once a peer had
/// answered a read with this.
fn record_at_the_end_of_time() -> Vec<u8> {
    let stamp = Stamp {
        time: HlcTime(u64::MAX),
        actor: ActorId(1),
    };
    let mut record = Vec::new();
    delta::begin(&mut record, stamp, NEVER, b"v");
    record
}

fn engine_seeds() -> Vec<Vec<u8>> {
    let mut records = records::some_records();
    records.push(record_at_the_end_of_time());
    let mut peers = Vec::new();
    for message in bytes::some_messages() {
        let mut batch = vec![1, 2];
        message.encode(&mut batch).expect("within the limits");
        peers.push(batch);
    }
    let mut seeds = vec![join(&peers)];
    for (at, record) in records.iter().enumerate() {
        let key = at as u8 % KEYS.len() as u8;
        let with = |step: &[u8]| [step, record].concat();
        seeds.push(join(&[
            with(&[3, key]),
            vec![0, key, 0],
            with(&[4, 5]),
            vec![5, 1],
            vec![0, key, 2, b'v'],
            with(&[4, 0]),
            vec![6, 2],
            vec![0, key, 0x23, b'w'],
            with(&[4, 1]),
            vec![5, 200],
            vec![6, 2],
            vec![5, 250],
        ]));
    }
    seeds
}

fn engine() -> Run {
    let whole = rings::ring(NODES);
    let smaller = rings::ring(NODES - 1);
    Box::new(move |input, rng| {
        let mut rig = Rig::new(1, &whole);
        for step in parts(input).into_iter().take(64) {
            let (Some(&what), Some(&with)) = (step.first(), step.get(1)) else {
                continue;
            };
            let rest = &step[2..];
            let peer = rings::id(2 + with % (NODES - 1));
            let key = KEYS[usize::from(with) % KEYS.len()];
            match what % 9 {
                0 => {
                    let (choice, value) = rest.split_first().unwrap_or((&0, b""));
                    rig.submit(&request(key, *choice, value));
                }
                1 => rig.receive(peer, rest),
                2 => {
                    rig.engine.receive_replies(rig.now, peer, rest);
                    rig.collect();
                }
                3 => write(&mut rig, peer, key, rest, rng),
                4 => rig.answer(&mut || with.wrapping_add(rng.below(2) as u8), rest),
                5 => rig.tick(u64::from(with) * 8),
                6 => rig.toggle(peer),
                7 => rig.engine.set_filled(with & 1 == 0),
                _ => {
                    let next = if with & 1 == 0 { &whole } else { &smaller };
                    rig.ring = Arc::clone(next);
                    rig.engine.set_ring(Arc::clone(next));
                }
            }
        }
        rig.end().behaviour()
    })
}

/// A peer writes, hands over or repairs a record.
fn write(rig: &mut Rig, peer: NodeId, key: &[u8], record: &[u8], rng: &mut Rng) {
    let hint_for = rng.chance(300).then(|| rings::id(rng.below(6) as u8));
    let message = if rng.chance(200) {
        Message::Repair { key, record }
    } else {
        Message::Write {
            op: rng.next(),
            hint_for,
            key,
            record,
        }
    };
    let mut batch = Vec::new();
    if message.encode(&mut batch).is_ok() {
        rig.receive(peer, &batch);
    }
}

//! Nodes of one ring, each a replica with its anti-entropy, and a network that only counts.

use henge_repair::{
    anti_entropy::{AntiEntropy, Settings, Time},
    reconcile::{Answer, Ask, Replica},
    sketch::SketchKey,
};
use henge_ring::{ChangeId, Endpoints, Log, NodeId, Op, Ring, Weight, Zone};

pub(crate) struct Cluster<R> {
    pub(crate) replicas: Vec<R>,
    pub(crate) machines: Vec<AntiEntropy>,
    pub(crate) ring: Ring,
    pub(crate) now: Time,
    /// Bytes of all messages, and of the records in them.
    pub(crate) bytes: usize,
    pub(crate) record_bytes: usize,
}

pub(crate) fn id(number: usize) -> NodeId {
    NodeId([number as u8 + 1; 16])
}

pub(crate) fn ring(nodes: usize, n: u8, bits: u8) -> Ring {
    let mut log = Log::new();
    let join = |number| Op::Join {
        node: id(number),
        weight: Weight::default(),
        zone: Zone::default(),
        endpoints: Endpoints {
            peer: format!("{number}"),
            resp: String::new(),
            http: String::new(),
        },
    };
    let founding = [Op::Genesis { bits }, Op::SetN { n }];
    let ops = founding.into_iter().chain((0..nodes).map(join));
    let events = log.propose(id(0), ChangeId(1), ops);
    log.extend(events);
    Ring::fold(&log)
}

impl<R: Replica> Cluster<R> {
    pub(crate) fn new(replicas: Vec<R>, n: u8, bits: u8, settings: Settings) -> Self {
        let now = Time {
            mono_ms: 0,
            wall_ms: 1_000_000,
        };
        let key = SketchKey::new(&[1; 32]);
        let machine = |number| AntiEntropy::new(id(number), key.clone(), settings, 1, now);
        Self {
            machines: (0..replicas.len()).map(machine).collect(),
            ring: ring(replicas.len(), n, bits),
            replicas,
            now,
            bytes: 0,
            record_bytes: 0,
        }
    }

    /// Brings the link between two nodes up or down.
    pub(crate) fn link(&mut self, a: usize, b: usize, up: bool) {
        for (node, other) in [(a, b), (b, a)] {
            if up {
                self.machines[node].peer_up(self.now, id(other));
            } else {
                self.machines[node].peer_down(id(other));
            }
        }
    }

    pub(crate) fn link_all(&mut self) {
        let count = self.machines.len();
        (0..count).for_each(|a| (a + 1..count).for_each(|b| self.link(a, b, true)));
    }

    /// Lets time pass, in steps of 100 ms; `passes` decides each question's fate.
    pub(crate) fn run(&mut self, ms: u64, mut passes: impl FnMut(usize, usize) -> bool) {
        for _ in 0..ms / 100 {
            self.now.mono_ms += 100;
            self.now.wall_ms += 100;
            for node in 0..self.machines.len() {
                self.machines[node].tick(self.now, &self.ring, &mut self.replicas[node]);
                while self.deliver(node, &mut passes) {}
            }
        }
    }

    fn deliver(&mut self, node: usize, passes: &mut impl FnMut(usize, usize) -> bool) -> bool {
        let questions = self.machines[node].take_questions();
        let any = !questions.is_empty();
        for (peer, number, question) in questions {
            let to = usize::from(peer.0[0]) - 1;
            let reply = passes(node, to).then(|| {
                self.count_records(&question);
                let (now, ring) = (self.now, &self.ring);
                let replica = &mut self.replicas[to];
                self.machines[to].answer(now, ring, replica, id(node), &question)
            });
            self.bytes += question.len() + reply.as_ref().map_or(0, Vec::len);
            if let Some(Answer::Records { records, .. }) =
                reply.as_ref().and_then(|it| Answer::decode(it).ok())
            {
                self.record_bytes += payload(&records);
            }
            let replica = &mut self.replicas[node];
            self.machines[node].answered(self.now, replica, number, reply.as_deref());
        }
        any
    }

    fn count_records(&mut self, question: &[u8]) {
        if let Ok(Ask::Take { records, .. }) = Ask::decode(question) {
            self.record_bytes += payload(&records);
        }
    }
}

fn payload(records: &henge_repair::reconcile::Records) -> usize {
    records.iter().map(|(k, r)| k.len() + r.len()).sum()
}

impl Cluster<crate::copy::Copy> {
    /// A write that every node gets.
    pub(crate) fn write_all(&mut self, key: &[u8], record: &[u8]) {
        for replica in &mut self.replicas {
            replica.write(key, record);
        }
    }
}

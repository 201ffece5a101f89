//! A cluster of `Swim` machines on a simulated network: every frame takes a millisecond or two,
//! links come and go, nodes die.

use std::collections::BTreeMap;

use henge_membership::{Effect, Swim, SwimPolicy};
use henge_ring::NodeId;

/// What happens to a node.
enum Event {
    Frame { from: usize, frame: Vec<u8> },
    Tick,
    LinkUp(usize),
    LinkDown(usize),
}

/// Some nodes, all linked with each other, and time.
pub(crate) struct Cluster {
    nodes: Vec<Option<Swim>>,
    /// The side of a split that each node is on; -1 while it is dead.
    sides: Vec<i32>,
    queue: BTreeMap<(u64, u64), (usize, Event)>,
    /// When each node's next tick is queued for.
    ticks: Vec<u64>,
    queued: u64,
    rng: u64,
    /// The time, in milliseconds.
    pub(crate) now_ms: u64,
    /// Frames and bytes sent since they were last looked at.
    pub(crate) sent: (u64, u64),
    /// Longest frame so far.
    pub(crate) longest: usize,
    /// Peers whose logs were to be pulled, as (puller, peer).
    pub(crate) pulls: Vec<(usize, usize)>,
}

fn id(node: usize) -> NodeId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(node as u64 + 1).to_be_bytes());
    NodeId(id)
}

fn number(id: NodeId) -> usize {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(bytes) as usize - 1
}

impl Cluster {
    /// So many nodes that start together.
    pub(crate) fn new(count: usize) -> Self {
        let swim = |node| {
            let mut swim = Swim::new(id(node), 1, SwimPolicy::default(), node as u64);
            swim.set_members(count);
            Some(swim)
        };
        let mut cluster = Self {
            nodes: (0..count).map(swim).collect(),
            sides: vec![0; count],
            queue: BTreeMap::new(),
            ticks: vec![u64::MAX; count],
            queued: 0,
            rng: 7,
            now_ms: 0,
            sent: (0, 0),
            longest: 0,
            pulls: Vec::new(),
        };
        for a in 0..count {
            for b in 0..count {
                if a != b {
                    let at = cluster.random(300);
                    cluster.push(at, a, Event::LinkUp(b));
                }
            }
        }
        cluster
    }

    fn random(&mut self, below: u64) -> u64 {
        self.rng = self
            .rng
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.rng >> 33) % below
    }

    fn push(&mut self, at: u64, node: usize, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), (node, event));
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        self.sides[a] == self.sides[b] && self.sides[a] >= 0
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some((&(at, _), _)) = self.queue.first_key_value()
            && at <= end
        {
            let (_, (node, event)) = self.queue.pop_first().expect("it is there");
            self.now_ms = at;
            self.handle(node, event);
        }
        self.now_ms = end;
    }

    /// Lets time pass until something holds; says how long that took, or nothing if `most` was too
    /// short. Looked at every 100 ms.
    pub(crate) fn until(&mut self, most: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let start = self.now_ms;
        while !holds(self) {
            if self.now_ms >= start + most {
                return None;
            }
            self.run(100);
        }
        Some(self.now_ms - start)
    }

    fn handle(&mut self, node: usize, event: Event) {
        let now = self.now_ms;
        let mut effects = Vec::new();
        if self.sides[node] < 0 {
            return;
        }
        let Some(swim) = &mut self.nodes[node] else {
            return;
        };
        match event {
            Event::Frame { from, frame } => {
                swim.receive(id(from), &frame, now, &mut effects)
                    .expect("understood");
            }
            Event::Tick => {
                self.ticks[node] = u64::MAX;
                swim.tick(now, &mut effects);
            }
            Event::LinkUp(peer) => swim.meet(id(peer), now),
            Event::LinkDown(peer) => swim.lost(id(peer), now, &mut effects),
        }
        let deadline = swim.deadline();
        for effect in effects {
            self.carry_out(node, effect);
        }
        if let Some(at) = deadline
            && at < self.ticks[node]
        {
            self.ticks[node] = at;
            self.push(at.max(now), node, Event::Tick);
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Send { to, frame } => {
                let to = number(to);
                if self.linked(node, to) {
                    self.sent.0 += 1;
                    self.sent.1 += frame.len() as u64;
                    self.longest = self.longest.max(frame.len());
                    let at = self.now_ms + 1 + self.random(2);
                    self.push(at, to, Event::Frame { from: node, frame });
                }
            }
            Effect::Pull(peer) => self.pulls.push((node, number(peer))),
            Effect::Up(_) | Effect::Down(_) => {}
        }
    }

    /// A node's process ends; its peers' links end soon.
    pub(crate) fn kill(&mut self, node: usize) {
        self.sides[node] = -1;
        self.announce_links();
    }

    /// Splits the cluster: nodes below `first` see only each other, and so do the rest.
    pub(crate) fn split(&mut self, first: usize) {
        for (node, side) in self.sides.iter_mut().enumerate() {
            if *side >= 0 {
                *side = i32::from(node >= first);
            }
        }
        self.announce_links();
    }

    /// All links come back within two seconds.
    pub(crate) fn heal(&mut self) {
        self.sides
            .iter_mut()
            .filter(|side| **side > 0)
            .for_each(|side| *side = 0);
        for a in 0..self.sides.len() {
            for b in 0..self.sides.len() {
                if a != b {
                    let at = self.now_ms + self.random(2_000);
                    self.push(at, a, Event::LinkUp(b));
                }
            }
        }
    }

    /// One link alone is broken, in both directions, as both ends notice.
    pub(crate) fn notice_broken_link(&mut self, a: usize, b: usize) {
        let at = self.now_ms;
        self.push(at, a, Event::LinkDown(b));
        self.push(at, b, Event::LinkDown(a));
    }

    fn announce_links(&mut self) {
        for a in 0..self.sides.len() {
            for b in 0..self.sides.len() {
                if a != b && self.sides[a] >= 0 && !self.linked(a, b) {
                    let at = self.now_ms + self.random(1_500);
                    self.push(at, a, Event::LinkDown(b));
                }
            }
        }
    }

    /// A node's event log changed.
    pub(crate) fn set_digest(&mut self, node: usize, digest: u64) {
        if let Some(swim) = &mut self.nodes[node] {
            swim.set_digest(digest);
        }
    }

    /// Whether `node` holds `other` to be up.
    pub(crate) fn sees(&self, node: usize, other: usize) -> bool {
        let swim = self.nodes[node].as_ref();
        swim.is_some_and(|swim| swim.is_up(id(other)) == Some(true))
    }

    /// Whether each living node sees exactly those of its side.
    pub(crate) fn agrees(&self) -> bool {
        let all = 0..self.sides.len();
        all.clone().filter(|a| self.sides[*a] >= 0).all(|a| {
            let mut others = all.clone().filter(|b| *b != a);
            others.all(|b| self.sees(a, b) == self.linked(a, b))
        })
    }
}

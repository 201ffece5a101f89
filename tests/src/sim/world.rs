//! The simulated cluster: nodes, network and time. It decides nothing about clients or faults; a
//! [`Run`](super::run::Run) or a scenario does.

use std::sync::{Arc, Mutex};

use henge_node::Outcome;
use henge_ring::{ChangeId, Log, NodeId, Op, Ring};
use henge_store::Key;

use super::{
    ask::Ask,
    marks::{Mark, Marks},
    network::{Network, Weather},
    node::{
        Convergence, Input, Node, Output, defaults, endpoints_of, founding, join_of, node_ids,
        return_of,
    },
    plan::Change,
    planted::{Planted, host, messages},
    principals::OwnStep,
    queue::Queue,
    rng::Rng,
    trace::Trace,
    watched::Observed,
};
use crate::history::Micros;

mod clocks;
mod inputs;
mod mistakes;

use inputs::{asks_to_coordinate, text_of};

/// How a cluster is made.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where its randomness comes from.
    pub seed: u64,
    /// Replicas of each key.
    pub n: u8,
    /// How far each node's wall clock is off; one entry per node, those that join later included.
    pub skew_ms: Vec<i64>,
    /// How many of the nodes found the cluster.
    pub founders: usize,
    /// From how many members of a set a newcomer pulls.
    pub sources: u8,
    /// How messages fare.
    pub weather: Weather,
    /// How long it takes a node to notice that a link is dead.
    pub detect: Micros,
    /// How long it takes to connect again.
    pub reconnect: Micros,
    /// How often a node looks at its deadlines.
    pub tick: Micros,
    /// Whether the trace keeps its text.
    pub keep_text: bool,
    /// The mistake made on purpose.
    pub planted: Option<Planted>,
    /// What brings replicas together.
    pub convergence: Convergence,
}

/// Something for whoever drives the cluster.
#[derive(Debug)]
pub enum Notice<A> {
    /// A request ended.
    Completed {
        /// The node that was asked.
        node: usize,
        /// The request's number.
        token: u64,
        /// How.
        outcome: Box<Outcome>,
    },
    /// A time came that the driver had asked for.
    Alarm(A),
}

enum Event<A> {
    /// Something reaches a node's process of this boot.
    Reach(usize, u64, Input),
    Tick(usize, u64),
    /// Time to see whether the link of a pair should be up.
    Link(usize, usize),
    Alarm(A),
}

/// A simulated cluster. `A` is what its driver wants to be reminded of.
pub struct World<A> {
    /// The time.
    pub now: Micros,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What happened, in short.
    pub marks: Marks,
    /// What happened, in full.
    pub trace: Trace,
    /// What stores showed.
    pub observed: Arc<Mutex<Observed>>,
    setting: Setting,
    /// All events that anybody has proposed, and what they fold to.
    log: Log,
    founding: Log,
    ring: Arc<Ring>,
    /// Nodes that never come back.
    gone: Vec<usize>,
    ids: Vec<NodeId>,
    network: Network,
    queue: Queue<Event<A>>,
    rng: Rng,
    /// Ended requests that the driver has not yet been told of.
    ended: std::collections::VecDeque<(usize, u64, Box<Outcome>)>,
}

impl<A> World<A> {
    /// A cluster whose nodes start at once and find each other a moment later.
    pub fn new(setting: Setting) -> Self {
        let count = setting.skew_ms.len();
        let ids = node_ids(count);
        let log = founding(&ids[..setting.founders], setting.n);
        let ring = Arc::new(Ring::fold(&log));
        let observed = Arc::default();
        let planted = setting.planted;
        let sources = match planted {
            Some(Planted::OneSource) => 1,
            _ => setting.sources,
        };
        let nodes = ids.iter().zip(&setting.skew_ms).enumerate();
        let nodes = nodes.map(|(number, (id, skew))| {
            let off = planted.filter(|_| number == 1).map(Planted::clock_off_ms);
            let skew = skew + off.unwrap_or(0);
            let convergence = setting.convergence;
            Node::new(
                *id,
                ring.clone(),
                skew,
                convergence,
                sources,
                planted,
                &observed,
            )
        });
        let mut world = Self {
            now: 0,
            nodes: nodes.collect(),
            marks: Marks::default(),
            trace: Trace::new(setting.keep_text),
            observed,
            founding: log.clone(),
            log,
            ring,
            gone: Vec::new(),
            ids,
            network: Network::new(count),
            queue: Queue::default(),
            rng: Rng::new(setting.seed),
            ended: std::collections::VecDeque::new(),
            setting,
        };
        for node in 0..world.setting.founders {
            world.nodes[node].transition.found(&world.founding, 0);
            world.start(node);
        }
        world
    }

    /// The cluster's ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Somebody decides, at a node that is alive, what changes the ring.
    pub fn change(&mut self, change: &Change) {
        let alive: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].is_running() && !self.gone.contains(node))
            .collect();
        if alive.is_empty() {
            return;
        }
        let at = *self.rng.pick(&alive);
        let known = match change {
            // Whoever takes a leave back has heard of it.
            Change::Return(_) => self.log.clone(),
            _ => self.nodes[at].transition.log().unwrap_or_default(),
        };
        let (proposer, op, starts) = match *change {
            Change::Join(node) => (node, join_of(self.ids[node]), Some(node)),
            Change::Leave(node) => (
                node,
                Op::Leave {
                    node: self.ids[node],
                },
                None,
            ),
            Change::Return(node) => (node, return_of(self.ids[node]), None),
            Change::Replace(old, new) => {
                let op = Op::Replace {
                    old: self.ids[old],
                    new: self.ids[new],
                    endpoints: endpoints_of(self.ids[new]),
                };
                self.gone.push(old);
                if self.nodes[old].is_alive() {
                    self.crash(old);
                }
                (new, op, Some(new))
            }
        };
        let name = ChangeId(100 + self.log.len() as u64);
        let mut log = known;
        let events = log.propose(self.ids[proposer], name, [op]);
        log.extend(events);
        self.log.union(&log);
        self.ring = Arc::new(self.ring.advance(&self.log));
        if let Some(node) = starts {
            self.nodes[node]
                .transition
                .found(&self.founding, self.now / 1000);
            self.start(node);
        }
        self.nodes[starts.unwrap_or(at)].transition.learn(&log);
    }

    /// Whether a node is never to come back.
    pub fn is_gone(&self, node: usize) -> bool {
        self.gone.contains(&node)
    }

    /// Whether the ring has changed since the beginning.
    pub fn has_changed(&self) -> bool {
        self.log != self.founding
    }

    /// Whether every partition has one set again, as far as every node knows.
    pub fn is_settled(&self) -> bool {
        let settled = |node: &Node| {
            let status = node.transition.status();
            status.in_motion == 0 && status.to_pull == 0
        };
        let tag = self.log.tag();
        let knows = |node: &Node| node.transition.log().is_some_and(|log| log.tag() == tag);
        let mut running = self.nodes.iter().filter(|node| node.is_running());
        running.all(|node| settled(node) && knows(node))
    }

    /// The nodes that own a key, in the ring's order.
    pub fn owners(&self, key: &str) -> Vec<usize> {
        let partition = self.ring.partition_of(Key::new(key.as_bytes()).token);
        let primaries = self.ring.primaries(partition).iter();
        primaries
            .map(|index| self.number(self.ring.member(*index).id))
            .collect()
    }

    /// A node's number by its id.
    ///
    /// # Panics
    /// If there is no such node: ids come from the ring, which has no others.
    pub fn number(&self, id: NodeId) -> usize {
        self.ids
            .iter()
            .position(|known| *known == id)
            .expect("ids come from the ring")
    }

    /// Reminds the driver.
    pub fn alarm(&mut self, at: Micros, alarm: A) {
        self.queue.push(at, Event::Alarm(alarm));
    }

    /// Runs until something concerns the driver, at most until `until`.
    pub fn next(&mut self, until: Micros) -> Option<Notice<A>> {
        loop {
            if let Some((node, token, outcome)) = self.ended.pop_front() {
                return Some(Notice::Completed {
                    node,
                    token,
                    outcome,
                });
            }
            let Some((at, event)) = self.queue.pop_until(until) else {
                self.now = self.now.max(until);
                return None;
            };
            self.now = at;
            match event {
                Event::Alarm(alarm) => return Some(Notice::Alarm(alarm)),
                Event::Reach(node, boot, input) if self.nodes[node].boot == boot => {
                    self.reach(node, input);
                }
                Event::Tick(node, boot) if self.nodes[node].boot == boot => {
                    self.queue
                        .push(at + self.setting.tick, Event::Tick(node, boot));
                    if self.nodes[node].is_running() {
                        if self.nodes[node].clock.is_due(at) {
                            self.compare_clocks(node);
                        }
                        self.reach(node, Input::Tick);
                    }
                }
                Event::Link(a, b) => self.check_link(a, b),
                Event::Reach(..) | Event::Tick(..) => {}
            }
        }
    }

    /// A client asks a node. Says whether there was a process to ask.
    pub fn ask(&mut self, node: usize, mut ask: Ask, token: u64) -> bool {
        if let Some(planted) = self.setting.planted {
            let asked = &self.nodes[node];
            let held = asked.store.record(ask.key.as_bytes());
            host::understand(planted, &mut ask, held.as_deref(), asked.clock.skew_ms);
        }
        let alive = self.nodes[node].is_alive();
        if alive {
            self.reach(node, Input::Ask(Box::new(ask), token));
        }
        alive
    }

    /// A door takes a step of an operation on a user's sessions. Says whether there was a process to ask.
    pub(super) fn ask_own(&mut self, node: usize, step: OwnStep, token: u64) -> bool {
        let alive = self.nodes[node].is_alive();
        if alive {
            let input = Input::AskOwn {
                step: Box::new(step),
                token,
                forgets_owner: self.setting.planted == Some(Planted::OwnerForgotten),
            };
            self.reach(node, input);
        }
        alive
    }

    /// From now on messages fare like this.
    pub fn set_weather(&mut self, weather: Weather) {
        self.setting.weather = weather;
    }

    /// Cuts paths, each in one direction.
    pub fn cut(&mut self, paths: &[(usize, usize)]) {
        for (from, to) in paths {
            self.network.cut(*from, *to);
            self.look_at_link(*from, *to);
        }
    }

    /// Mends paths that were cut.
    pub fn mend(&mut self, paths: &[(usize, usize)]) {
        for (from, to) in paths {
            self.network.mend(*from, *to);
            self.look_at_link(*from, *to);
        }
    }

    /// A node's process dies. Its peers notice at once, or only when nothing answers any more.
    pub fn crash(&mut self, node: usize) {
        self.note(node, b'x', "dies");
        self.nodes[node].crash();
        for other in self.others(node) {
            self.look_at_link(node, other);
        }
    }

    /// A node's process starts.
    pub fn start(&mut self, node: usize) {
        self.note(node, b's', "starts");
        if self.nodes[node].boot > 0 && self.setting.planted.is_some_and(Planted::wipes) {
            self.nodes[node].forget(&self.observed);
        }
        self.nodes[node].start(self.now, defaults(self.setting.n));
        let first = self.now + self.rng.below(self.setting.tick);
        self.queue
            .push(first, Event::Tick(node, self.nodes[node].boot));
        for other in self.others(node) {
            if self.network.is_up(node, other) {
                self.flip_link(node, other, false);
            }
            self.look_at_link(node, other);
        }
    }

    /// A node stands still: what reaches it waits.
    pub fn pause(&mut self, node: usize) {
        if self.nodes[node].is_running() {
            self.note(node, b'p', "stands still");
            self.nodes[node].waiting = Some(std::collections::VecDeque::new());
            for other in self.others(node) {
                self.look_at_link(node, other);
            }
        }
    }

    /// It goes on with what waits.
    pub fn resume(&mut self, node: usize) {
        let Some(waiting) = self.nodes[node].waiting.take() else {
            return;
        };
        self.note(node, b'g', "goes on");
        for input in waiting {
            self.reach(node, input);
        }
        for other in self.others(node) {
            self.look_at_link(node, other);
        }
    }

    fn others(&self, node: usize) -> impl Iterator<Item = usize> + use<A> {
        (0..self.nodes.len()).filter(move |other| *other != node)
    }

    fn note(&mut self, node: usize, what: u8, text: &str) {
        self.trace
            .event(self.now, node, what, &[], || text.to_owned());
    }

    /// An input reaches a node that has a process.
    fn reach(&mut self, node: usize, mut input: Input) {
        if let Some(waiting) = &mut self.nodes[node].waiting {
            waiting.push_back(input);
            return;
        }
        if let Input::Replies {
            from, generation, ..
        }
        | Input::Answer {
            from, generation, ..
        }
        | Input::CallAnswer {
            from, generation, ..
        } = input
            && (generation != self.network.generation(node, from)
                || !self.network.is_up(node, from))
        {
            return; // their connection is gone
        }
        // A link pings as soon as it is up.
        if let Input::Up(_) = input {
            self.compare_clocks(node);
        }
        self.record(node, &input);
        let mut output = Output::default();
        let ids = &self.ids;
        if let (Some(planted), Input::Batch { bytes, .. }) = (self.setting.planted, &mut input) {
            let (late, replies) = (node >= self.setting.founders, &mut output.replies);
            let passed = messages::receive(planted, &self.nodes[node], late, bytes, replies);
            *bytes = passed.unwrap_or_default();
        }
        self.nodes[node].handle(self.now, &input, |peer| ids[peer], &mut output);
        if let Some(planted) = self.setting.planted {
            self.spoil(planted, node, &input, &mut output);
        }
        if let Input::Batch {
            from, generation, ..
        } = input
            && !output.replies.is_empty()
        {
            let replies = std::mem::take(&mut output.replies);
            self.send(
                node,
                from,
                Input::Replies {
                    from: node,
                    generation,
                    bytes: replies,
                },
            );
        }
        self.send_repair(node, &input, &mut output);
        if let Input::Call {
            from,
            generation,
            call,
            ..
        } = input
        {
            let answer = Input::CallAnswer {
                from: node,
                generation,
                call,
                bytes: std::mem::take(&mut output.call_answer),
            };
            self.send(node, from, answer);
        }
        for (to, call, bytes) in std::mem::take(&mut output.calls) {
            let to = self.number(to);
            let question = Input::Call {
                from: node,
                generation: self.network.generation(node, to),
                call,
                bytes,
            };
            self.send(node, to, question);
        }
        for (to, bytes) in output.batches {
            let to = self.number(to);
            let generation = self.network.generation(node, to);
            self.send(
                node,
                to,
                Input::Batch {
                    from: node,
                    generation,
                    bytes,
                },
            );
        }
        for (ticket, outcome) in output.completions {
            self.ended
                .push_back((node, ticket.token, Box::new(outcome)));
        }
    }

    /// What anti-entropy asks and answers sets out.
    fn send_repair(&mut self, node: usize, input: &Input, output: &mut Output) {
        if let Input::Question {
            from,
            generation,
            number,
            ..
        } = *input
            && !output.answer.is_empty()
        {
            let answer = Input::Answer {
                from: node,
                generation,
                number,
                bytes: std::mem::take(&mut output.answer),
            };
            self.send(node, from, answer);
        }
        for (to, number, bytes) in std::mem::take(&mut output.questions) {
            let to = self.number(to);
            let question = Input::Question {
                from: node,
                generation: self.network.generation(node, to),
                number,
                bytes,
            };
            self.send(node, to, question);
        }
    }

    /// A message sets out.
    fn send(&mut self, from: usize, to: usize, message: Input) {
        if !self.network.is_up(from, to) || !self.network.passes(from, to) {
            return;
        }
        let is_call = matches!(message, Input::Call { .. } | Input::CallAnswer { .. });
        if is_call && !self.network.informs(from, to) {
            return;
        }
        let fate = self.setting.weather.fate(&mut self.rng);
        if fate.held_up {
            self.marks.hit(Mark::MessageOvertaken);
        }
        let boot = self.nodes[to].boot;
        let Some(first) = fate.first else {
            if let (Some(Planted::LostCountsAsKept), Input::Batch { bytes, .. }) =
                (self.setting.planted, &message)
            {
                self.tell_again(from, to, messages::as_if_kept(bytes));
            }
            return self.marks.hit(Mark::MessageLost);
        };
        let repeats = self.setting.planted == Some(Planted::ForwardRepeated);
        if let Some(second) = fate.second
            && (repeats || !asks_to_coordinate(&message))
        {
            self.marks.hit(Mark::MessageDoubled);
            self.queue
                .push(self.now + second, Event::Reach(to, boot, message.clone()));
        }
        self.queue
            .push(self.now + first, Event::Reach(to, boot, message));
    }

    /// Cuts a node's control plane, or mends it.
    pub(super) fn inform(&mut self, node: usize, informed: bool) {
        self.network.inform(node, informed);
    }

    /// Something changed between two nodes: in a while they will notice.
    fn look_at_link(&mut self, a: usize, b: usize) {
        let wait = if self.can_connect(a, b) {
            self.rng
                .between(self.setting.reconnect / 2, self.setting.reconnect)
        } else if self.rng.chance(500) && !(self.nodes[a].is_alive() && self.nodes[b].is_alive()) {
            self.rng.between(100, 5000) // the dead process's machine says so
        } else {
            self.rng
                .between(self.setting.detect / 2, self.setting.detect)
        };
        self.queue.push(self.now + wait, Event::Link(a, b));
    }

    fn can_connect(&self, a: usize, b: usize) -> bool {
        self.network.connects(a, b) && self.nodes[a].is_running() && self.nodes[b].is_running()
    }

    fn check_link(&mut self, a: usize, b: usize) {
        let up = self.can_connect(a, b);
        if up != self.network.is_up(a, b) {
            self.flip_link(a, b, up);
        }
    }

    /// Both ends are told, those that live.
    fn flip_link(&mut self, a: usize, b: usize, up: bool) {
        self.network.set_up(a, b, up);
        if !up {
            self.marks.hit(Mark::LinkDown);
        }
        for (node, other) in [(a, b), (b, a)] {
            let boot = self.nodes[node].boot;
            let input = if up {
                Input::Up(other)
            } else {
                Input::Down(other)
            };
            if self.nodes[node].is_alive() {
                self.queue.push(self.now, Event::Reach(node, boot, input));
            }
        }
    }

    /// Takes the input down in the trace.
    fn record(&mut self, node: usize, input: &Input) {
        let step;
        let (what, bytes): (u8, &[u8]) = match input {
            Input::Tick => return,
            Input::Batch { bytes, .. } => (b'b', bytes),
            Input::Replies { bytes, .. } => (b'r', bytes),
            Input::Up(_) => (b'u', &[]),
            Input::Down(_) => (b'd', &[]),
            Input::Ask(ask, _) => (b'a', ask.key.as_bytes()),
            Input::AskOwn { token, .. } => {
                step = token.to_le_bytes();
                (b'o', &step)
            }
            Input::Question { bytes, .. } => (b'q', bytes),
            Input::Call { bytes, .. } => (b'c', bytes),
            Input::CallAnswer { bytes, .. } => (b'e', bytes),
            Input::Answer { bytes, .. } => (b'w', bytes),
        };
        self.trace
            .event(self.now, node, what, bytes, || text_of(input));
    }
}

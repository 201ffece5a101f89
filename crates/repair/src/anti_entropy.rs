//! Anti-entropy of one node: when which partition is reconciled with whom, and how far it has come.
//!
//! Replicas that missed something, whatever the reason, become equal again without anybody reading
//! or writing the keys. Each node does this with every peer:
//!
//! * **A round**, every [`Settings::interval_ms`] or so: roll-ups of all shared partitions, in
//!   pages; a [session](crate::reconcile) for each that differs. Rounds of different peers are
//!   spread out by chance.
//! * **Catching up**, when the link to a peer is back: sessions that begin with the peer's log for
//!   all partitions in which we know how far we had come, roll-ups for the others. Both ends do so:
//!   each pulls. A moment passes before, in which hints bring most of it.
//! * **At once** for partitions whose hints were given up ([`AntiEntropy::compare_soon`]).
//! * **Offers** to the owners of partitions that this node holds records of without being a replica:
//!   what it kept as a fallback and whose hints are lost. What an owner has been offered is not
//!   offered to it again until something changes here.
//!
//! A machine without I/O. The driver calls [`tick`](AntiEntropy::tick) every so often,
//! [`peer_up`](AntiEntropy::peer_up) and [`peer_down`](AntiEntropy::peer_down) as links come and go,
//! [`answer`](AntiEntropy::answer) for peers' questions, and after each of them sends what
//! [`take_questions`](AntiEntropy::take_questions) gives and brings the answers to
//! [`answered`](AntiEntropy::answered). The store is an argument of each call.
//!
//! Bounds: so many exchanges at a time, one for a partition; so many bytes a second
//! ([`Throttle`]); a question that is not answered in time ends its session, and the
//! next round begins another. The instants of all sessions are this node's wall clock, and a peer whose clock
//! is further off than [`Settings::clocks_ms`] is not answered, since the two could not agree on
//! what counts.

use std::collections::{BTreeMap, BTreeSet};

use henge_ring::{NodeId, Partition, Ring};

use crate::{
    Throttle,
    reconcile::{
        Answer, Answering, Ask, Begin, Compared, Findings, Local, Mark, Next, Refusal, Replica,
        Session, Words, answer, limits,
    },
    sketch::SketchKey,
    snapshot::{DigestRule, Snapshots},
};

mod round;
use round::Round;

mod progress;
pub use progress::{PeerProgress, Totals};

mod offer;
use offer::Offer;

/// How anti-entropy goes about it. All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the beginning of one round with a peer to that of the next, give or take a quarter.
    pub interval_ms: u64,
    /// From a link's coming up to catching up over it.
    pub pause_ms: u64,
    /// How long a peer may take to answer one question.
    pub patience_ms: u64,
    /// How far the asker's clock may be from the answerer's. It must be less than the time that
    /// replicas keep records beyond the instant at which those may go.
    pub clocks_ms: u64,
    /// What may be removed so soon is not compared.
    pub margin_ms: u64,
    /// Exchanges under way at a time.
    pub at_once: usize,
    /// Most bytes moved a second, both ways together.
    pub bytes_per_s: u32,
    /// Records in the snapshots that are kept.
    pub snapshot_members: usize,
}

impl Default for Settings {
    /// A round a minute; 32 MiB/s, a quarter of a gigabit link; snapshots of a quarter of a million
    /// records, 12 MiB.
    fn default() -> Self {
        Self {
            interval_ms: 60_000,
            pause_ms: 2_000,
            patience_ms: 10_000,
            clocks_ms: 30_000,
            margin_ms: 10_000,
            at_once: 8,
            bytes_per_s: 32 << 20,
            snapshot_members: 1 << 18,
        }
    }
}

/// The two clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Monotonic.
    pub mono_ms: u64,
    /// Since 1970.
    pub wall_ms: u64,
}

/// A question under way.
struct Running {
    peer: NodeId,
    partition: Option<Partition>,
    task: Task,
    sent_ms: u64,
    bytes: usize,
}

enum Task {
    RollUps(Vec<Partition>),
    Session(Box<Session>),
    Offer(Offer),
}

/// See the [module](self).
pub struct AntiEntropy {
    me: NodeId,
    settings: Settings,
    snapshots: Snapshots,
    throttle: Throttle,
    rounds: BTreeMap<NodeId, Round>,
    /// Up to where this node is level with its peers.
    marks: BTreeMap<(NodeId, Partition), Mark>,
    /// Up to where of this node's own log it has offered what it holds for others.
    offered: BTreeMap<(NodeId, Partition), Mark>,
    /// To be compared, or offered, before the next round.
    soon: BTreeSet<(NodeId, Partition)>,
    /// Whose records move by another way.
    moving: BTreeSet<Partition>,
    /// Those that moved since all were last at rest.
    moved: BTreeSet<Partition>,
    running: BTreeMap<u64, Running>,
    busy: BTreeSet<Partition>,
    next_number: u64,
    questions: Vec<(NodeId, u64, Vec<u8>)>,
    random: u64,
    totals: Totals,
    /// Whose turn it is: work is taken from one peer after the other.
    turn: usize,
}

impl AntiEntropy {
    /// Of this node. `seed` spreads the rounds of different nodes.
    pub fn new(me: NodeId, key: SketchKey, settings: Settings, seed: u64, now: Time) -> Self {
        let rule = DigestRule {
            margin_ms: settings.margin_ms,
        };
        Self {
            me,
            settings,
            snapshots: Snapshots::new(key, rule, settings.snapshot_members),
            throttle: Throttle::new(settings.bytes_per_s, now.mono_ms),
            rounds: BTreeMap::new(),
            marks: BTreeMap::new(),
            offered: BTreeMap::new(),
            soon: BTreeSet::new(),
            moving: BTreeSet::new(),
            moved: BTreeSet::new(),
            running: BTreeMap::new(),
            busy: BTreeSet::new(),
            next_number: 0,
            questions: Vec::new(),
            random: seed,
            totals: Totals::default(),
            turn: 0,
        }
    }

    /// The link to a peer came up.
    pub fn peer_up(&mut self, now: Time, peer: NodeId) {
        let pause = self.settings.pause_ms;
        let pause = pause + self.chance(pause / 4);
        let round = self.rounds.entry(peer).or_default();
        round.came_up(now.mono_ms + pause);
    }

    /// The link to a peer went down: what was under way with it is over.
    pub fn peer_down(&mut self, peer: NodeId) {
        if let Some(round) = self.rounds.get_mut(&peer) {
            round.went_down();
        }
        let lost = self.running.iter().filter(|(_, it)| it.peer == peer);
        let lost: Vec<u64> = lost.map(|(number, _)| *number).collect();
        lost.into_iter().for_each(|number| drop(self.end(number)));
    }

    /// A replica of this partition may lack records of which nothing else reminds this node: it is
    /// compared with the peer as soon as it can be reached.
    pub fn compare_soon(&mut self, peer: NodeId, partition: Partition) {
        self.soon.insert((peer, partition));
    }

    /// The partitions whose replica set is changing. Their records are brought to newcomers by the
    /// transfer, which knows what each source has sent; comparing them meanwhile would move them twice.
    /// When all are at rest they are compared.
    pub fn set_moving(&mut self, moving: BTreeSet<Partition>) {
        if moving == self.moving {
            return;
        }
        for round in self.rounds.values_mut() {
            round.leave_out(&moving);
        }
        self.moved.extend(&moving);
        self.moving = moving;
    }

    /// Begins a round with every peer that can be reached, now.
    pub fn start_round(&mut self, now: Time) {
        let reachable = self.rounds.values_mut().filter(|round| round.is_up);
        reachable.for_each(|round| round.due_ms = now.mono_ms);
    }

    /// Begins what is due, and gives up what was not answered in time.
    pub fn tick(&mut self, now: Time, ring: &Ring, replica: &mut dyn Replica) {
        let late = |running: &Running| running.sent_ms + self.settings.patience_ms <= now.mono_ms;
        let late: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, it)| late(it))
            .map(|(number, _)| *number)
            .collect();
        late.into_iter().for_each(|number| self.failed(number));
        self.end_rounds();
        self.begin_rounds(now, ring, replica);
        self.take_up_what_is_owed(ring);
        self.take_up_what_moved(ring);
        self.begin_exchanges(now, replica);
    }

    /// Answers a peer's question.
    pub fn answer(
        &mut self,
        now: Time,
        ring: &Ring,
        replica: &mut dyn Replica,
        from: NodeId,
        question: &[u8],
    ) -> Vec<u8> {
        let answer = match Ask::decode(question) {
            Err(_) => Answer::Refused(Refusal::Malformed),
            Ok(ask) if ask.at_ms().abs_diff(now.wall_ms) > self.settings.clocks_ms => {
                Answer::Refused(Refusal::Clocks)
            }
            Ok(ask) if !self.may_ask(ring, from, &ask) => Answer::Refused(Refusal::NotShared),
            Ok(ask) => {
                let snapshots = &mut self.snapshots;
                let answer = answer(ask, &mut Answering { replica, snapshots });
                if let Answer::Taken { kept, .. } = answer {
                    self.totals.repaired += u64::from(kept);
                }
                answer
            }
        };
        let bytes = answer.encode();
        self.totals.bytes_in += question.len() as u64;
        self.totals.bytes_out += bytes.len() as u64;
        bytes
    }

    /// Whether this node owns all of what is asked about, and, unless the asker brings something, so
    /// does the asker and nothing of it moves.
    fn may_ask(&self, ring: &Ring, from: NodeId, ask: &Ask) -> bool {
        let owns = |node, partition| round::owners(ring, partition).any(|owner| owner == node);
        let brings = matches!(ask, Ask::Offer { .. } | Ask::Take { .. });
        ask.partitions().all(|partition| {
            let rests = !self.moving.contains(&partition);
            partition.index() < ring.partitions().len()
                && owns(self.me, partition)
                && (brings || rests && owns(from, partition))
        })
    }

    /// Questions to be sent, each with the number that its answer is to be given with.
    pub fn take_questions(&mut self) -> Vec<(NodeId, u64, Vec<u8>)> {
        std::mem::take(&mut self.questions)
    }

    /// The answer to a question; `None`: there is none, and will be none.
    pub fn answered(
        &mut self,
        now: Time,
        replica: &mut dyn Replica,
        number: u64,
        bytes: Option<&[u8]>,
    ) {
        let Some(answer) = bytes.and_then(|bytes| Answer::decode(bytes).ok()) else {
            return self.failed(number);
        };
        let Some(mut running) = self.end(number) else {
            return; // it came too late
        };
        let came = bytes.map_or(0, <[u8]>::len);
        self.totals.bytes_in += came as u64;
        self.throttle.take(running.bytes + came);
        let (peer, partition) = (running.peer, running.partition);
        let next = match &mut running.task {
            Task::RollUps(asked) => {
                if self.roll_ups_came(peer, asked, &answer).is_none() {
                    self.disturbed(peer);
                }
                None
            }
            Task::Session(session) => {
                let snapshots = &mut self.snapshots;
                match session.handle(answer, &mut Local { replica, snapshots }) {
                    Ok(Next::Ask(ask)) => Some(ask),
                    Ok(Next::Done(findings)) => {
                        self.session_done(peer, session.partition(), &findings);
                        None
                    }
                    Err(_) => {
                        self.disturbed(peer);
                        None
                    }
                }
            }
            Task::Offer(offer) => match offer.answered(&answer, replica) {
                Some(offer::Step::Ask(ask)) => Some(ask),
                Some(offer::Step::Done { level, pushed }) => {
                    self.totals.pushed += pushed;
                    self.offered.insert((peer, offer.partition()), level);
                    None
                }
                None => {
                    self.disturbed(peer);
                    None
                }
            },
        };
        match next {
            Some(ask) => self.ask(now, peer, partition, running.task, &ask),
            None => {
                self.end_rounds();
                self.begin_exchanges(now, replica);
            }
        }
    }

    /// How far it has come with each peer.
    pub fn progress(&self, now: Time) -> Vec<PeerProgress> {
        let of_peer = |(peer, round): (&NodeId, &Round)| PeerProgress {
            peer: *peer,
            is_up: round.is_up,
            left: round.left() as u64 + self.running_with(*peer) as u64,
            round_age_ms: round.age_ms(now.mono_ms),
            next_in_ms: round.due_ms.saturating_sub(now.mono_ms),
        };
        self.rounds.iter().map(of_peer).collect()
    }

    /// What it has done since the node's start.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn running_with(&self, peer: NodeId) -> usize {
        self.running.values().filter(|it| it.peer == peer).count()
    }

    /// Up to `most`, drawn from the seed (a SplitMix64 step).
    fn chance(&mut self, most: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 29) % (most + 1)
    }

    fn begin_rounds(&mut self, now: Time, ring: &Ring, replica: &dyn Replica) {
        let rounds = self.rounds.iter();
        let due = rounds.filter(|(_, round)| round.is_due(now.mono_ms));
        let due: Vec<NodeId> = due.map(|(peer, _)| *peer).collect();
        for peer in due {
            let jitter = self.chance(self.settings.interval_ms / 2);
            let interval = self.settings.interval_ms * 3 / 4 + jitter;
            let Some(round) = self.rounds.get_mut(&peer) else {
                continue;
            };
            let marks = &self.marks;
            round.begin(now.mono_ms, interval, ring, self.me, peer, |partition| {
                marks.contains_key(&(peer, partition))
            });
            let (life, offered) = (replica.life(), &self.offered);
            round.offer = round::offers(ring, self.me, peer, |partition| {
                let position = replica.log_end(partition);
                position > 0 && offered.get(&(peer, partition)) != Some(&Mark { life, position })
            });
            round.leave_out(&self.moving);
        }
    }

    /// Sorts what is to be compared soon by what this node can do about it.
    fn take_up_what_is_owed(&mut self, ring: &Ring) {
        for (peer, partition) in std::mem::take(&mut self.soon) {
            let exists = partition.index() < ring.partitions().len();
            let owns = |node| exists && round::owners(ring, partition).any(|owner| owner == node);
            if !owns(peer) {
                continue;
            }
            let round = self.rounds.entry(peer).or_default();
            if owns(self.me) {
                round.compare.insert(partition);
            } else {
                self.offered.remove(&(peer, partition));
                round.offer.insert(partition);
            }
        }
    }

    /// Once nothing moves any more, what did is compared among those who own it now.
    fn take_up_what_moved(&mut self, ring: &Ring) {
        if self.moved.is_empty() || !self.moving.is_empty() {
            return;
        }
        let exist = |partition: &Partition| partition.index() < ring.partitions().len();
        for partition in std::mem::take(&mut self.moved).into_iter().filter(exist) {
            if round::owners(ring, partition).all(|owner| owner != self.me) {
                continue;
            }
            let others = round::owners(ring, partition).filter(|owner| *owner != self.me);
            for peer in others {
                self.rounds
                    .entry(peer)
                    .or_default()
                    .compare
                    .insert(partition);
            }
        }
    }

    /// Begins as many exchanges as may go.
    fn begin_exchanges(&mut self, now: Time, replica: &mut dyn Replica) {
        while self.running.len() < self.settings.at_once
            && self.throttle.is_open(now.mono_ms)
            && self.begin_next(now, replica)
        {}
    }

    /// Begins one exchange more, if there is anything to do.
    fn begin_next(&mut self, now: Time, replica: &mut dyn Replica) -> bool {
        let peers: Vec<NodeId> = self.rounds.keys().copied().collect();
        for step in 0..peers.len() {
            let peer = peers[(self.turn + step) % peers.len()];
            if self.begin_with(now, replica, peer) {
                self.turn = (self.turn + step + 1) % peers.len();
                return true;
            }
        }
        false
    }

    fn begin_with(&mut self, now: Time, replica: &mut dyn Replica, peer: NodeId) -> bool {
        let Some(round) = self
            .rounds
            .get_mut(&peer)
            .filter(|it| it.may_go(now.mono_ms))
        else {
            return false;
        };
        let at_ms = now.wall_ms;
        let free = |partition: &Partition| !self.busy.contains(partition);
        let snapshots = &mut self.snapshots;
        if let Some(partition) = round::take_first(&mut round.catch_up, free) {
            let mark = self.marks.get(&(peer, partition)).copied();
            let how = mark.map_or(Begin::Sketch, Begin::Log);
            let mut local = Local { replica, snapshots };
            let (session, ask) = Session::begin(partition, at_ms, how, &mut local);
            let task = Task::Session(Box::new(session));
            self.ask(now, peer, Some(partition), task, &ask);
        } else if let Some(partition) = round::take_first(&mut round.differing, free) {
            let mut local = Local { replica, snapshots };
            let (session, ask) = Session::begin(partition, at_ms, Begin::Sketch, &mut local);
            let task = Task::Session(Box::new(session));
            self.ask(now, peer, Some(partition), task, &ask);
        } else if let Some(partition) = round::take_first(&mut round.offer, free) {
            let (offer, ask) = Offer::begin(partition, at_ms, snapshots.rule(), replica);
            self.ask(now, peer, Some(partition), Task::Offer(offer), &ask);
        } else if !round.compare.is_empty() {
            let page = round::take_some(&mut round.compare, limits::ROLL_UPS);
            let word = |partition: &Partition| snapshots.current(replica, *partition, at_ms).word;
            let words = Words(page.iter().map(word).collect());
            let partitions = page.iter().map(|partition| partition.0).collect();
            let ask = Ask::RollUps {
                at_ms,
                partitions,
                words,
            };
            self.totals.partitions_compared += page.len() as u64;
            self.ask(now, peer, None, Task::RollUps(page), &ask);
        } else {
            return false;
        }
        true
    }

    fn ask(
        &mut self,
        now: Time,
        peer: NodeId,
        partition: Option<Partition>,
        task: Task,
        ask: &Ask,
    ) {
        let bytes = ask.encode();
        self.next_number += 1;
        let running = Running {
            peer,
            partition,
            task,
            sent_ms: now.mono_ms,
            bytes: bytes.len(),
        };
        self.totals.bytes_out += bytes.len() as u64;
        self.busy.extend(partition);
        self.running.insert(self.next_number, running);
        self.questions.push((peer, self.next_number, bytes));
    }

    fn end(&mut self, number: u64) -> Option<Running> {
        let running = self.running.remove(&number)?;
        if let Some(partition) = running.partition {
            self.busy.remove(&partition);
        }
        Some(running)
    }

    /// No answer, or none that can be read.
    fn failed(&mut self, number: u64) {
        if let Some(running) = self.end(number) {
            self.disturbed(running.peer);
        }
    }

    /// Something of this round with the peer came to nothing: the next one will have to do it.
    fn disturbed(&mut self, peer: NodeId) {
        self.totals.aborted += 1;
        if let Some(round) = self.rounds.get_mut(&peer) {
            round.is_whole = false;
        }
    }

    fn roll_ups_came(&mut self, peer: NodeId, asked: &[Partition], answer: &Answer) -> Option<()> {
        let Answer::RollUps { life, compared } = answer else {
            return None;
        };
        if compared.len() != asked.len() {
            return None;
        }
        let round = self.rounds.get_mut(&peer)?;
        for (partition, compared) in asked.iter().zip(compared) {
            match *compared {
                Compared::Differs => drop(round.differing.insert(*partition)),
                Compared::Same(position) => {
                    let life = *life;
                    self.marks
                        .insert((peer, *partition), Mark { life, position });
                }
            }
        }
        Some(())
    }

    fn session_done(&mut self, peer: NodeId, partition: Partition, findings: &Findings) {
        self.totals.sessions += 1;
        self.totals.keys_compared += findings.listed;
        self.totals.symbols += findings.symbols;
        self.totals.repaired += findings.pulled;
        self.totals.pushed += findings.pushed;
        self.totals.refused += findings.refused;
        match findings.level {
            Some(mark) => drop(self.marks.insert((peer, partition), mark)),
            None => self.disturbed(peer),
        }
    }

    /// Ends the rounds of which nothing is left to do and nothing is under way.
    fn end_rounds(&mut self) {
        let running = self.running.values().map(|it| it.peer);
        let running: BTreeSet<NodeId> = running.collect();
        for (peer, round) in &mut self.rounds {
            if !running.contains(peer) && round.end() {
                self.totals.rounds += 1;
            }
        }
    }
}

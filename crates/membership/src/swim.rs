//! Failure detection among all nodes: SWIM (Das, Gupta, Motivala 2002) by the library foca, as a
//! machine with time and randomness given.
//!
//! A driver calls, in any order, each time with the present time, and carries out the [`Effect`]s:
//!
//! * [`meet`](Swim::meet) when it has a link to a node, [`lost`](Swim::lost) when it has none any more;
//! * [`receive`](Swim::receive) with each frame of a peer;
//! * [`tick`](Swim::tick) at [`deadline`](Swim::deadline);
//! * [`set_members`](Swim::set_members) when the ring has others, [`set_digest`](Swim::set_digest) when
//!   its event log has changed.
//!
//! What happens: every second a node probes a random other one; one that does not answer, nor three
//! others that ask it, is *suspect*, and *down* unless it says otherwise in time. A lost link makes a
//! suspect at once. What is found rides on the next messages, a few at a time, until each was sent
//! about log n times. Half of a split cluster declares the other half down and the other way round;
//! when links come back nodes announce themselves again, under a new generation.
//!
//! Each frame begins with a digest of the sender's event log. Logs that differ are to be exchanged
//! ([`Effect::Pull`]): documents never travel by gossip.
//!
//! ```text
//! frame = version: u8 = 1 │ digest: u64, little endian │ foca's message (postcard)
//! ```
//!
//! Left out: a phi, and Lifeguard's self-suspicion. A node that is itself paused may suspect others
//! when it wakes; they refute it.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    time::Duration,
};

use foca::{Config, Foca, Member, NoCustomBroadcast, Notification, PeriodicParams, PostcardCodec};
use foca::{Runtime, State, Timer};
use henge_ring::NodeId;

mod identity;
use identity::{Identity, any_life_of, is_same_node};

mod rng;
use rng::SplitMix64;

/// Longest frame, in bytes: what some 300 members fit into when a newcomer is told of them.
pub const MAX_FRAME: usize = 8 << 10;

/// Version of the frame.
const VERSION: u8 = 1;

/// Bytes before foca's message.
const HEADER: usize = 9;

/// Announcements to newly linked nodes leave this far apart: all links of a node come up together.
const MEET_EVERY_MS: u64 = 50;

/// Between two exchanges of logs with one peer, whatever its digest says: while a change spreads,
/// logs differ for good reason.
const PULL_EVERY_MS: u64 = 1_000;

/// How quick and how talkative failure detection is. Configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwimPolicy {
    /// Between two probes, in milliseconds.
    pub probe_every_ms: u64,
    /// After which others are asked to probe, in milliseconds; less than half of the period.
    pub answer_within_ms: u64,
    /// Time to refute a suspicion in a cluster of up to ten, in milliseconds; grows with log10 of
    /// the cluster's size.
    pub refute_within_ms: u64,
    /// Between two announcements to nodes held to be down, in milliseconds.
    pub retry_down_every_ms: u64,
}

impl Default for SwimPolicy {
    /// A probe a second, 400 ms for its answer, 2 s to refute, every 5 s a word to the dead.
    fn default() -> Self {
        Self {
            probe_every_ms: 1_000,
            answer_within_ms: 400,
            refute_within_ms: 2_000,
            retry_down_every_ms: 5_000,
        }
    }
}

impl SwimPolicy {
    fn config(&self, nodes: usize) -> Config {
        let size = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
        let size = size.unwrap_or(NonZeroU32::MIN);
        let periodic = |ms, members: usize| {
            Some(PeriodicParams {
                frequency: Duration::from_millis(ms),
                num_members: NonZeroUsize::MIN.saturating_add(members - 1),
            })
        };
        Config {
            probe_period: Duration::from_millis(self.probe_every_ms),
            probe_rtt: Duration::from_millis(self.answer_within_ms),
            // At least two: in a small cluster one lost frame must not be the end of the news.
            max_transmissions: Config::new_lan(size)
                .max_transmissions
                .max(NonZeroU8::MIN.saturating_add(1)),
            suspect_to_down_after: Duration::from_millis(self.refute_ms(nodes)),
            max_packet_size: NonZeroUsize::MIN.saturating_add(MAX_FRAME - HEADER - 1),
            notify_down_members: true,
            periodic_announce_to_down_members: periodic(self.retry_down_every_ms, 2),
            periodic_announce: periodic(30_000, 1),
            periodic_gossip: periodic(200, 3),
            ..Config::new_lan(size)
        }
    }

    /// Rumours need about log n rounds, and so do their denials. In tenths: integers only.
    fn refute_ms(&self, nodes: usize) -> u64 {
        let tenths = 10 * u64::from(nodes.max(10).ilog2()) / 3;
        self.refute_within_ms * tenths.max(10) / 10
    }
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a frame, if there is a way; lost frames do no harm.
    Send {
        /// To whom.
        to: NodeId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// The cluster holds this node to be up.
    Up(NodeId),
    /// The cluster holds this node to be down.
    Down(NodeId),
    /// This peer's event log differs from this node's: exchange them.
    Pull(NodeId),
}

/// A frame was not understood. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwimError {
    /// It is too short or too long.
    #[error("a gossip frame of {0} bytes")]
    Length(usize),
    /// It has another version.
    #[error("a gossip frame of version {0}")]
    Version(u8),
    /// Its message makes no sense.
    #[error("a gossip frame that makes no sense: {0}")]
    Message(String),
}

/// See the module's text.
pub struct Swim {
    foca: Foca<Identity, PostcardCodec, SplitMix64, NoCustomBroadcast>,
    policy: SwimPolicy,
    digest: u64,
    /// foca's timers and ours, by time and the order in which they were set.
    timers: BTreeMap<(u64, u64), Alarm>,
    set: u64,
    /// What was said last of each node.
    told: BTreeMap<NodeId, bool>,
    /// Linked nodes to announce this one to.
    to_meet: BTreeSet<NodeId>,
    pulled: BTreeMap<NodeId, u64>,
    now_ms: u64,
}

enum Alarm {
    Foca(Timer<Identity>),
    /// Time to meet the next node.
    Meet,
    /// A suspicion of this node's own, raised because of a lost link, has had its time.
    Suspicion(Member<Identity>),
}

/// Takes down what foca wants, for [`Swim::settle`].
#[derive(Default)]
struct Wishes {
    frames: Vec<(NodeId, Vec<u8>)>,
    timers: Vec<(Duration, Timer<Identity>)>,
    news: Vec<(NodeId, bool)>,
    digest: u64,
}

impl Runtime<Identity> for &mut Wishes {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(id) => self.news.push((id.node, true)),
            Notification::MemberDown(id) => self.news.push((id.node, false)),
            // A new life of the same node: whether it is up is said apart. The others concern this
            // node's own standing, which its links know better.
            Notification::Rename(..)
            | Notification::Active
            | Notification::Idle
            | Notification::Defunct
            | Notification::Rejoin(_) => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        let mut frame = Vec::with_capacity(HEADER + data.len());
        frame.push(VERSION);
        frame.extend_from_slice(&self.digest.to_le_bytes());
        frame.extend_from_slice(data);
        self.frames.push((to.node, frame));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((after, event));
    }
}

impl Swim {
    /// A node that knows nobody yet. `boot` grows with every start under one id; `seed` is 64 random
    /// bits.
    pub fn new(node: NodeId, boot: u64, policy: SwimPolicy, seed: u64) -> Self {
        let identity = Identity {
            node,
            // Room for the generations that one boot may need.
            generation: boot << 16,
        };
        Self {
            foca: Foca::new(identity, policy.config(1), SplitMix64(seed), PostcardCodec),
            policy,
            digest: 0,
            timers: BTreeMap::new(),
            set: 0,
            told: BTreeMap::new(),
            to_meet: BTreeSet::new(),
            pulled: BTreeMap::new(),
            now_ms: 0,
        }
    }

    /// How many members the ring has: how often news is repeated and how long suspicions last.
    pub fn set_members(&mut self, nodes: usize) {
        // Only what cannot change is refused: probe times, and periodic work that was off.
        let unchanged = self.foca.set_config(self.policy.config(nodes));
        debug_assert!(unchanged.is_ok(), "{unchanged:?}");
    }

    /// What this node's event log is now.
    pub fn set_digest(&mut self, digest: u64) {
        self.digest = digest;
    }

    /// Whether the cluster holds a node to be up; `None`: nothing is known of it.
    pub fn is_up(&self, node: NodeId) -> Option<bool> {
        self.told.get(&node).copied()
    }

    /// How many other nodes are held to be up.
    pub fn up_count(&self) -> usize {
        self.foca.num_members()
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn deadline(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// There is a link to a node.
    pub fn meet(&mut self, node: NodeId, now_ms: u64) {
        self.now_ms = now_ms;
        if self.to_meet.is_empty() {
            self.alarm(now_ms, Alarm::Meet);
        }
        self.to_meet.insert(node);
    }

    /// There is no link to a node any more. It is suspect from now on: if it lives, others still
    /// reach it and it hears of that.
    pub fn lost(&mut self, node: NodeId, now_ms: u64, effects: &mut Vec<Effect>) {
        self.now_ms = now_ms;
        self.to_meet.remove(&node);
        let members = self.foca.iter_members();
        let known = members.filter(|member| is_same_node(member.id(), node));
        let Some(member) = known.last().cloned() else {
            return;
        };
        // Also if others suspect it already: of many that fall silent together not every rumour comes
        // around.
        let suspect = Member::new(*member.id(), member.incarnation(), State::Suspect);
        let after = self.policy.refute_ms(self.foca.num_members() + 1);
        self.alarm(now_ms + after, Alarm::Suspicion(suspect.clone()));
        self.act(effects, |foca, wishes| {
            foca.apply_many([suspect].into_iter(), true, wishes)
        });
    }

    /// A peer's frame came.
    pub fn receive(
        &mut self,
        from: NodeId,
        frame: &[u8],
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SwimError> {
        self.now_ms = now_ms;
        let Some((&[version, ref digest @ ..], message)) = frame.split_first_chunk::<HEADER>()
        else {
            return Err(SwimError::Length(frame.len()));
        };
        if version != VERSION {
            return Err(SwimError::Version(version));
        }
        if frame.len() > MAX_FRAME {
            return Err(SwimError::Length(frame.len()));
        }
        let mut bytes = [0; HEADER - 1];
        bytes.copy_from_slice(digest);
        self.compare(from, u64::from_le_bytes(bytes), effects);
        let mut understood = Ok(());
        self.act(effects, |foca, wishes| {
            let handled = foca.handle_data(message, wishes);
            understood = handled.map_err(|error| SwimError::Message(error.to_string()));
            Ok(())
        });
        understood
    }

    /// Time has come to `now_ms`.
    pub fn tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        self.now_ms = now_ms;
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now_ms
        {
            match entry.remove() {
                Alarm::Foca(timer) => {
                    self.act(effects, |foca, wishes| foca.handle_timer(timer, wishes));
                }
                Alarm::Meet => self.meet_next(effects),
                Alarm::Suspicion(suspect) => self.conclude(&suspect, effects),
            }
        }
    }

    fn meet_next(&mut self, effects: &mut Vec<Effect>) {
        while let Some(node) = self.to_meet.pop_first() {
            if self.is_up(node) != Some(true) {
                self.act(effects, |foca, wishes| {
                    foca.announce(any_life_of(node), wishes)
                });
                break;
            }
        }
        if !self.to_meet.is_empty() {
            self.alarm(self.now_ms + MEET_EVERY_MS, Alarm::Meet);
        }
    }

    /// The suspect has not refuted what was said of it.
    fn conclude(&mut self, suspect: &Member<Identity>, effects: &mut Vec<Effect>) {
        let still = self.foca.iter_members().any(|member| member == suspect);
        if still {
            let down = Member::new(*suspect.id(), suspect.incarnation(), State::Down);
            self.act(effects, |foca, wishes| {
                foca.apply_many([down].into_iter(), true, wishes)
            });
        }
    }

    fn compare(&mut self, peer: NodeId, digest: u64, effects: &mut Vec<Effect>) {
        let last = self.pulled.get(&peer);
        let lately = last.is_some_and(|at| self.now_ms < at + PULL_EVERY_MS);
        if digest != self.digest && !lately {
            self.pulled.insert(peer, self.now_ms);
            effects.push(Effect::Pull(peer));
        }
    }

    fn alarm(&mut self, at: u64, alarm: Alarm) {
        self.set += 1;
        self.timers.insert((at, self.set), alarm);
    }

    /// Lets foca do something, and says what came of it. Its errors tell of states that mend
    /// themselves (a probe that was overtaken by a pause) and are not passed on.
    fn act(
        &mut self,
        effects: &mut Vec<Effect>,
        what: impl FnOnce(
            &mut Foca<Identity, PostcardCodec, SplitMix64, NoCustomBroadcast>,
            &mut Wishes,
        ) -> Result<(), foca::Error>,
    ) {
        let mut wishes = Wishes {
            digest: self.digest,
            ..Wishes::default()
        };
        let _ = what(&mut self.foca, &mut wishes);
        for (after, timer) in wishes.timers {
            let after = after.as_millis() as u64;
            self.alarm(self.now_ms + after, Alarm::Foca(timer));
        }
        for (node, up) in wishes.news {
            if self.told.insert(node, up) != Some(up) {
                effects.push(if up {
                    Effect::Up(node)
                } else {
                    Effect::Down(node)
                });
            }
        }
        let frames = wishes.frames.into_iter();
        effects.extend(frames.map(|(to, frame)| Effect::Send { to, frame }));
    }
}

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swim")
            .field("identity", self.foca.identity())
            .field("up", &self.foca.num_members())
            .finish_non_exhaustive()
    }
}

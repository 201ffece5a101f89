//! How long replicas take to answer, measured on a few operations.
//!
//! One read and one write at a time are *sampled*: from when they were sent until each replica has
//! answered, by the times of the ticks, so that no clock is read for it. The next one is chosen only
//! when all have answered or [`PATIENCE_MS`] are over. (If it were chosen earlier the slow answers
//! would be missing, and they are what it is all about.) What is not sampled pays for a countdown
//! when it begins and a comparison for each answer.

use henge_coordinator::{Gather, Histogram, OpId, Recent};
use smallvec::SmallVec;

use super::{Engine, Now, Slot};

/// Of so many reads or writes one is sampled, if none is under way.
pub(super) const EVERY: u32 = 64;

/// How long an answer is waited for; what takes longer is counted as this. Twice the usual time-out.
const PATIENCE_MS: u64 = 2_000;

/// Round trips of the last one to two minutes are remembered.
const WINDOW_MS: u64 = 60_000;

/// While partitions move, of so many writes one is sampled: whether clients feel it has to be known
/// within a tenth of a second.
const EVERY_MOVING: u32 = 2;

/// Fewer samples than these say nothing of a hundredth of them.
const ENOUGH: u64 = 100;

/// No operation has this id: there are not so many slots.
const NONE: OpId = OpId(u64::MAX);

/// The operation being measured.
#[derive(Debug)]
struct Sample {
    id: OpId,
    sent_us: u64,
    waiting: SmallVec<[Slot; 4]>,
}

impl Sample {
    fn new() -> Self {
        Self {
            id: NONE,
            sent_us: 0,
            waiting: SmallVec::new(),
        }
    }

    /// Measures this one, unless one is being measured.
    fn begin(&mut self, now: Now, id: OpId, asked: impl Iterator<Item = Slot>) {
        if self.id == NONE {
            self.id = id;
            self.sent_us = now.mono_us();
            self.waiting = asked.collect();
        }
    }

    /// Whether the replica was waited for; the last one ends the sample.
    fn heard(&mut self, from: Slot) -> bool {
        let at = self.waiting.iter().position(|slot| *slot == from);
        if let Some(at) = at {
            self.waiting.swap_remove(at);
        }
        if self.waiting.is_empty() {
            self.id = NONE;
        }
        at.is_some()
    }

    fn give_up(&mut self, now: Now) -> SmallVec<[Slot; 4]> {
        let is_over = now.mono_us() >= self.sent_us + PATIENCE_MS * 1_000;
        if self.id == NONE || !is_over {
            return SmallVec::new();
        }
        self.id = NONE;
        std::mem::take(&mut self.waiting)
    }
}

/// Round trips to one peer, in microseconds.
#[derive(Debug)]
struct RoundTrips {
    reads: Recent<Histogram>,
    writes: Recent<Histogram>,
}

impl RoundTrips {
    fn new() -> Self {
        Self {
            reads: Recent::new(WINDOW_MS),
            writes: Recent::new(WINDOW_MS),
        }
    }
}

/// What is being measured and what was.
#[derive(Debug)]
pub(super) struct Sampling {
    read: Sample,
    write: Sample,
    /// How many writes begin until the next one may be sampled. (Reads are looked at for a probe
    /// anyway, which counts them.)
    writes_left: u32,
    /// By slot; those never heard of have none.
    peers: Vec<Option<RoundTrips>>,
    moving: Option<Moving>,
    /// Up to when partitions moved last, in milliseconds.
    moved_ms: Option<u64>,
}

/// What requests take while partitions move.
#[derive(Debug, Default)]
struct Moving {
    /// Since the last tick, in microseconds.
    felt_us: Vec<u32>,
}

impl Sampling {
    pub(super) fn new() -> Self {
        Self {
            read: Sample::new(),
            write: Sample::new(),
            writes_left: EVERY,
            peers: Vec::new(),
            moving: None,
            moved_ms: None,
        }
    }

    /// Partitions begin to move, or have arrived.
    pub(super) fn set_moving(&mut self, now: Now, moves: bool) {
        if !moves && self.moving.is_some() {
            self.moved_ms = Some(now.mono_ms);
        }
        self.moving = moves.then(Moving::default);
        self.writes_left = self.every();
    }

    fn every(&self) -> u32 {
        self.moving.as_ref().map_or(EVERY, |_| EVERY_MOVING)
    }

    /// The 99th percentile of round trips to all peers, in microseconds, if it is known of a time when
    /// nothing moved.
    pub(super) fn usual_us(&mut self, now: Now) -> Option<u32> {
        if self
            .moved_ms
            .is_some_and(|at| now.mono_ms < at + 2 * WINDOW_MS)
        {
            return None;
        }
        let mut all = Histogram::default();
        for trips in self.peers.iter_mut().flatten() {
            all.gather(&trips.reads.all(now.mono_ms));
            all.gather(&trips.writes.all(now.mono_ms));
        }
        (all.total() >= ENOUGH).then(|| all.quantile(990)).flatten()
    }

    /// What requests took since the last tick, while partitions move.
    pub(super) fn take_felt(&mut self) -> Vec<u32> {
        let moving = self.moving.as_mut();
        moving.map_or_else(Vec::new, |it| std::mem::take(&mut it.felt_us))
    }

    fn feel(&mut self, us: u64) {
        if let Some(moving) = &mut self.moving {
            moving.felt_us.push(to_u32(us));
        }
    }

    #[inline]
    pub(super) fn is_sampled_read(&self, id: OpId) -> bool {
        self.read.id == id
    }

    #[inline]
    pub(super) fn is_sampled_write(&self, id: OpId) -> bool {
        self.write.id == id
    }

    /// A write begins; whether it could be sampled.
    #[inline]
    pub(super) fn write_is_due(&mut self) -> bool {
        self.writes_left -= 1;
        let is_due = self.writes_left == 0;
        if is_due {
            self.writes_left = self.every();
        }
        is_due
    }

    /// Samples a write that goes to these, unless one is under way.
    #[cold]
    pub(super) fn sample_write(&mut self, now: Now, id: OpId, to: impl Iterator<Item = Slot>) {
        self.write.begin(now, id, to);
    }

    /// Samples a read that asks these, unless one is under way.
    #[cold]
    pub(super) fn sample_read(&mut self, now: Now, id: OpId, asked: impl Iterator<Item = Slot>) {
        self.read.begin(now, id, asked);
    }

    #[cold]
    pub(super) fn read_heard(&mut self, now: Now, from: Slot) {
        if self.read.heard(from) {
            let us = now.mono_us().saturating_sub(self.read.sent_us);
            self.read_took(now, from, us);
        }
    }

    #[cold]
    pub(super) fn write_heard(&mut self, now: Now, from: Slot) {
        if self.write.heard(from) {
            let us = now.mono_us().saturating_sub(self.write.sent_us);
            self.write_took(now, from, us);
        }
    }

    fn write_took(&mut self, now: Now, from: Slot, us: u64) {
        self.feel(us);
        let writes = &mut self.round_trips(from).writes;
        writes.at(now.mono_ms).count(to_u32(us));
    }

    /// A replica has answered a read after so long.
    pub(super) fn read_took(&mut self, now: Now, from: Slot, us: u64) {
        self.feel(us);
        self.round_trips(from)
            .reads
            .at(now.mono_ms)
            .count(to_u32(us));
    }

    /// A replica refused: that took as long as refusing takes.
    pub(super) fn refused(&mut self, id: OpId, from: Slot) {
        for sample in [&mut self.read, &mut self.write] {
            if sample.id == id {
                sample.heard(from);
            }
        }
    }

    /// A peer whose link is lost answers nothing any more, which is no matter of latency.
    pub(super) fn lost(&mut self, peer: Slot) {
        self.read.heard(peer);
        self.write.heard(peer);
    }

    /// Counts those that have not answered for too long, and goes on to the next sample.
    pub(super) fn tick(&mut self, now: Now) {
        for slot in self.read.give_up(now) {
            self.read_took(now, slot, PATIENCE_MS * 1_000);
        }
        for slot in self.write.give_up(now) {
            self.write_took(now, slot, PATIENCE_MS * 1_000);
        }
    }

    /// Round trips of reads to a peer in the last one to two minutes, if any were sampled.
    pub(super) fn reads_of(&mut self, now: Now, slot: Slot) -> Option<Histogram> {
        let trips = self.peers.get_mut(usize::from(slot))?.as_mut()?;
        Some(trips.reads.all(now.mono_ms))
    }

    fn round_trips(&mut self, slot: Slot) -> &mut RoundTrips {
        let at = usize::from(slot);
        if self.peers.len() <= at {
            self.peers.resize_with(at + 1, || None);
        }
        self.peers[at].get_or_insert_with(RoundTrips::new)
    }
}

fn to_u32(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

/// One peer as a data thread measures it.
#[derive(Clone, Debug)]
pub struct PeerMeasured {
    /// How much worse than the best it is to read from, 0 to 3.
    pub level: u8,
    /// Round trips of reads in the last one to two minutes, in microseconds.
    pub reads: Histogram,
    /// The same of writes.
    pub writes: Histogram,
}

impl Engine {
    /// Partitions begin to move, or have arrived.
    pub(super) fn motion_changed(&mut self, now: Now) {
        let usual = self.sampling.usual_us(now);
        self.sampling.set_moving(now, self.in_motion);
        if self.in_motion {
            let transition = std::sync::Arc::clone(&self.parts.transition);
            transition.with(|transfer| transfer.pace().begin(usual, now.mono_ms));
        }
    }

    /// Lets transfers know what requests take.
    pub(super) fn tell_pace(&mut self) {
        let felt = self.sampling.take_felt();
        if !felt.is_empty() {
            let transition = &self.parts.transition;
            transition.with(|transfer| {
                let pace = transfer.pace();
                felt.into_iter().for_each(|us| pace.felt(us));
            });
        }
    }

    /// What was measured of each peer that has answered anything lately.
    pub(super) fn peers_measured(
        &mut self,
        now: Now,
    ) -> std::collections::BTreeMap<henge_ring::NodeId, PeerMeasured> {
        let peers = self.sampling.peers.iter_mut().zip(0..);
        let measured = peers.filter_map(|(trips, slot)| {
            let trips = trips.as_mut()?;
            let measured = PeerMeasured {
                level: self.peers.level(slot),
                reads: trips.reads.all(now.mono_ms),
                writes: trips.writes.all(now.mono_ms),
            };
            Some((self.peers.id(slot), measured))
        });
        measured.collect()
    }
}

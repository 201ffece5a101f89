//! Probes: for a small share of the reads, all replicas are asked what they hold.
//!
//! A probe goes beside a read and is an operation of its own: the client's answer does not wait for
//! it. It is sent when the read is, and not after the answer, because a read repairs what it finds,
//! and so would hide what the probe looks for. Nobody waits for its messages, so they share batches
//! with others. It repairs nothing either: what is measured is left as it is.
//!
//! The newest version is the one with the latest stamp. Destroyed records are left out, for a
//! tombstone does not tell when; and expired ones, which replicas forget at different times. A probe
//! that finds a version that was stamped after it went out says nothing: a far replica answers with
//! what it holds when it is reached, and what it held when the read began is not known any more. On
//! keys that are often written these would pass for young versions that everybody else has missed.

use henge_coordinator::{Gather, OpId, Probed, Probes, Recent};
use henge_ring::NodeId;
use henge_rpc::Message;
use henge_versioning::{RecordRef, Stamp};
use smallvec::SmallVec;

use super::{
    Engine, Now, Slot,
    coordinate_read::Answer,
    operation::{InFlight, Reading},
    sampling::{EVERY, PeerMeasured},
};

/// Most probes of one data thread in a second: with N = 3 these are 100 messages, a thousandth of
/// what it carries when it is busy.
const MOST_A_SECOND: u32 = 50;

/// How long a replica may take. A probe that is not answered whole says nothing.
const PATIENCE_MS: u64 = 2_000;

/// Probes of the last ten to twenty minutes are remembered: few reads meet a version that is young
/// enough to tell anything.
const WINDOW_MS: u64 = 600_000;

/// One share, in parts.
const WHOLE: u64 = 1_000_000;

/// A probe in flight.
#[derive(Debug)]
pub(super) struct Probing {
    /// When it was sent.
    at: Now,
    waiting: SmallVec<[Slot; 4]>,
    /// The newest stamp that this node holds.
    own: Option<Stamp>,
    others: SmallVec<[(Slot, Option<Stamp>); 4]>,
}

/// When to probe, and what came of it.
#[derive(Debug)]
pub(super) struct ProbeState {
    /// Of so many reads one is looked at, for a probe and for a sample.
    step: u32,
    /// How many reads begin until the next look.
    left: u32,
    /// What a read earns, and what has been earned, in millionths of a probe.
    share: u64,
    earned: u64,
    /// The second being counted, and its probes.
    second: u64,
    sent: u32,
    seen: Recent<Probes>,
}

impl ProbeState {
    pub(super) fn new() -> Self {
        Self {
            step: EVERY,
            left: EVERY,
            share: 0,
            earned: 0,
            second: 0,
            sent: 0,
            seen: Recent::new(WINDOW_MS),
        }
    }

    fn set_share(&mut self, share: f64) {
        self.share = (share.clamp(0.0, 1.0) * WHOLE as f64) as u64;
        let reads = WHOLE.checked_div(self.share).unwrap_or(u64::MAX);
        self.step = reads.clamp(1, EVERY.into()) as u32;
        self.left = self.step;
    }

    /// A read begins; whether it is to be looked at.
    #[inline]
    pub(super) fn is_due(&mut self) -> bool {
        self.left -= 1;
        let is_due = self.left == 0;
        if is_due {
            self.left = self.step;
        }
        is_due
    }

    /// Whether one more may be sent.
    fn spend(&mut self, now: Now) -> bool {
        let second = now.mono_ms / 1_000;
        if second != self.second {
            (self.second, self.sent) = (second, 0);
        }
        self.earned = (self.earned + self.share * u64::from(self.step)).min(2 * WHOLE);
        if self.share == 0 || self.earned < WHOLE || self.sent >= MOST_A_SECOND {
            return false;
        }
        self.earned -= WHOLE;
        self.sent += 1;
        true
    }
}

/// What a data thread has measured: how long replicas take, and how far they are behind.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Every peer that has answered anything lately.
    pub peers: std::collections::BTreeMap<NodeId, PeerMeasured>,
    /// Probes of the last ten to twenty minutes.
    pub probes: Probes,
}

impl Measured {
    /// Adds what another data thread has measured.
    pub fn add(&mut self, other: Self) {
        self.probes.gather(&other.probes);
        for (id, theirs) in other.peers {
            match self.peers.entry(id) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(theirs)),
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    let mine = entry.get_mut();
                    mine.level = mine.level.max(theirs.level);
                    mine.reads.gather(&theirs.reads);
                    mine.writes.gather(&theirs.writes);
                }
            }
        }
    }
}

impl Engine {
    /// From now on this share of the reads, between 0 (none) and 1, is accompanied by a probe; at
    /// most 50 a second. An engine begins with none.
    pub fn set_probe_share(&mut self, share: f64) {
        self.probes.set_share(share);
    }

    /// What was measured until now.
    pub fn measured(&mut self, now: Now) -> Measured {
        Measured {
            peers: self.peers_measured(now),
            probes: self.probes.seen.all(now.mono_ms),
        }
    }

    /// Asks all other replicas what they hold of the key that is being read.
    #[cold]
    pub(super) fn probe(&mut self, now: Now, reading: &Reading) {
        let (read, tally) = (&reading.read, reading.read.tally());
        let whole = tally.failed().is_empty() && !tally.is_joint();
        if reading.then.is_some() || !whole || self.neither_hints_nor_read_repair {
            return;
        }
        let own = match reading.held.is_some() {
            false => None,
            true => match stamp(&reading.record, now) {
                None => return,
                some => some,
            },
        };
        if !self.probes.spend(now) {
            return;
        }
        let places = (0..tally.places()).filter_map(|place| read.place(place));
        let others = places.map(|info| info.node).filter(|node| *node != self.me);
        let waiting: SmallVec<[Slot; 4]> = others.collect();
        let probing = Probing {
            at: now,
            waiting: waiting.clone(),
            own,
            others: SmallVec::new(),
        };
        let until = now.mono_ms + PATIENCE_MS;
        if waiting.is_empty() {
            return;
        }
        let Ok(id) = self.operations.insert(InFlight::Probe(probing), until) else {
            return;
        };
        self.parts.counters.probes.add(1);
        for to in waiting {
            let message = Message::Read {
                op: id.0,
                digest: read.base().unwrap_or(0),
                key: &reading.key,
            };
            self.peers.send_soon(to, &message);
        }
    }

    /// A replica's answer to a probe.
    #[cold]
    pub(super) fn probe_answered(&mut self, now: Now, id: OpId, from: Slot, answer: Answer<'_>) {
        let Some(InFlight::Probe(probing)) = self.operations.get_mut(id) else {
            return;
        };
        let Some(at) = probing.waiting.iter().position(|slot| *slot == from) else {
            return;
        };
        let newest = match answer {
            Answer::Same => probing.own,
            Answer::Absent => None,
            Answer::No => return self.give_up_probe(id),
            Answer::Record(bytes) => match stamp(bytes, probing.at) {
                None => return self.operations.discard(id),
                some => some,
            },
        };
        probing.waiting.swap_remove(at);
        probing.others.push((from, newest));
        let took = now.mono_us().saturating_sub(probing.at.mono_us());
        self.sampling.read_took(now, from, took);
        self.end_probe(now, id);
    }

    /// Counts a probe if all replicas have answered.
    fn end_probe(&mut self, now: Now, id: OpId) {
        let Some(InFlight::Probe(probing)) = self.operations.get(id) else {
            return;
        };
        if !probing.waiting.is_empty() {
            return;
        }
        let newest = probing.others.iter().map(|(_, stamp)| *stamp).max();
        let newest = newest.flatten().max(probing.own);
        let age_ms = |it: Stamp| probing.at.wall_ms.checked_sub(it.time.millis());
        if let Some((newest, age_ms)) = newest.and_then(|it| Some((it, age_ms(it)?))) {
            let is_newest = |stamp: Option<Stamp>| stamp == Some(newest);
            let others = probing.others.iter().map(|&(slot, stamp)| Probed {
                level: self.peers.level(slot),
                is_newest: is_newest(stamp),
            });
            let others: SmallVec<[Probed; 4]> = others.collect();
            let own = is_newest(probing.own);
            if !own || others.iter().any(|other| !other.is_newest) {
                self.parts.counters.probes_behind.add(1);
            }
            let seen = self.probes.seen.at(now.mono_ms);
            seen.count(own, &others, age_ms);
        }
        self.operations.discard(id);
    }

    /// A replica will not answer a probe, or has not for too long.
    pub(super) fn give_up_probe(&mut self, id: OpId) {
        self.parts.counters.probes_unanswered.add(1);
        self.operations.discard(id);
    }
}

/// The newest stamp of a record that readers see; `None` of one that they do not.
fn stamp(record: &[u8], at: Now) -> Option<Stamp> {
    let record = RecordRef::parse(record).ok()?;
    record.is_live(at.wall_ms).then(|| record.newest())
}

//! Which replicas a read asks first, and how long it waits for them.
//!
//! Nothing is measured per request: links measure themselves with their pings, which queue behind
//! the same work as requests do, and which go to every peer, so that no read need be spent on finding
//! out whether a slow one has become quicker. Every [`EVERY_MS`] each peer gets a *level* by its
//! health and its cost (peak-sensitive average latency times what is under way). Peers of one level
//! take turns and share batches ([`Peers::cost`](super::peers::Peers::cost)); one of a worse level is
//! asked when no better one is left. Between two rounds a read costs nothing more.

use henge_coordinator::{Gather, HedgePolicy, Histogram};
use henge_membership::{Health, HealthPolicy, Peers as Links};
use henge_ring::NodeId;

use super::{Engine, Now, Slot};

/// How often levels are worked out: as often as links ping.
const EVERY_MS: u64 = 500;

/// A peer is slow if it costs more than so many times what the best one does, and this much more.
/// Less is noise, for which batches are not torn apart.
const SLOW_TIMES: u64 = 2;
const SLOW_MORE_US: u64 = 500;

/// Round trips of reads that have to be known before they say how long a read nearly always takes.
const ENOUGH: u64 = 20;

/// Levels: as good as the best, slow, suspect or declared down.
const SLOW: u8 = 1;
const SUSPECT: u8 = 2;

/// What the links say of each peer, by slot.
#[derive(Debug)]
pub(super) struct Ranking {
    links: Links,
    hedge: HedgePolicy,
    /// How long a read waits before one more replica is asked, in milliseconds.
    pub(super) hedge_ms: u64,
    /// Slots that were measured or spoken of.
    known: Vec<Slot>,
    next_ms: u64,
}

impl Ranking {
    pub(super) fn new(hedge: HedgePolicy) -> Self {
        Self {
            links: Links::new(HealthPolicy::default()),
            hedge_ms: u64::from(hedge.delay_us(None)).div_ceil(1000),
            hedge,
            known: Vec::new(),
            next_ms: 0,
        }
    }

    pub(super) fn link_up(&mut self, slot: Slot, now: Now) {
        self.links.link_up(slot, now.mono_ms);
    }

    pub(super) fn link_down(&mut self, slot: Slot, now: Now) {
        self.links.link_down(slot, now.mono_ms);
    }

    fn know(&mut self, slot: Slot) {
        if !self.known.contains(&slot) {
            self.known.push(slot);
        }
    }

    fn level(&self, slot: Slot, best: u64, now: Now) -> u8 {
        let cost = self.links.cost(slot, now.mono_ms);
        match self.links.health(slot) {
            Health::Up if cost <= SLOW_TIMES * best + SLOW_MORE_US => 0,
            Health::Up => SLOW,
            Health::Suspect | Health::Down => SUSPECT,
        }
    }
}

impl Engine {
    /// A link's last round trip took so long, and so many of its batches are not answered.
    pub fn peer_measured(&mut self, now: Now, peer: NodeId, round_trip_us: u32, in_flight: u32) {
        if let Some(slot) = self.peers.slot(&peer) {
            let links = &mut self.ranking.links;
            links.measured(slot, round_trip_us, in_flight, now.mono_ms);
            self.ranking.know(slot);
        }
    }

    /// The cluster holds a peer to be down, or up again. While this node has a link to it, it is
    /// still sent everything, and asked last.
    pub fn peer_declared(&mut self, peer: NodeId, down: bool) {
        let slot = self.peers.slot_or_new(peer);
        self.ranking.links.declared(slot, down);
        self.ranking.know(slot);
    }

    /// Works out the levels, now and then, and how long a read waits before it asks one more: as long
    /// as reads of good peers take in 95 of 100 cases, all of them together, so that one that stands
    /// still now and then does not have itself waited for. While too few reads were sampled the links'
    /// own percentile stands in, which needs minutes to forget what a link's first ping took.
    pub(super) fn rank(&mut self, now: Now) {
        let ranking = &mut self.ranking;
        if ranking.known.is_empty() || now.mono_ms < ranking.next_ms {
            return;
        }
        ranking.next_ms = now.mono_ms + EVERY_MS;
        let up = |slot: &&Slot| ranking.links.health(**slot) == Health::Up;
        let costs = ranking.known.iter().filter(up);
        let best = costs
            .map(|slot| ranking.links.cost(*slot, now.mono_ms))
            .min();
        let (mut p95_us, mut reads) = (None, Histogram::default());
        for &slot in &ranking.known {
            let level = ranking.level(slot, best.unwrap_or(0), now);
            self.peers.set_level(slot, level);
            if level == 0 {
                p95_us = p95_us.max(ranking.links.p95_us(slot));
                if let Some(sampled) = self.sampling.reads_of(now, slot) {
                    reads.gather(&sampled);
                }
            }
        }
        if reads.total() >= ENOUGH {
            p95_us = reads.quantile(950);
        }
        ranking.hedge_ms = u64::from(ranking.hedge.delay_us(p95_us)).div_ceil(1000);
    }
}

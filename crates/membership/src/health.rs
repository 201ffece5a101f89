//! The health of each peer as this node's own links show it, and the ranking made of it.
//!
//! ```text
//!            link up                  errors in a row
//!   Down ──────────────▶  Up  ───────────────────────────▶ Suspect
//!    ▲ ▲                  │ ▲                                 │ │
//!    │ └──── link down ───┘ └──────────── a reply ────────────┘ │
//!    └───────────────────────── link down ──────────────────────┘
//! ```
//!
//! *Down* means that there is no link: nothing can be sent. *Suspect* means that there is one and
//! requests on it fail: it is still sent writes, and asked last. Replies and errors that trickle in
//! after a link went down change nothing.
//!
//! A peer that is linked while the cluster holds it to be down counts as suspect too.
//!
//! Peers are ranked by health, then by *cost*: peak-sensitive average latency times one more than
//! the requests in flight to it, so that a peer that stops answering becomes dear before its first
//! time-out. (Cassandra's snitch ranks by medians on a timer and needs minutes for that.) A small
//! share of rankings puts another peer first, to learn whether it has become quicker.

use smallvec::SmallVec;

use crate::Latency;

/// What this node makes of its link to a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Linked, and answering.
    Up,
    /// Linked, but its last requests failed.
    Suspect,
    /// Not linked.
    #[default]
    Down,
}

/// How health is judged. Configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Errors in a row after which a linked peer is suspect. At least 1; one error alone is common
    /// (a full queue, one lost reply) and says little.
    pub suspect_after: u32,
    /// Time in which the latency average forgets half, in milliseconds.
    pub half_life_ms: u32,
    /// Share of rankings that explore, in thousandths.
    pub explore_permille: u16,
}

impl Default for HealthPolicy {
    /// Suspect after 3 errors, 5 s to forget half, 2 % exploration.
    fn default() -> Self {
        Self {
            suspect_after: 3,
            half_life_ms: 5_000,
            explore_permille: 20,
        }
    }
}

/// One peer, as shown to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its number in the layout.
    pub node: u16,
    /// Whether it is up.
    pub health: Health,
    /// Since when, in milliseconds of the monotonic clock.
    pub since_ms: u64,
    /// Requests sent to it that it has not answered.
    pub in_flight: u32,
    /// Requests that failed since its last reply.
    pub errors_in_a_row: u32,
    /// Peak-sensitive average latency now, in microseconds; 0 when unknown.
    pub latency_us: u32,
    /// 95th percentile of its latency in microseconds, once known.
    pub p95_us: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    known: bool,
    health: Health,
    since_ms: u64,
    in_flight: u32,
    errors_in_a_row: u32,
    /// The cluster holds it to be down.
    declared_down: bool,
    latency: Latency,
}

/// Every peer of this node. A peer that was never heard of is down.
#[derive(Clone, Debug)]
pub struct Peers {
    policy: HealthPolicy,
    /// By number in the layout: 56 bytes each, at most 65,536 of them.
    peers: Vec<Peer>,
}

impl Peers {
    /// Knows nobody yet.
    pub fn new(policy: HealthPolicy) -> Self {
        Self {
            policy,
            peers: Vec::new(),
        }
    }

    /// The link to a peer stands.
    pub fn link_up(&mut self, node: u16, now_ms: u64) {
        let peer = self.entry(node);
        peer.errors_in_a_row = 0;
        peer.turn(Health::Up, now_ms);
    }

    /// The link to a peer is gone, and with it every request in flight on it.
    pub fn link_down(&mut self, node: u16, now_ms: u64) {
        let peer = self.entry(node);
        peer.in_flight = 0;
        peer.turn(Health::Down, now_ms);
    }

    /// A request was sent.
    pub fn sent(&mut self, node: u16) {
        let peer = self.entry(node);
        peer.in_flight = peer.in_flight.saturating_add(1);
    }

    /// A request was answered, after `latency_us`. Any answer counts, a refusal too: the peer is
    /// there.
    pub fn replied(&mut self, node: u16, latency_us: u32, now_ms: u64) {
        let half_life = self.policy.half_life_ms;
        let peer = self.entry(node);
        if peer.health == Health::Down {
            return;
        }
        peer.in_flight = peer.in_flight.saturating_sub(1);
        peer.errors_in_a_row = 0;
        peer.latency.observe(latency_us, now_ms, half_life);
        peer.turn(Health::Up, now_ms);
    }

    /// A round trip was measured that was no request's, with so many requests under way.
    pub fn measured(&mut self, node: u16, latency_us: u32, in_flight: u32, now_ms: u64) {
        let half_life = self.policy.half_life_ms;
        let peer = self.entry(node);
        if peer.health != Health::Down {
            peer.in_flight = in_flight;
            peer.latency.observe(latency_us, now_ms, half_life);
        }
    }

    /// The cluster holds a peer to be down, or not. A linked one is then asked last: what this node
    /// reaches, others may not.
    pub fn declared(&mut self, node: u16, down: bool) {
        self.entry(node).declared_down = down;
    }

    /// A request failed: it timed out, or its reply made no sense.
    pub fn failed(&mut self, node: u16, now_ms: u64) {
        let suspect_after = self.policy.suspect_after.max(1);
        let peer = self.entry(node);
        if peer.health == Health::Down {
            return;
        }
        peer.in_flight = peer.in_flight.saturating_sub(1);
        peer.errors_in_a_row = peer.errors_in_a_row.saturating_add(1);
        if peer.errors_in_a_row >= suspect_after {
            peer.turn(Health::Suspect, now_ms);
        }
    }

    /// What this node makes of a peer.
    #[inline]
    pub fn health(&self, node: u16) -> Health {
        let peer = self.get(node);
        match peer.health {
            Health::Up if peer.declared_down => Health::Suspect,
            health => health,
        }
    }

    /// Whether anything can be sent to a peer: up or suspect.
    #[inline]
    pub fn is_reachable(&self, node: u16) -> bool {
        self.health(node) != Health::Down
    }

    /// What 95 of 100 replies of a peer do not exceed, in microseconds: input of the hedge's delay.
    pub fn p95_us(&self, node: u16) -> Option<u32> {
        self.get(node).latency.p95_us()
    }

    /// What a request to a peer costs now: less is better. Comparable among peers of one health.
    pub fn cost(&self, node: u16, now_ms: u64) -> u64 {
        let peer = self.get(node);
        let latency = peer.latency.peak_ewma_us(now_ms, self.policy.half_life_ms);
        u64::from(latency.max(1)) * (u64::from(peer.in_flight) + 1)
    }

    /// The same peers, best first: by health, by cost, and where these are equal in the order
    /// given. `random` is 64 random bits; with a few of them in a thousand (see
    /// [`HealthPolicy::explore_permille`]) a peer that is not down is put first by chance.
    pub fn rank(&self, nodes: &[u16], now_ms: u64, random: u64) -> SmallVec<[u16; 8]> {
        let mut ranked: SmallVec<[u16; 8]> = SmallVec::from_slice(nodes);
        ranked.sort_by_key(|&node| (self.health(node), self.cost(node, now_ms)));
        if random % 1_000 < u64::from(self.policy.explore_permille) {
            self.explore(&mut ranked, random / 1_000);
        }
        ranked
    }

    /// Every peer heard of, by number.
    pub fn statuses(&self, now_ms: u64) -> impl Iterator<Item = PeerStatus> {
        let half_life = self.policy.half_life_ms;
        let known = (0u16..=u16::MAX)
            .zip(&self.peers)
            .filter(|(_, peer)| peer.known);
        known.map(move |(node, peer)| PeerStatus {
            node,
            health: peer.health,
            since_ms: peer.since_ms,
            in_flight: peer.in_flight,
            errors_in_a_row: peer.errors_in_a_row,
            latency_us: peer.latency.peak_ewma_us(now_ms, half_life),
            p95_us: peer.latency.p95_us(),
        })
    }

    /// Moves one of the reachable peers, which lead the ranking, to its front.
    fn explore(&self, ranked: &mut [u16], random: u64) {
        let reachable = ranked
            .iter()
            .take_while(|&&node| self.is_reachable(node))
            .count();
        if reachable > 1 {
            ranked[..=(random % reachable as u64) as usize].rotate_right(1);
        }
    }

    fn entry(&mut self, node: u16) -> &mut Peer {
        let index = usize::from(node);
        if index >= self.peers.len() {
            self.peers.resize(index + 1, Peer::default());
        }
        let peer = &mut self.peers[index];
        peer.known = true;
        peer
    }

    fn get(&self, node: u16) -> Peer {
        self.peers
            .get(usize::from(node))
            .copied()
            .unwrap_or_default()
    }
}

impl Peer {
    fn turn(&mut self, health: Health, now_ms: u64) {
        if self.health != health {
            self.health = health;
            self.since_ms = now_ms;
        }
    }
}

#[cfg(test)]
mod tests;

//! Moving partitions to new owners while they serve.
//!
//! A change of the ring gives some partitions a new replica set. From then on both sets are active
//! (see [`PartitionConfig`]): writes reach the newcomers at once, reads do not trust them yet. In the
//! background each newcomer pulls the old set's data from enough of its members, every one of which
//! first learns of the new set and from then on refuses whoever does not know it. What was
//! acknowledged before is in what the newcomer reads; what comes after reaches it anyway. When every
//! newcomer is done the old set is retired, and its members that are in no set any more drop their
//! copy.
//!
//! [`Transfer`] is one node's part in this, for all partitions. Its driver
//!
//! 1. gives it what is heard: a changed log ([`Transfer::learn`]), a peer's [`News`]
//!    ([`Transfer::hear`]);
//! 2. asks a peer for [`News`], giving its own ([`Transfer::tell`]), whenever the two may differ;
//! 3. carries out [`Transfer::next_pull`] until it gives none, reports each page, and calls
//!    [`Transfer::finish_pulls`];
//! 4. before it lets a peer read a page asks [`Transfer::may_serve`];
//! 5. shows requests the sets in which they have to count: [`Transfer::moving`].
//!
//! There is no order among nodes and no barrier: a node that stands still delays only the partitions
//! that need it, and concurrent changes meet in a ring that comes after both.
//!
//! The second and later sources cost what differs: see [`Outline`].

use std::collections::{BTreeMap, BTreeSet};

use henge_ring::{
    AssignmentId, Facts, Log, NodeId, Partition, PartitionConfig, Ring, Sources, Views,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

mod incoming;
pub use incoming::{Incoming, Page, Pull, TransferLimits, Wanted};

mod outgoing;
pub use outgoing::Outgoing;

mod outline;
pub use outline::{Differing, Outline, Outlined, RANGE_RECORDS, Range};

mod pace;
pub use pace::{Pace, Span};

/// What one node tells another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Names the views and floors that the teller knows.
    pub digest: u64,
    /// All of them, if the other is not known to know the same.
    pub views: Vec<Log>,
    /// The floors, likewise.
    pub floors: Vec<Log>,
    /// Facts that the other has not heard yet.
    pub facts: Vec<(u16, Facts)>,
    /// With these facts the other has heard everything up to this version of the teller.
    pub version: u64,
}

/// Why a page is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// This node knows neither set, or is not in the old one.
    #[error("this node holds nothing of that set")]
    Stranger,
    /// Data may still flow into the old set out of an older one.
    #[error("the set is not yet complete itself")]
    NotBase,
    /// Enough partitions are being read from this node.
    #[error("too many partitions are being read")]
    Busy,
    /// Clients come first.
    #[error("this node moves as much as it should, for {rest_ms} ms")]
    Resting {
        /// How long to leave it alone, in milliseconds.
        rest_ms: u64,
    },
}

/// What is known of a partition that has moved since the floor.
#[derive(Clone, Debug)]
struct Tracked {
    config: PartitionConfig,
    /// The version at which its facts last changed.
    changed: u64,
    /// Whether it has more than one active set.
    moves: bool,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Transfer {
    me: NodeId,
    sources: Sources,
    views: Views,
    tracked: BTreeMap<Partition, Tracked>,
    incoming: Incoming,
    outgoing: Outgoing,
    version: u64,
    /// The version at which views last came.
    fences: u64,
    /// Up to which of a peer's versions its facts are known here.
    heard: BTreeMap<NodeId, u64>,
    /// Up to which of our versions a peer says it has heard us, and the digest it gave.
    peers: BTreeMap<NodeId, (u64, u64)>,
    /// Partitions with an active set that has this node.
    held: BTreeSet<Partition>,
    /// Those that had one, and whose data this node may drop.
    leavings: BTreeSet<Partition>,
}

impl Transfer {
    /// A node that knows one view. `wanted` is max(R, W) of the operations to be protected.
    pub fn new(me: NodeId, log: Log, wanted: u8, limits: TransferLimits, now_ms: u64) -> Self {
        let mut transfer = Self {
            me,
            sources: Sources {
                wanted,
                lost: BTreeSet::new(),
            },
            views: Views::new(log),
            tracked: BTreeMap::new(),
            incoming: Incoming::new(me, limits, now_ms),
            outgoing: Outgoing::new(limits),
            version: 0,
            fences: 0,
            heard: BTreeMap::new(),
            peers: BTreeMap::new(),
            held: BTreeSet::new(),
            leavings: BTreeSet::new(),
        };
        transfer.retrack();
        transfer
    }

    /// Somebody serves under this log. Says whether anything changed.
    pub fn learn(&mut self, log: &Log) -> bool {
        let new = self.views.learn(log);
        if new {
            self.retrack();
        }
        new
    }

    /// A peer's news. Says whether anything changed.
    pub fn hear(&mut self, from: NodeId, news: &News) -> bool {
        let before = self.version;
        if self.views.merge(&news.views, &news.floors) {
            self.retrack();
        }
        for (partition, facts) in &news.facts {
            self.take_in(Partition(*partition), facts);
        }
        // Facts about views that are not known yet are not kept: they have to be told again.
        if news.digest == self.views.digest() || !news.views.is_empty() {
            let heard = self.heard.entry(from).or_default();
            *heard = news.version.max(*heard);
        }
        self.peers.entry(from).or_default().1 = news.digest;
        self.settle();
        self.version > before
    }

    /// What a peer says of how much it has heard of this node.
    pub fn heard_by(&mut self, peer: NodeId, version: u64) {
        self.peers.entry(peer).or_default().0 = version;
    }

    /// Up to which version this node has heard a peer.
    pub fn heard_of(&self, peer: &NodeId) -> u64 {
        self.heard.get(peer).copied().unwrap_or(0)
    }

    /// Whether any peer was heard.
    pub fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// What a peer should hear.
    pub fn tell(&self, peer: &NodeId) -> News {
        let (have, digest) = self.peers.get(peer).copied().unwrap_or_default();
        let own = self.views.digest();
        let (views, floors) = match digest == own {
            true => Default::default(),
            false => self.views.told(),
        };
        // Whoever learns of views anew could not keep what it heard about them before.
        let have = if views.is_empty() { have } else { 0 };
        let news = self.tracked.iter();
        let news = news.filter(|(_, it)| it.changed > have && !it.config.facts().is_empty());
        News {
            digest: own,
            views,
            floors,
            facts: news
                .map(|(p, it)| (p.0, it.config.facts().clone()))
                .collect(),
            version: self.version,
        }
    }

    /// Whether a peer may know something else than this node, as far as is known.
    pub fn differs_from(&self, peer: &NodeId) -> bool {
        let (have, digest) = self.peers.get(peer).copied().unwrap_or_default();
        digest != self.views.digest() || (have < self.version && !self.tracked.is_empty())
    }

    /// The next page to ask for now. Call until there is none.
    pub fn next_pull(&mut self, now_ms: u64, up: impl Fn(&NodeId) -> bool) -> Option<Pull> {
        self.incoming.next_pull(now_ms, up)
    }

    /// A new process takes over: answers to what the old one asked will not come.
    pub fn resume(&mut self) {
        self.incoming.resume();
    }

    /// A page has been merged into this node's store.
    pub fn pulled(&mut self, pull: &Pull, page: Page) {
        self.incoming.pulled(pull, page);
    }

    /// A page did not come.
    pub fn pull_failed(&mut self, pull: &Pull, now_ms: u64) {
        self.incoming.failed(pull, now_ms);
    }

    /// The source moves enough already, and wants to be left alone for so long, in milliseconds.
    pub fn pull_refused(&mut self, pull: &Pull, rest_ms: u64, now_ms: u64) {
        self.incoming.refused(pull, rest_ms, now_ms);
    }

    /// How fast this node moves data, in and out.
    pub fn pace(&mut self) -> &mut Pace {
        self.incoming.pace()
    }

    /// Records what has been pulled completely. Says whether anything changed.
    pub fn finish_pulls(&mut self) -> bool {
        let before = self.version;
        while let Some((partition, fact)) = self.incoming.finished() {
            let mut facts = Facts::default();
            facts.record_synced(fact);
            self.take_in(partition, &facts);
        }
        self.settle();
        self.version > before
    }

    /// Whether a peer may read a page of a partition here, for this transfer. The peer's news must
    /// have been heard, and whatever serves requests must heed it, before this is asked: then the
    /// source is fenced.
    ///
    /// # Errors
    /// Why it may not, now.
    pub fn may_serve(&mut self, reader: NodeId, pull: &Pull, now_ms: u64) -> Result<(), NotServed> {
        let stranger = || NotServed::Stranger;
        let config = &self
            .tracked
            .get(&pull.partition)
            .ok_or_else(stranger)?
            .config;
        let from = config.find(pull.from).ok_or_else(stranger)?;
        if !from.has(&self.me) || config.find(pull.to).is_none() {
            return Err(NotServed::Stranger);
        }
        if !config.is_base(pull.from, &self.views) {
            return Err(NotServed::NotBase);
        }
        let pace = self.incoming.pace();
        if !pace.is_open(now_ms) {
            let rest_ms = pace.rest_ms();
            return Err(NotServed::Resting { rest_ms });
        }
        match self.outgoing.admit(reader, pull.partition, now_ms) {
            true => Ok(()),
            false => Err(NotServed::Busy),
        }
    }

    /// A page was served.
    pub fn served(&mut self, reader: NodeId, partition: Partition, page: Page) {
        self.incoming.pace().take(page.bytes);
        if page.next.is_none() {
            self.outgoing.ended(reader, partition);
        }
    }

    /// Every partition with more than one active set, the version at which they last changed, and
    /// how to list them, oldest first.
    pub fn moving(&self) -> impl Iterator<Item = (Partition, u64, &PartitionConfig)> {
        let moving = self.tracked.iter().filter(|(_, it)| it.moves);
        moving.map(|(partition, it)| (*partition, it.changed, &it.config))
    }

    /// Partitions whose data this node may hold and that are in no set of which it is a member, by
    /// ascending number.
    pub fn leaving(&self) -> impl Iterator<Item = Partition> + '_ {
        self.leavings.iter().copied()
    }

    /// Whether this is one of them.
    pub fn is_leaving(&self, partition: Partition) -> bool {
        self.leavings.contains(&partition)
    }

    /// The data of that partition is gone from this node.
    pub fn dropped(&mut self, partition: Partition) {
        self.leavings.remove(&partition);
    }

    /// Whether this node was a member, is in no active set any more, and has dropped what it held.
    pub fn has_left(&self) -> bool {
        let departed = self.views.newest().has_departed(&self.me);
        departed && self.held.is_empty() && self.leavings.is_empty()
    }

    /// How many partitions this node still has to drop.
    pub fn leavings(&self) -> usize {
        self.leavings.len()
    }

    /// Grows whenever something that requests have to heed may have changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version at which sets were last added. Whatever heeds this or a later one is fenced for
    /// every set known here.
    pub fn fences(&self) -> u64 {
        self.fences
    }

    /// The views known.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// The ring to use.
    pub fn ring(&self) -> &Arc<Ring> {
        self.views.newest()
    }

    /// What is being pulled.
    pub fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    /// Streams out of this node.
    pub fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// New views: works out anew which partitions move.
    fn retrack(&mut self) {
        self.version += 1;
        self.fences = self.version;
        self.sources.lost = self.views.lost();
        let before = std::mem::take(&mut self.tracked);
        for partition in self.views.moved() {
            let old = before.get(&partition);
            let facts = old.map(|it| it.config.facts().clone()).unwrap_or_default();
            let config = PartitionConfig::new(self.views.assignments(partition), facts);
            let changed = self.version;
            let tracked = Tracked {
                moves: config.is_in_motion(),
                config,
                changed,
            };
            self.tracked.insert(partition, tracked);
        }
        for partition in before.keys() {
            if !self.tracked.contains_key(partition) {
                self.incoming.want(*partition, None);
            }
        }
        let all: Vec<Partition> = self.tracked.keys().copied().collect();
        for partition in all {
            self.follow(partition);
        }
        for partition in self.views.newest().partitions() {
            self.account(partition);
        }
        self.settle();
    }

    fn take_in(&mut self, partition: Partition, facts: &Facts) {
        let Some(tracked) = self.tracked.get_mut(&partition) else {
            return;
        };
        if tracked.config.facts_mut().merge(facts) {
            self.version += 1;
            tracked.changed = self.version;
            self.follow(partition);
        }
    }

    /// Draws every conclusion from what is known of a partition.
    fn follow(&mut self, partition: Partition) {
        let Some(tracked) = self.tracked.get_mut(&partition) else {
            return;
        };
        let config = &mut tracked.config;
        while config.vouch(&self.me, &self.views)
            | config.retire_what_may(&self.views, &self.sources)
        {
            self.version += 1;
            tracked.changed = self.version;
        }
        tracked.moves = config.is_in_motion();
        let wanted = wanted(config, &self.me, &self.views, &self.sources);
        self.incoming.want(partition, wanted);
        self.account(partition);
    }

    /// Whether this node is in an active set of the partition, and what follows if not.
    fn account(&mut self, partition: Partition) {
        let holds = match self.tracked.get(&partition) {
            Some(tracked) => tracked.config.holds(&self.me),
            None => self
                .views
                .newest()
                .replica_ids(partition)
                .any(|id| id == self.me),
        };
        if holds {
            self.held.insert(partition);
            self.leavings.remove(&partition);
        } else if self.held.remove(&partition) {
            self.leavings.insert(partition);
        }
    }

    /// When nothing is in motion any more, what led here is forgotten.
    fn settle(&mut self) {
        let moves = self.tracked.values().any(|it| it.moves);
        if !moves && self.views.len() > 1 && self.views.settle() {
            self.version += 1;
            self.tracked.clear();
        }
    }
}

/// What this node has to pull of a partition now.
fn wanted(
    config: &PartitionConfig,
    me: &NodeId,
    views: &Views,
    sources: &Sources,
) -> Option<Wanted> {
    let (from, to) = config.to_pull(me, views)?;
    let there = |id: &&NodeId| *id != me && !sources.lost.contains(id);
    let mut read: Vec<NodeId> = from.replicas.iter().filter(there).copied().collect();
    // Who leaves has nothing else to do.
    read.sort_by_key(|id| to.has(id));
    let own = usize::from(from.has(me));
    Some(Wanted {
        from: from.id,
        to: to.id,
        needed: sources.needed(from).saturating_sub(own),
        sources: read,
    })
}

/// Names a transfer, for logs.
impl std::fmt::Display for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |id: AssignmentId| id.view.lamport;
        let (from, to) = (name(self.from), name(self.to));
        write!(f, "partition {} from view {from} to {to}", self.partition.0)
    }
}

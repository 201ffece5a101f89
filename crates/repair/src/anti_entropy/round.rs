//! What is left to do with one peer.

use std::collections::BTreeSet;

use henge_ring::{NodeId, Partition, Ring};

/// One peer, and the round with it that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) is_up: bool,
    /// Monotonic time of the next round.
    pub(super) due_ms: u64,
    /// Nothing is asked before: hints go first.
    not_before_ms: u64,
    /// The link came up since the last round began.
    is_back: bool,
    /// Whether nothing has failed in the round under way.
    pub(super) is_whole: bool,
    began_ms: Option<u64>,
    /// When the last round began that went through without a failure.
    whole_since_ms: Option<u64>,
    /// To be reconciled from the peer's log.
    pub(super) catch_up: BTreeSet<Partition>,
    /// Whose roll-ups are to be compared.
    pub(super) compare: BTreeSet<Partition>,
    /// Whose roll-ups differed.
    pub(super) differing: BTreeSet<Partition>,
    /// Of which this node holds something for the peer.
    pub(super) offer: BTreeSet<Partition>,
}

impl Round {
    pub(super) fn came_up(&mut self, not_before_ms: u64) {
        self.is_up = true;
        self.is_back = true;
        self.not_before_ms = not_before_ms;
        self.due_ms = not_before_ms;
    }

    /// What was to be compared is kept: the peer may have missed more meanwhile, not less.
    pub(super) fn went_down(&mut self) {
        self.is_up = false;
        self.is_whole = false;
        self.began_ms = None;
        self.catch_up.clear();
        self.differing.clear();
        self.offer.clear();
    }

    /// Whether a round is to begin: not before the one under way has ended, unless the peer was
    /// away since.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.is_up && self.due_ms <= now_ms && (self.began_ms.is_none() || self.is_back)
    }

    pub(super) fn may_go(&self, now_ms: u64) -> bool {
        self.is_up && self.not_before_ms <= now_ms
    }

    /// Begins a round over the partitions that both nodes own. After a separation those in which
    /// `is_known` how far this node had come are caught up with from the peer's log.
    pub(super) fn begin(
        &mut self,
        now_ms: u64,
        interval_ms: u64,
        ring: &Ring,
        me: NodeId,
        peer: NodeId,
        is_known: impl Fn(Partition) -> bool,
    ) {
        self.due_ms = now_ms + interval_ms;
        self.began_ms = Some(now_ms);
        self.is_whole = true;
        for partition in ring.partitions() {
            let owns = |node| owners(ring, partition).any(|owner| owner == node);
            if !owns(me) || !owns(peer) {
                continue;
            }
            let by_log = self.is_back && is_known(partition);
            let todo = if by_log {
                &mut self.catch_up
            } else {
                &mut self.compare
            };
            todo.insert(partition);
        }
        self.is_back = false;
    }

    /// Nothing is done about these any more.
    pub(super) fn leave_out(&mut self, partitions: &BTreeSet<Partition>) {
        if partitions.is_empty() {
            return;
        }
        for todo in [
            &mut self.catch_up,
            &mut self.compare,
            &mut self.differing,
            &mut self.offer,
        ] {
            todo.retain(|partition| !partitions.contains(partition));
        }
    }

    /// Ends the round if nothing is left of it; tells whether one has ended.
    pub(super) fn end(&mut self) -> bool {
        if self.left() > 0 || self.began_ms.is_none() {
            return false;
        }
        let began = self.began_ms.take();
        if self.is_whole {
            self.whole_since_ms = began;
        }
        true
    }

    /// Partitions that are still to be looked at.
    pub(super) fn left(&self) -> usize {
        self.catch_up.len() + self.compare.len() + self.differing.len() + self.offer.len()
    }

    /// How long ago the last whole round began.
    pub(super) fn age_ms(&self, now_ms: u64) -> Option<u64> {
        self.whole_since_ms
            .map(|began| now_ms.saturating_sub(began))
    }
}

/// The nodes that own a partition.
pub(super) fn owners(ring: &Ring, partition: Partition) -> impl Iterator<Item = NodeId> {
    let primaries = ring.primaries(partition).iter();
    primaries.map(|&index| ring.member(index).id)
}

/// The partitions of the peer's that this node holds something of without owning them.
pub(super) fn offers(
    ring: &Ring,
    me: NodeId,
    peer: NodeId,
    holds: impl Fn(Partition) -> bool,
) -> BTreeSet<Partition> {
    let foreign = |partition: &Partition| {
        let mut its = false;
        owners(ring, *partition).all(|owner| {
            its |= owner == peer;
            owner != me
        }) && its
    };
    ring.partitions()
        .filter(|partition| foreign(partition) && holds(*partition))
        .collect()
}

/// Takes the first partition that may be worked on.
pub(super) fn take_first(
    from: &mut BTreeSet<Partition>,
    may: impl Fn(&Partition) -> bool,
) -> Option<Partition> {
    let first = from.iter().copied().find(may)?;
    from.remove(&first);
    Some(first)
}

/// Takes up to `most` partitions.
pub(super) fn take_some(from: &mut BTreeSet<Partition>, most: usize) -> Vec<Partition> {
    let page: Vec<_> = from.iter().copied().take(most).collect();
    from.retain(|partition| !page.contains(partition));
    page
}

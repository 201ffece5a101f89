//! Mistakes of the host: what it gives an engine at its start, how it sweeps, and what it makes of
//! requests and answers.

use std::collections::BTreeMap;

use henge_node::{Failure, Operation, Outcome, Request, Shortage};
use henge_ring::{NodeId, Partition};
use henge_store::{Cursor, Key, Store};
use henge_versioning::{RecordRef, siblings};

use super::{
    super::{
        ask::{Ask, What},
        node::{CLOCK_BOUND_MS, PARTITION_BITS, node_ids},
        watched::WatchedStore,
    },
    Planted,
    store::StoreFlaw,
};

/// How long a tombstone is kept where that is a fixed time: more than messages take, less than
/// sessions live.
const SHORT_GRACE_MS: u64 = 3_000;

/// How many partitions of those it has a node forgets whose recovery stops at an error.
const TRUNCATED: u16 = 1 << (PARTITION_BITS - 2);

impl Planted {
    /// Whether a node that starts again is given its first boot number.
    pub(in crate::sim) fn keeps_boot(self) -> bool {
        matches!(
            self,
            Self::NodeAsActor | Self::ActorKeptAfterWipe | Self::StampBeforeSync
        )
    }

    /// The node whose state directory this one's is a copy of, if it is not its own.
    pub(in crate::sim) fn copied_from(self, node: NodeId) -> Option<NodeId> {
        let founders = node_ids(2);
        (self == Self::OneIdTwice && node == founders[1]).then_some(founders[0])
    }

    /// Whether a node that starts again has lost its store.
    pub(in crate::sim) fn wipes(self) -> bool {
        matches!(self, Self::SilentLoss | Self::ActorKeptAfterWipe)
    }

    /// What is wrong with the store that the engine works on.
    pub(in crate::sim) fn store_flaw(self) -> Option<StoreFlaw> {
        match self {
            Self::AckBeforeSync | Self::StampBeforeSync => Some(StoreFlaw::Unsynced),
            Self::SiblingDropped => Some(StoreFlaw::DropsSiblings),
            Self::StaleComparison => Some(StoreFlaw::StaleDigests),
            _ => None,
        }
    }

    /// Whether nodes believe their machines' wall clocks.
    pub(in crate::sim) fn leaves_the_clock_unguarded(self) -> bool {
        matches!(self, Self::ClockGuardOff | Self::ClockBeyondBound)
    }

    /// By how much the second node's clock is off more than was drawn, in milliseconds.
    pub(in crate::sim) fn clock_off_ms(self) -> i64 {
        match self {
            Self::ClockBeyondBound => 3 * CLOCK_BOUND_MS as i64,
            _ => 0,
        }
    }
}

/// What a client asked, as a node with this mistake understands it. `held` is the node's own record.
pub(in crate::sim) fn understand(
    planted: Planted,
    ask: &mut Ask,
    held: Option<&[u8]>,
    skew_ms: i64,
) {
    match (&mut ask.what, planted) {
        (What::PutSibling(_, context), Planted::VectorInsteadOfDots) => {
            let held = held.and_then(|bytes| RecordRef::parse(bytes).ok());
            if held.is_some_and(|held| !context.descends(&siblings::context(held))) {
                *context = henge_versioning::VersionVector::new();
            }
        }
        (What::Get, Planted::TokenIgnored) => ask.after = None,
        (What::Touch(_), Planted::BlindTouches) => (ask.quorum.r, ask.quorum.w) = (1, 1),
        (What::PutField(_, Some(at)) | What::Touch(at), Planted::DeadlineByLocalClock) => {
            // As by a clock that nobody holds to the bound: ten times as far off as this one.
            *at = at.saturating_add_signed(10 * skew_ms);
        }
        _ => {}
    }
}

/// A step of a login that does not say whose the session is.
pub(in crate::sim) fn forget_owner(request: &mut Request<'_>) {
    if let Operation::PutFields { fields, .. } = &mut request.operation {
        fields.retain(|(name, _)| !name.starts_with(b"\0\0"));
    }
}

/// What a client is told.
pub(in crate::sim) fn report(planted: Planted, outcome: &mut Outcome) {
    if let (Planted::FailedForUnknown, Err(Failure::Unknown { needed, got })) =
        (planted, &outcome.result)
    {
        outcome.result = Err(Failure::Failed {
            needed: *needed,
            got: *got,
            why: Shortage::Unreachable,
        });
    }
}

/// The keys of a partition whose session is over here.
pub(in crate::sim) fn tombstones(
    store: &WatchedStore,
    partition: Partition,
) -> Vec<(Vec<u8>, u64)> {
    let mut found = Vec::new();
    let mut from: Option<Cursor> = None;
    loop {
        from = store.scan(partition, from, 64, &mut |key, stored| {
            if stored.record().is_dead() {
                found.push((key.to_vec(), stored.digest));
            }
        });
        if from.is_none() {
            return found;
        }
    }
}

/// When a node first saw each of its tombstones.
pub(in crate::sim) type SeenDead = BTreeMap<Vec<u8>, u64>;

/// Takes a partition's tombstones away before their time.
pub(in crate::sim) fn reap(
    planted: Planted,
    store: &WatchedStore,
    partition: Partition,
    now_ms: u64,
    seen: &mut SeenDead,
) {
    let grace_ms = match planted {
        Planted::TombstoneReaped => 0,
        Planted::GraceTooShort => SHORT_GRACE_MS,
        _ => return,
    };
    for (key, digest) in tombstones(store, partition) {
        let since = *seen.entry(key.clone()).or_insert(now_ms);
        if now_ms >= since + grace_ms {
            store.remove(Key::new(&key), digest);
        }
    }
}

/// A recovery that stops at the first error: the rest of the store is lost.
pub(in crate::sim) fn truncate(store: &WatchedStore) {
    for partition in (0..TRUNCATED).map(Partition) {
        let mut lost = Vec::new();
        let end = store.scan(partition, None, usize::MAX, &mut |key, stored| {
            lost.push((key.to_vec(), stored.digest));
        });
        debug_assert!(end.is_none());
        for (key, digest) in lost {
            store.remove(Key::new(&key), digest);
        }
    }
}

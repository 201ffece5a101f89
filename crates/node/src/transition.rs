//! What a node knows of partitions in motion, shared by its data threads.
//!
//! The machine is [`Transfer`]; it stands behind a lock and is asked rarely: when membership changes,
//! a peer has news, or a page was pulled. Each engine works with a [`Snapshot`] of what requests
//! have to heed, and takes a new one at the start of a batch or a tick when the version has grown. A
//! source may be read only when all engines have taken the snapshot that fences it
//! ([`Transition::all_heed`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use henge_repair::transfer::{Transfer, TransferLimits};
use henge_ring::{Assignment, Log, NodeId, Partition, PartitionConfig, Ring};

/// A partition that has more than one active set.
#[derive(Debug)]
pub(crate) struct Moving {
    /// The active sets, oldest first.
    pub(crate) sets: Vec<Assignment>,
    /// Their digests as requests carry them.
    pub(crate) wire: Vec<u8>,
}

/// What requests have to heed, at one version.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) version: u64,
    pub(crate) fences: u64,
    /// The hash of the newest ring's tag; 0 as long as there is none.
    pub(crate) tag: u64,
    pub(crate) ring: Arc<Ring>,
    /// The rings of all views, by hash of their tags.
    rings: BTreeMap<u64, Arc<Ring>>,
    pub(crate) moving: BTreeMap<Partition, Arc<Moving>>,
}

impl Moving {
    fn of(config: &PartitionConfig) -> Self {
        let sets: Vec<Assignment> = config.active().cloned().collect();
        let digests = sets.iter().flat_map(|set| set.id.set.to_le_bytes());
        let wire = digests.collect();
        Self { sets, wire }
    }
}

impl Snapshot {
    /// While partitions move there are thousands of versions, each of which changes a few of them: the
    /// others are those of the snapshot before.
    fn of(transfer: &Transfer, before: &Self) -> Self {
        let moving = transfer.moving().map(|(partition, changed, config)| {
            let kept = before.moving.get(&partition);
            let kept = kept.filter(|_| changed <= before.version);
            let moving = kept.map_or_else(|| Arc::new(Moving::of(config)), Arc::clone);
            debug_assert!(config.active().eq(&moving.sets));
            (partition, moving)
        });
        let views = transfer.views();
        Self {
            version: transfer.version(),
            fences: transfer.fences(),
            tag: views.newest_log().tag().hash,
            ring: Arc::clone(views.newest()),
            rings: views
                .rings()
                .map(|(tag, ring)| (tag.hash, Arc::clone(ring)))
                .collect(),
            moving: moving.collect(),
        }
    }

    /// The digests of a partition's active sets.
    pub(crate) fn active(&self, partition: Partition) -> impl Iterator<Item = u64> + '_ {
        let moving = self.moving.get(&partition);
        let steady = match moving {
            None => self.ring.replica_set(partition),
            Some(_) => None,
        };
        let moving = moving.into_iter().flat_map(|it| &it.sets);
        moving.map(|set| set.id.set).chain(steady)
    }

    /// The ring of a view.
    pub(crate) fn ring_of(&self, tag: u64) -> Option<&Arc<Ring>> {
        self.rings.get(&tag)
    }
}

/// How far a node has come with moving partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransitionStatus {
    /// Rings under which somebody may still serve: one at rest, one more for each change under way.
    pub views: u64,
    /// Partitions with more than one active replica set.
    pub in_motion: u64,
    /// Partitions this node still has to pull.
    pub to_pull: u64,
    /// Partitions this node still has to drop.
    pub to_drop: u64,
    /// Bytes pulled since the node started.
    pub bytes_pulled: u64,
    /// Whether this node is in no replica set any more and holds nothing that others lack.
    pub left: bool,
}

#[derive(Debug, Default)]
struct Inner {
    transfer: Option<Transfer>,
    snapshot: Arc<Snapshot>,
    /// When records of a partition were last handed over and dropped, in monotonic milliseconds. At
    /// most one entry per partition.
    dropped_ms: BTreeMap<Partition, u64>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Transition {
    me: NodeId,
    sources: u8,
    limits: TransferLimits,
    inner: Mutex<Inner>,
    version: AtomicU64,
    /// The version each engine works with.
    heeded: Vec<AtomicU64>,
}

impl Transition {
    /// For a node with so many engines. `sources` is max(R, W) of the operations to be protected.
    pub fn new(me: NodeId, sources: u8, limits: TransferLimits, engines: usize) -> Self {
        Self {
            me,
            sources,
            limits,
            inner: Mutex::default(),
            version: AtomicU64::new(0),
            heeded: (0..engines).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The cluster exists: it began with this log. Later changes are [learnt](Self::learn). Without
    /// effect the second time.
    pub fn found(&self, log: &Log, now_ms: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.transfer.is_none() {
            let log = log.clone();
            let transfer = Transfer::new(self.me, log, self.sources, self.limits, now_ms);
            self.version.store(transfer.version(), Ordering::Release);
            inner.transfer = Some(transfer);
        }
    }

    /// Somebody serves under this log.
    pub fn learn(&self, log: &Log) {
        self.with(|transfer| transfer.learn(log));
    }

    /// The newest ring; `None` before the cluster exists.
    pub fn ring(&self) -> Option<Arc<Ring>> {
        self.with(|transfer| Arc::clone(transfer.ring()))
    }

    /// The events behind the newest ring; `None` before the cluster exists.
    pub fn log(&self) -> Option<Log> {
        self.with(|transfer| transfer.views().newest_log().clone())
    }

    /// Whether a peer has told what it knows.
    pub(crate) fn has_heard(&self) -> bool {
        self.with(|transfer| transfer.has_heard()).unwrap_or(false)
    }

    /// The partitions that move.
    pub fn moving(&self) -> BTreeSet<Partition> {
        self.snapshot().moving.keys().copied().collect()
    }

    /// The members of the oldest active set of a partition that moves: they hold whatever was
    /// acknowledged. `None` for one that does not.
    pub(crate) fn oldest_set(&self, partition: Partition) -> Option<Vec<NodeId>> {
        let snapshot = self.snapshot();
        let moving = snapshot.moving.get(&partition)?;
        moving.sets.first().map(|set| set.replicas.clone())
    }

    /// How far it has come.
    pub fn status(&self) -> TransitionStatus {
        let status = self.with(|transfer| TransitionStatus {
            views: transfer.views().len() as u64,
            in_motion: transfer.moving().count() as u64,
            to_pull: transfer.incoming().len() as u64,
            to_drop: transfer.leavings() as u64,
            bytes_pulled: transfer.incoming().bytes(),
            left: transfer.has_left(),
        });
        status.unwrap_or_default()
    }

    /// From now on records of a partition that this node has left are dropped: others have them.
    pub(crate) fn drops(&self, partition: Partition, now_ms: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.dropped_ms.insert(partition, now_ms);
    }

    /// Whether that has happened since then: the store may have held something that it lacks now.
    pub(crate) fn has_dropped(&self, partition: Partition, since_ms: u64) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let last = inner.dropped_ms.get(&partition);
        last.is_some_and(|last| *last >= since_ms)
    }

    /// Whether this node still has partitions to drop.
    pub(crate) fn has_to_drop(&self) -> bool {
        let some = self.with(|transfer| transfer.leavings() > 0);
        some.unwrap_or(false)
    }

    /// Asks or tells the machine something; `None` before the cluster exists.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut Transfer) -> T) -> Option<T> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let transfer = inner.transfer.as_mut()?;
        let answer = ask(transfer);
        self.version.store(transfer.version(), Ordering::Release);
        Some(answer)
    }

    /// The present version; that of a snapshot is older if there is news.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What to heed from now on. Made once per version.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transfer) = &inner.transfer
            && transfer.version() != inner.snapshot.version
        {
            inner.snapshot = Arc::new(Snapshot::of(transfer, &inner.snapshot));
        }
        Arc::clone(&inner.snapshot)
    }

    /// This engine works with that version.
    pub(crate) fn heeds(&self, engine: usize, version: u64) {
        if let Some(heeded) = self.heeded.get(engine) {
            heeded.store(version, Ordering::Release);
        }
    }

    /// Whether every engine works with this version or a later one.
    pub(crate) fn all_heed(&self, version: u64) -> bool {
        let mut heeded = self.heeded.iter();
        heeded.all(|heeded| heeded.load(Ordering::Acquire) >= version)
    }
}

//! What all threads of a node share.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use crossbeam::sync::ShardedLock;
use henge_ring::{Log, NodeId, Ring};
use henge_store::Store;
use henge_versioning::Clock;

use crate::{
    Buckets, Config, NodeInfo, Now, PeerInfo, QuorumReport, Transition, Unready,
    anti_entropy::Board, engine::Counters, wall_clock::WallClock,
};

/// Reads the machine's clocks. The one place where the node does; simulations bring their own.
pub trait Clocks: Send + Sync + 'static {
    /// Both clocks, now.
    fn now(&self) -> Now;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClocks {
    start: std::time::Instant,
}

impl Default for SystemClocks {
    fn default() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Clocks for SystemClocks {
    fn now(&self) -> Now {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mono_us = self.start.elapsed().as_micros() as u64;
        Now {
            mono_ms: mono_us / 1_000,
            mono_sub_us: (mono_us % 1_000) as u16,
            wall_ms: since_1970.map_or(0, |elapsed| elapsed.as_millis() as u64),
        }
    }
}

/// How far the node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Starting = 0,
    Filling = 1,
    Serving = 2,
    Stopping = 3,
}

/// One peer as the links see it.
#[derive(Clone, Debug)]
pub(crate) struct PeerState {
    pub(crate) info: PeerInfo,
}

/// How long a report on quorums is used again: it bounds what asking for it over and over costs.
const REPORT_MS: u64 = 1_000;

/// Shared by the data threads, the control tasks and every handle.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) info: NodeInfo,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) clocks: WallClock,
    /// The buckets that this node began with.
    pub(crate) built_in: Arc<Buckets>,
    /// Those with what the log says of buckets.
    buckets: ShardedLock<Arc<Buckets>>,
    /// One per data thread.
    pub(crate) counters: Vec<Arc<Counters>>,
    pub(crate) links: Arc<henge_rpc::LinkStats>,
    pub(crate) hints_waiting: AtomicU64,
    pub(crate) repair: Board,
    pub(crate) refused_connections: AtomicU64,
    /// Bytes of gossip sent.
    pub(crate) gossip_bytes: AtomicU64,
    /// Members that were down and that this node let go.
    pub(crate) evictions: AtomicU64,
    pub(crate) forgotten_siblings: Arc<AtomicU64>,
    pub(crate) transition: Arc<Transition>,
    log: Mutex<Log>,
    /// Looked at by every thread of the node, changed a few times in its life: readers on different
    /// threads lock different shards. (Engines have a copy of their own and never come here.)
    ring: ShardedLock<Arc<Ring>>,
    peers: Mutex<std::collections::BTreeMap<NodeId, PeerState>>,
    /// The last report on quorums, and when it was made.
    report: Mutex<Option<(u64, Arc<QuorumReport>)>>,
    phase: AtomicU8,
}

impl Shared {
    #[allow(clippy::too_many_arguments)] // assembled in one place, from parts that have no other home
    pub(crate) fn new(
        config: Config,
        info: NodeInfo,
        store: Arc<dyn Store>,
        clock: Arc<Clock>,
        clocks: Arc<dyn Clocks>,
        built_in: Arc<Buckets>,
        links: Arc<henge_rpc::LinkStats>,
        log: Log,
        repair: Board,
    ) -> Self {
        let counters = (0..config.data_threads).map(|_| Arc::default()).collect();
        let sources = config.defaults.r.max(config.defaults.w);
        let limits = henge_repair::transfer::TransferLimits::default();
        let transition = Arc::new(Transition::new(
            info.id,
            sources,
            limits,
            config.data_threads,
        ));
        let clocks = WallClock::new(clocks, Arc::clone(&clock));
        let ring = Arc::new(Ring::fold(&log));
        let shared = Self {
            config,
            info,
            store,
            clock,
            clocks,
            buckets: ShardedLock::new(Arc::new(built_in.with(ring.buckets()))),
            built_in,
            counters,
            links,
            hints_waiting: AtomicU64::new(0),
            repair,
            refused_connections: AtomicU64::new(0),
            gossip_bytes: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            forgotten_siblings: Arc::default(),
            transition,
            log: Mutex::new(log),
            ring: ShardedLock::new(ring),
            peers: Mutex::default(),
            report: Mutex::default(),
            phase: AtomicU8::new(Phase::Starting as u8),
        };
        shared.judge_clock();
        shared
    }

    /// Names this life of the store's logs. A node that loses its store has a new id; the boot
    /// number tells its lives apart otherwise.
    pub(crate) fn log_life(&self) -> u64 {
        let name = [&self.info.id.0[..], &self.info.boot.to_le_bytes()].concat();
        henge_ring::Token::of(&name).0
    }

    pub(crate) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bucket rules of the present ring.
    pub(crate) fn buckets(&self) -> Arc<Buckets> {
        Arc::clone(&self.buckets.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn log(&self) -> Log {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets `change` edit the event log. If that changed it, folds the new ring and returns it.
    pub(crate) fn edit_log(&self, change: impl FnOnce(&mut Log)) -> Option<Arc<Ring>> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let before = log.tag();
        change(&mut log);
        if log.tag() == before {
            return None;
        }
        let before = self.ring();
        let ring = Arc::new(before.advance(&log));
        if ring.buckets() != before.buckets() {
            let buckets = Arc::new(self.built_in.with(ring.buckets()));
            *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = buckets;
        }
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        self.transition.learn(&log);
        Some(ring)
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Filling,
            2 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        // Stopping is final.
        let _ = self
            .phase
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now != Phase::Stopping as u8).then_some(phase as u8)
            });
    }

    /// Why this node serves nothing by itself, if it does not. A node whose clock is wrong refuses no
    /// requests: it passes them on.
    pub(crate) fn condition(&self) -> Option<Unready> {
        self.unready().or_else(|| self.clocks.unready())
    }

    /// Judges the clock anew.
    pub(crate) fn judge_clock(&self) {
        let members = self.ring().members().len();
        let told_of_others = !(self.config.peers.is_empty() && self.config.join.is_empty());
        // A member whose peers have all left has none to ask.
        let is_left = members == 1 && self.clocks.is_confirmed();
        let is_lonely = members <= 1 && (is_left || !told_of_others);
        self.clocks.judge(is_lonely);
    }

    /// Why requests are refused now, if they are.
    pub(crate) fn unready(&self) -> Option<Unready> {
        match self.phase() {
            Phase::Starting => Some(Unready::Starting),
            Phase::Filling => Some(Unready::Filling),
            Phase::Serving => None,
            Phase::Stopping => Some(Unready::Stopping),
        }
    }

    /// Notes that one of a peer's links came up or went down.
    pub(crate) fn peer_link(&self, id: NodeId, up: bool) {
        self.with_peer(id, |info| {
            info.up = up;
            if !up {
                info.rtt_us = 0;
                info.backlog_bytes = 0;
            }
        });
    }

    /// Notes what the cluster says of a peer.
    pub(crate) fn peer_declared(&self, id: NodeId, down: bool) {
        self.with_peer(id, |info| info.declared_down = down);
    }

    fn with_peer(&self, id: NodeId, change: impl FnOnce(&mut PeerInfo)) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let info = PeerInfo {
            id,
            up: false,
            declared_down: false,
            rtt_us: 0,
            backlog_bytes: 0,
        };
        change(&mut peers.entry(id).or_insert(PeerState { info }).info);
    }

    /// Notes what a link measured.
    pub(crate) fn peer_measured(&self, id: NodeId, rtt_us: u64, backlog_bytes: u64) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = peers.get_mut(&id) {
            state.info.rtt_us = rtt_us;
            state.info.backlog_bytes = backlog_bytes;
        }
    }

    /// The last report on quorums, unless it is older than [`REPORT_MS`].
    pub(crate) fn recent_report(&self, now_ms: u64) -> Option<Arc<QuorumReport>> {
        let kept = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let (made_ms, report) = kept.as_ref()?;
        (now_ms < made_ms + REPORT_MS).then(|| Arc::clone(report))
    }

    pub(crate) fn keep_report(&self, made_ms: u64, report: Arc<QuorumReport>) {
        let mut kept = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((made_ms, report));
    }

    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.values().map(|state| state.info.clone()).collect()
    }
}

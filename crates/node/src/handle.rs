//! The node as the rest of the program sees it.

use std::{
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::LocalBoxFuture;
use henge_repair::anti_entropy::{PeerProgress, Totals as RepairTotals};
use henge_ring::{Endpoints, NodeId, Ring};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Buckets, ChangesPage, ClockReport, Export, ExportPage, Failure, LocalNode, Measured, NotShown,
    Outcome, QuorumReport, Request, ScanPage, Unready, engine, export, metrics,
    quorum::{self, About},
    shard::Shard,
    shared::Shared,
};

/// Who this node is.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// How many times it has started with this id.
    pub boot: u64,
    /// Where it listens.
    pub endpoints: Endpoints,
    /// Milliseconds since 1970 at start.
    pub started_ms: u64,
}

/// What this node knows of a peer through its own links.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer.
    pub id: NodeId,
    /// Whether its links are up.
    pub up: bool,
    /// Whether the cluster holds it to be down: what the nodes agree on, whatever this node's own
    /// links are like.
    pub declared_down: bool,
    /// Smoothed round trip in microseconds; 0 if not known.
    pub rtt_us: u64,
    /// Bytes waiting to be sent to it.
    pub backlog_bytes: u64,
}

/// One replica's view of a key.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    /// The replica.
    pub node: NodeId,
    /// Its place in the preference list: primary number, from 0.
    pub place: usize,
    /// Its record, as encoded; `Ok(None)`: it holds none; `Err`: why it did not answer.
    pub record: Result<Option<Vec<u8>>, String>,
}

/// Work for a data thread.
pub(crate) type Job = Box<dyn FnOnce(LocalNode) -> LocalBoxFuture<'static, ()> + Send>;

/// Jobs that may wait for one data thread: enough for every HTTP connection to have a few.
pub(crate) const JOBS: usize = 4_096;

/// A running node. Cheap to clone, `Send`.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    threads: Arc<[mpsc::Sender<Job>]>,
    turn: Arc<AtomicUsize>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("info", &self.shared.info)
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, threads: Arc<[mpsc::Sender<Job>]>) -> Self {
        Self {
            shared,
            threads,
            turn: Arc::default(),
        }
    }

    /// One request on one key.
    pub async fn call(&self, request: &Request<'_>) -> Outcome {
        let request = engine::encode_request(request);
        let called = self.on_data_thread(move |node| async move {
            match engine::decode_request(&request) {
                Some(request) => node.call(&request).await,
                None => stopped(Failure::Invalid("the request cannot be encoded".to_owned())),
            }
        });
        called
            .await
            .unwrap_or_else(|| stopped(Failure::NotReady(Unready::Stopping)))
    }

    /// A page of all live keys.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, Failure> {
        let scanned =
            self.on_data_thread(move |node| async move { node.scan(cursor, count).await });
        scanned
            .await
            .unwrap_or(Err(Failure::NotReady(Unready::Stopping)))
    }

    /// What each replica of a key holds.
    pub async fn explain(&self, key: &[u8]) -> Vec<ReplicaView> {
        let key = key.to_vec();
        let explained = self.on_data_thread(move |node| async move { node.explain(&key).await });
        explained.await.unwrap_or_default()
    }

    /// Who this node is.
    pub fn info(&self) -> &NodeInfo {
        &self.shared.info
    }

    /// Its peers, by id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.shared.peers()
    }

    /// The present ring.
    pub fn ring(&self) -> Arc<Ring> {
        self.shared.ring()
    }

    /// The bucket rules.
    pub fn buckets(&self) -> Arc<Buckets> {
        self.shared.buckets()
    }

    /// N, R, W, mode and deadline of requests that say nothing else.
    pub fn defaults(&self) -> henge_coordinator::Defaults {
        self.shared.config.defaults
    }

    /// Whether it serves requests: every configured peer is known, its clock is right, and it is not
    /// stopping.
    pub fn is_ready(&self) -> bool {
        self.shared.condition().is_none()
    }

    /// Why it does not serve, if it does not.
    pub fn unready(&self) -> Option<Unready> {
        self.shared.condition()
    }

    /// Milliseconds since 1970, by the clock that the node works with: its machine's, as long as that
    /// is right.
    pub fn wall_ms(&self) -> u64 {
        self.shared.clocks.now().wall_ms
    }

    /// What is known of its clock and of its peers' clocks.
    pub fn clocks(&self) -> ClockReport {
        self.shared.clocks.report()
    }

    /// Counters and gauges in Prometheus text form, those of every layer.
    pub fn metrics(&self) -> String {
        metrics::render(&self.shared)
    }

    /// Keys held and bytes used by this node's own store.
    pub fn usage(&self) -> henge_store::Usage {
        self.shared.store.usage()
    }

    /// A page of this node's own records.
    ///
    /// # Errors
    /// [`NotShown::UnknownPartition`].
    pub fn export(&self, wanted: &Export) -> Result<ExportPage, NotShown> {
        export::export(&*self.shared.store, wanted)
    }

    /// What changed in a partition of this node since a position, at most `limit` changes; `life`
    /// is that of the page before, if there was one.
    ///
    /// # Errors
    /// If there is no such partition, the log does not reach back so far, or the position is of
    /// another life.
    pub fn changes(
        &self,
        partition: u64,
        life: Option<u64>,
        since: u64,
        limit: usize,
    ) -> Result<ChangesPage, NotShown> {
        let own = self.shared.log_life();
        if let Some(asked) = life.filter(|life| *life != own) {
            return Err(NotShown::OtherLife { asked, own });
        }
        export::changes(&*self.shared.store, own, partition, since, limit)
    }

    /// Begins a round of anti-entropy with every peer that can be reached, as soon as the one under
    /// way has ended.
    pub fn start_repair(&self) {
        self.shared.repair.want_round();
    }

    /// What each choice of R and W costs and risks at this node, as of at most a second ago.
    pub async fn quorum(&self) -> Arc<QuorumReport> {
        let now_ms = self.shared.clocks.now().mono_ms;
        if let Some(report) = self.shared.recent_report(now_ms) {
            return report;
        }
        let mut measured = Measured::default();
        for number in 0..self.threads.len() {
            let (tell, told) = oneshot::channel();
            self.run_on(number, move |shard| {
                // Nobody listens any more: the caller has gone away, which is its right.
                let _ = tell.send(shard.measured());
                Box::pin(async {})
            });
            if let Ok(more) = told.await {
                measured.add(more);
            }
        }
        let shared = Arc::clone(&self.shared);
        let report = move || {
            let (ring, links) = (shared.ring(), shared.peers());
            let about = About {
                node: shared.info.id,
                ring: &ring,
                links: &links,
                defaults: shared.config.defaults,
                probe_share: shared.config.probe_share,
            };
            let report = Arc::new(quorum::report(&about, &measured));
            shared.keep_report(now_ms, Arc::clone(&report));
            report
        };
        // The model takes too long for a thread that serves requests.
        match tokio::task::spawn_blocking(report.clone()).await {
            Ok(report) => report,
            Err(_) => report(),
        }
    }

    /// What anti-entropy has done since the node's start, and how far it is with each peer.
    pub fn repair_progress(&self) -> (RepairTotals, Vec<PeerProgress>) {
        self.shared.repair.shown()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Starts `work` on the data thread with this number (modulo their number). If that thread's
    /// inbox is full the work is dropped: what it carries (a connection) is closed.
    pub(crate) fn run_on(
        &self,
        number: usize,
        work: impl FnOnce(Rc<Shard>) -> LocalBoxFuture<'static, ()> + Send + 'static,
    ) {
        let thread = &self.threads[number % self.threads.len()];
        let job: Job = Box::new(move |node| work(Rc::clone(node.shard())));
        if thread.try_send(job).is_err() {
            tracing::warn!(number, "a data thread has too much to do, or has ended");
        }
    }

    /// Gives a new ring to every data thread, and the log behind it to every peer.
    pub(crate) fn publish(&self, ring: &Arc<Ring>) {
        for number in 0..self.threads.len() {
            let ring = Arc::clone(ring);
            self.run_on(number, move |shard| {
                shard.set_ring(&ring);
                if number == 0 {
                    shard.gossip_ring(&ring);
                    shard.spread_log();
                }
                Box::pin(async {})
            });
        }
    }

    /// Tells every data thread what the cluster says of a peer.
    pub(crate) fn declared(&self, peer: NodeId, down: bool) {
        for number in 0..self.threads.len() {
            self.run_on(number, move |shard| {
                shard.peer_declared(peer, down);
                Box::pin(async {})
            });
        }
    }

    /// Runs `work` on every data thread and waits until all have done it, or have ended.
    pub(crate) async fn on_every_thread<F>(
        &self,
        work: impl Fn(Rc<Shard>) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + 'static,
    {
        let begin = |number| {
            let (tell, told) = oneshot::channel();
            let work = work.clone();
            self.run_on(number, move |shard| {
                Box::pin(async move {
                    work(shard).await;
                    let _ = tell.send(());
                })
            });
            told
        };
        let begun: Vec<_> = (0..self.threads.len()).map(begin).collect();
        for done in begun {
            let _ = done.await;
        }
    }

    /// Runs `work` on one of the data threads and brings its result back. `None`: the node has
    /// stopped.
    pub(crate) async fn on_data_thread<T, F>(
        &self,
        work: impl FnOnce(LocalNode) -> F + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |node| {
            Box::pin(async move {
                // Nobody listens any more: the caller has gone away, which is its right.
                let _ = tell.send(work(node).await);
            })
        });
        let thread = self.turn.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        self.threads[thread].send(job).await.ok()?;
        told.await.ok()
    }
}

fn stopped(failure: Failure) -> Outcome {
    Outcome {
        result: Err(failure),
        receipt: None,
    }
}

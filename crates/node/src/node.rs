//! Putting a node together, starting and stopping it.
//!
//! Start, in this order: bind every listener (an address in use is an error before anything runs),
//! make the shared state, start the data threads, dial the peers, enter the ring, serve. Stop, in
//! the reverse order: refuse new requests, let those in flight end, close connections and links.

use std::{
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use henge_coordinator::HedgePolicy;
use henge_repair::sketch::SketchKey;
use henge_ring::{Endpoints, Log, NodeId};
use henge_rpc::{
    Acceptor, AcceptorLimits, ClusterId, ClusterKey, Entropy, Identity, LinkStats, Listener,
    PeerHandler, Peers, PeersConfig, TcpTransport, Transport, WIRE_NUMBER,
};
use henge_store::{Limits, MemoryStore, Store};
use henge_versioning::Clock;
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
};

use crate::{
    Buckets, Clocks, Config, ConnectionDoor, Handle, LocalNode, NodeInfo, SystemClocks,
    accept::{accept_clients, accept_peers},
    anti_entropy::{Board, Driver, Question},
    engine::EngineParts,
    evict,
    gossip::Gossip,
    handle::{JOBS, Job},
    membership::Membership,
    shard::Shard,
    shared::{Phase, Shared},
    sweep,
};

/// How long requests in flight may take to end when the node stops.
const DRAIN: Duration = Duration::from_secs(3);

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("cannot listen on {address} ({what}): {error}")]
    Listen {
        /// What was to listen there.
        what: &'static str,
        /// Where.
        address: String,
        /// Why not.
        error: std::io::Error,
    },
    /// No randomness for the node's id.
    #[error("no random bytes for the node's id: {0}")]
    Entropy(String),
    /// The cluster key is too short.
    #[error(transparent)]
    Key(#[from] henge_rpc::KeyTooShort),
    /// A thread cannot be started, or ended at once.
    #[error("a data thread cannot run: {0}")]
    Thread(String),
}

/// What a node is made of; every part has a default.
pub struct NodeBuilder {
    config: Config,
    transport: Arc<dyn Transport>,
    clocks: Arc<dyn Clocks>,
    entropy: Entropy,
    buckets: Buckets,
    store: Option<Arc<dyn Store>>,
    door: Option<Arc<dyn ConnectionDoor>>,
    http_address: String,
    resp_address: Option<String>,
    peer_address: Option<String>,
    peers: Option<Vec<String>>,
    neither_hints_nor_read_repair: bool,
}

impl NodeBuilder {
    /// A node with this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            http_address: config.listen_http.to_string(),
            config,
            transport: Arc::new(TcpTransport),
            clocks: Arc::new(SystemClocks::default()),
            entropy: Entropy::os(),
            buckets: Buckets::builtin(),
            store: None,
            door: None,
            resp_address: None,
            peer_address: None,
            peers: None,
            neither_hints_nor_read_repair: false,
        }
    }

    /// Leaves it to anti-entropy alone to bring replicas together: no hints, and no replica is
    /// repaired after a read. For trying anti-entropy out.
    pub fn leave_it_to_anti_entropy(mut self) -> Self {
        self.neither_hints_nor_read_repair = true;
        self
    }

    /// Another network: a simulated one, or one that adds TLS.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = transport;
        self
    }

    /// Other clocks.
    pub fn clocks(mut self, clocks: Arc<dyn Clocks>) -> Self {
        self.clocks = clocks;
        self
    }

    /// Another source of random bytes.
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = entropy;
        self
    }

    /// Other built-in bucket rules; they must be the same on every node. What the membership log says
    /// of buckets comes on top.
    pub fn buckets(mut self, buckets: Buckets) -> Self {
        self.buckets = buckets;
        self
    }

    /// Another storage engine.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The door that takes connections on the Redis-protocol address. Without one the address is
    /// not bound.
    pub fn door(mut self, door: Arc<dyn ConnectionDoor>) -> Self {
        self.door = Some(door);
        self
    }

    /// Where the HTTP door really listens, if not where the configuration says.
    pub fn http_address(mut self, address: impl Into<String>) -> Self {
        self.http_address = address.into();
        self
    }

    /// Addresses in the form the transport wants them, where that is not IP:PORT (simulations).
    pub fn addresses(mut self, peer: &str, resp: &str, peers: Vec<String>) -> Self {
        self.peer_address = Some(peer.to_owned());
        self.resp_address = Some(resp.to_owned());
        self.peers = Some(peers);
        self
    }

    /// Starts the node on its own threads and returns once its listeners are bound. It serves when
    /// [`Handle::is_ready`] says so.
    pub fn start(self) -> Result<Node, StartError> {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = watch::channel(false);
        let first = spawn_thread("henge-data-0", move || async move {
            match self.assemble().await {
                Ok(assembled) => {
                    let threads = match assembled.start_other_threads(&stopped) {
                        Ok(threads) => threads,
                        Err(error) => return drop(tell.send(Err(error))),
                    };
                    let handle = assembled.handle.clone();
                    // Start returns the handle; if its caller is gone the node stops with `stop`.
                    let _ = tell.send(Ok((handle, threads)));
                    assembled.run_first(stopped).await;
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        let (handle, mut threads) = told
            .recv()
            .map_err(|_| StartError::Thread("it ended while starting".to_owned()))??;
        threads.push(first);
        threads.push(sweep::spawn(handle.shared(), stop.subscribe())?);
        Ok(Node {
            handle,
            stop,
            threads,
        })
    }

    /// Runs the node on the present `LocalSet`, with one data thread, until `stopped` turns true.
    /// `ready` gets the handle once the listeners are bound.
    pub async fn run_here(
        mut self,
        ready: impl FnOnce(Handle),
        stopped: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        self.config.data_threads = 1;
        let assembled = self.assemble().await?;
        ready(assembled.handle.clone());
        assembled.run_first(stopped).await;
        Ok(())
    }

    async fn assemble(self) -> Result<Assembled, StartError> {
        let config = self.config;
        let peer_address = self
            .peer_address
            .unwrap_or_else(|| config.listen_peer.to_string());
        let resp_address = self
            .resp_address
            .unwrap_or_else(|| config.listen_resp.to_string());
        let known = config.peers.iter().chain(&config.join);
        let peers = self
            .peers
            .unwrap_or_else(|| known.map(ToString::to_string).collect());
        let (peer_listener, peer) = listen(&*self.transport, "peers", &peer_address).await?;
        let (resp_listener, resp) = match self.door {
            None => (None, String::new()),
            Some(_) => {
                let (listener, at) = listen(&*self.transport, "clients", &resp_address).await?;
                (Some(listener), at)
            }
        };
        let id = self
            .entropy
            .bytes::<16>()
            .map_err(|error| StartError::Entropy(error.0))?;
        let cluster = ClusterId(cluster_id(&config.cluster));
        let key = match &config.cluster_key {
            Some(secret) => ClusterKey::from_secret(secret)?,
            None => ClusterKey::well_known(&cluster),
        };
        let identity = Identity {
            cluster,
            node: NodeId(id),
            key,
            wire: WIRE_NUMBER,
            lanes: config.data_threads as u16,
        };
        let info = NodeInfo {
            id: NodeId(id),
            cluster: cluster.0,
            boot: 1,
            endpoints: Endpoints {
                peer,
                resp,
                http: self.http_address,
            },
            started_ms: self.clocks.now().wall_ms,
        };
        let store = self.store.unwrap_or_else(|| {
            let limits = Limits {
                bytes: config.memory_limit,
                ..Limits::default()
            };
            Arc::new(MemoryStore::new(limits))
        });
        let clock = Arc::new(Clock::new(config.max_skew_ms));
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..config.data_threads)
            .map(|_| mpsc::channel::<Job>(JOBS))
            .unzip();
        let (board, questions) = Board::new();
        let repair_secret = identity.key.derive(b"henge anti-entropy v1");
        let shared = Arc::new(Shared::new(
            config,
            info,
            store,
            clock,
            self.clocks,
            Arc::new(self.buckets),
            Arc::<LinkStats>::default(),
            Log::new(),
            board,
        ));
        let handle = Handle::new(Arc::clone(&shared), senders.into());
        Ok(Assembled {
            repair: Mutex::new(Some((questions, repair_secret))),
            shared,
            handle,
            identity,
            transport: self.transport,
            entropy: self.entropy,
            door: self.door,
            peers,
            neither_hints_nor_read_repair: self.neither_hints_nor_read_repair,
            inboxes: Mutex::new(inboxes.into_iter().map(Some).collect()),
            peer_listener,
            resp_listener,
        })
    }
}

/// A running node. Dropping it stops it without waiting.
pub struct Node {
    handle: Handle,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// The default way to make one.
    pub fn builder(config: Config) -> NodeBuilder {
        NodeBuilder::new(config)
    }

    /// The node, for everything else.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Refuses new requests, lets those in flight end (3 s at most), closes everything, and waits
    /// for the threads. Blocks.
    pub fn stop(mut self) {
        self.handle.shared().set_phase(Phase::Stopping);
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a data thread panicked");
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.handle.shared().set_phase(Phase::Stopping);
        let _ = self.stop.send(true);
    }
}

/// A node with its listeners bound and nothing running yet.
struct Assembled {
    shared: Arc<Shared>,
    handle: Handle,
    identity: Identity,
    transport: Arc<dyn Transport>,
    entropy: Entropy,
    door: Option<Arc<dyn ConnectionDoor>>,
    peers: Vec<String>,
    neither_hints_nor_read_repair: bool,
    inboxes: Mutex<Vec<Option<mpsc::Receiver<Job>>>>,
    /// What anti-entropy is started with, until it is: peers' questions, and its secret.
    repair: Mutex<Option<(mpsc::Receiver<Question>, [u8; 32])>>,
    peer_listener: Box<dyn Listener>,
    resp_listener: Option<Box<dyn Listener>>,
}

/// What one data thread needs to start.
struct ThreadParts {
    number: usize,
    shared: Arc<Shared>,
    handle: Handle,
    identity: Identity,
    transport: Arc<dyn Transport>,
    entropy: Entropy,
    door: Option<Arc<dyn ConnectionDoor>>,
    peers: Vec<String>,
    neither_hints_nor_read_repair: bool,
    jobs: mpsc::Receiver<Job>,
}

impl Assembled {
    fn parts(&self, number: usize) -> Option<ThreadParts> {
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        Some(ThreadParts {
            number,
            shared: Arc::clone(&self.shared),
            handle: self.handle.clone(),
            identity: self.identity.clone(),
            transport: Arc::clone(&self.transport),
            entropy: self.entropy.clone(),
            door: self.door.clone(),
            peers: self.peers.clone(),
            neither_hints_nor_read_repair: self.neither_hints_nor_read_repair,
            jobs: inboxes.get_mut(number)?.take()?,
        })
    }

    fn start_other_threads(
        &self,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Vec<JoinHandle<()>>, StartError> {
        let numbers = 1..self.shared.config.data_threads;
        let repair = self.repair(stopped.clone());
        let repair = repair.map(|start| spawn_thread("henge-repair", start));
        let data = numbers
            .filter_map(|number| self.parts(number))
            .map(|parts| {
                let stopped = stopped.clone();
                spawn_thread(
                    &format!("henge-data-{}", parts.number),
                    move || async move {
                        let thread = parts.start();
                        thread.run(stopped).await;
                    },
                )
            });
        data.chain(repair).collect()
    }

    /// Makes what starts anti-entropy, once.
    fn repair(
        &self,
        stopped: watch::Receiver<bool>,
    ) -> Option<impl FnOnce() -> futures::future::LocalBoxFuture<'static, ()> + Send + use<>> {
        let mut parts = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
        let (questions, secret) = parts.take()?;
        let (shared, handle) = (Arc::clone(&self.shared), self.handle.clone());
        Some(move || Box::pin(Driver::new(shared, handle, questions, &secret).run(stopped)) as _)
    }

    /// The first data thread: it also accepts, and enters the ring.
    async fn run_first(self, stopped: watch::Receiver<bool>) {
        let Some(parts) = self.parts(0) else { return };
        let thread = parts.start();
        // Where it has no thread of its own.
        let repair = self.repair(stopped.clone());
        let repair = repair.map(|start| tokio::task::spawn_local(start()));
        let enter = thread.membership.clone().enter();
        let background = [
            tokio::task::spawn_local(enter),
            tokio::task::spawn_local(accept_peers(
                Acceptor::new(
                    self.peer_listener,
                    self.identity.clone(),
                    AcceptorLimits::default(),
                    self.entropy.clone(),
                    Arc::clone(&self.shared.links),
                ),
                self.handle.clone(),
            )),
        ];
        let clients = self.resp_listener.map(|listener| {
            tokio::task::spawn_local(accept_clients(listener, self.handle.clone()))
        });
        thread.run(stopped).await;
        background
            .iter()
            .chain(&clients)
            .chain(&repair)
            .for_each(|task| task.abort());
    }
}

/// One data thread's running parts.
struct DataThread {
    shard: Rc<Shard>,
    membership: Membership,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl ThreadParts {
    fn start(self) -> DataThread {
        let shared = self.shared;
        let membership = Membership::new(Arc::clone(&shared), self.handle.clone());
        let parts = EngineParts {
            node: shared.info.id,
            // Threads of one node stamp apart: each is an actor of its own.
            boot: (shared.info.boot << 16) | self.number as u64,
            defaults: shared.config.defaults,
            hedge: HedgePolicy {
                budget_percent: shared.config.hedge_percent,
                ..HedgePolicy::DEFAULT
            },
            max_value: shared.config.max_value,
            max_key: henge_rpc::Limits::DEFAULT.key,
            touch_slack_ms: shared.config.touch_slack_ms,
            store: Arc::clone(&shared.store),
            clock: Arc::clone(&shared.clock),
            ring: shared.ring(),
            transition: Arc::clone(&shared.transition),
            thread: self.number,
            buckets: Arc::clone(&shared.built_in),
            forgotten_siblings: Arc::clone(&shared.forgotten_siblings),
            counters: Arc::clone(&shared.counters[self.number]),
            sketch: SketchKey::new(&self.identity.key.derive(b"henge transfer v1")),
        };
        let shard = Shard::new(parts, Arc::clone(&shared), self.handle, membership.clone());
        // Until it is known whether this node's data is here, it answers no reads of others.
        shard.set_filled(false);
        if self.neither_hints_nor_read_repair {
            shard.leave_it_to_anti_entropy();
        }
        let peers = Peers::new(
            self.transport,
            self.identity,
            PeersConfig::default(),
            self.entropy.clone(),
            Rc::clone(&shard) as Rc<dyn PeerHandler>,
            Arc::clone(&shared.links),
        );
        shard.attach(Rc::clone(&peers));
        let mut tasks = vec![
            tokio::task::spawn_local(Rc::clone(&shard).flush_ticks()),
            tokio::task::spawn_local(Rc::clone(&shard).watch_deadlines()),
            tokio::task::spawn_local(Rc::clone(&shard).run_jobs(self.jobs)),
        ];
        // One thread gossips for the whole node.
        if self.number == 0 {
            let seed = self.entropy.bytes().map_or(0, u64::from_le_bytes);
            let gossip = Gossip::new(Arc::clone(&shared), shard.handle().clone(), seed);
            shard.start_gossip(Rc::clone(&gossip));
            tasks.push(tokio::task::spawn_local(gossip.run(Rc::clone(&shard))));
            if let Some(after_ms) = shared.config.evict_after_ms {
                let evicting = evict::run(Arc::clone(&shared), shard.handle().clone(), after_ms);
                tasks.push(tokio::task::spawn_local(evicting));
            }
        }
        if let Some(door) = self.door {
            shard.open_door(door.open(LocalNode::new(Rc::clone(&shard))));
        }
        for address in self.peers {
            shard.dial(address);
        }
        DataThread {
            tasks,
            shard,
            membership,
        }
    }
}

impl DataThread {
    /// Runs until told to stop, then drains.
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        // An error means the node was dropped, which stops it too.
        let _ = stopped.wait_for(|stop| *stop).await;
        self.shard.shared().set_phase(Phase::Stopping);
        let drained = async {
            while self.shard.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(
                in_flight = self.shard.in_flight(),
                "stopped with requests in flight"
            );
        }
        // The last answers are written by the flusher, which runs once more.
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Drop for DataThread {
    /// Also when its runtime is dropped in the middle of it, as simulations do to crash a node.
    fn drop(&mut self) {
        self.shard.close();
    }
}

fn spawn_thread<F>(
    name: &str,
    main: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, StartError>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Thread(error.to_string()))?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || LocalSet::new().block_on(&runtime, main()))
        .map_err(|error| StartError::Thread(error.to_string()))
}

async fn listen(
    transport: &dyn Transport,
    what: &'static str,
    address: &str,
) -> Result<(Box<dyn Listener>, String), StartError> {
    let failed = |error| StartError::Listen {
        what,
        address: address.to_owned(),
        error,
    };
    let listener = transport.listen(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The cluster's id: 128 bits of its name.
fn cluster_id(name: &str) -> [u8; 16] {
    let mut id = [0; 16];
    let half = |salt: &str| henge_ring::Token::of(format!("{salt}{name}").as_bytes()).0;
    id[..8].copy_from_slice(&half("cluster:").to_le_bytes());
    id[8..].copy_from_slice(&half("cluster+").to_le_bytes());
    id
}

//! A real node as the software of a simulated host.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use henge_gateway::{Doors, Limits};
use henge_node::{Clocks, Config, ConnectionDoor, Handle, NodeBuilder, Now, Setting, Settings};
use henge_rpc::Entropy;
use henge_store::{Limits as StoreLimits, MemoryStore, Store};
use tokio::sync::watch;

use super::network::{SharedTrace, SimulatedTcp};
use crate::sim::{Rng, START_MS};

/// Clocks of nodes may be this far apart.
pub(super) const CLOCK_BOUND_MS: u64 = 500;

/// Ports of every host.
const RESP_PORT: u16 = 7379;
const PEER_PORT: u16 = 7381;

/// Bytes a simulated node may keep: far more than any run writes.
const STORE_BYTES: u64 = 64 << 20;

/// A host's name on the network.
pub(super) fn name(node: usize) -> String {
    format!("node-{node}")
}

/// Where a host takes clients.
pub(super) fn resp_address(node: usize) -> String {
    format!("{}:{RESP_PORT}", name(node))
}

fn peer_address(node: usize) -> String {
    format!("{}:{PEER_PORT}", name(node))
}

/// A host that runs a node, boot after boot. A crash loses everything the node had.
pub(super) struct Host {
    number: usize,
    nodes: usize,
    skew_ms: i64,
    seed: u64,
    trace: SharedTrace,
    boots: Cell<u64>,
    running: RefCell<Option<Running>>,
}

/// The present boot of a host's node.
#[derive(Clone)]
pub(super) struct Running {
    /// The node.
    pub(super) handle: Handle,
    /// What it holds.
    pub(super) store: Arc<MemoryStore>,
}

impl Host {
    /// Host `number` of a cluster of so many nodes, its wall clock off by so much.
    pub(super) fn new(
        number: usize,
        nodes: usize,
        skew_ms: i64,
        seed: u64,
        trace: SharedTrace,
    ) -> Rc<Self> {
        Rc::new(Self {
            number,
            nodes,
            skew_ms,
            seed,
            trace,
            boots: Cell::new(0),
            running: RefCell::default(),
        })
    }

    /// The node, if one runs and has bound its listeners.
    pub(super) fn running(&self) -> Option<Running> {
        self.running.borrow().clone()
    }

    /// Whether the node serves.
    pub(super) fn is_ready(&self) -> bool {
        let running = self.running.borrow();
        running.as_ref().is_some_and(|it| it.handle.is_ready())
    }

    /// The host was switched off.
    pub(super) fn crashed(&self) {
        self.running.replace(None);
    }

    /// Runs a node until the host is switched off.
    pub(super) async fn run(self: Rc<Self>) -> turmoil::Result {
        self.boots.set(self.boots.get() + 1);
        let config = config(self.number, self.nodes)?;
        let store = Arc::new(MemoryStore::new(StoreLimits {
            bytes: STORE_BYTES,
            ..StoreLimits::default()
        }));
        let doors = Doors::new(None, Limits::with_value(config.max_value), b"simulated");
        let others = (0..self.nodes).filter(|other| *other != self.number);
        let builder = NodeBuilder::new(config)
            .transport(Arc::new(SimulatedTcp {
                host: self.number,
                trace: Arc::clone(&self.trace),
            }))
            .clocks(Arc::new(SimulatedClocks {
                skew_ms: self.skew_ms,
            }))
            .entropy(self.entropy())
            .store(Arc::clone(&store) as Arc<dyn Store>)
            .door(Arc::new(doors) as Arc<dyn ConnectionDoor>)
            .addresses(
                &peer_address(self.number),
                &resp_address(self.number),
                others.map(peer_address).collect(),
            );
        let (_stop, stopped) = watch::channel(false);
        let ready = |handle| {
            self.running.replace(Some(Running { handle, store }));
        };
        Ok(builder.run_here(ready, stopped).await?)
    }

    /// Random bytes that the run's seed, the host and its boot decide.
    fn entropy(&self) -> Entropy {
        let boot = (self.number as u64) << 32 | self.boots.get();
        let rng = Mutex::new(Rng::new(
            self.seed ^ boot.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ));
        Entropy::from_fn(move |bytes| {
            let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&rng.next().to_le_bytes()[..chunk.len()]);
            }
            Ok(())
        })
    }
}

/// A node's clocks: the simulation's, its wall clock off by a constant.
struct SimulatedClocks {
    skew_ms: i64,
}

impl Clocks for SimulatedClocks {
    fn now(&self) -> Now {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        let sub_us = elapsed.subsec_micros() % 1_000;
        let elapsed = elapsed.as_millis() as u64;
        Now {
            mono_ms: elapsed,
            mono_sub_us: sub_us as u16,
            wall_ms: (START_MS + elapsed).saturating_add_signed(self.skew_ms),
        }
    }
}

/// The settings of one node. Addresses in them are placeholders for the simulated ones, which have
/// no digits; what counts is how many there are.
fn config(number: usize, nodes: usize) -> Result<Config, henge_node::ConfigError> {
    let placeholder = |node: usize| format!("127.0.0.1:{}", 7001 + node);
    let settings = Settings {
        listen_peer: Some(Setting::flag("listen-peer", placeholder(number))),
        peers: Some(Setting::flag(
            "peers",
            (0..nodes).map(placeholder).collect(),
        )),
        max_skew: Some(Setting::flag("max-skew", format!("{CLOCK_BOUND_MS}ms"))),
        ..Settings::default()
    };
    Config::check(&settings)
}

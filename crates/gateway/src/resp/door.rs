//! The Redis door: what a node opens on each of its data threads.
//!
//! A thread's part of the door is the taker ([`Sink`]) of all outcomes of its connections' requests.
//! A ticket's token says which connection and which of its owed replies an outcome belongs to, so a
//! request costs no task, channel or allocation of its own. What the connections have read in a tick is
//! executed together, when the tick begins to be worked on. Outcomes are encoded into the
//! connection's output buffer as they come; at the end of the tick each connection that has
//! something to say is written once.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use henge_node::{ConnectionDoor, DoorShard, LocalNode, Outcome, Sink, SinkId, Unready};
use henge_rpc::Io;
use henge_versioning::ContextKey;
use slab::Slab;

use super::{Scripts, connection::Connection, peek::Ahead, replies::NUMBER_BITS, reply::Reply};
use crate::{
    auth::Auth,
    limits::Limits,
    metrics::{Metrics, ThreadCounters},
    shared::{Clients, Shared},
};

/// How often connections are looked at for idleness: every limit in seconds is held this exactly.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For how long after its start a node that is not ready yet leaves what it is asked unread. A node that
/// comes back knows the ring within some 50 ms; clients that are waiting for it should meet no error
/// in that time, which few of them ask again after. One whose peers do not come says so afterwards.
const STARTING: Duration = Duration::from_secs(3);

/// How often a connection looks meanwhile whether the node is ready.
const LOOK_WHILE_STARTING: Duration = Duration::from_millis(5);

/// The doors of one node: one password, one set of limits and counters for Redis clients and HTTP.
#[derive(Clone, Debug)]
pub struct Doors {
    pub(crate) shared: Arc<Shared>,
}

impl Doors {
    /// Doors with an optional password. `context_secret` authenticates causal contexts: it must be
    /// the same on all nodes, or contexts are only good at the node that issued them.
    pub fn new(password: Option<String>, limits: Limits, context_secret: &[u8]) -> Self {
        let shared = Shared {
            auth: Auth::new(password),
            limits,
            metrics: Metrics::default(),
            clients: Clients::default(),
            context_key: ContextKey::new(context_secret),
            scripts: Scripts::default(),
            may_flush: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Lets clients destroy everything with `FLUSHALL` and `FLUSHDB`, which are refused otherwise.
    pub fn allow_flush(&self, allowed: bool) {
        self.shared.may_flush.store(allowed, Ordering::Relaxed);
    }

    /// The doors' counters in Prometheus text form, to be joined with the node's.
    pub fn metrics(&self) -> String {
        self.shared.metrics.render()
    }
}

impl ConnectionDoor for Doors {
    fn open(&self, node: LocalNode) -> Rc<dyn DoorShard> {
        let shard = Rc::new_cyclic(|this| Shard {
            node,
            counters: self.shared.metrics.thread(),
            shared: Arc::clone(&self.shared),
            sink: Cell::new(SinkId(0)),
            this: this.clone(),
            connections: RefCell::default(),
            arrived: RefCell::default(),
            dirty: RefCell::default(),
            births: Cell::new(0),
            watched: Cell::new(false),
            opened: tokio::time::Instant::now(),
        });
        shard
            .sink
            .set(shard.node.register(Rc::clone(&shard) as Rc<dyn Sink>));
        shard
    }
}

/// The door's part on one data thread.
pub(crate) struct Shard {
    pub(crate) node: LocalNode,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<ThreadCounters>,
    sink: Cell<SinkId>,
    this: Weak<Self>,
    connections: RefCell<Slab<Place>>,
    /// Connections that have read something to execute in this tick, each once.
    arrived: RefCell<Vec<Address>>,
    /// Connections with something to write, or to be woken, each once.
    dirty: RefCell<Vec<Address>>,
    /// How many connections there have been.
    births: Cell<u32>,
    /// Whether the task that looks for idle connections runs.
    watched: Cell<bool>,
    opened: tokio::time::Instant,
}

/// A connection and its number among all this thread has had: places are used again.
struct Place {
    birth: u32,
    connection: Rc<RefCell<Connection>>,
}

/// Names a connection of this thread, for as long as it lives and never after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    place: u32,
    birth: u32,
}

/// Bits of a token: place of the connection, its birth, number of the reply.
const PLACE_BITS: u32 = 20;
const BIRTH_BITS: u32 = 20;

impl Address {
    /// The token of one reply owed to this connection. Fewer than 2^24 are owed at a time.
    #[inline]
    fn token(self, number: u32) -> u64 {
        let low = |value: u32, bits: u32| u64::from(value) & ((1 << bits) - 1);
        low(self.place, PLACE_BITS) << (BIRTH_BITS + NUMBER_BITS)
            | low(self.birth, BIRTH_BITS) << NUMBER_BITS
            | low(number, NUMBER_BITS)
    }

    /// A token's connection and the low bits of its reply's number.
    #[inline]
    fn of(token: u64) -> (Self, u32) {
        let part = |shift: u32, bits: u32| (token >> shift) as u32 & ((1 << bits) - 1);
        let place = part(BIRTH_BITS + NUMBER_BITS, PLACE_BITS);
        (
            Self {
                place,
                birth: part(NUMBER_BITS, BIRTH_BITS),
            },
            part(0, NUMBER_BITS),
        )
    }
}

/// Most connections one data thread can tell apart.
const MAX_CONNECTIONS: usize = 1 << PLACE_BITS;

impl Shard {
    /// Starts a request for a reply that the connection owes.
    #[inline]
    pub(crate) fn submit(&self, request: &henge_node::Request<'_>, to: Address, number: u32) {
        let ticket = henge_node::Ticket {
            sink: self.sink.get().0,
            token: to.token(number),
        };
        self.node.submit(request, ticket);
    }

    /// Starts steps for a reply that the connection owes. They go on even if it closes.
    pub(crate) fn start(self: &Rc<Self>, steps: super::commands::Steps, to: Address, number: u32) {
        let shard = Rc::clone(self);
        let token = to.token(number);
        tokio::task::spawn_local(async move {
            let reply: Reply = steps.await;
            shard.end(token, |connection, number, now_ms| {
                connection.end_steps(number, reply, now_ms);
            });
            shard.node.wake();
        });
    }

    /// A connection has read something to execute.
    #[inline]
    pub(crate) fn arrived(&self, at: Address) {
        self.arrived.borrow_mut().push(at);
        self.node.wake();
    }

    /// Fetches what the first of these connections will ask for. Tells how many of them, at least one.
    fn look_ahead(&self, arrived: &[Address]) -> usize {
        let mut ahead = Ahead::default();
        let mut seen = 0;
        for address in arrived {
            if let Some(connection) = self.find(*address) {
                connection.borrow().look_ahead(&mut ahead);
            }
            seen += 1;
            if ahead.is_full() {
                break;
            }
        }
        if ahead.keys().len() > 1 {
            self.node.warm(ahead.keys(), ahead.wanted());
        }
        seen
    }

    /// Executes what a connection has read.
    fn execute(self: &Rc<Self>, address: Address) {
        let Some(connection) = self.find(address) else {
            return;
        };
        let mut connection = connection.borrow_mut();
        if connection.begin(self) && !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.borrow_mut().push(address);
        }
    }

    #[inline]
    fn end(&self, token: u64, end: impl FnOnce(&mut Connection, u32, u64)) {
        let (address, number) = Address::of(token);
        let Some(connection) = self.find(address) else {
            return;
        };
        let mut connection = connection.borrow_mut();
        end(&mut connection, number, self.node.wall_ms());
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.borrow_mut().push(address);
        }
    }

    #[inline]
    fn find(&self, address: Address) -> Option<Rc<RefCell<Connection>>> {
        let connections = self.connections.borrow();
        let place = connections.get(address.place as usize)?;
        (place.birth == address.birth).then(|| Rc::clone(&place.connection))
    }

    fn admit(self: &Rc<Self>, io: Box<dyn Io>, from: String) -> Option<Admitted> {
        let mut connections = self.connections.borrow_mut();
        if connections.len() >= MAX_CONNECTIONS {
            self.shared.metrics.cut("connections");
            return None;
        }
        let birth = self.births.get().wrapping_add(1) & ((1 << BIRTH_BITS) - 1);
        self.births.set(birth);
        let vacant = connections.vacant_entry();
        let address = Address {
            place: vacant.key() as u32,
            birth,
        };
        let connection = Connection::new(io, from, address, &self.shared, self.node.wall_ms());
        let connection = Rc::new(RefCell::new(connection));
        vacant.insert(Place {
            birth,
            connection: Rc::clone(&connection),
        });
        self.counters.opened();
        Some(Admitted {
            shard: Rc::clone(self),
            address,
            connection,
        })
    }

    /// Starts the task that looks for idle and stuck connections, once.
    fn watch(self: &Rc<Self>) {
        if self.watched.replace(true) {
            return;
        }
        let shard = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(shard) = shard.upgrade() else { return };
                let connections = shard.connections.borrow();
                for (_, place) in connections.iter() {
                    place.connection.borrow_mut().look(&shard.shared);
                }
            }
        });
    }

    /// Returns when the node serves, stops, or has been [`STARTING`] for long enough.
    async fn wait_until_started(&self) {
        let node = self.node.handle();
        while node.unready().is_some_and(|why| why != Unready::Stopping)
            && self.opened.elapsed() < STARTING
        {
            tokio::time::sleep(LOOK_WHILE_STARTING).await;
        }
    }
}

/// A connection's place, given back when its future ends or is dropped.
struct Admitted {
    shard: Rc<Shard>,
    address: Address,
    connection: Rc<RefCell<Connection>>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.shard
            .connections
            .borrow_mut()
            .remove(self.address.place as usize);
        self.shard
            .shared
            .clients
            .forget(self.connection.borrow().id());
        self.shard.counters.closed();
    }
}

impl DoorShard for Shard {
    fn connection(
        self: Rc<Self>,
        io: Box<dyn Io>,
        from: String,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            self.watch();
            let Some(admitted) = self.admit(io, from) else {
                return;
            };
            self.wait_until_started().await;
            std::future::poll_fn(|context| {
                admitted
                    .connection
                    .borrow_mut()
                    .poll(context, &admitted.shard)
            })
            .await;
        })
    }
}

impl Sink for Shard {
    fn begin(&self) {
        let Some(shard) = self.this.upgrade() else {
            return;
        };
        // Nothing below adds to the list, but a connection may be gone.
        let mut arrived = self.arrived.take();
        let mut left = &arrived[..];
        while !left.is_empty() {
            let (next, later) = left.split_at(self.look_ahead(left));
            next.iter().for_each(|address| shard.execute(*address));
            left = later;
        }
        arrived.clear();
        self.arrived.replace(arrived);
    }

    #[inline]
    fn complete(&self, token: u64, outcome: Outcome) {
        self.end(token, |connection, number, now_ms| {
            connection.end_request(number, outcome, now_ms);
        });
    }

    fn flush(&self) {
        // Nothing below adds to the list, but a connection may be gone.
        let mut dirty = self.dirty.take();
        for address in dirty.drain(..) {
            if let Some(connection) = self.find(address) {
                connection.borrow_mut().flush(&self.counters, &self.shared);
            }
        }
        self.dirty.replace(dirty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_their_parts() {
        for (place, birth, number) in [(0, 0, 0), (1, 2, 3), (0xf_ffff, 0xf_ffff, 0xff_ffff)] {
            let address = Address { place, birth };
            assert_eq!(Address::of(address.token(number)), (address, number));
        }
        let address = Address { place: 7, birth: 9 };
        assert_eq!(
            Address::of(address.token(u32::MAX)).1,
            0xff_ffff,
            "the low bits of the number"
        );
    }
}

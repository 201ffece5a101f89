//! Keeps links to peers up: dialling, accepting, and which of two links stays.
//!
//! Of each pair of nodes the one with the lower id dials, so that a pair has one socket per lane. If
//! it has not dialled within a while (it may not know us yet, or be unable to reach us), the higher
//! one may dial too. Of two links for one peer and lane, the one dialled by the lower id stays; of
//! two dialled by the same side, the newer: the dialler would not have dialled with the older one
//! alive. Both ends apply the same rule to the same two connections.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use henge_ring::NodeId;
use tokio::{
    sync::Notify,
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep, timeout},
};

use crate::{
    Entropy, Established, HELLO_TIME, HelloError, Identity, Link, LinkConfig, LinkDown, LinkStats,
    PeerHandler, Transport, dial_hello,
};

mod acceptor;
pub use acceptor::{Accepted, Acceptor, AcceptorLimits, ConnectionPermit};

mod backoff;
pub use backoff::Backoff;

/// Times of dialling, and the links' own settings.
#[derive(Clone, Copy, Debug)]
pub struct PeersConfig {
    /// For each link.
    pub link: LinkConfig,
    /// For connecting and, again, for the hello.
    pub dial_time: Duration,
    /// Wait before the second attempt; doubles with each.
    pub first_retry: Duration,
    /// Longest wait between attempts. A link that lived longer counts as a success and resets it.
    pub last_retry: Duration,
    /// How long a node waits for a peer with a lower id to dial before it dials itself.
    pub patience: Duration,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            link: LinkConfig::default(),
            dial_time: HELLO_TIME,
            first_retry: Duration::from_millis(50),
            last_retry: Duration::from_secs(2),
            patience: Duration::from_secs(2),
        }
    }
}

/// Whom to keep a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to dial, in the transport's terms.
    pub addr: String,
    /// The node that should be there; `None` while only the address is known (joining).
    pub node: Option<NodeId>,
    /// The lane, counted from 0.
    pub lane: u16,
}

/// The links of one data thread.
pub struct Peers {
    transport: Arc<dyn Transport>,
    identity: Identity,
    config: PeersConfig,
    entropy: Entropy,
    handler: Rc<dyn PeerHandler>,
    stats: Arc<LinkStats>,
    links: RefCell<BTreeMap<(NodeId, u16), Rc<Link>>>,
    changed: Notify,
}

impl Peers {
    /// No links yet. Everything else must be called within the thread's `LocalSet`.
    pub fn new(
        transport: Arc<dyn Transport>,
        identity: Identity,
        config: PeersConfig,
        entropy: Entropy,
        handler: Rc<dyn PeerHandler>,
        stats: Arc<LinkStats>,
    ) -> Rc<Self> {
        Rc::new(Self {
            transport,
            identity,
            config,
            entropy,
            handler,
            stats,
            links: RefCell::default(),
            changed: Notify::new(),
        })
    }

    /// A link to the peer that is up, the one of the lowest lane.
    pub fn link(&self, peer: NodeId) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        let mut lanes = links
            .range((peer, 0)..=(peer, u16::MAX))
            .map(|(_, link)| link);
        lanes.find(|link| link.is_up()).cloned()
    }

    /// The link to the peer in this lane, if it is up.
    pub fn link_in(&self, peer: NodeId, lane: u16) -> Option<Rc<Link>> {
        self.links
            .borrow()
            .get(&(peer, lane))
            .filter(|link| link.is_up())
            .cloned()
    }

    /// All links that are up, by peer and lane.
    pub fn links(&self) -> Vec<Rc<Link>> {
        self.links
            .borrow()
            .values()
            .filter(|link| link.is_up())
            .cloned()
            .collect()
    }

    /// Closes all links to a peer that has left. Its [`DialTask`]s are to be dropped first.
    pub fn forget(&self, peer: NodeId) {
        for ((node, _), link) in &*self.links.borrow() {
            if *node == peer {
                link.close(LinkDown::Closed);
            }
        }
    }

    /// Takes over a connection that an [`Acceptor`] let in, on this thread's runtime.
    pub async fn adopt_accepted(self: &Rc<Self>, accepted: Accepted) -> std::io::Result<()> {
        let io = accepted.connection.attach()?;
        let hello = accepted.hello;
        self.adopt(Established {
            io,
            hello,
            permit: Some(accepted.permit),
        });
        Ok(())
    }

    /// Keeps a link up until the task returned is dropped (the link itself stays).
    pub fn dial(self: &Rc<Self>, target: Target) -> DialTask {
        let node = Rc::new(Cell::new(target.node));
        let task = spawn_local(Rc::clone(self).keep(target, Rc::clone(&node)));
        DialTask { task, node }
    }

    async fn keep(self: Rc<Self>, target: Target, node: Rc<Cell<Option<NodeId>>>) {
        let mut backoff = Backoff::new(
            self.config.first_retry,
            self.config.last_retry,
            self.entropy.clone(),
        );
        let mut last_error = String::new();
        loop {
            if let Some(link) = self.expect_link(node.get(), target.lane).await {
                let since = Instant::now();
                link.ended().await;
                if since.elapsed() > self.config.last_retry {
                    backoff.reset();
                }
            } else {
                match self.attempt(&target, node.get()).await {
                    Ok(peer) => {
                        node.set(Some(peer));
                        last_error.clear();
                        continue;
                    }
                    Err(error @ DialError::Hello(HelloError::SelfConnection { .. })) => {
                        tracing::warn!(addr = target.addr, %error, "not dialling this address");
                        return;
                    }
                    // Another node answers at this address now: the one before has lost its memory
                    // and come back. Where no particular node was asked for, that is the one.
                    Err(DialError::Hello(HelloError::UnexpectedNode { .. }))
                        if target.node.is_none() =>
                    {
                        node.set(None);
                        continue;
                    }
                    Err(error) => report(&target, &error, &mut last_error),
                }
            }
            sleep(backoff.next_wait()).await;
            self.stats.reconnects.increment();
        }
    }

    /// The link, if it is up, or if it is the peer's part to dial and it does so in time.
    async fn expect_link(&self, peer: Option<NodeId>, lane: u16) -> Option<Rc<Link>> {
        let peer = peer?;
        if self.identity.node < peer {
            return self.link_in(peer, lane);
        }
        let appears = async {
            loop {
                let changed = self.changed.notified();
                if let Some(link) = self.link_in(peer, lane) {
                    return link;
                }
                changed.await;
            }
        };
        timeout(self.config.patience, appears).await.ok()
    }

    async fn attempt(
        self: &Rc<Self>,
        to: &Target,
        node: Option<NodeId>,
    ) -> Result<NodeId, DialError> {
        let limit = self.config.dial_time;
        let dialled = timeout(limit, self.transport.dial(&to.addr)).await;
        let mut connection = dialled.map_err(|_| DialError::TimedOut(limit))??;
        let hello = dial_hello(
            &mut *connection,
            &self.identity,
            to.lane,
            node,
            &self.entropy,
            limit,
        )
        .await
        .inspect_err(|error| error.count(&self.stats))?;
        self.stats.hellos_accepted.increment();
        self.adopt(Established {
            io: connection,
            hello,
            permit: None,
        });
        Ok(hello.node)
    }

    /// Makes a link of the connection. Of two links to one peer and lane the one that does not stay
    /// retires: what is under way on it comes to its end.
    fn adopt(self: &Rc<Self>, established: Established) {
        let hello = established.hello;
        let slot = (hello.node, hello.lane);
        let present = self.link_in(hello.node, hello.lane);
        let lower_dials = |dialled: bool| dialled == (self.identity.node < hello.node);
        let stays =
            |old: &Rc<Link>| lower_dials(old.hello().dialled) && !lower_dials(hello.dialled);
        let (config, handler) = (self.config.link, Rc::clone(&self.handler));
        let stats = Arc::clone(&self.stats);
        if present.as_ref().is_some_and(stays) {
            return Link::spawn_retired(established, config, handler, stats);
        }
        let link = Link::spawn(established, config, handler, stats);
        self.links.borrow_mut().insert(slot, Rc::clone(&link));
        self.changed.notify_waiters();
        if let Some(old) = present {
            old.retire();
        }
        let peers = Rc::clone(self);
        spawn_local(async move {
            link.ended().await;
            let mut links = peers.links.borrow_mut();
            if links
                .get(&slot)
                .is_some_and(|present| Rc::ptr_eq(present, &link))
            {
                links.remove(&slot);
            }
        });
    }
}

/// Why an attempt to dial failed. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("cannot connect within {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Hello(#[from] HelloError),
}

/// Says why a peer cannot be reached when the reason changes, not at each attempt.
fn report(target: &Target, error: &DialError, last: &mut String) {
    let text = error.to_string();
    if text != *last {
        tracing::info!(
            addr = target.addr,
            lane = target.lane,
            error = text,
            "peer not reached"
        );
        *last = text;
    }
}

/// Keeps dialling until it is dropped.
#[derive(Debug)]
pub struct DialTask {
    task: JoinHandle<()>,
    node: Rc<Cell<Option<NodeId>>>,
}

impl DialTask {
    /// The node at the address, once it is known.
    pub fn node(&self) -> Option<NodeId> {
        self.node.get()
    }

    /// Whether dialling has ended: the address leads to this very node.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for DialTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

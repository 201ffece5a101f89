//! The accepting side: who gets in, and how many.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    future::{AbortHandle, Abortable},
    stream::{FuturesUnordered, StreamExt},
};
use henge_ring::NodeId;

use crate::{
    Connection, Detached, Entropy, HELLO_TIME, HelloError, Identity, LinkStats, Listener,
    PeerHello, accept_hello,
};

/// Bounds of the accepting side.
#[derive(Clone, Copy, Debug)]
pub struct AcceptorLimits {
    /// Hellos under way at a time. One more crowds out the oldest, so that idle strangers cannot
    /// keep a peer from saying hello.
    pub pending_hellos: usize,
    /// Accepted connections per peer and lane of this node: enough for a reconnect before the old
    /// connection is noticed dead, too few to exhaust anything.
    pub per_peer_and_lane: usize,
    /// Time for a hello.
    pub hello_time: Duration,
}

impl Default for AcceptorLimits {
    fn default() -> Self {
        Self {
            pending_hellos: 64,
            per_peer_and_lane: 4,
            hello_time: HELLO_TIME,
        }
    }
}

/// A peer that was let in, ready to move to the data thread of its lane.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, right after the hello.
    pub connection: Detached,
    /// What the peer said.
    pub hello: PeerHello,
    /// Its place among the peer's connections; give it to the link.
    pub permit: ConnectionPermit,
}

type Counts = Arc<Mutex<BTreeMap<NodeId, usize>>>;

/// A place among a peer's accepted connections; free again when dropped, on any thread.
pub struct ConnectionPermit {
    peer: NodeId,
    counts: Counts,
}

impl ConnectionPermit {
    fn take(counts: &Counts, peer: NodeId, most: usize) -> Option<Self> {
        let mut held = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self {
            peer,
            counts: Arc::clone(counts),
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut held = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

impl fmt::Debug for ConnectionPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionPermit({})", self.peer)
    }
}

/// A hello that came to its end.
struct Greeted {
    number: u64,
    from: String,
    outcome: Result<(Box<dyn Connection>, PeerHello), HelloError>,
}

type Greeting = Abortable<Pin<Box<dyn Future<Output = Greeted> + Send>>>;

/// Accepts connections and lets in those whose hello succeeds.
pub struct Acceptor {
    listener: Box<dyn Listener>,
    identity: Identity,
    limits: AcceptorLimits,
    entropy: Entropy,
    stats: Arc<LinkStats>,
    counts: Counts,
    greetings: FuturesUnordered<Greeting>,
    /// The hellos under way, oldest first.
    pending: BTreeMap<u64, AbortHandle>,
    next_number: u64,
}

impl Acceptor {
    /// An acceptor that works while [`Self::accept`] is awaited.
    pub fn new(
        listener: Box<dyn Listener>,
        identity: Identity,
        limits: AcceptorLimits,
        entropy: Entropy,
        stats: Arc<LinkStats>,
    ) -> Self {
        Self {
            listener,
            identity,
            limits,
            entropy,
            stats,
            counts: Counts::default(),
            greetings: FuturesUnordered::new(),
            pending: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// The address that peers dial.
    pub fn local_addr(&self) -> std::io::Result<String> {
        self.listener.local_addr()
    }

    /// The next peer that is let in. Dropping the future loses no connection.
    pub async fn accept(&mut self) -> Accepted {
        loop {
            tokio::select! {
                // In this order, not in a random one: simulations repeat themselves exactly. Hellos
                // are few and end, so that none keeps new connections waiting.
                biased;
                Some(greeted) = self.greetings.next(), if !self.greetings.is_empty() => {
                    // An error here means the hello was crowded out, which has been counted.
                    if let Some(accepted) = greeted.ok().and_then(|greeted| self.admit(greeted)) {
                        return accepted;
                    }
                }
                connection = self.listener.accept() => match connection {
                    Ok((connection, from)) => self.greet(connection, from),
                    Err(error) => {
                        // Out of file descriptors, as a rule: trying again at once would spin.
                        tracing::warn!(%error, "cannot accept a peer's connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
    }

    fn greet(&mut self, mut connection: Box<dyn Connection>, from: String) {
        while self.pending.len() >= self.limits.pending_hellos.max(1) {
            if let Some((_, oldest)) = self.pending.pop_first() {
                oldest.abort();
                self.stats.hellos_slow.increment();
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        let (identity, entropy) = (self.identity.clone(), self.entropy.clone());
        let limit = self.limits.hello_time;
        let greeting = Box::pin(async move {
            let outcome = accept_hello(&mut *connection, &identity, &entropy, limit).await;
            Greeted {
                number,
                from,
                outcome: outcome.map(|hello| (connection, hello)),
            }
        });
        let (abort, registration) = AbortHandle::new_pair();
        self.pending.insert(number, abort);
        self.greetings.push(Abortable::new(greeting, registration));
    }

    fn admit(&mut self, greeted: Greeted) -> Option<Accepted> {
        self.pending.remove(&greeted.number);
        let from = greeted.from;
        let (connection, hello) = greeted
            .outcome
            .inspect_err(|error| {
                error.count(&self.stats);
                tracing::info!(from, %error, "hello refused");
            })
            .ok()?;
        let most = self.limits.per_peer_and_lane * usize::from(self.identity.lanes);
        let Some(permit) = ConnectionPermit::take(&self.counts, hello.node, most) else {
            self.stats.connections_crowded.increment();
            tracing::warn!(from, peer = %hello.node, most, "too many connections of one peer");
            return None;
        };
        let connection = connection
            .detach()
            .inspect_err(|error| tracing::warn!(from, %error, "connection lost after its hello"))
            .ok()?;
        self.stats.hellos_accepted.increment();
        Some(Accepted {
            connection,
            hello,
            permit,
        })
    }
}

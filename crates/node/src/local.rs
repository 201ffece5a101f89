//! The node as code on one of its data threads sees it.

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use henge_ring::{Ring, Token};
use henge_store::Warm;

use crate::{Buckets, Failure, Handle, Outcome, ReplicaView, Request, Ticket, shard::Shard};

/// Names a registered sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkId(pub u16);

/// Takes outcomes of requests submitted under its id. Called from the thread's flusher, once per
/// tick, never from within [`LocalNode::submit`].
pub trait Sink {
    /// The tick is about to be worked on: submit what has gathered for it, if anything is kept for that.
    fn begin(&self) {}
    /// One request ended.
    fn complete(&self, token: u64, outcome: Outcome);
    /// The tick's outcomes are all delivered: write what has gathered.
    fn flush(&self);
}

/// A door that takes connections. The node binds, accepts, limits and spreads connections over its
/// data threads.
pub trait ConnectionDoor: Send + Sync + 'static {
    /// Makes the part of the door that lives on one data thread.
    fn open(&self, node: LocalNode) -> Rc<dyn DoorShard>;
}

/// A door's part on one data thread.
pub trait DoorShard {
    /// Serves one connection until it ends; the node spawns the future on the data thread's
    /// `LocalSet`. Dropping it closes the connection.
    fn connection(
        self: Rc<Self>,
        io: Box<dyn henge_rpc::Io>,
        from: String,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;
}

/// One page of a scan over the whole key space.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// Where to go on; 0 at the end. Below 2^53, for JavaScript clients.
    pub next: u64,
    /// Live keys with their records' outlines (records without the body's bytes).
    pub keys: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A handle onto the data thread it was given out on. Cheap to clone, not `Send`.
#[derive(Clone)]
pub struct LocalNode {
    shard: Rc<Shard>,
}

impl LocalNode {
    pub(crate) fn new(shard: Rc<Shard>) -> Self {
        Self { shard }
    }

    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// Registers a taker of outcomes. It is kept for as long as the thread runs.
    pub fn register(&self, sink: Rc<dyn Sink>) -> SinkId {
        SinkId(self.shard.register(sink))
    }

    /// Starts a request; its outcome reaches the ticket's sink. Costs no task and no timer.
    #[inline]
    pub fn submit(&self, request: &Request<'_>, ticket: Ticket) {
        self.shard.submit(request, ticket);
    }

    /// Asks for a `Sink::flush` at the end of this tick.
    pub fn wake(&self) {
        self.shard.mark_dirty();
    }

    /// One request as a future: for commands of several steps.
    pub async fn call(&self, request: &Request<'_>) -> Outcome {
        let call = self.shard.begin_call(request);
        poll_fn(|context| match call.poll(context) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        })
        .await
    }

    /// A page of all live keys, from `cursor` (0: from the start), about `count` of them, at most
    /// 1,000.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, Failure> {
        self.shard.scan(cursor, count).await
    }

    /// What each replica of a key holds.
    pub async fn explain(&self, key: &[u8]) -> Vec<ReplicaView> {
        self.shard.explain(key).await
    }

    /// Tells the store which keys will be asked for next.
    #[inline]
    pub fn warm(&self, ahead: &[Token], wanted: Warm) {
        self.shard.shared().store.warm(ahead, wanted);
    }

    /// Milliseconds since 1970, as of this tick.
    #[inline]
    pub fn wall_ms(&self) -> u64 {
        self.shard.now().wall_ms
    }

    /// The bucket rules.
    pub fn buckets(&self) -> Arc<Buckets> {
        self.shard.shared().buckets()
    }

    /// The present ring.
    pub fn ring(&self) -> Arc<Ring> {
        self.shard.shared().ring()
    }

    /// The same node, from any thread.
    pub fn handle(&self) -> Handle {
        self.shard.handle().clone()
    }
}

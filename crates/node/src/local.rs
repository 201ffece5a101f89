//! The node as code on one of its data threads sees it.

use std::{future::Future, rc::Rc, sync::Arc};

use henge_ring::Ring;

use crate::{Buckets, Handle, Outcome, Request, Ticket};

/// Names a registered sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkId(pub u16);

/// Takes outcomes of requests submitted under its id. Called from the thread's flusher, once per
/// tick, never from within [`LocalNode::submit`].
pub trait Sink {
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
    /// Where to go on; 0 at the end. Below 2^63.
    pub next: u64,
    /// Live keys with their records' outlines (records without the body's bytes).
    pub keys: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A handle onto the data thread it was given out on. Cheap to clone, not `Send`.
#[derive(Clone)]
pub struct LocalNode {}

impl LocalNode {
    /// Registers a taker of outcomes.
    pub fn register(&self, sink: Rc<dyn Sink>) -> SinkId {
        let _ = sink;
        unimplemented!()
    }
    /// Starts a request; its outcome reaches the ticket's sink. Costs no task and no timer.
    pub fn submit(&self, request: &Request<'_>, ticket: Ticket) {
        let _ = (request, ticket);
        unimplemented!()
    }
    /// Asks for a `Sink::flush` at the end of this tick.
    pub fn wake(&self) {
        unimplemented!()
    }
    /// One request as a future: for commands of several steps.
    pub async fn call(&self, request: &Request<'_>) -> Outcome {
        let _ = request;
        unimplemented!()
    }
    /// A page of all live keys, from `cursor` (0: from the start), about `count` of them.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, crate::Failure> {
        let _ = (cursor, count);
        unimplemented!()
    }
    /// Milliseconds since 1970, as of this tick.
    pub fn wall_ms(&self) -> u64 {
        unimplemented!()
    }
    /// The bucket rules.
    pub fn buckets(&self) -> Arc<Buckets> {
        unimplemented!()
    }
    /// The present ring.
    pub fn ring(&self) -> Arc<Ring> {
        unimplemented!()
    }
    /// The same node, from any thread.
    pub fn handle(&self) -> Handle {
        unimplemented!()
    }
}

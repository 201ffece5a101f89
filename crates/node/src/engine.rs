//! The engine: one machine per data thread that coordinates, replicates and owes.

use std::sync::Arc;

use henge_ring::{NodeId, Ring};

use crate::{Outcome, Request};

/// The two clocks, read once per tick by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds since some start: time-outs.
    pub mono_ms: u64,
    /// Milliseconds since 1970: stamps and deadlines of data.
    pub wall_ms: u64,
}

/// Where an outcome goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Which registered sink.
    pub sink: u16,
    /// Chosen by the sink.
    pub token: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Takes over a new ring.
    pub fn set_ring(&mut self, ring: Arc<Ring>) {
        let _ = ring;
        unimplemented!()
    }
    /// The link to a peer came up.
    pub fn peer_up(&mut self, peer: NodeId) {
        let _ = peer;
        unimplemented!()
    }
    /// The link to a peer went down: what was in flight to it will not be answered.
    pub fn peer_down(&mut self, now: Now, peer: NodeId) {
        let _ = (now, peer);
        unimplemented!()
    }
    /// A client's request. Its outcome appears in `take_completions`, perhaps at once.
    pub fn submit(&mut self, now: Now, request: &Request<'_>, ticket: Ticket) {
        let _ = (now, request, ticket);
        unimplemented!()
    }
    /// A batch from a peer; answers are appended to `replies`, which travels back.
    pub fn receive_batch(&mut self, now: Now, from: NodeId, batch: &[u8], replies: &mut Vec<u8>) {
        let _ = (now, from, batch, replies);
        unimplemented!()
    }
    /// A peer's answers to one of our batches.
    pub fn receive_replies(&mut self, now: Now, from: NodeId, replies: &[u8]) {
        let _ = (now, from, replies);
        unimplemented!()
    }
    /// Deadlines, hints, sweeping. Call at least every few milliseconds, or at `next_deadline`.
    pub fn tick(&mut self, now: Now) {
        let _ = now;
        unimplemented!()
    }
    /// Calls `send` with each peer's gathered batch.
    pub fn take_batches(&mut self, send: &mut dyn FnMut(NodeId, &mut Vec<u8>)) {
        let _ = send;
        unimplemented!()
    }
    /// The outcomes since the last call.
    pub fn take_completions(&mut self) -> Vec<(Ticket, Outcome)> {
        unimplemented!()
    }
}

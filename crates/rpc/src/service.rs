//! The tarpc service that every node offers to its peers.
//!
//! The order of the methods is wire format: append only. Arguments and results are opaque
//! [`Bytes`], never `Vec<u8>`, which serde would treat byte by byte.

use bytes::Bytes;

/// What a node does for another.
#[tarpc::service]
pub trait Peer {
    /// Carries out a batch of [`Message`](crate::Message)s and returns the
    /// [`Reply`](crate::Reply)s to those that are answered at once.
    async fn apply(batch: Bytes) -> Bytes;

    /// Takes in the caller's membership log and returns this node's: union both ways.
    async fn exchange_log(log: Bytes) -> Bytes;

    /// A page of a partition's records, or of whatever else the request asks for in bulk.
    async fn scan(request: Bytes) -> Bytes;

    /// What this node says of its own condition ([`Condition`](crate::Condition)). Also keep-alive and
    /// round-trip time.
    async fn status() -> Bytes;

    /// Returns the number.
    async fn ping(number: u64) -> u64;

    /// Answers one question of a reconciliation (`henge_repair::reconcile`).
    async fn reconcile(question: Bytes) -> Bytes;

    /// Takes in a frame of gossip (`henge_membership::Swim`). It is answered by other frames.
    async fn gossip(frame: Bytes);
}

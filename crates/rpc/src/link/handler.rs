//! The owner's side of a link.

use std::{rc::Rc, time::Duration};

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use henge_ring::NodeId;

use super::{BatchLost, Link, LinkDown};

/// What the owner of links does with what comes in. One object per data thread, called only on that
/// thread, never while another call of it is under way on the stack of the same link.
///
/// A panic in any of these is caught and counted; the batch or call it happened in fails.
pub trait PeerHandler {
    /// Carries out a peer's batch of messages at once and appends the replies. Whatever cannot be
    /// answered at once is answered later by a message of this side.
    ///
    /// Replies that do not fit into a frame fail the whole batch: bound them.
    fn apply(&self, peer: NodeId, batch: &[u8], replies: &mut Vec<u8>);

    /// A peer's replies to one of our batches.
    fn replies(&self, peer: NodeId, replies: &[u8]);

    /// One of our batches got no answer, and will get none. What the peer did with it is unknown.
    fn batch_lost(&self, peer: NodeId, batch_bytes: usize, why: &BatchLost);

    /// A link came up. Several may be up for one peer, in different lanes.
    fn link_up(&self, link: &Rc<Link>);

    /// A link went down; its lost batches have been reported before.
    fn link_down(&self, link: &Rc<Link>, reason: &LinkDown);

    /// Takes in a frame of a peer's gossip.
    fn gossip(&self, peer: NodeId, frame: &[u8]);

    /// Takes in a peer's membership log and answers with our own.
    fn exchange_log(&self, peer: NodeId, log: Bytes) -> LocalBoxFuture<'static, Bytes>;

    /// A page of bulk data.
    fn scan(&self, peer: NodeId, request: Bytes) -> LocalBoxFuture<'static, Bytes>;

    /// Answers a question of a reconciliation; empty: not now.
    fn reconcile(&self, peer: NodeId, question: Bytes) -> LocalBoxFuture<'static, Bytes>;

    /// What this node says of its condition, at this moment: [`Condition`](crate::Condition).
    fn status(&self, peer: NodeId) -> LocalBoxFuture<'static, Bytes>;

    /// What a peer has just said of its condition, and how long the answer took in all. Says whether
    /// that may be different in a moment, so that it is asked again soon.
    fn heard_status(&self, peer: NodeId, status: &[u8], round_trip: Duration) -> bool {
        let _ = (peer, status, round_trip);
        false
    }
}

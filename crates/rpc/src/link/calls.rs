//! The client side: batches out, replies in; and the calls of the control plane.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use tarpc::client::RpcError;
use tokio::time::timeout;

use super::{Link, PeerHandler};

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendRefusal {
    /// The link is down, or another one has taken its place.
    #[error("the link is down")]
    Down,
    /// The peer lags: too many bytes wait for its answers.
    #[error("{in_flight} bytes in flight and {batch} more are beyond {cap}")]
    Lagging {
        /// Bytes in flight.
        in_flight: usize,
        /// Bytes of the batch.
        batch: usize,
        /// The most allowed in flight.
        cap: usize,
    },
    /// The peer lags: too many batches wait for its answers.
    #[error("{0} batches in flight")]
    TooMany(usize),
    /// The batch does not fit into a frame.
    #[error("batch of {batch} bytes, at most {cap} allowed")]
    TooLarge {
        /// Bytes of the batch.
        batch: usize,
        /// The most allowed.
        cap: usize,
    },
}

/// A batch that was not taken, given back: its writes become hints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch not sent: {why}")]
pub struct Unsent {
    /// The batch.
    pub batch: Bytes,
    /// Why.
    pub why: SendRefusal,
}

/// Why a call brought no answer. Unless said otherwise, the peer may or may not have done it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// tarpc's reason: link down, not sent, or refused by the server.
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

/// Why a batch is lost.
pub type BatchLost = CallError;

impl Link {
    /// Sends a batch of so many messages as one call. Its end is told to the handler: either
    /// [`PeerHandler::replies`] or [`PeerHandler::batch_lost`], exactly once.
    ///
    /// Several batches may be in flight. On an error nothing was sent, and the batch comes back.
    pub fn try_send(&self, batch: Bytes, messages: u32) -> Result<(), Unsent> {
        if let Err(why) = self.admit(batch.len()) {
            self.stats.batches_unsent.increment();
            return Err(Unsent { batch, why });
        }
        self.in_flight_bytes
            .set(self.in_flight_bytes.get() + batch.len());
        self.in_flight_batches.set(self.in_flight_batches.get() + 1);
        self.stats.batches_out.increment();
        self.stats.messages_out.add(u64::from(messages));
        self.unsent.borrow_mut().push_back(batch);
        self.mux.calls.wake();
        Ok(())
    }

    /// Whether so much is sent and not yet answered that a batch of so many bytes has to wait for answers.
    pub fn is_full_for(&self, batch: usize) -> bool {
        let admitted = self.admit(batch);
        matches!(
            admitted,
            Err(SendRefusal::Lagging { .. } | SendRefusal::TooMany(_))
        )
    }

    fn admit(&self, batch: usize) -> Result<(), SendRefusal> {
        if !self.is_up() || self.retired.get() {
            return Err(SendRefusal::Down);
        }
        let cap = self.batch_cap();
        if batch > cap {
            return Err(SendRefusal::TooLarge { batch, cap });
        }
        let (in_flight, cap) = (self.in_flight_bytes.get(), self.config.in_flight_bytes);
        // One batch may always go, however large: the cap bounds the lag, not the batch.
        if in_flight > 0 && in_flight + batch > cap {
            return Err(SendRefusal::Lagging {
                in_flight,
                batch,
                cap,
            });
        }
        let batches = self.in_flight_batches.get();
        if batches >= self.config.in_flight_batches {
            return Err(SendRefusal::TooMany(batches));
        }
        Ok(())
    }

    /// One batch's call, from start to end.
    async fn call(self: Rc<Self>, batch: Bytes) -> (usize, Result<Bytes, CallError>) {
        let bytes = batch.len();
        let call = self.client.apply(self.far_deadline(), batch);
        (bytes, within(self.config.call_time, call).await)
    }

    fn finish(&self, handler: &dyn PeerHandler, bytes: usize, outcome: Result<Bytes, CallError>) {
        self.in_flight_bytes.set(self.in_flight_bytes.get() - bytes);
        self.in_flight_batches.set(self.in_flight_batches.get() - 1);
        let told = catch_unwind(AssertUnwindSafe(|| match outcome {
            Ok(replies) => handler.replies(self.peer(), &replies),
            Err(why) => {
                self.stats.batches_lost.increment();
                handler.batch_lost(self.peer(), bytes, &why);
            }
        }));
        if told.is_err() {
            self.stats.panics.increment();
        }
    }

    /// Gives the peer this node's membership log and returns the peer's.
    pub async fn exchange_log(&self, log: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        within(limit, self.client.exchange_log(self.far_deadline(), log)).await
    }

    /// Asks for a page of bulk data.
    pub async fn scan(&self, request: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        within(limit, self.client.scan(self.far_deadline(), request)).await
    }

    /// Asks one question of a reconciliation. An empty answer is none.
    pub async fn reconcile(&self, question: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        within(limit, self.client.reconcile(self.far_deadline(), question)).await
    }

    /// Asks for the peer's condition.
    pub async fn status(&self, limit: Duration) -> Result<Bytes, CallError> {
        within(limit, self.client.status(self.far_deadline())).await
    }

    /// Sends a frame of gossip. A lost one does no harm.
    pub async fn gossip(&self, frame: Bytes, limit: Duration) -> Result<(), CallError> {
        within(limit, self.client.gossip(self.far_deadline(), frame)).await
    }

    /// Asks for an echo.
    pub async fn ping(&self, number: u64, limit: Duration) -> Result<u64, CallError> {
        within(limit, self.client.ping(self.far_deadline(), number)).await
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, RpcError>>,
) -> Result<T, CallError> {
    match timeout(limit, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(CallError::TimedOut(limit)),
    }
}

/// Drives all batches' calls in one task until the link is down and each has ended.
pub(super) async fn drive(link: &Rc<Link>, handler: &dyn PeerHandler) {
    let mut calls = FuturesUnordered::new();
    poll_fn(|cx| {
        link.mux.calls.register(cx);
        loop {
            // The borrow must end here: handlers send, and sending queues.
            let unsent = std::mem::take(&mut *link.unsent.borrow_mut());
            calls.extend(unsent.into_iter().map(|batch| Rc::clone(link).call(batch)));
            match calls.poll_next_unpin(cx) {
                Poll::Ready(Some((bytes, outcome))) => link.finish(handler, bytes, outcome),
                Poll::Ready(None) if link.mux.is_down() => return Poll::Ready(()),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

//! The server side: the peer's requests in, answers out.
//!
//! tarpc's `BaseChannel` is polled directly. A batch is carried out and answered within the poll
//! that received it. Requests of the control plane become futures driven here, so that they end with
//! the link; they are few, and capped.

use std::{
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{
    FutureExt, Sink, Stream,
    future::{Abortable, LocalBoxFuture},
    stream::FuturesUnordered,
};
use tarpc::{
    Response, ServerError,
    server::{BaseChannel, Config, TrackedRequest},
};

use super::{Link, PeerHandler};
use crate::{
    mux::ServerHalf,
    service::{PeerRequest, PeerResponse},
};

/// Requests taken in one poll before other tasks get their turn.
const REQUESTS_PER_POLL: usize = 64;

/// What replies of a batch are first given room for: acknowledgements of some fifty writes.
const REPLY_ROOM: usize = 512;

type Answer = Response<PeerResponse>;

pub(super) async fn serve(link: Rc<Link>, handler: Rc<dyn PeerHandler>) {
    let half = ServerHalf(Rc::clone(&link.mux));
    let channel = BaseChannel::new(Config::default(), half);
    let mut server = Server {
        link,
        handler,
        channel,
        control: FuturesUnordered::new(),
    };
    poll_fn(|cx| server.poll(cx)).await;
}

struct Server {
    link: Rc<Link>,
    handler: Rc<dyn PeerHandler>,
    channel: BaseChannel<PeerRequest, PeerResponse, ServerHalf>,
    /// `None` comes from a call that its caller has cancelled.
    control: FuturesUnordered<LocalBoxFuture<'static, Option<Answer>>>,
}

impl Server {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..REQUESTS_PER_POLL {
            match Pin::new(&mut self.channel).poll_next(cx) {
                Poll::Ready(Some(Ok(request))) => self.take(request),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending if self.link.mux.is_down() => return Poll::Ready(()),
                Poll::Pending => {
                    self.poll_control(cx);
                    return Poll::Pending;
                }
            }
        }
        self.poll_control(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_control(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(answer)) = Pin::new(&mut self.control).poll_next(cx) {
            if let Some(answer) = answer {
                self.answer(answer);
            }
        }
    }

    fn take(&mut self, tracked: TrackedRequest<PeerRequest>) {
        let request_id = tracked.request.id;
        let peer = self.link.peer();
        if self.link.mux.is_congested() || self.control.len() >= self.link.config.control_requests {
            // Batches go on while the control plane is at its limit, but not while the peer does
            // not read.
            let is_batch = matches!(tracked.request.message, PeerRequest::Apply { .. });
            if self.link.mux.is_congested() || !is_batch {
                return self.throttle(request_id);
            }
        }
        let call = match tracked.request.message {
            PeerRequest::Apply { batch } => return self.apply(request_id, &batch),
            PeerRequest::Ping { number } => {
                return self.answer(Response {
                    request_id,
                    message: Ok(PeerResponse::Ping(number)),
                });
            }
            PeerRequest::Gossip { frame } => {
                self.gossip(&frame);
                return self.answer(Response {
                    request_id,
                    message: Ok(PeerResponse::Gossip(())),
                });
            }
            PeerRequest::ExchangeLog { log } => self
                .handler
                .exchange_log(peer, log)
                .map(PeerResponse::ExchangeLog)
                .boxed_local(),
            PeerRequest::Scan { request } => self
                .handler
                .scan(peer, request)
                .map(PeerResponse::Scan)
                .boxed_local(),
            PeerRequest::Reconcile { question } => self
                .handler
                .reconcile(peer, question)
                .map(PeerResponse::Reconcile)
                .boxed_local(),
            PeerRequest::Status {} => self
                .handler
                .status(peer)
                .map(PeerResponse::Status)
                .boxed_local(),
        };
        let link = Rc::clone(&self.link);
        let call = AssertUnwindSafe(call)
            .catch_unwind()
            .map(move |outcome| Response {
                request_id,
                message: outcome.map_err(|_| link.panicked()),
            });
        let call = Abortable::new(call, tracked.abort_registration).map(Result::ok);
        self.control.push(call.boxed_local());
    }

    fn gossip(&self, frame: &[u8]) {
        let peer = self.link.peer();
        let taken = catch_unwind(AssertUnwindSafe(|| self.handler.gossip(peer, frame)));
        if taken.is_err() {
            self.link.panicked();
        }
    }

    fn throttle(&mut self, request_id: u64) {
        self.link.stats.requests_throttled.increment();
        let error = ServerError::new(io::ErrorKind::WouldBlock, "throttled".to_owned());
        self.answer(Response {
            request_id,
            message: Err(error),
        });
    }

    fn apply(&mut self, request_id: u64, batch: &[u8]) {
        self.link.stats.batches_in.increment();
        let mut replies = Vec::with_capacity(REPLY_ROOM);
        let applied = catch_unwind(AssertUnwindSafe(|| {
            self.handler.apply(self.link.peer(), batch, &mut replies);
        }));
        let message = match applied {
            Ok(()) => Ok(PeerResponse::Apply(Bytes::from(replies))),
            Err(_) => Err(self.link.panicked()),
        };
        self.answer(Response {
            request_id,
            message,
        });
    }

    /// Answers too long for a frame fail their own call, not the link.
    fn answer(&mut self, mut answer: Answer) {
        let len = answer.message.as_ref().map_or(0, payload_len);
        let cap = self.link.batch_cap();
        if len > cap {
            self.link.stats.frames_oversized.increment();
            let text = format!("answer of {len} bytes, at most {cap} allowed");
            answer.message = Err(ServerError::new(io::ErrorKind::InvalidData, text));
        }
        // The sink is always ready; if it fails, the link is down and poll finds out.
        let sent = Pin::new(&mut self.channel).start_send(answer);
        if let Err(error) = sent {
            tracing::debug!(peer = %self.link.peer(), %error, "answer not sent");
        }
    }
}

fn payload_len(response: &PeerResponse) -> usize {
    match response {
        PeerResponse::Apply(bytes)
        | PeerResponse::ExchangeLog(bytes)
        | PeerResponse::Scan(bytes)
        | PeerResponse::Status(bytes)
        | PeerResponse::Reconcile(bytes) => bytes.len(),
        PeerResponse::Ping(_) | PeerResponse::Gossip(()) => 0,
    }
}

impl Link {
    fn panicked(&self) -> ServerError {
        self.stats.panics.increment();
        ServerError::new(io::ErrorKind::Other, "the handler panicked".to_owned())
    }
}

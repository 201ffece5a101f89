//! One established connection to a peer: tarpc client and server at once.
//!
//! Tasks of a link, all on its data thread's `LocalSet`:
//! - *serve* reads the socket and answers the peer's requests; batches without a task or a wait;
//! - *dispatch* is tarpc's client;
//! - *calls* drives the calls that carry this side's batches, none dropped before its end;
//! - *write* empties the output, woken once per tick;
//! - *keep-alive* pings, and closes the link after too long a silence.
//!
//! When any of them ends, for whatever reason, the link is down: every batch in flight is reported
//! lost, then the owner hears [`PeerHandler::link_down`], and nothing after that. A link never comes
//! back; [`Peers`](crate::Peers) makes a new one. A link whose place was taken by another one retires
//! first: it sends nothing new, and ends when what is under way has been answered.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::poll_fn;
use henge_ring::NodeId;
use tarpc::{client, context};
use tokio::{sync::Notify, task::spawn_local};

use crate::{
    ConnectionPermit, FRAME_CAP, FrameError, Io, LinkStats, PeerHello,
    codec::{DEADLINE_CAP, ENVELOPE},
    mux::{ClientHalf, Mux},
    service::PeerClient,
};

mod calls;
pub use calls::{BatchLost, CallError, SendRefusal, Unsent};

mod checked;
use checked::Checked;

mod handler;
pub use handler::PeerHandler;

mod keep_alive;
mod retire;
mod serve;

/// Bounds and times of a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// Longest frame in either direction, in bytes.
    pub frame_cap: usize,
    /// Bytes of output beyond which peers' requests are throttled. Beyond this and one frame more,
    /// the link is closed.
    pub output_cap: usize,
    /// Bytes of batches sent and not yet answered; bounds what a slow peer may lag.
    pub in_flight_bytes: usize,
    /// Batches sent and not yet answered.
    pub in_flight_batches: usize,
    /// How long a batch waits for its answer.
    pub call_time: Duration,
    /// Control-plane requests of the peer worked on at a time; more are answered "throttled".
    pub control_requests: usize,
    /// Time between pings while something is asked of the peer.
    pub ping_every: Duration,
    /// Time between pings while nothing is: so that fifty nodes at rest leave each other alone.
    pub idle_ping_every: Duration,
    /// Silence, while the peer owes an answer, after which the link is given up. It is noticed at
    /// most half a `ping_every` later.
    pub silence: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            frame_cap: FRAME_CAP,
            output_cap: 16 << 20,
            in_flight_bytes: 4 << 20,
            in_flight_batches: 1024,
            call_time: Duration::from_secs(5),
            control_requests: 256,
            ping_every: Duration::from_millis(500),
            idle_ping_every: Duration::from_secs(10),
            silence: Duration::from_millis(1500),
        }
    }
}

/// Why a link is down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkDown {
    /// The peer closed the connection, or its process ended.
    #[error("the peer closed the connection")]
    Ended,
    /// The connection failed.
    #[error("the connection failed: {kind}: {text}")]
    Failed {
        /// What kind of failure.
        kind: io::ErrorKind,
        /// The system's words.
        text: String,
    },
    /// Nothing was heard, not even answers to pings.
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
    /// The peer broke the protocol, or did not read what it asked for.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Another link to the same peer and lane took its place.
    #[error("replaced by another link to the same peer")]
    Replaced,
    /// This side closed it.
    #[error("closed by this node")]
    Closed,
    /// A task of the link panicked. A bug.
    #[error("a task of the link panicked")]
    Panicked,
}

impl From<io::Error> for LinkDown {
    fn from(error: io::Error) -> Self {
        Self::Failed {
            kind: error.kind(),
            text: error.to_string(),
        }
    }
}

/// A connection whose hello has succeeded, on the runtime that will use it.
pub struct Established {
    /// The stream, right after the hello.
    pub io: Box<dyn Io>,
    /// What the peer said.
    pub hello: PeerHello,
    /// The place it takes among the accepted connections of its peer.
    pub permit: Option<ConnectionPermit>,
}

/// A live connection to one peer. Cheap to ask, safe to keep after it is down.
pub struct Link {
    hello: PeerHello,
    config: LinkConfig,
    stats: Arc<LinkStats>,
    mux: Rc<Mux>,
    client: PeerClient<Checked>,
    context: context::Context,
    unsent: RefCell<VecDeque<Bytes>>,
    in_flight_bytes: Cell<usize>,
    in_flight_batches: Cell<usize>,
    round_trip: Cell<Option<Duration>>,
    /// When the ping was sent that is not yet answered.
    pinged: Cell<Option<tokio::time::Instant>>,
    /// Whether it is pinged at rest as often as at work.
    is_watched: Cell<bool>,
    retired: Cell<bool>,
    finished: Cell<bool>,
    ended: Notify,
    /// Its place among the accepted connections of its peer, until it has ended.
    permit: RefCell<Option<ConnectionPermit>>,
}

impl Link {
    /// Starts the link's tasks on the current `LocalSet` and tells the handler that it is up.
    pub fn spawn(
        established: Established,
        config: LinkConfig,
        handler: Rc<dyn PeerHandler>,
        stats: Arc<LinkStats>,
    ) -> Rc<Self> {
        let link = Self::start(established, config, &handler, stats);
        handler.link_up(&link);
        spawn_local(Rc::clone(&link).run(handler));
        link
    }

    /// Starts the tasks of a connection that lost against another one of the same peer and lane, of
    /// which the peer may not have heard. What it sends meanwhile is carried out and answered; this
    /// side's handler never hears of the link.
    pub(crate) fn spawn_retired(
        established: Established,
        config: LinkConfig,
        handler: Rc<dyn PeerHandler>,
        stats: Arc<LinkStats>,
    ) {
        let link = Self::start(established, config, &handler, stats);
        spawn_local(Rc::clone(&link).end(handler));
        link.retire();
    }

    fn start(
        established: Established,
        config: LinkConfig,
        handler: &Rc<dyn PeerHandler>,
        stats: Arc<LinkStats>,
    ) -> Rc<Self> {
        let Established { io, hello, permit } = established;
        let mux = Mux::new(io, config.frame_cap, config.output_cap, Arc::clone(&stats));
        let mut client_config = client::Config::default();
        // The link's own bounds are met first; control calls come on top of the batches.
        client_config.max_in_flight_requests = 2 * config.in_flight_batches + 64;
        let client::NewClient { client, dispatch } =
            client::new(client_config, ClientHalf(Rc::clone(&mux)));
        let client = PeerClient::from(Checked(client));
        let link = Rc::new(Self {
            hello,
            config,
            stats,
            mux,
            client,
            context: context::current(),
            unsent: RefCell::default(),
            in_flight_bytes: Cell::new(0),
            in_flight_batches: Cell::new(0),
            round_trip: Cell::new(None),
            pinged: Cell::new(None),
            is_watched: Cell::new(false),
            retired: Cell::new(false),
            finished: Cell::new(false),
            ended: Notify::new(),
            permit: RefCell::new(permit),
        });
        link.stats.links_up.increment();
        link.spawn_part(async move { drop(dispatch.await) });
        link.spawn_part(serve::serve(Rc::clone(&link), Rc::clone(handler)));
        link.spawn_part(keep_alive::keep_alive(Rc::clone(&link), Rc::clone(handler)));
        let mux = Rc::clone(&link.mux);
        link.spawn_part(async move { poll_fn(|cx| mux.poll_write(cx)).await });
        link
    }

    /// Runs a part of the link; the link does not outlive it.
    fn spawn_part(self: &Rc<Self>, part: impl Future<Output = ()> + 'static) {
        let guard = CloseOnDrop(Rc::clone(self));
        spawn_local(async move {
            let _guard = guard;
            part.await;
        });
    }

    async fn run(self: Rc<Self>, handler: Rc<dyn PeerHandler>) {
        Rc::clone(&self).end(Rc::clone(&handler)).await;
        // In the same poll as the end: nobody who waits for it runs in between.
        handler.link_down(&self, &self.down().unwrap_or(LinkDown::Closed));
    }

    /// Carries the batches' calls to their end, and releases everything.
    async fn end(self: Rc<Self>, handler: Rc<dyn PeerHandler>) {
        calls::drive(&self, &*handler).await;
        self.mux.release();
        self.permit.take();
        self.stats.links_down.increment();
        self.finished.set(true);
        self.ended.notify_waiters();
    }

    /// The peer's id.
    pub fn peer(&self) -> NodeId {
        self.hello.node
    }

    /// What the peer said in its hello: lane, lanes, and who dialled.
    pub fn hello(&self) -> &PeerHello {
        &self.hello
    }

    /// Whether batches can be sent.
    pub fn is_up(&self) -> bool {
        !self.mux.is_down()
    }

    /// Why the link is down; `None` while it is up.
    pub fn down(&self) -> Option<LinkDown> {
        self.mux.down()
    }

    /// Gives the link up. What is in flight is reported lost.
    pub fn close(&self, reason: LinkDown) {
        self.mux.close(reason);
    }

    /// Waits until the link is down and its handler has heard of it.
    pub async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.finished.get() {
                return;
            }
            ended.await;
        }
    }

    /// The round-trip time of the last answered ping, or how long the present one has been waiting
    /// if that is longer: a peer that stops answering is slow before it is silent.
    pub fn round_trip(&self) -> Option<Duration> {
        let waiting = self.pinged.get().map(|since| since.elapsed());
        self.round_trip
            .get()
            .map(|last| last.max(waiting.unwrap_or_default()))
    }

    /// From now on the peer is pinged as often as if something were asked of it all the time, or no
    /// more.
    pub fn watch(&self, is_watched: bool) {
        self.is_watched.set(is_watched);
    }

    /// Bytes of batches sent and not yet answered.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes.get()
    }

    /// Batches sent and not yet answered.
    pub fn in_flight_batches(&self) -> usize {
        self.in_flight_batches.get()
    }

    /// The longest batch that fits into a frame.
    fn batch_cap(&self) -> usize {
        self.config.frame_cap.saturating_sub(ENVELOPE)
    }

    /// A far deadline, always the same. The true time limit is a timer around the call: tarpc's own
    /// starts only when the request is written, and does not follow simulated time.
    fn far_deadline(&self) -> context::Context {
        let mut context = self.context;
        context.deadline = Instant::now() + DEADLINE_CAP;
        context
    }
}

/// Takes the link down when a part of it ends, also by a panic.
struct CloseOnDrop(Rc<Link>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stats.panics.increment();
            self.0.close(LinkDown::Panicked);
        } else {
            self.0.close(LinkDown::Closed);
        }
    }
}

//! What the tests of links share: identities, and a handler that writes down what it is told.

// Each test binary uses its own part of the rig.
#![allow(dead_code, unreachable_pub)]

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::LocalBoxFuture};
use henge_ring::NodeId;
use henge_rpc::{
    BatchLost, ClusterId, ClusterKey, Established, Identity, Io, Link, LinkConfig, LinkDown,
    LinkStats, PeerHandler, PeerHello, WIRE_NUMBER,
};
use tokio::task::LocalSet;

pub const LOW: NodeId = NodeId([1; 16]);
pub const HIGH: NodeId = NodeId([9; 16]);

pub fn identity(node: NodeId) -> Identity {
    Identity {
        cluster: ClusterId([0xc1; 16]),
        node,
        key: ClusterKey::from_secret(b"a secret of the tests").expect("long enough"),
        wire: WIRE_NUMBER,
        lanes: 2,
    }
}

/// Runs a test on a `LocalSet` with paused time.
pub fn local<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

/// Waits, in simulated time, until something holds; fails after a simulated minute.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("never came to be: {what}");
}

/// What a handler was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Up(NodeId),
    Down(NodeId, LinkDown),
    Replies(Bytes),
    Lost(usize),
}

/// Answers each batch with itself reversed, and remembers everything.
#[derive(Default)]
pub struct Recorder {
    pub told: RefCell<Vec<Told>>,
    pub applied: RefCell<Vec<Bytes>>,
    pub scans: Cell<usize>,
    /// Bytes to answer batches with, in place of the batch reversed.
    pub answer_bytes: Cell<Option<usize>>,
    pub panic_on_apply: Cell<bool>,
    pub panic_on_status: Cell<bool>,
    /// How often it was asked for its condition.
    pub asked_status: Cell<usize>,
    /// How many answers of the peer's condition say that it is to be asked again.
    pub unsettled: Cell<usize>,
}

impl Recorder {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    pub fn replies(&self) -> Vec<Bytes> {
        let told = self.told.borrow();
        told.iter()
            .filter_map(|t| {
                if let Told::Replies(b) = t {
                    Some(b.clone())
                } else {
                    None
                }
            })
            .collect()
    }

    pub fn lost(&self) -> usize {
        self.told
            .borrow()
            .iter()
            .filter(|told| matches!(told, Told::Lost(_)))
            .count()
    }

    pub fn downs(&self) -> Vec<LinkDown> {
        let told = self.told.borrow();
        told.iter()
            .filter_map(|t| {
                if let Told::Down(_, d) = t {
                    Some(d.clone())
                } else {
                    None
                }
            })
            .collect()
    }
}

impl PeerHandler for Recorder {
    fn apply(&self, _: NodeId, batch: &[u8], replies: &mut Vec<u8>) {
        assert!(!self.panic_on_apply.get(), "asked to panic");
        self.applied
            .borrow_mut()
            .push(Bytes::copy_from_slice(batch));
        match self.answer_bytes.get() {
            Some(bytes) => replies.resize(bytes, 7),
            None => replies.extend(batch.iter().rev()),
        }
    }

    fn replies(&self, _: NodeId, replies: &[u8]) {
        self.told
            .borrow_mut()
            .push(Told::Replies(Bytes::copy_from_slice(replies)));
    }

    fn batch_lost(&self, _: NodeId, bytes: usize, _: &BatchLost) {
        self.told.borrow_mut().push(Told::Lost(bytes));
    }

    fn link_up(&self, link: &Rc<Link>) {
        self.told.borrow_mut().push(Told::Up(link.peer()));
    }

    fn link_down(&self, link: &Rc<Link>, reason: &LinkDown) {
        self.told
            .borrow_mut()
            .push(Told::Down(link.peer(), reason.clone()));
    }

    fn gossip(&self, _: NodeId, _: &[u8]) {}

    fn exchange_log(&self, _: NodeId, log: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async move { Bytes::from([b"log:", &log[..]].concat()) }.boxed_local()
    }

    /// Never answers an empty request.
    fn scan(&self, _: NodeId, request: Bytes) -> LocalBoxFuture<'static, Bytes> {
        self.scans.set(self.scans.get() + 1);
        async move {
            if request.is_empty() {
                std::future::pending::<()>().await;
            }
            request
        }
        .boxed_local()
    }

    fn reconcile(&self, _: NodeId, question: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async move { question }.boxed_local()
    }

    fn status(&self, _: NodeId) -> LocalBoxFuture<'static, Bytes> {
        let panics = self.panic_on_status.get();
        self.asked_status.set(self.asked_status.get() + 1);
        async move {
            assert!(!panics, "a handler that panics");
            Bytes::from_static(b"well")
        }
        .boxed_local()
    }

    fn heard_status(&self, _: NodeId, _: &[u8], _: Duration) -> bool {
        let left = self.unsettled.get();
        self.unsettled.set(left.saturating_sub(1));
        left > 0
    }
}

/// One end of a link.
pub struct End {
    pub link: Rc<Link>,
    pub handler: Rc<Recorder>,
    pub stats: Arc<LinkStats>,
}

/// Makes a link of a stream, as if its hello had succeeded.
pub fn end(io: impl Io + 'static, peer: NodeId, config: LinkConfig) -> End {
    let (handler, stats) = (Recorder::new(), Arc::new(LinkStats::default()));
    let hello = PeerHello {
        node: peer,
        lane: 0,
        lanes: 1,
        dialled: peer == HIGH,
    };
    let link = Link::spawn(
        Established {
            io: Box::new(io),
            hello,
            permit: None,
        },
        config,
        Rc::clone(&handler) as Rc<dyn PeerHandler>,
        Arc::clone(&stats),
    );
    End {
        link,
        handler,
        stats,
    }
}

/// Both ends of a link over an in-process pipe.
pub fn pair(config: LinkConfig) -> (End, End) {
    let (a, b) = tokio::io::duplex(64 * 1024);
    (end(a, HIGH, config), end(b, LOW, config))
}

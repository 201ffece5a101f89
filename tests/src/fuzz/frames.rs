//! A link whose peer has proven its key and then sends any bytes: tarpc's frames, or not.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, future::LocalBoxFuture};
use henge_ring::NodeId;
use henge_rpc::{
    BatchLost, Established, Link, LinkConfig, LinkDown, LinkStats, PeerHandler, PeerHello,
};
use tokio::{
    io::{AsyncWriteExt, duplex},
    runtime::Runtime,
    task::LocalSet,
};

use super::{Behaviour, Signature, Target, kind, rings};

pub(super) const FRAMES: Target = Target {
    name: "frames",
    about: "tarpc frames of a proven peer: served, throttled or the link is closed, never a panic",
    longest: 4096,
    seeds: frame_seeds,
    tokens: &[
        &[1, 0, 0, 0, 1],
        &[0xff, 0xff, 0xff, 0xff],
        &[2],
        &[0, 0, 0, 0],
    ],
    make: || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Box::new(move |input, _| frames(input, &runtime))
    },
};

/// Longest frame that the link accepts. Small, so that inputs reach it.
const FRAME_CAP: usize = 1024;

fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 1;
    [&length.to_le_bytes(), &[tag][..], body].concat()
}

/// A request as tarpc's client would encode it.
fn request(id: u64, seconds: u64, method: u32, payload: &[u8]) -> Vec<u8> {
    let (trace_id, span_id, unsampled) = ([0u8; 16], 0u64, 1u32);
    let context = ((seconds, 0u32), (trace_id, span_id, unsampled));
    let head = postcard::to_allocvec(&(0u32, context, id, method)).expect("plain data");
    framed(1, &[&head, payload].concat())
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let methods = [
        (0, &[2, 7, 7][..]),
        (1, &[1, 0]),
        (2, &[0]),
        (3, &[]),
        (4, &[9]),
        (5, &[1, 0]),
    ];
    let mut seeds: Vec<Vec<u8>> = methods
        .map(|(method, payload)| request(u64::from(method), 5, method, payload))
        .to_vec();
    let three_years = 3 * 365 * 24 * 3600;
    seeds.push(request(9, three_years, 4, &[1]));
    let cancel = postcard::to_allocvec(&(1u32, ([0u8; 16], 0u64, 1u32), 1u64));
    seeds.push(framed(1, &cancel.expect("plain data")));
    let response = postcard::to_allocvec(&(3u64, 0u32, 4u32, 7u64));
    seeds.push(framed(2, &response.expect("plain data")));
    seeds.push(seeds.concat());
    seeds
}

fn frames(input: &[u8], runtime: &Runtime) -> Behaviour {
    let stats = Arc::<LinkStats>::default();
    let down = LocalSet::new().block_on(runtime, async {
        // Room for all that either side writes: nobody waits.
        let (mut peer, ours) = duplex(1 << 20);
        let hello = PeerHello {
            node: rings::id(2),
            lane: 0,
            lanes: 1,
            dialled: false,
        };
        let established = Established {
            io: Box::new(ours),
            hello,
            permit: None,
        };
        let config = LinkConfig {
            frame_cap: FRAME_CAP,
            control_requests: 4,
            ..LinkConfig::default()
        };
        let link = Link::spawn(established, config, Rc::new(Echo), Arc::clone(&stats));
        peer.write_all(input).await.expect("there is room");
        peer.shutdown().await.expect("it is open");
        link.ended().await;
        link.down()
    });
    assert_eq!(stats.panics.get(), 0, "a task of the link panicked");
    let mut signature = Signature::default();
    for (_, count) in stats.snapshot() {
        signature.size(count.min(2) as usize);
    }
    signature.note(down.map_or_else(String::new, |down| kind(&down)));
    signature.behaviour()
}

/// Answers everything with what it was asked.
struct Echo;

impl PeerHandler for Echo {
    fn apply(&self, _: NodeId, batch: &[u8], replies: &mut Vec<u8>) {
        replies.extend_from_slice(batch);
    }

    fn replies(&self, _: NodeId, _: &[u8]) {}

    fn batch_lost(&self, _: NodeId, _: usize, _: &BatchLost) {}

    fn link_up(&self, _: &Rc<Link>) {}

    fn link_down(&self, _: &Rc<Link>, _: &LinkDown) {}

    fn gossip(&self, _: NodeId, _: &[u8]) {}

    fn exchange_log(&self, _: NodeId, log: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async move { log }.boxed_local()
    }

    fn scan(&self, _: NodeId, request: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async move { request }.boxed_local()
    }

    fn reconcile(&self, _: NodeId, question: Bytes) -> LocalBoxFuture<'static, Bytes> {
        async move { question }.boxed_local()
    }

    fn status(&self, _: NodeId) -> LocalBoxFuture<'static, Bytes> {
        async { Bytes::new() }.boxed_local()
    }
}

//! One data thread: an engine, the links of this thread, and the tick that flushes them.
//!
//! A tick is whatever became ready together. Connections and links hand their messages to the
//! engine as they are read and mark the shard dirty; the flusher task, woken once, runs after them,
//! lets the doors submit what their connections have read, and sends every peer's batch as one call
//! and every connection's answers as one write. Nothing waits for a timer, and nothing is sent twice
//! in a tick.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use henge_ring::{NodeId, Ring};
use henge_rpc::{BatchLost, Condition, DialTask, Link, LinkDown, PeerHandler, Peers, Target};
use slab::Slab;
use tokio::sync::mpsc;

use crate::{
    BucketChange, DoorShard, Failure, Handle, Measured, Now, Outcome, Request, Sink, Ticket,
    anti_entropy::Question,
    bucket_change, buffers,
    engine::{Engine, EngineParts},
    gossip::Gossip,
    membership::Membership,
    scan::{self, Look, Seen},
    shared::{Phase, Shared},
};

mod calls;
use calls::Call;

/// The sink of [`Shard::begin_call`].
const CALLS: u16 = 0;

/// How often deadlines are looked at while operations are in flight, and while none are.
const TICK: Duration = Duration::from_millis(5);
const IDLE_TICK: Duration = Duration::from_millis(50);

/// How often the links are asked what they measured: as often as they ping.
const MEASURE_EVERY_MS: u64 = 500;
/// Patience with one question about partitions that move.
const QUESTION_TIME: Duration = Duration::from_secs(2);

/// See the module's text.
pub(crate) struct Shard {
    engine: RefCell<Engine>,
    shared: Arc<Shared>,
    handle: Handle,
    membership: Membership,
    /// The links of this thread, one per peer.
    links: RefCell<BTreeMap<NodeId, Rc<Link>>>,
    sinks: RefCell<Vec<Option<Rc<dyn Sink>>>>,
    peers: RefCell<Option<Rc<Peers>>>,
    door: RefCell<Option<Rc<dyn DoorShard>>>,
    /// On the first thread.
    gossip: RefCell<Option<Rc<Gossip>>>,
    calls: RefCell<Slab<Call>>,
    /// Empty but while it is delivered from; kept for its room.
    completions: RefCell<Vec<(Ticket, Outcome)>>,
    /// Outcomes of requests that never came to the engine.
    refused: RefCell<Vec<(Ticket, Outcome)>>,
    now: Cell<Now>,
    /// Whether `now` was read in this tick.
    fresh: Cell<bool>,
    dirty: Cell<bool>,
    flusher: Cell<Option<Waker>>,
    this: std::rc::Weak<Self>,
    /// The number of this thread, which is the lane of its links.
    lane: u16,
    /// By address.
    dials: RefCell<BTreeMap<String, DialTask>>,
    /// The version of the transition whose ring all parts of the node have.
    followed: Cell<u64>,
}

impl Shard {
    pub(crate) fn new(
        parts: EngineParts,
        shared: Arc<Shared>,
        handle: Handle,
        membership: Membership,
    ) -> Rc<Self> {
        let now = shared.clocks.now();
        let lane = parts.thread as u16;
        let mut engine = Engine::new(parts, now);
        engine.set_probe_share(shared.config.probe_share);
        Rc::new_cyclic(|this| Self {
            this: this.clone(),
            lane,
            dials: RefCell::default(),
            followed: Cell::new(0),
            engine: RefCell::new(engine),
            shared,
            handle,
            membership,
            links: RefCell::default(),
            sinks: RefCell::new(vec![None]),
            peers: RefCell::default(),
            door: RefCell::default(),
            gossip: RefCell::default(),
            calls: RefCell::default(),
            completions: RefCell::default(),
            refused: RefCell::default(),
            now: Cell::new(now),
            fresh: Cell::new(false),
            dirty: Cell::new(false),
            flusher: Cell::new(None),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn register(&self, sink: Rc<dyn Sink>) -> u16 {
        let mut sinks = self.sinks.borrow_mut();
        sinks.push(Some(sink));
        (sinks.len() - 1) as u16
    }

    /// The clocks, read at most once per tick.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        if !self.fresh.replace(true) {
            self.now.set(self.shared.clocks.now());
            self.mark_dirty();
        }
        self.now.get()
    }

    #[inline]
    pub(crate) fn mark_dirty(&self) {
        if !self.dirty.replace(true)
            && let Some(waker) = self.flusher.take()
        {
            waker.wake();
        }
    }

    #[inline]
    pub(crate) fn submit(&self, request: &Request<'_>, ticket: Ticket) {
        self.submit_by(Engine::submit, request, ticket);
    }

    #[inline]
    fn submit_by(
        &self,
        submit: impl FnOnce(&mut Engine, Now, &Request<'_>, Ticket),
        request: &Request<'_>,
        ticket: Ticket,
    ) {
        let now = self.now();
        match self.shared.unready() {
            None => submit(&mut self.engine.borrow_mut(), now, request, ticket),
            Some(why) => {
                let outcome = Outcome {
                    result: Err(Failure::NotReady(why)),
                    receipt: None,
                };
                self.refused.borrow_mut().push((ticket, outcome));
            }
        }
        self.mark_dirty();
    }

    /// Takes over a new ring: who is new in it is dialled.
    pub(crate) fn set_ring(&self, ring: &Arc<Ring>) {
        self.engine.borrow_mut().set_ring(Arc::clone(ring));
        let me = self.shared.info.id;
        for member in ring.members().iter().filter(|member| member.id != me) {
            self.dial(member.endpoints.peer.clone());
        }
    }

    /// Keeps a link to whoever is at this address, in this thread's lane.
    pub(crate) fn dial(&self, address: String) {
        let Some(peers) = self.peers() else { return };
        let lane = self.lane;
        let mut dials = self.dials.borrow_mut();
        dials.entry(address.clone()).or_insert_with(|| {
            peers.dial(Target {
                addr: address,
                node: None,
                lane,
            })
        });
    }

    /// Lets the engine coordinate and answer as a replica, or not yet.
    pub(crate) fn set_filled(&self, filled: bool) {
        self.engine.borrow_mut().set_filled(filled);
    }

    /// No hints, no repair after reads: see [`Engine::leave_it_to_anti_entropy`].
    pub(crate) fn leave_it_to_anti_entropy(&self) {
        self.engine.borrow_mut().leave_it_to_anti_entropy();
    }

    /// The links' keeper, made after the shard because it calls the shard.
    pub(crate) fn attach(&self, peers: Rc<Peers>) {
        self.peers.replace(Some(peers));
    }

    pub(crate) fn peers(&self) -> Option<Rc<Peers>> {
        self.peers.borrow().clone()
    }

    pub(crate) fn start_gossip(&self, gossip: Rc<Gossip>) {
        gossip.ring_changed(&self.shared.ring());
        self.gossip.replace(Some(gossip));
    }

    fn gossips(&self) -> Option<Rc<Gossip>> {
        self.gossip.borrow().clone()
    }

    /// Lets gossip know of a changed event log.
    pub(crate) fn gossip_ring(&self, ring: &Ring) {
        if let Some(gossip) = self.gossips() {
            gossip.ring_changed(ring);
        }
    }

    /// Takes over what the cluster says of a peer.
    pub(crate) fn peer_declared(&self, peer: NodeId, down: bool) {
        self.engine.borrow_mut().peer_declared(peer, down);
    }

    pub(crate) fn open_door(&self, door: Rc<dyn DoorShard>) {
        self.door.replace(Some(door));
    }

    pub(crate) fn door(&self) -> Option<Rc<dyn DoorShard>> {
        self.door.borrow().clone()
    }

    /// Lets go of everything that holds the shard: it ends with its thread, not as a leak.
    pub(crate) fn close(&self) {
        self.peers.replace(None);
        self.door.replace(None);
        self.gossip.replace(None);
        self.sinks.borrow_mut().clear();
    }

    /// What this thread's engine has measured.
    pub(crate) fn measured(&self) -> Measured {
        let now = self.now();
        self.engine.borrow_mut().measured(now)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.engine.borrow().in_flight()
    }

    /// Tells every peer about a changed event log.
    pub(crate) fn spread_log(&self) {
        self.membership
            .spread(self.links.borrow().values().cloned().collect());
    }

    /// Exchanges event logs with one peer.
    pub(crate) fn pull_log(&self, link: Rc<Link>) {
        self.membership.spread(vec![link]);
    }

    pub(crate) fn link(&self, peer: &NodeId) -> Option<Rc<Link>> {
        self.links.borrow().get(peer).cloned()
    }

    /// The flusher: sends what the tick gathered. Runs until the thread ends.
    pub(crate) async fn flush_ticks(self: Rc<Self>) {
        loop {
            poll_fn(|context| self.poll_dirty(context)).await;
            // One more look at the sockets: what arrived while this tick was worked on joins it, for
            // the price of one system call. Batches grow by a third.
            tokio::task::yield_now().await;
            self.flush();
        }
    }

    /// Looks at deadlines and measures the links. Runs until the thread ends.
    pub(crate) async fn watch_deadlines(self: Rc<Self>) {
        let (mut measure_ms, transition) = (0, Arc::clone(&self.shared.transition));
        loop {
            // Each partition that is handed over to others takes two ticks.
            let idle = self.engine.borrow().in_flight() == 0 && !transition.has_to_drop();
            tokio::time::sleep(if idle { IDLE_TICK } else { TICK }).await;
            let now = self.now();
            let mut engine = self.engine.borrow_mut();
            engine.tick(now);
            let waiting = engine.hints_waiting() as u64;
            let owed = engine.take_owed();
            drop(engine);
            if !owed.is_empty() {
                self.shared.repair.owe(owed);
            }
            self.shared.hints_waiting.store(waiting, Ordering::Relaxed);
            let version = transition.version();
            if self.followed.replace(version) != version && self.lane == 0 {
                self.membership.follow();
            }
            if now.mono_ms >= measure_ms {
                measure_ms = now.mono_ms + MEASURE_EVERY_MS;
                self.measure_links(now);
                self.look_at_clocks();
            }
            self.mark_dirty();
        }
    }

    /// Judges this node's clock. Links at rest, too, ping often while one of the two ends does not stamp: who
    /// is right again is to be told so, and to be heard, soon.
    fn look_at_clocks(&self) {
        if self.lane == 0 {
            self.shared.judge_clock();
        }
        let is_astray = self.shared.clock.astray_ms().is_some();
        let engine = self.engine.borrow();
        for link in self.links.borrow().values() {
            link.watch(is_astray || engine.knows_astray(link.peer()));
        }
    }

    /// Passes on what the links' pings have measured.
    fn measure_links(&self, now: Now) {
        let mut engine = self.engine.borrow_mut();
        for link in self.links.borrow().values() {
            let round_trip = link.round_trip().map(|it| it.as_micros() as u64);
            let backlog = link.in_flight_bytes() as u64;
            self.shared
                .peer_measured(link.peer(), round_trip.unwrap_or(0), backlog);
            if let Some(us) = round_trip {
                let us = u32::try_from(us).unwrap_or(u32::MAX);
                engine.peer_measured(now, link.peer(), us, link.in_flight_batches() as u32);
            }
        }
    }

    /// Runs jobs from other threads. Ends when every handle is gone.
    pub(crate) async fn run_jobs(self: Rc<Self>, mut jobs: mpsc::Receiver<crate::handle::Job>) {
        while let Some(job) = jobs.recv().await {
            tokio::task::spawn_local(job(crate::LocalNode::new(Rc::clone(&self))));
        }
    }

    fn poll_dirty(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.dirty.get() {
            return Poll::Ready(());
        }
        self.flusher.set(Some(context.waker().clone()));
        Poll::Pending
    }

    fn flush(&self) {
        self.each_sink(|sink| sink.begin());
        self.dirty.set(false);
        self.send_batches();
        self.deliver();
        // Outcomes make connections submit what they held back: those batches belong to this tick.
        self.send_batches();
        self.send_questions();
        self.fresh.set(false);
        let mut engine = self.engine.borrow_mut();
        engine.end_tick();
        if engine.has_output() {
            self.dirty.set(true);
        }
    }

    fn send_batches(&self) {
        let links = self.links.borrow();
        let mut engine = self.engine.borrow_mut();
        engine.take_urgent_batches(&mut |peer, batch| {
            let Some(link) = links.get(&peer) else {
                return true;
            };
            if link.is_full_for(batch.len()) {
                return false;
            }
            let batch = buffers::lend(std::mem::replace(batch, buffers::empty()));
            // Not sent: the link is going down. The operations behind it are told so.
            let _ = link.try_send(batch, 0);
            true
        });
    }

    /// Questions about partitions that move go by the control plane, each as a task of its own: they
    /// are few.
    fn send_questions(&self) {
        let mut engine = self.engine.borrow_mut();
        engine.take_calls(&mut |peer, call, question| {
            let (link, this) = (self.link(&peer), self.this.clone());
            tokio::task::spawn_local(async move {
                let question = Look::Moving(question.into());
                let request = postcard::to_allocvec(&question).unwrap_or_default();
                let answer = match link {
                    Some(link) => link.scan(request.into(), QUESTION_TIME).await.ok(),
                    None => None,
                };
                if let Some(shard) = this.upgrade() {
                    let now = shard.now();
                    let mut engine = shard.engine.borrow_mut();
                    engine.call_answered(now, call, answer.as_deref());
                    shard.mark_dirty();
                }
            });
        });
    }

    fn deliver(&self) {
        let refused = self.refused.take();
        let mut completions = self.completions.take();
        self.engine.borrow_mut().take_completions(&mut completions);
        for (ticket, outcome) in refused.into_iter().chain(completions.drain(..)) {
            if ticket.sink == CALLS {
                self.end_call(ticket.token as usize, outcome);
                continue;
            }
            let sink = self
                .sinks
                .borrow()
                .get(usize::from(ticket.sink))
                .cloned()
                .flatten();
            if let Some(sink) = sink {
                sink.complete(ticket.token, outcome);
            }
        }
        self.completions.replace(completions);
        self.each_sink(|sink| sink.flush());
    }

    fn each_sink(&self, call: impl Fn(&dyn Sink)) {
        let sinks = self.sinks.borrow().len();
        for at in 0..sinks {
            let sink = self.sinks.borrow()[at].clone();
            if let Some(sink) = sink {
                call(&*sink);
            }
        }
    }

    /// Looks into this node's own store.
    fn look_here(&self, look: &Look) -> Seen {
        let Look::OtherKind { name, bucket, from } = look else {
            return scan::look(&*self.shared.store, look);
        };
        let change = match bucket {
            Some(bucket) => BucketChange::Set(bucket.clone()),
            None => BucketChange::Remove(name.clone()),
        };
        bucket_change::of_other_kind(&self.shared, &change, *from)
    }

    /// Asks one node's store: this node's own directly, another's by its link.
    pub(crate) async fn look(&self, node: NodeId, look: &Look) -> Result<Seen, String> {
        if node == self.shared.info.id {
            return Ok(self.look_here(look));
        }
        let link = self.link(&node).ok_or("no link to it is up")?;
        let request = postcard::to_allocvec(look).map_err(|error| error.to_string())?;
        let limit = Duration::from_millis(u64::from(self.shared.config.defaults.deadline_ms));
        let answer = link
            .scan(request.into(), limit)
            .await
            .map_err(|error| error.to_string())?;
        postcard::from_bytes(&answer).map_err(|error| error.to_string())
    }
}

impl PeerHandler for Shard {
    fn apply(&self, peer: NodeId, batch: &[u8], replies: &mut Vec<u8>) {
        let now = self.now();
        self.engine
            .borrow_mut()
            .receive_batch(now, peer, batch, replies);
        self.mark_dirty();
    }

    fn replies(&self, peer: NodeId, replies: &[u8]) {
        let now = self.now();
        self.engine.borrow_mut().receive_replies(now, peer, replies);
        self.mark_dirty();
    }

    fn batch_lost(&self, peer: NodeId, batch_bytes: usize, why: &BatchLost) {
        // The operations in it run into their deadlines, or hear of the link's end at once.
        tracing::debug!(peer = %peer.short(), batch_bytes, %why, "a batch was lost");
    }

    fn link_up(&self, link: &Rc<Link>) {
        let (peer, now) = (link.peer(), self.now());
        self.links.borrow_mut().insert(peer, Rc::clone(link));
        self.shared.peer_link(peer, true);
        self.shared.repair.link(peer, link.hello().lane, true);
        self.engine.borrow_mut().peer_up(now, peer);
        self.membership.link_up(Rc::clone(link));
        if let Some(gossip) = self.gossips() {
            gossip.link_up(self, peer);
        }
        tracing::info!(peer = %peer.short(), "link up");
        self.mark_dirty();
    }

    fn link_down(&self, link: &Rc<Link>, reason: &LinkDown) {
        let peer = link.peer();
        let mut links = self.links.borrow_mut();
        if !links
            .get(&peer)
            .is_some_and(|present| Rc::ptr_eq(present, link))
        {
            return;
        }
        links.remove(&peer);
        drop(links);
        self.shared.peer_link(peer, false);
        self.shared.repair.link(peer, link.hello().lane, false);
        let now = self.now();
        self.engine.borrow_mut().peer_down(now, peer);
        if let Some(gossip) = self.gossips() {
            gossip.link_down(self, peer);
        }
        match reason {
            LinkDown::Replaced => tracing::debug!(peer = %peer.short(), "link replaced"),
            _ if self.shared.phase() == Phase::Stopping => {}
            _ => tracing::warn!(peer = %peer.short(), %reason, "link down"),
        }
        self.mark_dirty();
    }

    fn gossip(&self, peer: NodeId, frame: &[u8]) {
        if let Some(gossip) = self.gossips() {
            gossip.receive(self, peer, frame);
        }
    }

    fn exchange_log(&self, _peer: NodeId, log: Bytes) -> LocalBoxFuture<'static, Bytes> {
        let answer = self.membership.exchange(&log);
        Box::pin(async move { answer })
    }

    fn scan(&self, peer: NodeId, request: Bytes) -> LocalBoxFuture<'static, Bytes> {
        let look = postcard::from_bytes::<Look>(&request);
        let answer = match (self.shared.phase(), look) {
            (_, Ok(Look::Moving(question))) => {
                let now = self.now();
                self.mark_dirty();
                let mut engine = self.engine.borrow_mut();
                Bytes::from(engine.receive_call(now, peer, &question))
            }
            (Phase::Serving | Phase::Stopping, Ok(look)) => {
                Bytes::from(postcard::to_allocvec(&self.look_here(&look)).unwrap_or_default())
            }
            // Empty is no `Seen`: the asker counts this node as one that did not answer. A node that
            // is fetching its own data answers with what it has: of two nodes that lost their memory
            // together each would otherwise wait for the other.
            _ => Bytes::new(),
        };
        Box::pin(async move { answer })
    }

    fn reconcile(&self, peer: NodeId, bytes: Bytes) -> LocalBoxFuture<'static, Bytes> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.shared.repair.ask(Question {
            peer,
            bytes,
            answer,
        });
        Box::pin(async move { answered.await.unwrap_or_default() })
    }

    fn status(&self, _peer: NodeId) -> LocalBoxFuture<'static, Bytes> {
        let condition = Condition {
            wall_ms: self.shared.clocks.machine().wall_ms,
            is_astray: self.shared.clock.astray_ms().is_some(),
        };
        Box::pin(async move { Bytes::copy_from_slice(&condition.encode()) })
    }

    fn heard_status(&self, peer: NodeId, status: &[u8], round_trip: Duration) -> bool {
        let Some(condition) = Condition::decode(status) else {
            return false;
        };
        let round_trip_ms = round_trip.as_millis() as u64;
        let clocks = &self.shared.clocks;
        let is_beyond = clocks.heard(peer, condition.wall_ms, round_trip_ms);
        let mut engine = self.engine.borrow_mut();
        engine.peer_astray(peer, is_beyond || condition.is_astray);
        // Until the next ping of a link at rest this node would take another one for the decider of keys.
        condition.is_astray && !is_beyond
    }
}

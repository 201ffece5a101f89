//! Drives failure detection: gossip over the links of the first data thread, and what comes of it.
//!
//! What the cluster says steers routing only together with this node's own links: a peer without a
//! link is not sent anything, whatever gossip says of it, and one with a link that is declared down
//! is asked last. Nothing here edits the event log; a peer whose log differs is asked for it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use henge_membership::{Effect, Swim, SwimPolicy};
use henge_ring::{NodeId, Ring};
use tokio::{sync::Notify, time::timeout};

use crate::{Handle, shard::Shard, shared::Shared};

/// Patience with one frame: after that the probe it belongs to has failed anyway.
const FRAME_TIME: Duration = Duration::from_secs(1);

/// Longest sleep while there is nothing to do.
const IDLE: Duration = Duration::from_secs(10);

/// See the module's text.
pub(crate) struct Gossip {
    swim: RefCell<Swim>,
    shared: Arc<Shared>,
    handle: Handle,
    /// When the task looks again.
    planned_ms: Cell<u64>,
    earlier: Notify,
}

impl Gossip {
    /// Of a node that knows nobody yet. `seed` is 64 random bits.
    pub(crate) fn new(shared: Arc<Shared>, handle: Handle, seed: u64) -> Rc<Self> {
        let swim = Swim::new(
            shared.info.id,
            shared.info.boot,
            SwimPolicy::default(),
            seed,
        );
        Rc::new(Self {
            swim: RefCell::new(swim),
            shared,
            handle,
            planned_ms: Cell::new(0),
            earlier: Notify::new(),
        })
    }

    /// Lets time pass. Runs until the thread ends.
    pub(crate) async fn run(self: Rc<Self>, shard: Rc<Shard>) {
        loop {
            self.act(&shard, |swim, now_ms, effects| swim.tick(now_ms, effects));
            let deadline = self.swim.borrow().deadline();
            let now_ms = self.now_ms();
            let wait = deadline.map_or(IDLE, |at| Duration::from_millis(at.saturating_sub(now_ms)));
            self.planned_ms.set(deadline.unwrap_or(u64::MAX));
            // Whichever comes first: the time, or something that is due earlier.
            let _ = timeout(wait.min(IDLE), self.earlier.notified()).await;
        }
    }

    pub(crate) fn link_up(&self, shard: &Shard, peer: NodeId) {
        self.act(shard, |swim, now_ms, _| swim.meet(peer, now_ms));
    }

    pub(crate) fn link_down(&self, shard: &Shard, peer: NodeId) {
        self.act(shard, |swim, now_ms, effects| {
            swim.lost(peer, now_ms, effects)
        });
    }

    /// A peer's frame.
    pub(crate) fn receive(&self, shard: &Shard, peer: NodeId, frame: &[u8]) {
        self.act(shard, |swim, now_ms, effects| {
            if let Err(error) = swim.receive(peer, frame, now_ms, effects) {
                tracing::warn!(peer = %peer.short(), %error, "gossip refused");
            }
        });
    }

    /// The event log, and with it perhaps the ring, has changed.
    pub(crate) fn ring_changed(&self, ring: &Ring) {
        let mut swim = self.swim.borrow_mut();
        swim.set_digest(ring.tag().hash);
        swim.set_members(ring.members().len());
    }

    fn now_ms(&self) -> u64 {
        self.shared.clocks.now().mono_ms
    }

    fn act(&self, shard: &Shard, what: impl FnOnce(&mut Swim, u64, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        what(&mut self.swim.borrow_mut(), self.now_ms(), &mut effects);
        for effect in effects {
            self.carry_out(shard, effect);
        }
        let deadline = self.swim.borrow().deadline();
        if deadline.is_some_and(|at| at < self.planned_ms.get()) {
            self.earlier.notify_one();
        }
    }

    fn carry_out(&self, shard: &Shard, effect: Effect) {
        match effect {
            Effect::Send { to, frame } => {
                let Some(link) = shard.link(&to) else { return };
                let bytes = frame.len() as u64;
                self.shared.gossip_bytes.fetch_add(bytes, Ordering::Relaxed);
                // Not awaited by anybody: a frame that is lost is one of those that gossip expects.
                tokio::task::spawn_local(async move {
                    let _ = link.gossip(frame.into(), FRAME_TIME).await;
                });
            }
            Effect::Pull(peer) => {
                if let Some(link) = shard.link(&peer) {
                    shard.pull_log(link);
                }
            }
            Effect::Up(peer) => self.declare(peer, false),
            Effect::Down(peer) => self.declare(peer, true),
        }
    }

    fn declare(&self, peer: NodeId, down: bool) {
        self.shared.peer_declared(peer, down);
        if self.shared.ring().index_of(&peer).is_some() {
            tracing::info!(peer = %peer.short(), down, "the cluster says");
        }
        self.handle.declared(peer, down);
    }
}

//! Membership as a node lives it: founding the cluster, exchanging the event log, coming back empty.
//!
//! The founders are given (`peers`). Each node waits until it has exchanged logs with all of them and
//! then, unless the cluster exists already, adds its own join to the founding change. That change
//! has the same name everywhere, so however the joins arrive they fold into one and the same ring.
//! A node that is to join a running cluster (`join`) adds its join as a change of its own, once it
//! has the log of a member. A node whose address belongs to another id in the log was here before
//! and lost its memory: it replaces that id. Both serve as soon as they have heard what the others
//! know of the ring's changes; the data follows (see `transition`). Nothing here decides that a
//! silent node is gone; see `evict` for the policy that does where it is wanted.
//!
//! A node says that it serves when all its data threads work with the cluster's ring and have their
//! links (or have waited for them for 3 s): clients that waited for it find every replica at once.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use henge_ring::{ChangeId, Event, Log, NodeId, Op, Ring, Weight, Zone};
use henge_rpc::Link;
use tokio::sync::Notify;

use crate::{
    Handle,
    shared::{Phase, Shared},
};

/// Names the change that founds a cluster, the same on every node.
const FOUNDING: ChangeId = ChangeId(0);

/// Patience with one exchange of logs.
const EXCHANGE_TIME: Duration = Duration::from_secs(2);

/// How long a node that could serve waits for links to all members, and how often it looks.
const LINK_PATIENCE: Duration = Duration::from_secs(3);
const LINK_LOOK: Duration = Duration::from_millis(10);

/// Pause between looks at what is still missing.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One data thread's part in membership.
#[derive(Clone)]
pub(crate) struct Membership {
    shared: Arc<Shared>,
    handle: Handle,
    /// Peers that have our log and gave us theirs, on this thread.
    exchanged: Rc<RefCell<BTreeSet<NodeId>>>,
    /// Peers that are being told of a changed log; whether they have to be told once more.
    telling: Rc<RefCell<BTreeMap<NodeId, bool>>>,
    changed: Rc<Notify>,
    said_left: Rc<Cell<bool>>,
}

impl Membership {
    pub(crate) fn new(shared: Arc<Shared>, handle: Handle) -> Self {
        Self {
            shared,
            handle,
            exchanged: Rc::default(),
            telling: Rc::default(),
            changed: Rc::default(),
            said_left: Rc::default(),
        }
    }

    /// A link came up: exchange logs.
    pub(crate) fn link_up(&self, link: Rc<Link>) {
        let this = self.clone();
        tokio::task::spawn_local(async move {
            while link.is_up() && !this.exchange_with(&link).await {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
    }

    /// A peer sent its log and wants ours.
    pub(crate) fn exchange(&self, log: &[u8]) -> Bytes {
        self.take_in(log);
        encode(&self.shared.log())
    }

    async fn exchange_with(&self, link: &Link) -> bool {
        let sent = encode(&self.shared.log());
        match link.exchange_log(sent, EXCHANGE_TIME).await {
            Ok(theirs) => {
                self.exchanged.borrow_mut().insert(link.peer());
                self.take_in(&theirs);
                self.changed.notify_waiters();
                true
            }
            Err(error) => {
                tracing::debug!(peer = %link.peer().short(), %error, "log not exchanged");
                false
            }
        }
    }

    fn take_in(&self, bytes: &[u8]) {
        let Ok(events) = postcard::from_bytes::<Vec<Event>>(bytes) else {
            tracing::warn!(bytes = bytes.len(), "a peer's event log cannot be read");
            return;
        };
        self.edit(|log| {
            if let Err(error) = log.try_extend(events) {
                tracing::warn!(%error, "a peer's event log was not taken over");
            }
        });
    }

    /// Changes the log; a new ring goes to every data thread and the new log to every peer.
    fn edit(&self, change: impl FnOnce(&mut Log)) {
        if let Some(ring) = self.shared.edit_log(change) {
            tracing::info!(members = ring.members().len(), tag = ?ring.tag(), "new ring");
            self.handle.publish(&ring);
            self.changed.notify_waiters();
        }
    }

    /// Tells peers about a changed log. One that is being told already is told once more afterwards,
    /// however often the log changes meanwhile: where many nodes found a cluster it changes with every
    /// one of them, and telling everybody each time would cost the square of their number in logs.
    ///
    /// If the link is lost the rest is left to the exchange that a new link begins with, and to gossip.
    pub(crate) fn spread(&self, links: Vec<Rc<Link>>) {
        for link in links {
            let peer = link.peer();
            match self.telling.borrow_mut().entry(peer) {
                Entry::Occupied(mut again) => {
                    again.insert(true);
                    continue;
                }
                Entry::Vacant(entry) => entry.insert(false),
            };
            let this = self.clone();
            tokio::task::spawn_local(async move {
                while this.exchange_with(&link).await && this.is_to_be_told_again(peer) {}
                this.telling.borrow_mut().remove(&peer);
            });
        }
    }

    fn is_to_be_told_again(&self, peer: NodeId) -> bool {
        let mut telling = self.telling.borrow_mut();
        telling.get_mut(&peer).is_some_and(std::mem::take)
    }

    /// Takes this node into the ring: founds the cluster with the others, or comes back in the
    /// place of the id that listened here before. Returns when the node serves.
    pub(crate) async fn enter(self) {
        let mut said = String::new();
        loop {
            let changed = self.changed.notified();
            let ring = self.shared.ring();
            let joins = !self.shared.config.join.is_empty();
            let wanted = self.shared.config.peers.len() + 1;
            if ring.index_of(&self.shared.info.id).is_some() {
                // Whoever founded the cluster with this node may have left since.
                if joins || ring.members().len() >= wanted || self.is_newcomer() {
                    break;
                }
            } else {
                self.propose(&ring, wanted).await;
            }
            let text = self.waiting_for(&ring, wanted);
            if text != said {
                tracing::info!("{text}");
                said = text;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, changed).await;
        }
        self.found();
        self.wait_for_engines().await;
        self.wait_for_links().await;
        if self.is_newcomer() {
            self.shared.set_phase(Phase::Filling);
            self.hear_somebody().await;
        }
        self.answer_reads().await;
        self.shared.set_phase(Phase::Serving);
        tracing::info!("serving");
    }

    /// Waits until every engine works with the cluster that was [founded](Self::found). One that has not
    /// looked yet may still have a ring that others were about to enter: it would count fewer replicas
    /// than a key has, and place keys elsewhere.
    async fn wait_for_engines(&self) {
        let transition = &self.shared.transition;
        let founded = transition.version();
        while !transition.all_heed(founded) {
            tokio::time::sleep(LINK_LOOK).await;
        }
    }

    /// Waits until every other member is linked to every data thread, so that the first requests find
    /// all replicas; not for long, since a member may be down.
    async fn wait_for_links(&self) {
        let linked = self.handle.on_every_thread(|shard| async move {
            let linked = async {
                let me = shard.shared().info.id;
                let ring = shard.shared().ring();
                let others = || ring.members().iter().filter(|member| member.id != me);
                while !others().all(|member| shard.link(&member.id).is_some()) {
                    tokio::time::sleep(LINK_LOOK).await;
                }
            };
            let _ = tokio::time::timeout(LINK_PATIENCE, linked).await;
        });
        linked.await;
    }

    /// From here on this node answers reads as a replica, in every engine.
    async fn answer_reads(&self) {
        let told = self.handle.on_every_thread(|shard| async move {
            shard.set_filled(true);
        });
        told.await;
    }

    fn waiting_for(&self, ring: &Ring, wanted: usize) -> String {
        let met = self.exchanged.borrow().len() + 1;
        format!(
            "met {met} of {wanted} nodes, {} of them in the ring",
            ring.members().len()
        )
    }

    async fn propose(&self, ring: &Ring, wanted: usize) {
        let me = &self.shared.info;
        let here = |member: &&henge_ring::Member| member.endpoints.peer == me.endpoints.peer;
        if let Some(old) = ring.members().iter().find(here) {
            let op = Op::Replace {
                old: old.id,
                new: me.id,
                endpoints: me.endpoints.clone(),
            };
            tracing::info!(old = %old.id.short(), "this address was another node's: replacing it");
            self.edit(|log| {
                let events = log.propose(me.id, change_of(me.id), [op]);
                log.extend(events);
            });
        } else if !self.shared.config.join.is_empty() {
            if !ring.members().is_empty() {
                let join = self.join().into_iter();
                tracing::info!(members = ring.members().len(), "joining");
                self.edit(|log| {
                    let events = log.propose(me.id, change_of(me.id), join);
                    log.extend(events);
                });
            }
        } else if self.exchanged.borrow().len() + 1 >= wanted {
            // A founder lacks nothing: no write can come before it is in the ring. Peers may be ready, and
            // ask it, before it knows of all of them.
            self.answer_reads().await;
            self.join_founding();
        }
    }

    /// That this node joins.
    fn join(&self) -> Option<Op> {
        let (me, config) = (&self.shared.info, &self.shared.config);
        let weight = Weight::new(config.weight)?;
        let zone = Zone::new(config.zone.clone()).ok()?;
        Some(Op::Join {
            node: me.id,
            weight,
            zone,
            endpoints: me.endpoints.clone(),
        })
    }

    fn join_founding(&self) {
        let (me, config) = (&self.shared.info, &self.shared.config);
        let Some(join) = self.join() else {
            tracing::error!("weight and zone were checked before");
            return;
        };
        let set_n = Op::SetN {
            n: config.defaults.n,
        };
        let founding = |proposer, op| Event {
            lamport: 1,
            change: FOUNDING,
            proposer,
            op,
        };
        // The replica count belongs to everybody: the same event from every founder.
        self.edit(|log| log.extend([founding(NodeId([0; 16]), set_n), founding(me.id, join)]));
    }

    /// Whether this node came into a cluster that was there before.
    fn is_newcomer(&self) -> bool {
        let me = self.shared.info.id;
        let founder = |event: &Event| {
            event.change == FOUNDING && matches!(event.op, Op::Join { node, .. } if node == me)
        };
        !self.shared.log().events().any(founder)
    }

    /// The cluster exists. From here on its ring changes by the transition: what was known at the
    /// founding comes first, whatever came later as a change of it.
    fn found(&self) {
        let log = self.shared.log();
        let founding = log.events().filter(|event| event.change == FOUNDING);
        let founding: Log = founding.cloned().collect();
        let now_ms = self.shared.clocks.now().mono_ms;
        self.shared.transition.found(&founding, now_ms);
        self.shared.transition.learn(&log);
    }

    /// Waits until some member has told what it knows of the ring's changes: without it a newcomer
    /// would count in sets that are long gone. Not for ever: the others may all be down.
    async fn hear_somebody(&self) {
        let heard = async {
            while !self.shared.transition.has_heard() {
                tokio::time::sleep(LINK_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(LINK_PATIENCE, heard).await;
    }

    /// Takes over what the engines have heard of the ring.
    pub(crate) fn follow(&self) {
        if let Some(log) = self.shared.transition.log() {
            self.edit(|known| {
                known.union(&log);
            });
        }
        let left = self.shared.transition.status().left;
        if !self.said_left.replace(left) && left {
            tracing::info!("this node has left: its data is elsewhere, it can be stopped");
        }
    }
}

/// A replacement's change is named after the newcomer: nobody else proposes under this name.
fn change_of(node: NodeId) -> ChangeId {
    ChangeId(henge_ring::Token::of(&node.0).0)
}

fn encode(log: &Log) -> Bytes {
    let events: Vec<&Event> = log.events().collect();
    postcard::to_allocvec(&events).unwrap_or_default().into()
}

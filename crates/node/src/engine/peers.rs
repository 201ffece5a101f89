//! The peers as the engine sees them: up or down, and the batch that is gathering for each.
//!
//! Sending costs far more than what is sent: a system call here, a wake-up, a system call and an
//! answer there. So what a client waits for goes out with the tick ([`Peers::send`]), and if several
//! peers would do, to one that is being sent to anyway ([`Peers::cost`]); what nobody waits for, the
//! copies beyond a write's quorum, goes with whatever is next for its peer, at the latest with the
//! tick after ([`Peers::send_soon`]). With three nodes each tick so has one batch and not two, to
//! either peer in turn.
//!
//! A batch that has grown large is closed, and one for which its link has no room waits: large values can
//! come in faster than a peer takes them, and who wrote them would wait in vain for what was never sent. How
//! much waits for a peer is bounded, too ([`MOST_HELD`]); how long, by the link, which is closed when its
//! peer is silent.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use henge_ring::{NodeId, NodeIndex, Ring};
use henge_rpc::Message;

use super::Counters;

/// Names a peer for as long as the engine lives. Unlike an index into a ring it never changes its
/// meaning, so that operations in flight survive a change of the ring.
pub(super) type Slot = u16;

/// A batch is closed when it has so many bytes. With the largest message it then still fits into a frame.
const FULL: usize = 1 << 20;

/// Most bytes of batches that wait for room with one peer. What would exceed them is not sent: the
/// operations behind it run into their deadlines, and their writes become hints.
const MOST_HELD: usize = 32 << 20;

/// One other node.
#[derive(Debug)]
struct Peer {
    id: NodeId,
    up: bool,
    /// Its clock is wrong: it keeps and shows what others stamped, and coordinates nothing.
    astray: bool,
    /// Messages gathered since the last flush.
    open: Vec<u8>,
    /// Whether they go with this tick.
    urgent: bool,
    /// Batches that are closed and go before the open one.
    held: VecDeque<Vec<u8>>,
    held_bytes: usize,
    /// The link had no room the last time.
    blocked: bool,
    /// How much worse than the best it is as a replica; 0: not at all.
    level: u8,
}

impl Peer {
    fn has_nothing(&self) -> bool {
        self.open.is_empty() && self.held.is_empty()
    }

    /// Closes the open batch; `false`: too much waits already, and it is dropped.
    fn close(&mut self) -> bool {
        let fits = self.held_bytes + self.open.len() <= MOST_HELD;
        if fits {
            self.held_bytes += self.open.len();
            self.held.push_back(mem::take(&mut self.open));
        } else {
            self.open.clear();
        }
        fits
    }

    /// Sends what is closed and, if it is urgent, the rest, as far as there is room.
    fn drain(&mut self, send: &mut dyn FnMut(NodeId, &mut Vec<u8>) -> bool) {
        while let Some(batch) = self.held.front_mut() {
            let bytes = batch.len();
            self.blocked = !send(self.id, batch);
            if self.blocked {
                return;
            }
            self.held_bytes -= bytes;
            self.held.pop_front();
        }
        if mem::take(&mut self.urgent) && !self.open.is_empty() {
            self.blocked = !send(self.id, &mut self.open);
            if !self.blocked {
                self.open.clear();
            }
        }
    }

    fn forget(&mut self) {
        self.open.clear();
        self.urgent = false;
        self.held.clear();
        self.held_bytes = 0;
        self.blocked = false;
    }
}

/// Every node this engine has known; its own slot is never up.
#[derive(Debug)]
pub(super) struct Peers {
    counters: Arc<Counters>,
    slots: Vec<Peer>,
    by_id: BTreeMap<NodeId, Slot>,
    /// Slot of each member of the present ring.
    members: Vec<Slot>,
    /// Which peers have something to be sent, each once.
    dirty: Vec<Slot>,
    /// How many members of the present ring are down, this node apart.
    members_down: usize,
    /// This node's own slot: the first.
    me: Slot,
    /// Counts ticks, so that peers that would do equally well take turns.
    turn: Slot,
    /// The hash of the ring's tag, told at the beginning of each batch; 0 before there is a ring.
    tag: u64,
}

impl Peers {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            slots: Vec::new(),
            by_id: BTreeMap::new(),
            members: Vec::new(),
            dirty: Vec::new(),
            members_down: 0,
            me: 0,
            turn: 0,
            tag: 0,
        }
    }

    /// From here on messages are sent under another ring, also in batches that are open.
    pub(super) fn set_tag(&mut self, tag: u64) {
        self.tag = tag;
        for slot in &self.dirty {
            begin(&mut self.slots[usize::from(*slot)].open, tag);
        }
    }

    /// Every peer that was ever known.
    pub(super) fn all(&self) -> Vec<NodeId> {
        self.slots.iter().map(|peer| peer.id).collect()
    }

    /// Every peer whose link is up.
    pub(super) fn those_up(&self) -> Vec<NodeId> {
        let up = self.slots.iter().filter(|peer| peer.up);
        up.map(|peer| peer.id).collect()
    }

    /// Takes over the members of a new ring.
    pub(super) fn adopt(&mut self, ring: &Ring) {
        let members = ring.members().iter();
        self.members = members.map(|member| self.slot_or_new(member.id)).collect();
        self.count_down();
    }

    fn count_down(&mut self) {
        let members = self.members.iter();
        let down = members.filter(|slot| **slot != self.me && !self.is_up(**slot));
        self.members_down = down.count();
    }

    /// Whether every member of the ring can be reached.
    #[inline]
    pub(super) fn all_up(&self) -> bool {
        self.members_down == 0
    }

    pub(super) fn slot_or_new(&mut self, id: NodeId) -> Slot {
        let slots = &mut self.slots;
        *self.by_id.entry(id).or_insert_with(|| {
            slots.push(Peer {
                id,
                up: false,
                astray: false,
                open: Vec::new(),
                urgent: false,
                held: VecDeque::new(),
                held_bytes: 0,
                blocked: false,
                level: 0,
            });
            (slots.len() - 1) as Slot
        })
    }

    pub(super) fn slot(&self, id: &NodeId) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    #[inline]
    pub(super) fn member(&self, index: NodeIndex) -> Slot {
        self.members[usize::from(index.0)]
    }

    pub(super) fn id(&self, slot: Slot) -> NodeId {
        self.slots[usize::from(slot)].id
    }

    #[inline]
    pub(super) fn is_up(&self, slot: Slot) -> bool {
        self.slots[usize::from(slot)].up
    }

    /// Whether its clock is wrong, as last heard.
    pub(super) fn is_astray(&self, slot: Slot) -> bool {
        self.slots[usize::from(slot)].astray
    }

    /// Its clock is wrong, or right again.
    pub(super) fn set_astray(&mut self, slot: Slot, astray: bool) {
        self.slots[usize::from(slot)].astray = astray;
    }

    /// Sets a link's fate. What had gathered for a peer that went down is dropped: the operations
    /// behind it are told that the peer is lost.
    pub(super) fn set_up(&mut self, slot: Slot, up: bool) {
        let peer = &mut self.slots[usize::from(slot)];
        peer.up = up;
        if !up {
            peer.forget();
            self.dirty.retain(|dirty| *dirty != slot);
        }
        self.count_down();
    }

    /// Appends a message to a peer's open batch, which goes with this tick. A record too large for
    /// one message is not sent and counted; the operation behind it runs into its deadline.
    #[inline]
    pub(super) fn send(&mut self, to: Slot, message: &Message<'_>) {
        self.slots[usize::from(to)].urgent = true;
        self.send_soon(to, message);
    }

    /// How much worse a replica is than the best, at most 3.
    pub(super) fn set_level(&mut self, slot: Slot, level: u8) {
        self.slots[usize::from(slot)].level = level.min(3);
    }

    /// As it was last set.
    pub(super) fn level(&self, slot: Slot) -> u8 {
        self.slots[usize::from(slot)].level
    }

    /// What sending to a peer costs beside sending to another: less to a better replica; of equal
    /// ones least to one whose batch goes with this tick already; the others take turns.
    #[inline]
    pub(super) fn cost(&self, to: Slot) -> Slot {
        let peer = &self.slots[usize::from(to)];
        let turn = if peer.urgent {
            0
        } else {
            1 + ((to ^ self.turn) & 0x1fff)
        };
        Slot::from(peer.level) << 14 | turn
    }

    /// As [`send`](Self::send), but the message may wait for the next tick.
    #[inline]
    pub(super) fn send_soon(&mut self, to: Slot, message: &Message<'_>) {
        let peer = &mut self.slots[usize::from(to)];
        if peer.open.is_empty() {
            if peer.held.is_empty() {
                self.dirty.push(to);
            }
            begin(&mut peer.open, self.tag);
        }
        match message.encode(&mut peer.open) {
            Ok(()) => self.counters.messages_sent.add(1),
            Err(error) => {
                debug_assert!(false, "lengths are checked on the way in: {error}");
                self.counters.bad_messages.add(1);
            }
        }
        // What is said of the next message stays with it.
        let is_ahead = matches!(message, Message::Under { .. } | Message::Decided);
        if peer.open.len() >= FULL && !is_ahead && !peer.close() {
            self.counters.batches_dropped.add(1);
        }
    }

    /// Hands out the batches that go with this tick; `send` copies or takes the bytes, or tells that there
    /// is no room.
    pub(super) fn drain(&mut self, send: &mut dyn FnMut(NodeId, &mut Vec<u8>) -> bool) {
        let slots = &mut self.slots;
        self.dirty.retain(|slot| {
            let peer = &mut slots[usize::from(*slot)];
            peer.drain(send);
            !peer.has_nothing()
        });
    }

    /// A tick ends: what has waited goes with the next one.
    pub(super) fn end_tick(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        for slot in &self.dirty {
            self.slots[usize::from(*slot)].urgent = true;
        }
    }

    /// Whether there is anything to be sent now. Where there is no room it is told by an answer that there
    /// is.
    pub(super) fn has_batches(&self) -> bool {
        let blocked = |slot: &Slot| self.slots[usize::from(*slot)].blocked;
        self.dirty.iter().any(|slot| !blocked(slot))
    }
}

/// Tells under which ring what follows is sent.
fn begin(batch: &mut Vec<u8>, tag: u64) {
    if tag != 0 {
        // Nine bytes, whatever they are, are within every limit.
        let _ = Message::View { tag }.encode(batch);
    }
}

#[cfg(test)]
mod tests;

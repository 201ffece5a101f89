//! The peers as the engine sees them: up or down, and the batch that is gathering for each.

use std::collections::BTreeMap;

use henge_ring::{NodeId, NodeIndex, Ring};

/// One other member of the ring.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) up: bool,
    /// Messages gathered since the last flush.
    pub(super) open: Vec<u8>,
}

/// All members by their index in the present ring; this node's own slot is never up.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_index: Vec<Peer>,
    index: BTreeMap<NodeId, NodeIndex>,
    /// Which peers have something to send, each once.
    dirty: Vec<NodeIndex>,
}

impl Peers {
    /// The members of `ring`; what is known of those that stay is kept. Messages gathered for
    /// members that are gone are dropped: their links are closing too.
    pub(super) fn adopt(&mut self, ring: &Ring) {
        let mut known: BTreeMap<NodeId, Peer> =
            self.by_index.drain(..).map(|peer| (peer.id, peer)).collect();
        self.index.clear();
        self.dirty.clear();
        for (at, member) in ring.members().iter().enumerate() {
            let index = NodeIndex(at as u16);
            let peer = known.remove(&member.id).unwrap_or_else(|| Peer {
                id: member.id,
                up: false,
                open: Vec::new(),
            });
            if !peer.open.is_empty() {
                self.dirty.push(index);
            }
            self.index.insert(member.id, index);
            self.by_index.push(peer);
        }
    }

    pub(super) fn index_of(&self, id: &NodeId) -> Option<NodeIndex> {
        self.index.get(id).copied()
    }

    pub(super) fn set_up(&mut self, index: NodeIndex, up: bool) {
        let peer = &mut self.by_index[usize::from(index.0)];
        peer.up = up;
        if !up {
            peer.open.clear();
            self.dirty.retain(|dirty| *dirty != index);
        }
    }

    #[inline]
    pub(super) fn is_up(&self, index: NodeIndex) -> bool {
        self.by_index[usize::from(index.0)].up
    }

    pub(super) fn id(&self, index: NodeIndex) -> NodeId {
        self.by_index[usize::from(index.0)].id
    }

    /// The open batch of a peer, to append one message to.
    #[inline]
    pub(super) fn batch(&mut self, index: NodeIndex) -> &mut Vec<u8> {
        let peer = &mut self.by_index[usize::from(index.0)];
        if peer.open.is_empty() {
            self.dirty.push(index);
        }
        &mut peer.open
    }

    /// Hands out every gathered batch; `send` takes the bytes and leaves the buffer empty.
    pub(super) fn drain(&mut self, send: &mut dyn FnMut(NodeId, &mut Vec<u8>)) {
        for index in self.dirty.drain(..) {
            let peer = &mut self.by_index[usize::from(index.0)];
            send(peer.id, &mut peer.open);
            peer.open.clear();
        }
    }

    pub(super) fn has_batches(&self) -> bool {
        !self.dirty.is_empty()
    }
}

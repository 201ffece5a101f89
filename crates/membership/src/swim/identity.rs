//! Who gossips: a node in one of its lives.

use foca::Identity as _;
use henge_ring::NodeId;
use serde::{Deserialize, Serialize};

/// A node and its generation. A node that was declared down while it was alive (its side of a split
/// was the other one's dead) comes back under the next generation; so does a restarted process.
///
/// The address is not part of it: the ring's event log has it, and every byte here travels in every
/// message several times. Whoever keys on generations mistakes a healed split for new nodes; what
/// leaves this module is the node id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) node: NodeId,
    pub(super) generation: u64,
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self {
            generation: self.generation + 1,
            ..*self
        })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

/// Any life of a node: what an announcement is addressed to.
pub(super) fn any_life_of(node: NodeId) -> Identity {
    Identity {
        node,
        generation: 0,
    }
}

/// Whether two identities are lives of one node.
pub(super) fn is_same_node(a: &Identity, b: NodeId) -> bool {
    a.addr() == b
}

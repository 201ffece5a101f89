//! Why a hello failed.

use std::{io, time::Duration};

use henge_ring::NodeId;

use super::ClusterId;
use crate::{EntropyError, LinkStats};

/// A hello that failed. In every case the connection is to be dropped, and nothing of the peer's
/// has reached tarpc.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The connection broke, or ended in the middle of a frame.
    #[error("connection lost during hello: {0}")]
    Connection(#[from] io::Error),
    /// The hello was not finished in time.
    #[error("hello not finished within {limit:?}")]
    TimedOut {
        /// The time given.
        limit: Duration,
    },
    /// The first bytes are not those of a Henge node.
    #[error("not a Henge node: its first bytes are {found:02x?}")]
    NotHenge {
        /// What stood in place of the magic.
        found: [u8; 4],
    },
    /// The peer speaks another wire format.
    #[error("wire number: ours is {ours}, the peer's is {theirs}")]
    WireNumber {
        /// This node's number.
        ours: u16,
        /// The peer's number.
        theirs: u16,
    },
    /// The peer belongs to another cluster.
    #[error("cluster: ours is {ours}, the peer's is {theirs}")]
    OtherCluster {
        /// This node's cluster.
        ours: ClusterId,
        /// The peer's cluster.
        theirs: ClusterId,
    },
    /// The peer did not prove that it holds our key.
    #[error("node {peer} does not hold this cluster's key")]
    BadKey {
        /// The id the peer claims.
        peer: NodeId,
    },
    /// The peer says that we did not prove to hold its key.
    #[error("node {peer} does not accept our cluster key")]
    KeyRefused {
        /// The id the peer claims.
        peer: NodeId,
    },
    /// Another node answered than the one dialled.
    #[error("expected node {expected}, found {found}")]
    UnexpectedNode {
        /// The node dialled.
        expected: NodeId,
        /// The node that answered.
        found: NodeId,
    },
    /// The peer is this very node (or one that was given a copy of its identity).
    #[error("node {node} dialled itself")]
    SelfConnection {
        /// The id both ends have.
        node: NodeId,
    },
    /// A frame is announced as longer than any frame of a hello.
    #[error("hello frame of {len} bytes, at most {cap} allowed")]
    FrameTooLarge {
        /// The announced length.
        len: usize,
        /// The most allowed.
        cap: usize,
    },
    /// A frame's content makes no sense.
    #[error("hello frame malformed: {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// No nonce could be made.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl HelloError {
    pub(super) fn is_other_wire(&self) -> bool {
        matches!(self, Self::WireNumber { .. })
    }

    /// Counts the refusal under its kind.
    pub(crate) fn count(&self, stats: &LinkStats) {
        let counter = match self {
            Self::TimedOut { .. } => &stats.hellos_slow,
            Self::WireNumber { .. } => &stats.hellos_other_wire,
            Self::OtherCluster { .. } => &stats.hellos_other_cluster,
            Self::BadKey { .. } | Self::KeyRefused { .. } => &stats.hellos_bad_key,
            Self::UnexpectedNode { .. } => &stats.hellos_other_node,
            Self::SelfConnection { .. } => &stats.hellos_self,
            Self::Connection(_)
            | Self::NotHenge { .. }
            | Self::FrameTooLarge { .. }
            | Self::Malformed { .. }
            | Self::Entropy(_) => &stats.hellos_malformed,
        };
        counter.increment();
    }
}

//! The node as the rest of the program sees it.

use std::sync::Arc;

use henge_ring::{Endpoints, NodeId, Ring};

use crate::{Buckets, Failure, Outcome, Request, ScanPage};

/// Who this node is.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// How many times it has started with this id.
    pub boot: u64,
    /// Where it listens.
    pub endpoints: Endpoints,
    /// Milliseconds since 1970 at start.
    pub started_ms: u64,
}

/// What this node knows of a peer through its own links.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer.
    pub id: NodeId,
    /// Whether its links are up.
    pub up: bool,
    /// Smoothed round trip in microseconds; 0 if not known.
    pub rtt_us: u64,
    /// Bytes waiting to be sent to it.
    pub backlog_bytes: u64,
}

/// One replica's view of a key.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    /// The replica.
    pub node: NodeId,
    /// Its place in the preference list: primary number, from 0.
    pub place: usize,
    /// Its record, as encoded; `Ok(None)`: it holds none; `Err`: why it did not answer.
    pub record: Result<Option<Vec<u8>>, String>,
}

/// A running node. Cheap to clone, `Send`.
#[derive(Clone, Debug)]
pub struct Handle {}

impl Handle {
    /// One request on one key.
    pub async fn call(&self, request: &Request<'_>) -> Outcome {
        let _ = request;
        unimplemented!()
    }
    /// A page of all live keys.
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, Failure> {
        let _ = (cursor, count);
        unimplemented!()
    }
    /// What each replica of a key holds.
    pub async fn explain(&self, key: &[u8]) -> Vec<ReplicaView> {
        let _ = key;
        unimplemented!()
    }
    /// Who this node is.
    pub fn info(&self) -> &NodeInfo {
        unimplemented!()
    }
    /// Its peers, by id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        unimplemented!()
    }
    /// The present ring.
    pub fn ring(&self) -> Arc<Ring> {
        unimplemented!()
    }
    /// The bucket rules.
    pub fn buckets(&self) -> Arc<Buckets> {
        unimplemented!()
    }
    /// Whether it serves requests: every configured peer is known and it is not stopping.
    pub fn is_ready(&self) -> bool {
        unimplemented!()
    }
    /// Counters and gauges in Prometheus text form, those of every layer.
    pub fn metrics(&self) -> String {
        unimplemented!()
    }
    /// Keys held and bytes used by this node's own store.
    pub fn usage(&self) -> henge_store::Usage {
        unimplemented!()
    }
}

//! Who may read partitions from this node at once.

use std::collections::BTreeMap;

use henge_ring::{NodeId, Partition};

use super::TransferLimits;

/// The streams out of this node.
#[derive(Clone, Debug)]
pub struct Outgoing {
    limits: TransferLimits,
    /// When each stream was last asked for more.
    streams: BTreeMap<(Partition, NodeId), u64>,
}

impl Outgoing {
    /// None yet.
    pub fn new(limits: TransferLimits) -> Self {
        Self {
            limits,
            streams: BTreeMap::new(),
        }
    }

    /// A node asks for a page. Whether it may have it: streams that run may go on, others begin as
    /// long as few enough partitions are being read.
    pub fn admit(&mut self, reader: NodeId, partition: Partition, now_ms: u64) -> bool {
        let idle_ms = self.limits.idle_ms;
        self.streams
            .retain(|_, last_ms| now_ms.saturating_sub(*last_ms) < idle_ms);
        let mut others: Vec<_> = self
            .streams
            .keys()
            .map(|(partition, _)| *partition)
            .collect();
        others.dedup();
        let runs = self.streams.contains_key(&(partition, reader)) || others.contains(&partition);
        let may = runs || others.len() < self.limits.outgoing;
        if may {
            self.streams.insert((partition, reader), now_ms);
        }
        may
    }

    /// The reader has had the last page.
    pub fn ended(&mut self, reader: NodeId, partition: Partition) {
        self.streams.remove(&(partition, reader));
    }

    /// Streams that run.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

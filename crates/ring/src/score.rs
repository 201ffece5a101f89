//! The score of a node for a partition (rendezvous hashing, Thaler and Ravishankar 1996).

use twox_hash::XxHash3_64;

use crate::{NodeId, Partition};

/// Seed of the score. Part of the layout: it never changes.
const SEED: u64 = 0x4865_6e67_6553_636f; // "HengeSco"

/// xxh3-64 of the partition's number (little endian) and the node's id. Used to choose among nodes
/// that are otherwise equally fit, so that neighbours of a node are spread over the whole ring.
#[inline]
pub(crate) fn score(partition: Partition, node: &NodeId) -> u64 {
    let mut bytes = [0; 18];
    bytes[..2].copy_from_slice(&partition.0.to_le_bytes());
    bytes[2..].copy_from_slice(&node.0);
    XxHash3_64::oneshot_with_seed(SEED, &bytes)
}

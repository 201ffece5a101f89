//! Where keys' replicas are.

use henge_coordinator::{PlaceInfo, PlaceSet};
use henge_ring::Partition;
use smallvec::SmallVec;

use super::peers::Slot;

/// Where a key's replicas are, as slots.
#[derive(Clone)]
pub(super) struct Placement {
    pub(super) places: SmallVec<[PlaceInfo; 5]>,
    /// Those that can be sent to now: this node and every peer whose link is up.
    pub(super) reachable: PlaceSet,
    /// This node's own place, if it has one.
    pub(super) own: Option<u8>,
    /// While the partition moves: the places of each active set.
    pub(super) sets: Option<Box<[PlaceSet]>>,
}

/// The placement of every partition. Most partitions share theirs with others (with three nodes
/// there are six different ones), and those few stay in the processor's caches.
#[derive(Clone, Default)]
pub(super) struct Placements {
    pub(super) different: Vec<Placement>,
    /// By partition, which of them.
    of: Vec<u16>,
}

impl Placements {
    #[inline]
    pub(super) fn get(&self, partition: Partition) -> Option<&Placement> {
        let number = self.of.get(partition.index())?;
        self.different.get(usize::from(*number))
    }
}

impl FromIterator<Placement> for Placements {
    /// Of placements in which every place is filled by its primary: then the nodes say all.
    fn from_iter<T: IntoIterator<Item = Placement>>(placements: T) -> Self {
        let mut numbers = std::collections::BTreeMap::new();
        let mut all = Self::default();
        for placement in placements {
            let nodes: SmallVec<[Slot; 5]> = placement.places.iter().map(|it| it.node).collect();
            let number = *numbers.entry(nodes).or_insert_with(|| {
                all.different.push(placement);
                // There are at most 65,536 partitions.
                (all.different.len() - 1) as u16
            });
            all.of.push(number);
        }
        all
    }
}

//! The ring: what the membership log folds into, as the request path asks it.

use std::fmt;

use twox_hash::XxHash3_64;

use crate::{
    BucketDefinitions, Event, Log, Member, NodeId, Partition, RingTag, Token, layout::Layout,
    member::number_zones,
};

/// A member's position in [`Ring::members`]. Means something only together with its ring: another
/// ring may have another node there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u16);

impl NodeIndex {
    /// An empty place; never leaves the fold.
    pub(crate) const HOLE: Self = Self(u16::MAX);

    /// As an index into [`Ring::members`].
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Which nodes hold which partitions: a pure function of a [`Log`].
///
/// Immutable; a new log makes a new ring ([`fold`](Self::fold), or [`advance`](Self::advance) from
/// the one before). Costs about `Q · (2 N + 24)` bytes, 30 KiB at the defaults.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring {
    layout: Layout,
    /// Zone number of each member.
    zone_of: Vec<u16>,
    zones: usize,
    tag: RingTag,
    /// How many events of the log are folded in; `tag` is the tag of exactly these.
    folded: usize,
    unsupported: Option<u16>,
}

impl Default for Ring {
    /// The ring of the empty log: no members.
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            zone_of: Vec::new(),
            zones: 0,
            tag: RingTag::default(),
            folded: 0,
            unsupported: None,
        }
    }
}

impl Ring {
    /// The ring of a log. Costs one step per change in it.
    pub fn fold(log: &Log) -> Self {
        Self::default().advance(log)
    }

    /// The same as [`fold`](Self::fold), at the cost of only the new changes when all of them sort
    /// after those already in this ring. That is the case unless changes were proposed concurrently.
    pub fn advance(&self, log: &Log) -> Self {
        let events: Vec<&Event> = log.events().collect();
        let mut ring = if self.is_prefix_of(&events) {
            self.clone()
        } else {
            Self::default()
        };
        ring.unsupported = None;
        let rest = events[ring.folded..].to_vec();
        for change in rest.chunk_by(|a, b| a.change == b.change) {
            if let Err(version) = ring.layout.apply(change) {
                ring.unsupported = Some(version);
                break;
            }
            ring.tag = change.iter().fold(ring.tag, |tag, event| tag.then(event));
            ring.folded += change.len();
        }
        (ring.zone_of, ring.zones) = number_zones(&ring.layout.members);
        ring
    }

    /// Whether the events start with exactly those folded here and no change straddles the end.
    fn is_prefix_of(&self, events: &[&Event]) -> bool {
        let Some((folded, rest)) = events.split_at_checked(self.folded) else {
            return false;
        };
        let straddles = match (folded.last(), rest.first()) {
            (Some(last), Some(next)) => last.change == next.change,
            _ => false,
        };
        let tag = folded
            .iter()
            .fold(RingTag::default(), |tag, event| tag.then(event));
        !straddles && tag == self.tag
    }

    /// Names the events folded in: the log's tag, unless the ring is [`unsupported`](Self::unsupported).
    pub fn tag(&self) -> RingTag {
        self.tag
    }

    /// Set if the log demands fold rules this build does not know: their number. The ring is then
    /// that of the events before, older than the log's, and the node needs a newer build.
    pub fn unsupported(&self) -> Option<u16> {
        self.unsupported
    }

    /// Number of partition bits: there are 2^bits partitions.
    #[inline]
    pub fn bits(&self) -> u8 {
        self.layout.bits
    }

    /// Number of partitions Q.
    #[inline]
    pub fn partition_count(&self) -> usize {
        self.layout.partition_count()
    }

    /// All partitions in order.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = Partition> + use<> {
        // Q is at most 2^14, so its numbers fit.
        (0..self.partition_count() as u16).map(Partition)
    }

    /// The configured number of replicas N.
    pub fn n(&self) -> usize {
        usize::from(self.layout.n)
    }

    /// The number of replicas each partition has: N' = min(N, members).
    #[inline]
    pub fn replicas_per_partition(&self) -> usize {
        self.layout.width()
    }

    /// The members, sorted by id.
    #[inline]
    pub fn members(&self) -> &[Member] {
        &self.layout.members
    }

    /// Where a member stands in [`members`](Self::members); `None` for a stranger.
    pub fn index_of(&self, id: &NodeId) -> Option<NodeIndex> {
        let at = self
            .members()
            .binary_search_by(|member| member.id.cmp(id))
            .ok()?;
        // At most MAX_MEMBERS members, so their indices fit.
        Some(NodeIndex(at as u16))
    }

    /// The member at an index of this ring.
    ///
    /// # Panics
    /// If the index is not one of this ring.
    pub fn member(&self, node: NodeIndex) -> &Member {
        &self.members()[node.index()]
    }

    /// Whether a node was a member and left; its id never joins again, it only can
    /// [return](crate::Op::Return).
    pub fn has_departed(&self, id: &NodeId) -> bool {
        self.layout.departed.contains(id)
    }

    /// The nodes that were members and left, by id.
    pub fn departed(&self) -> impl Iterator<Item = &NodeId> {
        self.layout.departed.iter()
    }

    /// The buckets that the log defines. They decide no placement.
    pub fn buckets(&self) -> &BucketDefinitions {
        &self.layout.buckets
    }

    /// A node that has left as it was before: what [`Op::Return`](crate::Op::Return) wants. `None` if
    /// it is a member, or never was one.
    pub fn as_it_left(log: &Log, id: &NodeId) -> Option<Member> {
        let events: Vec<&Event> = log.events().collect();
        let (mut ring, mut seen) = (Self::default(), None);
        for change in events.chunk_by(|a, b| a.change == b.change) {
            if ring.layout.apply(change).is_err() {
                break;
            }
            let member = ring.index_of(id).map(|at| ring.member(at).clone());
            seen = member.or(seen);
        }
        seen.filter(|_| ring.has_departed(id))
    }

    /// The partition a token falls into.
    #[inline]
    pub fn partition_of(&self, token: Token) -> Partition {
        token.partition(self.layout.bits)
    }

    /// The nodes that hold a partition, [`replicas_per_partition`](Self::replicas_per_partition)
    /// of them, all distinct. The order is part of the layout: the first is the preferred
    /// coordinator, and each node is first in its share of partitions; a place keeps its position
    /// when other places change hands.
    ///
    /// # Panics
    /// If the partition is not one of this ring.
    #[inline]
    pub fn primaries(&self, partition: Partition) -> &[NodeIndex] {
        self.layout.row(partition)
    }

    /// Whether a node is among the primaries of a partition.
    pub fn is_primary(&self, partition: Partition, node: NodeIndex) -> bool {
        self.primaries(partition).contains(&node)
    }

    /// The digest of the partition's replica set ([`set_digest`](crate::set_digest)): equal in two
    /// rings where the set is. `None` while there are no members.
    pub fn replica_set(&self, partition: Partition) -> Option<u64> {
        self.layout.sets.get(partition.index()).copied()
    }

    /// The ids of the nodes that hold a partition, in the order of [`primaries`](Self::primaries).
    pub fn replica_ids(&self, partition: Partition) -> impl Iterator<Item = NodeId> + '_ {
        let primaries = self.primaries(partition).iter();
        primaries.map(|&node| self.member(node).id)
    }

    /// Number of zones that have members.
    pub fn zone_count(&self) -> usize {
        self.zones
    }

    /// The zone of a member as a number below [`zone_count`](Self::zone_count).
    pub(crate) fn zone_number(&self, node: NodeIndex) -> u16 {
        self.zone_of[node.index()]
    }

    /// xxh3-64 over everything that decides where a key goes: bits, N, members' ids and places.
    /// Equal tags imply equal hashes; a test or a doctor can compare them across builds.
    pub fn layout_hash(&self) -> u64 {
        let mut bytes = vec![self.layout.bits, self.layout.n];
        for member in self.members() {
            bytes.extend_from_slice(&member.id.0);
        }
        for place in &self.layout.places {
            bytes.extend_from_slice(&place.0.to_le_bytes());
        }
        XxHash3_64::oneshot(&bytes)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("tag", &self.tag)
            .field("bits", &self.bits())
            .field("n", &self.n())
            .field("members", &self.members().len())
            .finish_non_exhaustive()
    }
}

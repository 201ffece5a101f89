//! Who is a member after a change: the half of the fold that does not place anything.

use std::collections::BTreeMap;

use crate::{
    ALGO_VERSION, Endpoints, MAX_MEMBERS, MAX_N, MAX_PARTITION_BITS, MIN_PARTITION_BITS, Member,
    NodeId, NodeIndex, Op, Weight, Zone, layout::Layout,
};

/// Members and parameters while the events of one change are applied to them.
pub(crate) struct Roster {
    /// Parameters and departed ids; its members and places are not used.
    next: Layout,
    entries: BTreeMap<NodeId, Entry>,
    had_members: bool,
    splits: u8,
    rebalance: bool,
}

struct Entry {
    member: Member,
    /// The member of the old layout whose places this one has.
    origin: Option<NodeIndex>,
}

/// What a change comes to.
pub(crate) struct Outcome {
    /// New members and parameters, without places.
    pub(crate) layout: Layout,
    /// For each new member the old one whose places it has.
    pub(crate) origins: Vec<Option<NodeIndex>>,
    /// How often the number of partitions doubles.
    pub(crate) splits: u8,
    /// Whether places have to be found anew: not for a replacement or a split, which by their
    /// definition move nothing else.
    pub(crate) rebalance: bool,
}

impl Roster {
    pub(crate) fn of(layout: &Layout) -> Self {
        // At most MAX_MEMBERS members, so their indices fit.
        let entry = |(at, member): (u16, &Member)| {
            let origin = Some(NodeIndex(at));
            (
                member.id,
                Entry {
                    member: member.clone(),
                    origin,
                },
            )
        };
        Self {
            next: Layout {
                members: Vec::new(),
                places: Vec::new(),
                sets: Vec::new(),
                departed: layout.departed.clone(),
                buckets: layout.buckets.clone(),
                ..*layout
            },
            entries: (0..).zip(&layout.members).map(entry).collect(),
            had_members: !layout.members.is_empty(),
            splits: 0,
            rebalance: false,
        }
    }

    /// Applies one operation; `Err` with the version number if it demands unknown rules.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), u16> {
        match op {
            Op::Genesis { bits } => self.found(*bits),
            Op::Join {
                node,
                weight,
                zone,
                endpoints,
            } => {
                self.join(*node, *weight, zone, endpoints);
            }
            Op::Leave { node } => self.leave(*node),
            Op::SetWeight { node, weight } => self.set_weight(*node, *weight),
            Op::SetZone { node, zone } => self.set_zone(*node, zone),
            Op::Replace {
                old,
                new,
                endpoints,
            } => self.replace(*old, *new, endpoints),
            Op::SplitQ => self.split(),
            Op::SetN { n } => self.set_n(*n),
            Op::AlgoVersion { v } if *v > ALGO_VERSION => return Err(*v),
            Op::Return {
                node,
                weight,
                zone,
                endpoints,
            } => {
                let is_full = self.entries.len() >= MAX_MEMBERS;
                if !is_full && self.next.departed.remove(node) {
                    self.join(*node, *weight, zone, endpoints);
                }
            }
            Op::AlgoVersion { v } => self.next.algo = self.next.algo.max(*v),
            Op::SetBucket { bucket } => {
                // What cannot be has no effect, on any node.
                let _ = self.next.buckets.set(bucket);
            }
            Op::RemoveBucket { name } => {
                self.next.buckets.remove(name);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Outcome {
        let Self {
            mut next,
            entries,
            splits,
            rebalance,
            ..
        } = self;
        next.founded |= !entries.is_empty();
        let (members, origins) = entries
            .into_values()
            .map(|entry| (entry.member, entry.origin))
            .unzip();
        next.members = members;
        Outcome {
            layout: next,
            origins,
            splits,
            rebalance,
        }
    }

    fn found(&mut self, bits: u8) {
        let valid = (MIN_PARTITION_BITS..=MAX_PARTITION_BITS).contains(&bits);
        if valid && !self.next.founded {
            self.next.bits = bits;
            self.next.founded = true;
        }
    }

    fn join(&mut self, id: NodeId, weight: Weight, zone: &Zone, endpoints: &Endpoints) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.member.endpoints.clone_from(endpoints);
            return;
        }
        if self.entries.len() < MAX_MEMBERS && !self.next.departed.contains(&id) {
            let member = Member {
                id,
                endpoints: endpoints.clone(),
                zone: zone.clone(),
                weight,
            };
            self.entries.insert(
                id,
                Entry {
                    member,
                    origin: None,
                },
            );
            self.rebalance = true;
        }
    }

    fn leave(&mut self, id: NodeId) {
        if self.entries.remove(&id).is_some() {
            self.next.departed.insert(id);
            self.rebalance = true;
        }
    }

    fn set_weight(&mut self, id: NodeId, weight: Weight) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.rebalance |= entry.member.weight != weight;
            entry.member.weight = weight;
        }
    }

    fn set_zone(&mut self, id: NodeId, zone: &Zone) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.rebalance |= entry.member.zone != *zone;
            entry.member.zone.clone_from(zone);
        }
    }

    fn replace(&mut self, old: NodeId, new: NodeId, endpoints: &Endpoints) {
        if self.entries.contains_key(&new) || self.next.departed.contains(&new) {
            return;
        }
        if let Some(Entry { member, origin }) = self.entries.remove(&old) {
            self.next.departed.insert(old);
            let member = Member {
                id: new,
                endpoints: endpoints.clone(),
                ..member
            };
            self.entries.insert(new, Entry { member, origin });
        }
    }

    fn split(&mut self) {
        if self.next.bits < MAX_PARTITION_BITS {
            self.next.bits += 1;
            // Before the first placement there is nothing to split, only a number to set.
            self.splits += u8::from(self.had_members);
        }
    }

    fn set_n(&mut self, n: u8) {
        if (1..=MAX_N).contains(&n) {
            self.rebalance |= self.next.n != n;
            self.next.n = n;
        }
    }
}

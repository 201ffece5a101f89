//! What follows from what a node knows: asked of the real machine once for each knowledge, and
//! remembered.

use std::collections::{BTreeSet, HashMap};

use henge_ring::{
    Assignment, AssignmentId, NodeId, PartitionConfig, RingTag, Sources, Synced, ViewOrder,
};

use super::{
    Flaw,
    model::{NODES, Shape, WANTED},
};

/// Views are sets of two events; one comes before another if it is a proper subset.
struct Subsets;

impl ViewOrder for Subsets {
    fn precedes(&self, a: RingTag, b: RingTag) -> bool {
        a.hash != b.hash && a.hash & b.hash == a.hash
    }
}

/// What a node knows: views, retired assignments and synced facts, as sets of bits. An assignment
/// has its view's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Knowledge {
    pub(super) views: u8,
    pub(super) retired: u8,
    /// Bit `16 joiner + 4 from + to`.
    pub(super) synced: u128,
}

impl Knowledge {
    pub(super) fn union(self, other: Self) -> Self {
        Self {
            views: self.views | other.views,
            retired: self.retired | other.retired,
            synced: self.synced | other.synced,
        }
    }
}

/// What follows from it for a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follows {
    /// The same and what can be concluded.
    pub(super) knowledge: Knowledge,
    /// The active assignments.
    pub(super) active: u8,
    /// What the node has to pull: from which, for which, and from how many others.
    pub(super) pull: Option<(u8, u8, u8)>,
    /// The assignments that may be pulled from.
    pub(super) bases: u8,
}

pub(super) struct Rules {
    shape: Shape,
    flaw: Option<Flaw>,
    known: HashMap<(usize, Knowledge), Follows>,
}

fn id(node: usize) -> NodeId {
    NodeId([node as u8; 16])
}

fn bits<T>(of: impl IntoIterator<Item = T>, number: impl Fn(T) -> u8) -> u8 {
    of.into_iter().fold(0, |bits, it| bits | 1 << number(it))
}

fn number(id: AssignmentId) -> u8 {
    id.view.hash as u8
}

impl Rules {
    pub(super) fn new(shape: Shape, flaw: Option<Flaw>) -> Self {
        Self {
            shape,
            flaw,
            known: HashMap::new(),
        }
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub(super) fn follow(&mut self, me: usize, knowledge: Knowledge) -> Follows {
        if let Some(known) = self.known.get(&(me, knowledge)) {
            return *known;
        }
        let follows = self.conclude(me, knowledge);
        self.known.insert((me, knowledge), follows);
        follows
    }

    fn assignment(&self, view: u8) -> Assignment {
        let tag = RingTag {
            lamport: u64::from(view.count_ones()),
            hash: u64::from(view),
        };
        let set = self.shape.sets[usize::from(view)].iter();
        Assignment::new(tag, set.map(|node| id(*node)).collect())
    }

    fn config(&self, knowledge: Knowledge) -> PartitionConfig {
        let mut config = PartitionConfig::default();
        for view in (0..4).filter(|view| knowledge.views >> view & 1 == 1) {
            config.learn(self.assignment(view));
        }
        for view in (0..4).filter(|view| knowledge.retired >> view & 1 == 1) {
            config.facts_mut().retire(self.assignment(view).id);
        }
        for bit in (0..16 * NODES as u8).filter(|bit| knowledge.synced >> bit & 1 == 1) {
            config.facts_mut().record_synced(Synced {
                joiner: id(usize::from(bit / 16)),
                from: self.assignment(bit / 4 % 4).id,
                to: self.assignment(bit % 4).id,
            });
        }
        config
    }

    fn conclude(&self, me: usize, mut knowledge: Knowledge) -> Follows {
        if knowledge.views & 0b0110 == 0b0110 {
            knowledge.views |= 0b1000; // both events are known: so is the ring they make
        }
        let mut config = self.config(knowledge);
        let lost = self.shape.lost.filter(|_| knowledge.views & 0b1010 != 0);
        let sources = Sources {
            wanted: if self.has(Flaw::OneSource) { 1 } else { WANTED },
            lost: lost.into_iter().map(id).collect::<BTreeSet<_>>(),
        };
        while config.vouch(&id(me), &Subsets) | config.retire_what_may(&Subsets, &sources) {}
        let facts = config.facts();
        let synced = facts.synced().iter().fold(0, |bits, fact| {
            let at = 16 * fact.joiner.0[0] + 4 * number(fact.from) + number(fact.to);
            bits | 1u128 << at
        });
        let pull = match self.has(Flaw::NoBase) {
            true => pull_from_anywhere(&config, id(me)),
            false => config.to_pull(&id(me), &Subsets),
        };
        let pull = pull.map(|(from, to)| {
            let own = usize::from(from.has(&id(me)));
            let needed = sources.needed(from).saturating_sub(own) as u8;
            (number(from.id), number(to.id), needed)
        });
        let any = self.has(Flaw::NoBase);
        let is_base = |set: &&Assignment| any || config.is_base(set.id, &Subsets);
        Follows {
            knowledge: Knowledge {
                views: knowledge.views,
                retired: bits(facts.retired(), |it| number(*it)),
                synced,
            },
            active: bits(config.active(), |it| number(it.id)),
            pull,
            bases: bits(config.known().iter().filter(is_base), |it| number(it.id)),
        }
    }

    /// Whether a replica serves a request that counts in these assignments.
    pub(super) fn admits(&mut self, replica: usize, knowledge: Knowledge, counted: u8) -> bool {
        let active = self.follow(replica, knowledge).active;
        let set = |view: u8| &self.shape.sets[usize::from(view)];
        let of = |bits: u8| (0..4u8).filter(move |view| bits >> view & 1 == 1);
        // What counts is the set, not how it came about.
        self.has(Flaw::NoFence)
            || of(active).all(|it| of(counted).any(|other| set(other) == set(it)))
    }
}

/// [`PartitionConfig::to_pull`] without the base rule: the newest set that is not the last one first.
fn pull_from_anywhere(config: &PartitionConfig, me: NodeId) -> Option<(&Assignment, &Assignment)> {
    let to = config.newest(&Subsets)?;
    let wants = |from: &&Assignment| {
        let fact = Synced {
            joiner: me,
            from: from.id,
            to: to.id,
        };
        Subsets.precedes(from.id.view, to.id.view)
            && PartitionConfig::must_sync(from, to).any(|it| it == me)
            && !config.facts().synced().contains(&fact)
    };
    let from = config.active().filter(wants).max_by_key(|it| it.id.view)?;
    Some((from, to))
}

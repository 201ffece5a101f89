//! Views: the rings under which somebody may still serve, and the sets each partition has in them.
//!
//! A view is a set of membership events together with the ring it folds to. A node's newest view is
//! the union of all it knows of, so that concurrent changes always meet in a *join ring* that comes
//! after both. Which sets a partition has had is a function of the views alone
//! ([`Views::assignments`]); only what became of them are facts of their own
//! ([`Facts`](crate::Facts)).
//!
//! Views are forgotten when every set before them is retired in every partition: the *floor* rises
//! ([`Views::settle`]). A view below a floor is never taken in again, or a node that was away for
//! long would make a forgotten set active once more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{Assignment, AssignmentId, Log, NodeId, Op, Partition, Ring, RingTag, ViewOrder};

/// One view.
#[derive(Clone, Debug)]
struct View {
    log: Log,
    ring: Arc<Ring>,
    /// The known views right before this one.
    after: Vec<RingTag>,
}

/// The views that a node knows. There is always at least one.
///
/// Laws (tested): what is known after learning the same logs and floors is the same in any order.
#[derive(Clone, Debug)]
pub struct Views {
    known: BTreeMap<RingTag, View>,
    /// The union of all.
    newest: RingTag,
    /// Views before which everything is retired; none precedes another.
    floors: BTreeMap<RingTag, Log>,
}

impl Views {
    /// Knows this one view.
    pub fn new(log: Log) -> Self {
        let newest = log.tag();
        let mut views = Self {
            known: BTreeMap::new(),
            newest,
            floors: BTreeMap::new(),
        };
        views.insert(log);
        views
    }

    /// Takes in the events that somebody serves under; says whether that brought a view.
    pub fn learn(&mut self, log: &Log) -> bool {
        let new = self.add(log);
        if new {
            self.join();
        }
        new
    }

    /// Takes in all that another node knows; says whether anything was new.
    pub fn merge(&mut self, views: &[Log], floors: &[Log]) -> bool {
        let mut new = false;
        for floor in floors {
            new |= self.raise(floor);
        }
        for log in views {
            new |= self.add(log);
        }
        if new {
            self.join();
        }
        new
    }

    /// Everything before the newest view is retired in every partition: forgets it.
    pub fn settle(&mut self) -> bool {
        let newest = self.newest_log().clone();
        let raised = self.raise(&newest);
        self.join();
        raised
    }

    /// The union of all views: the ring to use.
    pub fn newest(&self) -> &Arc<Ring> {
        &self.known[&self.newest].ring
    }

    /// The events behind the newest view.
    pub fn newest_log(&self) -> &Log {
        &self.known[&self.newest].log
    }

    /// The rings of all known views.
    pub fn rings(&self) -> impl Iterator<Item = (RingTag, &Arc<Ring>)> {
        self.known.iter().map(|(tag, view)| (*tag, &view.ring))
    }

    /// The events of every view, and of every floor: what to tell another node.
    pub fn told(&self) -> (Vec<Log>, Vec<Log>) {
        let views = self.known.values().map(|view| view.log.clone());
        (views.collect(), self.floors.values().cloned().collect())
    }

    /// How many views are known. One in the steady state.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Never: there is always one.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Names what is known: equal at two nodes that know the same views and floors.
    pub fn digest(&self) -> u64 {
        let tags = self.known.keys().chain(self.floors.keys());
        let bytes: Vec<u8> = tags.flat_map(|tag| tag.hash.to_le_bytes()).collect();
        twox_hash::XxHash3_64::oneshot(&bytes)
    }

    /// The sets that a partition (of the newest ring) has in the known views, oldest first, each
    /// named after the view in which it appears. A view in which nothing changes for the partition
    /// brings no set; one in which concurrent sets meet, or an earlier one comes back, does.
    pub fn assignments(&self, partition: Partition) -> Vec<Assignment> {
        let mut by_size: Vec<_> = self.known.iter().collect();
        by_size.sort_by_key(|(tag, view)| (view.log.len(), **tag));
        let mut of_view: BTreeMap<RingTag, AssignmentId> = BTreeMap::new();
        let mut found = Vec::new();
        for (tag, view) in by_size {
            let own = self.own_partition(&view.ring, partition);
            let Some(set) = view.ring.replica_set(own) else {
                continue;
            };
            let mut before = view.after.iter().filter_map(|tag| of_view.get(tag));
            let kept = before.next().copied();
            let kept = kept.filter(|id| id.set == set && before.all(|other| other == id));
            let id = kept.unwrap_or(AssignmentId { view: *tag, set });
            of_view.insert(*tag, id);
            if kept.is_none() {
                let replicas = view.ring.replica_ids(own).collect();
                found.push(Assignment { id, replicas });
            }
        }
        found
    }

    /// The partitions (of the newest ring) that have more than one set in the known views.
    pub fn moved(&self) -> Vec<Partition> {
        let mut rings = self.known.values().map(|view| &view.ring);
        let Some(first) = rings.next() else {
            return Vec::new();
        };
        let rings: Vec<_> = rings.collect();
        let set = |ring: &Ring, p: Partition| ring.replica_set(self.own_partition(ring, p));
        let moved = |p: &Partition| rings.iter().any(|ring| set(ring, *p) != set(first, *p));
        self.newest().partitions().filter(moved).collect()
    }

    /// Members that lost their memory and were replaced.
    pub fn lost(&self) -> BTreeSet<NodeId> {
        let lost = |op: &Op| match op {
            Op::Replace { old, .. } => Some(*old),
            _ => None,
        };
        let events = self.newest_log().events();
        events.filter_map(|event| lost(&event.op)).collect()
    }

    /// What a partition of the newest ring was in a ring that had fewer.
    fn own_partition(&self, ring: &Ring, partition: Partition) -> Partition {
        Partition(partition.0 >> self.newest().bits().saturating_sub(ring.bits()))
    }

    fn add(&mut self, log: &Log) -> bool {
        let below = |floor: &Log| log.is_before(floor) || log == floor;
        let known = self.known.contains_key(&log.tag());
        if known || log.is_empty() || self.floors.values().any(below) {
            return false;
        }
        self.insert(log.clone());
        true
    }

    fn raise(&mut self, floor: &Log) -> bool {
        let tag = floor.tag();
        let below = |it: &Log| floor.is_before(it);
        if self.floors.contains_key(&tag) || self.floors.values().any(below) {
            return false;
        }
        self.floors.retain(|_, it| !it.is_before(floor));
        self.floors.insert(tag, floor.clone());
        if !self.known.contains_key(&tag) {
            self.insert(floor.clone());
        }
        self.known.retain(|_, view| !view.log.is_before(floor));
        true
    }

    fn insert(&mut self, log: Log) {
        let nearest = self.known.get(&self.newest);
        let ring = nearest.map_or_else(|| Ring::fold(&log), |view| view.ring.advance(&log));
        let view = View {
            ring: Arc::new(ring),
            after: Vec::new(),
            log,
        };
        self.known.insert(view.log.tag(), view);
    }

    /// Adds the union of all, and works out what comes after what.
    fn join(&mut self) {
        let mut union = Log::new();
        for view in self.known.values() {
            union.union(&view.log);
        }
        self.newest = union.tag();
        if !self.known.contains_key(&self.newest) {
            self.insert(union);
        }
        let tags: Vec<RingTag> = self.known.keys().copied().collect();
        for tag in &tags {
            let before = |it: &&RingTag| self.precedes(**it, *tag);
            let older: Vec<RingTag> = tags.iter().filter(before).copied().collect();
            let covered = |it: &RingTag| older.iter().any(|other| self.precedes(*it, *other));
            let after = older.iter().filter(|it| !covered(it)).copied().collect();
            if let Some(view) = self.known.get_mut(tag) {
                view.after = after;
            }
        }
    }
}

impl ViewOrder for Views {
    fn precedes(&self, a: RingTag, b: RingTag) -> bool {
        match (self.known.get(&a), self.known.get(&b)) {
            (Some(a), Some(b)) => a.log.is_before(&b.log),
            _ => false,
        }
    }
}

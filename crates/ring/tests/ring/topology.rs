//! Clusters to test with, random ones too, and what must hold of every ring.

use std::collections::BTreeSet;

use henge_ring::{
    BucketDefinition, BucketKind, ChangeId, Endpoints, Log, NodeId, NodeIndex, Op, Partition, Ring,
    Weight, Zone, balance,
};
use proptest::{collection::vec, prelude::*, sample::select};

/// The id of test node `number`; ids are spread like random ones.
pub(crate) fn id(number: u16) -> NodeId {
    let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    NodeId(spread.to_be_bytes())
}

pub(crate) fn endpoints(host: &str) -> Endpoints {
    let at = |port: u16| format!("{host}:{port}");
    Endpoints {
        peer: at(7381),
        resp: at(7379),
        http: at(7380),
    }
}

pub(crate) fn weight(weight: u32) -> Weight {
    Weight::new(weight).expect("weights in tests are not 0")
}

pub(crate) fn zone(number: u16) -> Zone {
    Zone::new(format!("z{number}")).expect("short")
}

pub(crate) fn join(number: u16, heavy: u32, zone_number: u16) -> Op {
    Op::Join {
        node: id(number),
        weight: weight(heavy),
        zone: zone(zone_number),
        endpoints: endpoints(&format!("n{number}")),
    }
}

/// A log that grows by whole changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) log: Log,
    changes: u64,
}

impl Cluster {
    /// `nodes` equal nodes, dealt out to `zones` zones, joined in one change.
    pub(crate) fn even(bits: u8, nodes: u16, zones: u16) -> Self {
        let mut cluster = Self::default();
        let joins = (0..nodes).map(|number| join(number, 100, number % zones));
        cluster.change([Op::Genesis { bits }].into_iter().chain(joins));
        cluster
    }

    pub(crate) fn change(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.changes += 1;
        let events = self.log.propose(id(0), ChangeId(self.changes), ops);
        self.log.extend(events);
    }

    /// The same cluster after one more change.
    pub(crate) fn with(&self, op: Op) -> Self {
        let mut next = self.clone();
        next.change([op]);
        next
    }

    pub(crate) fn ring(&self) -> Ring {
        Ring::fold(&self.log)
    }
}

/// A random change: mostly of one operation, on nodes `0 .. 24` in zones `0 .. 5` of very
/// different popularity, with weights from 1 to 1000.
pub(crate) fn any_change() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![4 => vec(any_op(), 1), 1 => vec(any_op(), 2..6)]
}

/// A random founding change and what came after it.
pub(crate) fn any_history(changes: usize) -> impl Strategy<Value = Vec<Vec<Op>>> {
    let genesis = (1u8..=8).prop_map(|bits| Op::Genesis { bits });
    let founding = (genesis, vec(any_join(), 0..16)).prop_map(|(genesis, mut ops)| {
        ops.insert(0, genesis);
        ops
    });
    (founding, vec(any_change(), 0..changes)).prop_map(|(founding, mut changes)| {
        changes.insert(0, founding);
        changes
    })
}

pub(crate) fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any_join(),
        4 => any_node().prop_map(|node| Op::Leave { node }),
        3 => (any_node(), any_weight()).prop_map(|(node, weight)| Op::SetWeight { node, weight }),
        2 => (any_node(), any_zone()).prop_map(|(node, zone)| Op::SetZone { node, zone }),
        2 => (any_node(), any_node()).prop_map(|(old, new)| {
            Op::Replace { old, new, endpoints: endpoints("new") }
        }),
        1 => (any_node(), any_weight(), any_zone()).prop_map(|(node, weight, zone)| Op::Return {
            node, weight, zone, endpoints: endpoints("back"),
        }),
        1 => Just(Op::SplitQ),
        1 => (0u8..=9).prop_map(|n| Op::SetN { n }),
        1 => (0u16..=1).prop_map(|v| Op::AlgoVersion { v }),
        2 => any_bucket_op(),
    ]
}

/// Few names and prefixes, so that buckets take the place of each other and claim the same prefix.
pub(crate) fn any_bucket_op() -> impl Strategy<Value = Op> {
    let name = || select(vec!["a", "b", "sessions", "Not a name"]).prop_map(str::to_owned);
    let prefix = select(vec!["x:", "y:", "z:", ""]).prop_map(str::to_owned);
    let kind = select(vec![BucketKind::Session, BucketKind::Register]);
    let set = (name(), vec(prefix, 0..3), kind, 0u64..3);
    let set = set.prop_map(|(name, prefixes, kind, ttl)| {
        let mut bucket = BucketDefinition::new(name, kind);
        bucket.prefixes = prefixes;
        bucket.ttl_ms = (ttl > 0).then_some(ttl);
        Op::SetBucket { bucket }
    });
    prop_oneof![3 => set, 1 => name().prop_map(|name| Op::RemoveBucket { name })]
}

fn any_join() -> impl Strategy<Value = Op> {
    (any_node(), any_weight(), any_zone()).prop_map(|(node, weight, zone)| Op::Join {
        node,
        weight,
        zone,
        endpoints: endpoints("any"),
    })
}

pub(crate) fn any_node() -> impl Strategy<Value = NodeId> {
    (0u16..24).prop_map(id)
}

fn any_weight() -> impl Strategy<Value = Weight> {
    prop_oneof![3 => Just(100u32), 3 => 50u32..400, 1 => 1u32..1000, 1 => Just(u32::MAX)]
        .prop_map(weight)
}

fn any_zone() -> impl Strategy<Value = Zone> {
    prop_oneof![8 => Just(0u16), 4 => Just(1), 2 => Just(2), 1 => 3u16..5].prop_map(zone)
}

/// The log of a history, one change after the other.
pub(crate) fn cluster_of(history: &[Vec<Op>]) -> Cluster {
    let mut cluster = Cluster::default();
    history
        .iter()
        .for_each(|ops| cluster.change(ops.iter().cloned()));
    cluster
}

/// What must hold of any ring whatever its history.
pub(crate) fn check_rules(ring: &Ring) {
    let width = ring.n().min(ring.members().len());
    assert_eq!(ring.replicas_per_partition(), width);
    assert!(ring.members().is_sorted_by_key(|member| member.id));
    for partition in ring.partitions() {
        let row = ring.primaries(partition);
        let distinct: BTreeSet<_> = row.iter().collect();
        assert_eq!(
            (row.len(), distinct.len()),
            (width, width),
            "{partition:?} has {row:?}"
        );
        assert_eq!(ring.replica_set(partition).is_some(), width > 0);
        check_zone_rule(ring, partition);
    }
}

/// No zone holds more replicas of a partition than it must, given how many nodes each has.
fn check_zone_rule(ring: &Ring, partition: Partition) {
    let row = ring.primaries(partition);
    let zone_of = |node: &NodeIndex| &ring.member(*node).zone;
    let zones: BTreeSet<_> = ring.members().iter().map(|member| &member.zone).collect();
    let size = |zone: &Zone| {
        ring.members()
            .iter()
            .filter(|member| member.zone == *zone)
            .count()
    };
    let room = |cap: usize| zones.iter().map(|zone| size(zone).min(cap)).sum::<usize>();
    let cap = (0..)
        .find(|&cap| room(cap) >= row.len())
        .expect("there are enough nodes");
    for zone in zones {
        let there = row.iter().filter(|node| zone_of(node) == zone).count();
        assert!(
            there <= cap,
            "{there} of {} replicas of {partition:?} in {zone}",
            row.len()
        );
    }
}

/// What holds of a ring whose last change rebalanced it: nobody is a whole replica off its share,
/// and everybody comes first in its part of the partitions it holds.
pub(crate) fn check_even(ring: &Ring) {
    let surplus = balance(ring).surplus;
    assert!(
        surplus < 1.0,
        "a node holds {surplus} replicas more than its share"
    );
    let width = ring.replicas_per_partition();
    for node in (0..ring.members().len() as u16).map(NodeIndex) {
        let first = |&partition: &Partition| ring.primaries(partition)[0] == node;
        let leads = ring.partitions().filter(first).count();
        let load = ring.load(node);
        let fair = load / width..=load.div_ceil(width);
        assert!(
            fair.contains(&leads),
            "{node:?} holds {load} and is first in {leads}"
        );
    }
}

//! The membership log as peers send it.

use std::{collections::BTreeSet, sync::Arc};

use henge_ring::{ChangeId, Endpoints, Event, Log, NodeId, Op, Partition, Ring, Weight, Zone};

use super::{Behaviour, Signature, Target, kind};
use crate::sim::Rng;

pub(super) const LOG: Target = Target {
    name: "log",
    about: "membership logs: union and fold keep their laws",
    longest: 1024,
    seeds: log_seeds,
    tokens: &[&[0], &[1, 0], &[14], &[7]],
    make: || Box::new(log),
};

/// The id that ends in this number.
pub(super) fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

fn event(lamport: u64, change: u64, op: Op) -> Event {
    let (change, proposer) = (ChangeId(change), id(1));
    Event {
        lamport,
        change,
        proposer,
        op,
    }
}

fn endpoints() -> Endpoints {
    let address = || "a:1".to_owned();
    Endpoints {
        peer: address(),
        resp: address(),
        http: address(),
    }
}

fn joining(number: u8) -> Op {
    let zone = Zone::new(if number.is_multiple_of(2) { "a" } else { "b" });
    Op::Join {
        node: id(number),
        weight: Weight::default(),
        zone: zone.expect("it is short"),
        endpoints: endpoints(),
    }
}

/// The events that found a cluster of 2^4 partitions.
fn founding(nodes: u8) -> Vec<Event> {
    let bits = event(1, 0, Op::Genesis { bits: 4 });
    let joins = (1..=nodes).map(|number| event(1, 0, joining(number)));
    std::iter::once(bits).chain(joins).collect()
}

/// A ring of so many nodes with 2^4 partitions.
pub(super) fn ring(nodes: u8) -> Arc<Ring> {
    Arc::new(Ring::fold(&founding(nodes).into_iter().collect()))
}

fn log_seeds() -> Vec<Vec<u8>> {
    let mut changed = founding(4);
    let (node, weight) = (id(2), Weight::default());
    let zone = Zone::default();
    changed.extend([
        event(2, 7, Op::SetN { n: 2 }),
        event(3, 8, joining(5)),
        event(3, 8, Op::Leave { node: id(1) }),
        event(4, 9, Op::SetWeight { node, weight }),
        event(4, 9, Op::SetZone { node, zone }),
        event(5, 3, Op::SplitQ),
        event(
            6,
            4,
            Op::Replace {
                old: id(3),
                new: id(6),
                endpoints: endpoints(),
            },
        ),
        event(7, 5, Op::AlgoVersion { v: 1 }),
    ]);
    [Vec::new(), founding(3), changed]
        .map(|events| postcard::to_allocvec(&events).expect("plain data"))
        .to_vec()
}

/// Changes folded at most, partition bits they may found, and splits: a change costs what its
/// partitions cost, more than a hundred milliseconds for 2^14 of them. So a long log of a large ring
/// is slow by what it says, which is no finding.
const MOST_CHANGES: usize = 6;
const MOST_BITS: u8 = 10;
const MOST_SPLITS: usize = 1;

/// The events of the first changes, in the order in which they were given.
fn affordable(mut events: Vec<Event>) -> Vec<Event> {
    let mut splits = 0;
    events.retain(|event| match event.op {
        Op::Genesis { bits } => bits <= MOST_BITS,
        Op::SplitQ => {
            splits += 1;
            splits <= MOST_SPLITS
        }
        _ => true,
    });
    let log: Log = events.iter().cloned().collect();
    let sorted: Vec<&Event> = log.events().collect();
    let changes = sorted.chunk_by(|a, b| a.change == b.change);
    let last = changes
        .take(MOST_CHANGES)
        .last()
        .and_then(|change| change.last());
    let is_early = |event: &Event| last.is_some_and(|last| event <= last);
    events.into_iter().filter(is_early).collect()
}

fn log(input: &[u8], rng: &mut Rng) -> Behaviour {
    let mut signature = Signature::default();
    let events = match postcard::from_bytes::<Vec<Event>>(input) {
        Ok(events) => affordable(events),
        Err(error) => return signature.note(kind(&error)).behaviour(),
    };
    let log: Log = events.iter().cloned().collect();
    let cut = rng.below(events.len() as u64 + 1) as usize;
    let (some, others) = events.split_at(cut);
    let (some, others): (Log, Log) = (
        some.iter().cloned().collect(),
        others.iter().cloned().collect(),
    );
    let (mut one, mut other) = (some.clone(), others.clone());
    one.union(&others);
    other.union(&some);
    assert_eq!(
        (&one, &other),
        (&log, &log),
        "the union depends on its order"
    );
    assert!(!one.union(&log), "the union is not idempotent");

    let ring = Ring::fold(&log);
    assert_eq!(
        Ring::fold(&some).advance(&log),
        ring,
        "advanced to another ring"
    );
    check(&ring);
    signature.size(ring.members().len()).size(log.len());
    signature.note([ring.bits(), ring.n() as u8]);
    signature.note([u8::from(ring.unsupported().is_some())]);
    signature.behaviour()
}

/// Every partition has its replicas, all different.
fn check(ring: &Ring) {
    let width = ring.replicas_per_partition();
    assert!(width == ring.n().min(ring.members().len()));
    for partition in ring.partitions() {
        let primaries = ring.primaries(partition);
        let distinct: BTreeSet<_> = primaries.iter().collect();
        assert_eq!((primaries.len(), distinct.len()), (width, width));
        assert!(
            primaries
                .iter()
                .all(|node| node.index() < ring.members().len())
        );
    }
    if width > 0 {
        let odd = |node: henge_ring::NodeIndex| !node.index().is_multiple_of(2);
        let list = ring.preference(Partition(0), width, odd);
        assert!(list.iter().count() <= width);
    }
}

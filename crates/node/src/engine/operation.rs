//! Operations in flight: what the engine keeps of each until it is settled.

use henge_coordinator::{Consistency, Held, Read, Write};
use henge_ring::NodeId;
use henge_versioning::{Context, RecordRef};

use super::{Ticket, peers::Slot, probing::Probing, touches::Touched};
use crate::{Done, Outcome, Receipt, ReceiptPlace, ReplicaAnswer, ReplicaRole};

/// One operation in flight.
#[derive(Debug)]
pub(super) enum InFlight {
    Read(Reading),
    Write(Writing),
    Forward(Forwarding),
    /// A conditional write that waits until this node may decide it.
    Held(Waiting),
    /// A hint on its way to the node it was kept for.
    Hint(Handoff),
    /// A question to all replicas that nobody waits for.
    Probe(Probing),
}

/// Whom to answer, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) ticket: Ticket,
    pub(super) receipt: bool,
}

/// A read waiting for replicas.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) asker: Asker,
    pub(super) read: Read,
    pub(super) key: Vec<u8>,
    /// What all answers so far merge to; meaningful where `held` is some digest.
    pub(super) record: Vec<u8>,
    pub(super) held: Held,
    /// What is more than to answer with what R places hold.
    pub(super) then: Option<Box<Then>>,
    /// Monotonic time at which the request is given up; the wheel may ring earlier, for a hedge.
    pub(super) deadline_ms: u64,
    /// What it needs, should it start anew.
    pub(super) consistency: Consistency,
}

/// What a read is for, other than for its plain answer. Boxed, because most have none.
#[derive(Debug)]
pub(super) enum Then {
    /// A write that needs to know the record first.
    Write {
        /// The whole request, as it would be forwarded.
        request: Vec<u8>,
        /// Of what was known of moving partitions when it came.
        version: u64,
    },
    /// The answer has to hold this.
    Show(Context),
    /// It is remembered that so many replicas have answered, for reads that may show older state.
    Confirm {
        /// How much older, in milliseconds.
        max_staleness_ms: u64,
    },
    /// The record is told as it lies there, with its hidden fields.
    Whole,
}

/// A write waiting for replicas.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) asker: Asker,
    pub(super) write: Write,
    pub(super) done: Done,
    /// Whether the key's decider made it of what it found.
    pub(super) decided: bool,
    /// For the receipt, if one is asked for: what it writes.
    pub(super) written: Option<Box<Context>>,
    /// What is remembered of a touch once it is acknowledged.
    pub(super) touched: Option<Touched>,
    pub(super) key: Vec<u8>,
    /// When it is given up, and what it needs, should it start anew.
    pub(super) deadline_ms: u64,
    pub(super) consistency: Consistency,
}

/// A request that another node coordinates.
#[derive(Debug)]
pub(super) struct Forwarding {
    pub(super) asker: Asker,
    pub(super) target: Slot,
    pub(super) request: Vec<u8>,
    pub(super) is_read: bool,
    /// Nodes asked so far.
    pub(super) attempts: u8,
}

/// A request that waits at the node that will carry it out.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) asker: Asker,
    /// As it would be forwarded.
    pub(super) request: Vec<u8>,
    /// Writes it needs.
    pub(super) needed: u8,
    /// Monotonic time at which it is given up.
    pub(super) deadline_ms: u64,
}

/// A hint being delivered.
#[derive(Debug)]
pub(super) struct Handoff {
    pub(super) target: Slot,
    pub(super) key: Vec<u8>,
    pub(super) generation: u64,
}

/// Where an operation's answer goes when another node asked for it.
pub(super) const FORWARDED: u16 = u16::MAX;

/// A request forwarded to this node: who asked, under which of its operation ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) node: NodeId,
    pub(super) op: u64,
}

/// What a delta writes, for the receipt.
#[cold]
pub(super) fn written_by(delta: &[u8]) -> Option<Box<Context>> {
    let delta = RecordRef::parse(delta).ok()?;
    Context::of(delta).map(Box::new)
}

/// The receipt in the node's own terms.
pub(super) fn receipt_of(
    receipt: &henge_coordinator::Receipt,
    id: impl Fn(Slot) -> NodeId,
) -> Receipt {
    use henge_coordinator::PlaceStatus;
    let places = receipt.places.iter().map(|place| ReceiptPlace {
        node: id(place.info.node),
        role: match place.info.stands_for {
            None => ReplicaRole::Primary,
            Some(primary) => ReplicaRole::FallbackFor(id(primary)),
        },
        answer: match place.status {
            PlaceStatus::InMemory => ReplicaAnswer::InMemory,
            PlaceStatus::Durable => ReplicaAnswer::Durable,
            PlaceStatus::Pending => ReplicaAnswer::Pending,
            PlaceStatus::Failed => ReplicaAnswer::Failed,
        },
    });
    Receipt {
        needed: receipt.needed,
        places: places.collect(),
        written: None,
    }
}

/// The receipt of a read: who answered.
pub(super) fn read_receipt(read: &Read, id: impl Fn(Slot) -> NodeId) -> Receipt {
    let mut places = Vec::new();
    for place in read.asked().iter() {
        let Some(info) = read.place(place) else {
            continue;
        };
        places.push(ReceiptPlace {
            node: id(info.node),
            role: info
                .stands_for
                .map_or(ReplicaRole::Primary, |p| ReplicaRole::FallbackFor(id(p))),
            answer: if read.tally().acked().contains(place) {
                ReplicaAnswer::InMemory
            } else if read.tally().failed().contains(place) {
                ReplicaAnswer::Failed
            } else {
                ReplicaAnswer::Pending
            },
        });
    }
    Receipt {
        needed: read.tally().need(),
        places,
        written: None,
    }
}

pub(super) fn failed(failure: crate::Failure) -> Outcome {
    Outcome {
        result: Err(failure),
        receipt: None,
    }
}

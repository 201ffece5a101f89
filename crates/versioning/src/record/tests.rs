//! The record's laws, and the generators they run on: few names, stamps and values, so that ties
//! and collisions are the rule.

mod encoding;
mod golden;
mod laws;
mod reading;
mod refused;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::cell::{Cell, Counter, Register, Set, Tally};
use super::*;
use crate::codec::LAST_MILLI;
use crate::siblings::{DvvSet, Events, Sibling};
use crate::{ActorId, HlcTime, Stamp};

pub(crate) fn stamp(time: u64, actor: u64) -> Stamp {
    Stamp {
        time: HlcTime(time),
        actor: ActorId(actor),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> RecordRef<'_> {
    RecordRef::parse(bytes).expect("a record")
}

/// The join as bytes, by [`merge`]; checks that `out` is written only when it says so.
pub(crate) fn join(local: &[u8], incoming: &[u8]) -> Vec<u8> {
    let mut out = b"untouched".to_vec();
    match merge(local, incoming, &mut out).expect("both are records") {
        Merge::Joined => {
            assert!(
                out != local && out != incoming,
                "the answer should have been another"
            );
            return out;
        }
        Merge::Unchanged => assert_eq!(out, b"untouched"),
        Merge::Incoming => {
            assert_eq!(out, b"untouched");
            assert_ne!(local, incoming);
            return incoming.to_vec();
        }
    }
    local.to_vec()
}

pub(super) fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    (0..4_u64, 0..3_u64).prop_map(|(time, actor)| stamp(time, actor))
}

fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_u64, Just(LAST_MILLI), Just(NEVER)]
}

fn any_bytes() -> impl Strategy<Value = &'static [u8]> {
    select(vec![&b""[..], b"a", b"b", b"cart", &[0xff; 200]])
}

fn any_events() -> impl Strategy<Value = Events<'static>> {
    let sibling = (0..3_u64, any_bytes()).prop_map(|(time, value)| Sibling {
        time: HlcTime(time),
        value,
    });
    let count = prop_oneof![9 => 0..3_u64, 1 => Just(u64::MAX - 3)];
    (count, prop::collection::vec(sibling, 0..3)).prop_map(|(overwritten, values)| {
        let count = (overwritten + values.len() as u64).max(1);
        Events { count, values }
    })
}

fn any_cell() -> impl Strategy<Value = Cell<'static>> {
    let actor = || (0..3_u64).prop_map(ActorId);
    let register = (any_stamp(), prop::option::weighted(0.8, any_bytes()))
        .prop_map(|(stamp, value)| Cell::Register(Register { stamp, value }));
    let tally = (0..300_u64, 0..3_u64).prop_map(|(up, down)| Tally { up, down });
    let counter = (
        any_stamp(),
        prop::collection::btree_map(actor(), tally, 0..3),
    )
        .prop_map(|(reset, tallies)| Cell::Counter(Counter { reset, tallies }));
    let member =
        (any_stamp(), any::<bool>()).prop_map(|(stamp, present)| Membership { stamp, present });
    let set = prop::collection::btree_map(any_bytes(), member, 0..4)
        .prop_map(|elements| Cell::Set(Set { elements }));
    let siblings = prop::collection::btree_map(actor(), any_events(), 0..3)
        .prop_map(|entries| Cell::Siblings(DvvSet::from_entries(entries)));
    prop_oneof![4 => register, 1 => counter, 1 => set, 1 => siblings]
}

fn any_body() -> impl Strategy<Value = BTreeMap<&'static [u8], Cell<'static>>> {
    let unnamed = any_cell().prop_map(|cell| BTreeMap::from([(&b""[..], cell)]));
    let value = (any_stamp(), any_bytes()).prop_map(|(stamp, value)| {
        let cell = Cell::Register(Register {
            stamp,
            value: Some(value),
        });
        BTreeMap::from([(&b""[..], cell)])
    });
    prop_oneof![
        1 => Just(BTreeMap::new()),
        2 => value,
        1 => unnamed,
        2 => prop::collection::btree_map(any_bytes(), any_cell(), 0..4),
    ]
}

/// Any record at all, of one of two epochs, also such as no history leads to.
pub(super) fn any_record() -> impl Strategy<Value = Record<'static>> {
    let epoch = prop_oneof![Just(stamp(1, 1)), Just(stamp(1, 2))];
    let deadline = prop::option::weighted(
        0.7,
        (any_stamp(), any_time()).prop_map(|(stamp, at)| Deadline { stamp, at }),
    );
    (
        epoch,
        prop::bool::weighted(0.15),
        deadline,
        any_time(),
        prop_oneof![2 => Just(NEVER), 1 => any_time()],
        any_body(),
    )
        .prop_map(|(epoch, dead, deadline, horizon, cap, body)| {
            let horizon = horizon.max(deadline.map_or(0, |it| it.at));
            if dead {
                return Record {
                    dead,
                    horizon,
                    ..Record::new(epoch)
                };
            }
            Record {
                epoch,
                dead,
                deadline: header::capped(deadline, cap),
                horizon,
                cap,
                body,
            }
        })
}

/// Any record, encoded.
pub(crate) fn any_encoded() -> impl Strategy<Value = Vec<u8>> {
    any_record().prop_map(|record| encoded(&record))
}

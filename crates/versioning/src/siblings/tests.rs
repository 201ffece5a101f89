//! Sibling sets against an oracle that knows all history, and what happens to actors that forget.

mod amnesia;
mod oracle;

use super::*;
use crate::{HlcTime, Merge, merge};

/// One replica's copy of the one key these tests use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Replica(Vec<u8>);

impl Replica {
    fn record(&self) -> Option<RecordRef<'_>> {
        (!self.0.is_empty()).then(|| RecordRef::parse(&self.0).expect("a record"))
    }

    fn context(&self) -> VersionVector {
        self.record().map(context).unwrap_or_default()
    }

    /// Its values, each a number, ascending.
    fn values(&self) -> Vec<u64> {
        let number = |value: &[u8]| u64::from_le_bytes(value.try_into().expect("eight bytes"));
        let mut values: Vec<_> = self
            .record()
            .into_iter()
            .flat_map(|it| it.siblings())
            .map(number)
            .collect();
        values.sort_unstable();
        values
    }

    fn put(&mut self, context: &VersionVector, actor: ActorId, value: u64) {
        let stamp = Stamp {
            time: HlcTime(value),
            actor,
        };
        let mut out = Vec::new();
        put(
            self.record(),
            context,
            actor,
            &value.to_le_bytes(),
            stamp,
            None,
            &mut out,
        );
        self.replace(out);
    }

    fn delete(&mut self, context: &VersionVector) {
        let mut out = Vec::new();
        delete(self.record(), context, &mut out);
        self.replace(out);
    }

    /// Stores what a write gave, which must be what merging it gives.
    fn replace(&mut self, new: Vec<u8>) {
        let mut merged = self.clone();
        merged.receive(&new);
        assert_eq!(merged.0, new, "a write is above what it was made from");
        *self = merged;
    }

    fn receive(&mut self, record: &[u8]) {
        if self.0.is_empty() {
            self.0 = record.to_vec();
            return;
        }
        let mut out = Vec::new();
        match merge(&self.0, record, &mut out).expect("both are records") {
            Merge::Unchanged => {}
            Merge::Incoming => self.0 = record.to_vec(),
            Merge::Joined => self.0 = out,
        }
    }
}

const ONE: ActorId = ActorId(1);
const TWO: ActorId = ActorId(2);

#[test]
fn a_blind_write_adds_and_a_write_with_context_replaces() {
    let mut replica = Replica::default();
    replica.put(&VersionVector::new(), ONE, 1);
    replica.put(&VersionVector::new(), ONE, 2);
    assert_eq!(replica.values(), [1, 2]);
    assert_eq!(count(replica.record().expect("written")), 2);

    let seen = replica.context();
    replica.put(&VersionVector::new(), TWO, 3);
    replica.put(&seen, ONE, 4);
    assert_eq!(replica.values(), [3, 4], "3 was not in the context");
}

#[test]
fn a_deletion_leaves_dots_that_keep_late_copies_away() {
    let mut replica = Replica::default();
    replica.put(&VersionVector::new(), ONE, 1);
    let late = replica.0.clone();
    let seen = replica.context();
    replica.put(&VersionVector::new(), TWO, 2);
    replica.delete(&seen);
    assert_eq!(replica.values(), [2], "concurrent with the deletion");

    replica.delete(&replica.context());
    assert_eq!(replica.values(), [0; 0]);
    assert!(!replica.record().expect("a tombstone").is_live(0));
    replica.receive(&late);
    assert_eq!(replica.values(), [0; 0]);

    replica.put(&VersionVector::new(), ONE, 3);
    assert_eq!(replica.values(), [3]);
}

#[test]
fn deadlines_hold_for_all_siblings_and_are_kept_unless_moved() {
    let mut replica = Replica::default();
    let empty = VersionVector::new();
    let write = |replica: &mut Replica, time, deadline| {
        let (mut out, stamp) = (
            Vec::new(),
            Stamp {
                time: HlcTime(time),
                actor: ONE,
            },
        );
        put(
            replica.record(),
            &empty,
            ONE,
            &[0; 8],
            stamp,
            deadline,
            &mut out,
        );
        replica.replace(out);
        replica.record().expect("written").deadline().at
    };
    assert_eq!(write(&mut replica, 1, None), NEVER);
    assert_eq!(write(&mut replica, 2, Some(50)), 50);
    assert_eq!(write(&mut replica, 3, None), 50);
    assert_eq!(replica.record().expect("written").horizon(), NEVER);
    assert!(!replica.record().expect("written").is_live(50));
}

#[test]
fn siblings_replace_a_plain_value_and_respect_a_grave() {
    let epoch = Stamp {
        time: HlcTime(9),
        actor: TWO,
    };
    let mut plain = Vec::new();
    crate::delta::begin(&mut plain, epoch, 100, b"12345678");
    let mut replica = Replica(plain);
    assert_eq!(count(replica.record().expect("there")), 0);
    replica.put(&VersionVector::new(), ONE, 1);
    assert_eq!((replica.values(), replica.context().len()), (vec![1], 1));
    assert_eq!(replica.record().expect("written").epoch(), epoch);

    let mut grave = Vec::new();
    crate::delta::bury(&mut grave, epoch, 100);
    replica.receive(&grave);
    replica.put(&VersionVector::new(), ONE, 2);
    assert!(replica.record().expect("a grave").is_dead());
    assert_eq!(replica.context(), VersionVector::new());
}

//! What the writes do to a life, seen through reads.

use super::*;
use crate::{ActorId, HlcTime, Merge, NEVER, merge};

fn stamp(time: u64, actor: u64) -> Stamp {
    Stamp {
        time: HlcTime(time),
        actor: ActorId(actor),
    }
}

const EPOCH: Stamp = Stamp {
    time: HlcTime(1),
    actor: ActorId(1),
};

/// One replica's record.
#[derive(Clone, Default)]
struct Replica(Vec<u8>);

impl Replica {
    fn record(&self) -> RecordRef<'_> {
        RecordRef::parse(&self.0).expect("a record")
    }

    /// Writes a delta against the local record and merges it; returns it for the others.
    fn write(&mut self, delta: impl FnOnce(&mut Vec<u8>, Option<RecordRef<'_>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        delta(&mut bytes, RecordRef::parse(&self.0).ok());
        self.receive(&bytes);
        bytes
    }

    fn receive(&mut self, delta: &[u8]) {
        if self.0.is_empty() {
            self.0 = delta.to_vec();
            return;
        }
        let mut out = Vec::new();
        match merge(&self.0, delta, &mut out).expect("both are records") {
            Merge::Unchanged => {}
            Merge::Incoming => self.0 = delta.to_vec(),
            Merge::Joined => self.0 = out,
        }
    }

    fn add(&mut self, time: u64, actor: u64, by: i64) -> Vec<u8> {
        self.write(|out, local| {
            add(out, local, EPOCH, stamp(time, actor), None, b"n", by).expect("small");
        })
    }
}

fn begun() -> Replica {
    let mut replica = Replica::default();
    replica.write(|out, _| begin_fields(out, EPOCH, 100, &[(b"a", b"1")]));
    replica
}

#[test]
fn deltas_are_appended() {
    let mut out = b"before".to_vec();
    begin(&mut out, EPOCH, 100, b"v");
    assert!(out.starts_with(b"before"));
    assert!(RecordRef::parse(&out[6..]).is_ok());
}

#[test]
fn of_a_name_given_twice_the_last_value_is_taken() {
    let mut replica = Replica::default();
    replica
        .write(|out, _| begin_fields(out, EPOCH, 9, &[(b"b", b"1"), (b"a", b"2"), (b"b", b"3")]));
    assert_eq!(replica.record().field(b"b"), Some(&b"3"[..]));
    assert_eq!(replica.record().fields().count(), 2);
}

#[test]
fn one_unnamed_field_is_a_value() {
    let (mut fields, mut value) = (Vec::new(), Vec::new());
    begin_fields(&mut fields, EPOCH, 100, &[(b"", b"v")]);
    begin(&mut value, EPOCH, 100, b"v");
    assert_eq!(fields, value);
}

#[test]
fn writes_to_different_fields_all_survive() {
    let (mut one, mut two) = (begun(), begun());
    let cart =
        one.write(|out, _| put_fields(out, EPOCH, stamp(5, 1), None, &[(b"cart", Some(b"2"))]));
    let user =
        two.write(|out, _| put_fields(out, EPOCH, stamp(5, 2), None, &[(b"user", Some(b"u"))]));
    one.receive(&user);
    two.receive(&cart);
    assert_eq!(one.0, two.0);
    assert_eq!(one.record().fields().count(), 3);
}

#[test]
fn logout_wins_over_a_concurrent_write_in_either_order() {
    let (mut one, mut two) = (begun(), begun());
    let cart = |out: &mut Vec<u8>, _: Option<RecordRef<'_>>| {
        put_fields(out, EPOCH, stamp(5, 1), Some(130), &[(b"cart", Some(b"2"))]);
    };
    let written = one.write(cart);
    let logout = two.write(|out, _| bury(out, EPOCH, 140));
    one.receive(&logout);
    two.receive(&written);
    assert_eq!(one.0, two.0);
    assert!(one.record().is_dead());
    assert_eq!(one.record().horizon(), 140);

    // The next login is not harmed by what is still under way of the old life.
    let login = one.write(|out, _| begin(out, stamp(9, 1), 200, b"new"));
    [&logout, &written]
        .into_iter()
        .for_each(|late| one.receive(late));
    assert_eq!(one.0, login);
    assert!(one.record().is_live(199));
}

#[test]
fn a_new_life_can_be_kept_as_long_as_the_old_one_might_show() {
    let mut replica = begun();
    let stale = replica.clone();
    replica.write(|out, _| begin(out, stamp(5, 1), 50, b"short"));
    assert_eq!(
        replica.record().horizon(),
        50,
        "too early for the stale copy"
    );
    replica.write(|out, _| retain(out, stamp(5, 1), stale.record().horizon()));
    assert_eq!(replica.record().horizon(), 100);
    assert!(replica.record().is_live(49) && !replica.record().is_live(50));
}

#[test]
fn a_life_carries_its_death() {
    let mut replica = begun();
    replica.write(|out, _| bury(out, EPOCH, 140));
    let mut carried = Vec::new();
    life(&mut carried, replica.record());
    assert_eq!(carried, replica.0);
}

#[test]
fn counters_add_up_whatever_is_doubled() {
    let (mut one, mut two) = (begun(), begun());
    let deltas = [
        one.add(2, 1, 5),
        one.add(3, 1, -7),
        two.add(2, 2, 10),
        two.add(4, 2, 0),
    ];
    for delta in deltas.iter().chain(&deltas).rev() {
        one.receive(delta);
        two.receive(delta);
    }
    assert_eq!(one.0, two.0);
    assert_eq!(one.record().counter(b"n"), Some(8));
}

#[test]
fn a_counter_that_is_reset_is_gone_until_it_is_added_to() {
    let mut replica = begun();
    let before = replica.add(2, 1, 5);
    replica.write(|out, _| reset(out, EPOCH, stamp(3, 1), None, b"n"));
    replica.receive(&before);
    assert_eq!(replica.record().counter(b"n"), None);
    replica.add(4, 1, 0);
    assert_eq!(replica.record().counter(b"n"), Some(0));
    replica.add(5, 1, 2);
    assert_eq!(replica.record().counter(b"n"), Some(2));
}

#[test]
fn a_tally_that_would_overflow_is_refused() {
    let mut replica = begun();
    replica.add(2, 1, i64::MAX);
    replica.add(3, 1, i64::MAX);
    let mut out = Vec::new();
    let refused = add(
        &mut out,
        Some(replica.record()),
        EPOCH,
        stamp(4, 1),
        None,
        b"n",
        2,
    );
    assert_eq!(
        refused,
        Err(CounterOverflow {
            tally: u64::MAX - 1,
            by: 2
        })
    );
    assert!(out.is_empty());
    replica.add(4, 1, i64::MIN);
    assert_eq!(
        replica.record().counter(b"n"),
        Some(i128::from(i64::MAX) - 1)
    );
}

#[test]
fn a_tally_of_another_life_is_not_continued() {
    let mut replica = begun();
    replica.add(2, 1, 5);
    let mut delta = Vec::new();
    let next = stamp(9, 1);
    add(
        &mut delta,
        Some(replica.record()),
        next,
        next,
        Some(NEVER),
        b"n",
        1,
    )
    .expect("small");
    assert_eq!(
        RecordRef::parse(&delta).expect("a record").counter(b"n"),
        Some(1)
    );
}

#[test]
fn of_an_insertion_and_a_removal_the_later_wins() {
    let mut replica = begun();
    replica.write(|out, _| insert(out, EPOCH, stamp(3, 1), None, b"s", &[b"x", b"y", b"z"]));
    replica.write(|out, _| remove(out, EPOCH, stamp(2, 1), None, b"s", &[b"x"]));
    replica.write(|out, _| remove(out, EPOCH, stamp(3, 1), None, b"s", &[b"y"]));
    replica.write(|out, _| remove(out, EPOCH, stamp(4, 1), Some(300), b"s", &[b"z"]));
    assert_eq!(
        replica.record().members(b"s").collect::<Vec<_>>(),
        [b"x", b"y"]
    );
    assert_eq!(replica.record().deadline().at, 300);
}

#[test]
fn under_one_name_the_greater_kind_wins() {
    let mut replica = begun();
    replica.write(|out, _| insert(out, EPOCH, stamp(2, 1), None, b"n", &[b"x"]));
    replica.add(8, 1, 5);
    replica.write(|out, _| put_fields(out, EPOCH, stamp(9, 1), None, &[(b"n", Some(b"v"))]));
    let record = replica.record();
    assert_eq!((record.counter(b"n"), record.field(b"n")), (None, None));
    assert_eq!(record.members(b"n").count(), 1);
}

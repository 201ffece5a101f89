//! What readers see.

use super::*;
use crate::{VersionVector, delta, siblings};

const EPOCH: Stamp = Stamp {
    time: HlcTime(5),
    actor: ActorId(1),
};

fn at(time: u64) -> Stamp {
    stamp(time, 1)
}

/// Writes one delta.
type Step<'a> = &'a dyn Fn(&mut Vec<u8>);

/// The join of what each step writes.
fn history(steps: &[Step<'_>]) -> Vec<u8> {
    let deltas = steps.iter().map(|step| {
        let mut delta = Vec::new();
        step(&mut delta);
        delta
    });
    deltas
        .reduce(|a, b| join(&a, &b))
        .expect("at least one step")
}

#[test]
fn a_value_is_live_until_its_deadline() {
    let bytes = history(&[&|out| delta::begin(out, EPOCH, 100, b"v")]);
    let record = parse(&bytes);
    assert_eq!(
        (record.form(), record.value()),
        (Form::Value, Some(&b"v"[..]))
    );
    assert_eq!(
        record.deadline(),
        Deadline {
            stamp: EPOCH,
            at: 100
        }
    );
    assert!(record.is_live(99) && !record.is_live(100));
    assert_eq!(record.siblings().collect::<Vec<_>>(), [b"v"]);
    assert_eq!(record.field(b""), Some(&b"v"[..]));
}

#[test]
fn a_deadline_can_be_shortened_but_the_record_is_kept_to_the_longest() {
    let bytes = history(&[&|out| delta::begin(out, EPOCH, 1000, b"v"), &|out| {
        delta::expire(out, EPOCH, at(7), 50)
    }]);
    assert!(!parse(&bytes).is_live(50));
    assert_eq!(parse(&bytes).horizon(), 1000);

    // A stale copy with the long deadline does not bring it back.
    let stale = history(&[&|out| delta::begin(out, EPOCH, 1000, b"v")]);
    assert_eq!(join(&bytes, &stale), bytes);
}

#[test]
fn a_life_cut_short_may_be_removed_a_grace_after_its_deadline() {
    let cut = |horizon| {
        history(&[&|out| delta::begin(out, EPOCH, horizon, b"v"), &|out| {
            delta::expire(out, EPOCH, at(7), 50)
        }])
    };
    let removable = |record: &[u8], grace| parse(record).removable_at(grace);
    assert_eq!([0, 9].map(|grace| removable(&cut(NEVER), grace)), [50, 59]);
    assert_eq!(removable(&cut(NEVER), u64::MAX), NEVER);
    assert_eq!(
        [49, 50, 51].map(|grace| removable(&cut(100), grace)),
        [99, 100, 100]
    );

    let unbounded = history(&[&|out| delta::begin(out, EPOCH, NEVER, b"v")]);
    let orphan = history(&[&|out| delta::put(out, EPOCH, at(7), None, b"new")]);
    let dead = history(&[&|out| delta::bury(out, EPOCH, 1000)]);
    let found = [unbounded, orphan, dead].map(|record| removable(&record, 9));
    assert_eq!(found, [NEVER, NEVER, 1000]);
}

#[test]
fn a_touch_creates_nothing() {
    let bytes = history(&[&|out| delta::expire(out, EPOCH, at(7), NEVER)]);
    assert!(!parse(&bytes).is_live(0));
    let bytes = history(&[&|out| delta::bury(out, EPOCH, 10), &|out| {
        delta::expire(out, EPOCH, at(7), NEVER)
    }]);
    assert!(parse(&bytes).is_dead() && !parse(&bytes).is_live(0));
}

#[test]
fn a_write_without_its_beginning_is_kept_but_not_seen() {
    let orphan = history(&[&|out| delta::put(out, EPOCH, at(7), None, b"new")]);
    assert!(!parse(&orphan).is_live(0));
    assert_eq!(parse(&orphan).horizon(), NEVER);
    assert_eq!(
        parse(&orphan).deadline(),
        Deadline {
            stamp: Stamp::default(),
            at: NEVER
        }
    );

    let begun = history(&[&|out| delta::begin(out, EPOCH, 100, b"old")]);
    let bytes = join(&orphan, &begun);
    assert!(parse(&bytes).is_live(99));
    assert_eq!(parse(&bytes).value(), Some(&b"new"[..]));

    // With its life attached it needs no beginning, and is dead on arrival when late.
    let mut life = Vec::new();
    delta::life(&mut life, parse(&begun));
    let complete = join(&orphan, &life);
    assert!(parse(&complete).is_live(99) && !parse(&complete).is_live(100));
    assert_eq!(parse(&complete).horizon(), 100);
    assert_eq!(join(&begun, &complete), bytes);
}

#[test]
fn fields_that_are_removed_are_not_seen() {
    let bytes = history(&[
        &|out| delta::begin_fields(out, EPOCH, 100, &[(b"a", b"1"), (b"b", b"2")]),
        &|out| delta::put_fields(out, EPOCH, at(7), None, &[(b"a", None), (b"c", Some(b"3"))]),
    ]);
    let record = parse(&bytes);
    assert_eq!(record.form(), Form::Fields);
    assert_eq!(
        record.fields().collect::<Vec<_>>(),
        [(&b"b"[..], &b"2"[..]), (b"c", b"3")]
    );
    assert_eq!(
        (record.field(b"a"), record.field(b"b")),
        (None, Some(&b"2"[..]))
    );
    assert_eq!((record.value(), record.newest()), (None, at(7)));

    let gone = |out: &mut Vec<u8>| {
        delta::put_fields(out, EPOCH, at(8), None, &[(b"b", None), (b"c", None)]);
    };
    let bytes = join(&bytes, &history(&[&gone]));
    assert!(
        !parse(&bytes).is_live(0),
        "a session without a field is not there"
    );
}

#[test]
fn counters_and_sets_stand_beside_fields() {
    let bytes = history(&[
        &|out| delta::begin_fields(out, EPOCH, 100, &[(b"a", b"1")]),
        &|out| delta::add(out, None, EPOCH, stamp(6, 1), None, b"hits", 5).expect("small"),
        &|out| delta::add(out, None, EPOCH, stamp(6, 2), None, b"hits", -2).expect("small"),
        &|out| delta::insert(out, EPOCH, at(6), None, b"tags", &[b"x", b"y"]),
        &|out| delta::remove(out, EPOCH, at(7), None, b"tags", &[b"x"]),
    ]);
    let record = parse(&bytes);
    assert_eq!(record.counter(b"hits"), Some(3));
    assert_eq!(record.counters().collect::<Vec<_>>(), [(&b"hits"[..], 3)]);
    assert_eq!(record.members(b"tags").collect::<Vec<_>>(), [b"y"]);
    assert_eq!(
        record.sets().map(|(name, _)| name).collect::<Vec<_>>(),
        [b"tags"]
    );
    assert_eq!(
        (record.members(b"hits").count(), record.counter(b"tags")),
        (0, None)
    );
    assert_eq!(record.fields().count(), 1);
}

#[test]
fn the_newest_sibling_comes_first() {
    let mut bytes = Vec::new();
    for (time, value) in [(7, b"b"), (9, b"c"), (5, b"a")] {
        let local = std::mem::take(&mut bytes);
        let local = RecordRef::parse(&local).ok();
        let by = stamp(time, time);
        siblings::put(
            local,
            &VersionVector::new(),
            by.actor,
            value,
            by,
            None,
            &mut bytes,
        );
    }
    let record = parse(&bytes);
    assert_eq!(record.siblings().collect::<Vec<_>>(), [b"c", b"b", b"a"]);
    assert_eq!(
        (record.form(), record.newest()),
        (Form::Siblings, stamp(9, 9))
    );
    assert!(record.is_live(0));
}

proptest! {
    /// Looking at those that come first is looking at all, for names that sort before the others; and
    /// what is left out comes back with the whole.
    #[test]
    fn leading_fields_are_found_and_left_out(
        bytes in any_encoded(),
        values in prop::collection::btree_map("[a-c]", ".{0,9}", 1..4),
        first in any::<bool>(),
    ) {
        const PREFIX: &[u8] = b"\0\0";
        prop_assert_eq!(RecordRef::leading(&bytes, PREFIX).count(), 0);
        let record = parse(&bytes);
        prop_assert_eq!(RecordRef::has_fields(&bytes), record.form() == Form::Fields);
        let mut named = Vec::new();
        let other: (&[u8], Option<&[u8]>) = if first { (b"", Some(b"v")) } else { (b"name", Some(b"v")) };
        let reserved: Vec<_> = values.iter().map(|(name, value)| (format!("\0\0{name}"), value)).collect();
        let fields = reserved.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let fields: Vec<_> = fields.chain([other, (b"\0\0removed", None)]).collect();
        delta::put_fields(&mut named, record.epoch(), at(1 << 40), None, &fields);
        let found: Vec<_> = RecordRef::leading(&named, PREFIX).collect();
        let wanted = reserved.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        prop_assert_eq!(found, wanted.collect::<Vec<_>>());
        let mut without = Vec::new();
        parse(&named).without(PREFIX, &mut without);
        prop_assert_eq!(parse(&without).fields().collect::<Vec<_>>(), [(other.0, &b"v"[..])]);
        prop_assert_eq!(join(&named, &without), named);
    }
}

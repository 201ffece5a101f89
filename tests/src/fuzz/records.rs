//! Records as peers send them: whatever parses is a lattice element.

use henge_versioning::{
    ActorId, Form, HlcTime, Merge, RecordRef, Stamp, VersionVector, delta, merge, siblings,
};

use super::{Behaviour, Signature, Target, join, kind, parts};
use crate::sim::Rng;

/// When records are looked at.
const NOW_MS: u64 = 1_700_000_000_000;

pub(super) const RECORD: Target = Target {
    name: "record",
    about: "encoded records: what parses can be read, and merges by the laws into what parses",
    longest: 2048,
    seeds: || {
        let records = some_records();
        let mut seeds: Vec<_> = records.windows(3).map(join).collect();
        seeds.extend(records.iter().map(|record| join(&[record])));
        seeds
    },
    tokens: &[&[0], &[0xff], &[0, 0, 0, 0, 0, 0, 0, 0], &[0x80, 1]],
    make: || {
        let partners = some_records();
        Box::new(move |input, rng| record(input, &partners, rng))
    },
};

pub(super) fn stamp(after_ms: u64, actor: u64) -> Stamp {
    Stamp {
        time: HlcTime::new(NOW_MS + after_ms, 0),
        actor: ActorId(actor),
    }
}

/// Records of every form, most of one life.
pub(super) fn some_records() -> Vec<Vec<u8>> {
    let (epoch, later) = (stamp(0, 1), stamp(5, 2));
    let deadline = NOW_MS + 60_000;
    let make = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let fields: [(&[u8], &[u8]); 2] = [(b"a", b"one"), (b"b", b"two")];
    let first = make(&|out| {
        let nothing = VersionVector::new();
        siblings::put(None, &nothing, ActorId(1), b"first", epoch, None, out);
    });
    let second = make(&|out| {
        let local = RecordRef::parse(&first).ok();
        let nothing = VersionVector::new();
        siblings::put(
            local,
            &nothing,
            ActorId(2),
            b"second",
            later,
            Some(deadline),
            out,
        );
    });
    let deleted = make(&|out| {
        let local = RecordRef::parse(&second).expect("just made");
        siblings::delete(Some(local), &siblings::context(local), out);
    });
    vec![
        make(&|out| delta::begin(out, epoch, deadline, b"value")),
        make(&|out| delta::put(out, epoch, later, None, b"another")),
        make(&|out| delta::begin_fields(out, epoch, deadline, &fields)),
        make(&|out| delta::put_fields(out, epoch, later, None, &[(b"a", None), (b"c", Some(b""))])),
        make(&|out| delta::expire(out, epoch, later, NOW_MS + 1)),
        make(&|out| delta::bury(out, epoch, deadline)),
        make(&|out| delta::retain(out, epoch, u64::MAX)),
        make(&|out| {
            delta::add(out, None, epoch, later, Some(deadline), b"n", -7).expect("no overflow");
        }),
        make(&|out| delta::reset(out, epoch, later, None, b"n")),
        make(&|out| delta::insert(out, epoch, epoch, None, b"s", &[b"x", b"y"])),
        make(&|out| delta::remove(out, epoch, later, None, b"s", &[b"y"])),
        make(&|out| delta::begin(out, later, deadline, b"next life")),
        first,
        second,
        deleted,
    ]
}

fn record(input: &[u8], partners: &[Vec<u8>], rng: &mut Rng) -> Behaviour {
    let mut signature = Signature::default();
    let mut records = Vec::new();
    for part in parts(input).into_iter().take(3) {
        match RecordRef::parse(part) {
            Ok(record) => {
                read(record, &mut signature);
                records.push(part);
            }
            Err(error) => {
                signature.note(kind(&error));
            }
        }
    }
    if records.is_empty() {
        return signature.behaviour();
    }
    while records.len() < 3 {
        let partner: &Vec<u8> = rng.pick(partners);
        records.push(partner);
    }
    let (a, b, c) = (records[0], records[1], records[2]);
    let (ab, bc) = (joined(a, b, &mut signature), joined(b, c, &mut signature));
    assert_eq!(ab, joined(b, a, &mut signature), "not commutative");
    assert_eq!(joined(a, a, &mut signature), a, "not idempotent");
    assert_eq!(joined(&ab, b, &mut signature), ab, "not above its parts");
    let (left, right) = (
        joined(&ab, c, &mut signature),
        joined(a, &bc, &mut signature),
    );
    assert_eq!(left, right, "not associative");
    write(RecordRef::parse(&left).expect("checked"), &mut signature);
    signature.behaviour()
}

/// The join, as a replica would store it.
fn joined(local: &[u8], incoming: &[u8], signature: &mut Signature) -> Vec<u8> {
    let mut out = Vec::new();
    let merged = merge(local, incoming, &mut out).expect("both are records");
    signature.note([merged as u8]);
    let joined = match merged {
        Merge::Unchanged => local.to_vec(),
        Merge::Incoming => incoming.to_vec(),
        Merge::Joined => out,
    };
    let parsed = RecordRef::parse(&joined);
    assert!(parsed.is_ok(), "the join is no record: {parsed:?}");
    joined
}

/// Asks for everything that can be asked.
fn read(record: RecordRef<'_>, signature: &mut Signature) {
    let form = record.form();
    signature.note([form as u8, u8::from(record.is_dead())]);
    signature.note([u8::from(record.is_live(NOW_MS))]);
    let names: Vec<&[u8]> = record.fields().map(|(name, _)| name).collect();
    for name in &names {
        assert!(record.field(name).is_some());
    }
    assert_eq!(record.value().is_some(), form == Form::Value);
    let (counters, sets) = (record.counters().count(), record.sets().count());
    let elements: usize = record.sets().map(|(_, elements)| elements.count()).sum();
    let values = record.siblings().count();
    signature.size(names.len()).size(counters).size(sets);
    signature.size(elements).size(values);
    assert_eq!(record.members(b"no such set").count(), 0);
    assert!(record.newest() >= record.epoch());
    assert!(record.horizon() >= record.deadline().at || record.deadline().at == u64::MAX);
    signature.size(siblings::context(record).len());

    let mut outline = Vec::new();
    record.outline(&mut outline);
    let outline = RecordRef::parse(&outline).expect("an outline is a record");
    assert_eq!(outline.is_live(NOW_MS), record.is_live(NOW_MS));
    let mut life = Vec::new();
    delta::life(&mut life, record);
    assert_eq!(
        joined(record.as_bytes(), &life, signature),
        record.as_bytes()
    );
}

/// Writes upon it, as a coordinator would.
fn write(local: RecordRef<'_>, signature: &mut Signature) {
    let (epoch, newest) = (local.epoch(), local.newest());
    let later = Stamp {
        time: HlcTime(newest.time.0.saturating_add(1)),
        actor: ActorId(77),
    };
    let mut out = Vec::new();
    if let Err(error) = delta::add(&mut out, Some(local), epoch, later, None, b"n", 1) {
        signature.note(kind(&error));
    }
    let seen = siblings::context(local);
    let mut put = Vec::new();
    siblings::put(Some(local), &seen, ActorId(77), b"v", later, None, &mut put);
    assert_eq!(
        joined(&put, local.as_bytes(), signature),
        put,
        "a write below what it changes"
    );
    let mut gone = Vec::new();
    siblings::delete(Some(local), &seen, &mut gone);
    let gone = RecordRef::parse(&gone).expect("a deletion is a record");
    assert_eq!(siblings::count(gone), 0, "something it has seen is left");
}

//! What old records say of new ids, and the hidden fields themselves.

use henge_versioning::{Merge, NEVER, delta, merge};
use proptest::prelude::*;

use super::*;

const SESSION_LIFE: u64 = 3;

fn stamp(time: u64) -> Stamp {
    Stamp {
        time: HlcTime(time),
        actor: ActorId(9),
    }
}

fn made(make: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    make(&mut bytes);
    bytes
}

fn handed_over_to(key: &[u8], until_ms: u64) -> Vec<u8> {
    let value = Successor { until_ms, key }.encode();
    let fields = [
        (&b""[..], Some(&b"v"[..])),
        (SUCCESSOR_FIELD, Some(&value[..])),
    ];
    made(|out| delta::put_fields(out, life(SESSION_LIFE), stamp(9), Some(NEVER), &fields))
}

fn verdict(record: Option<&[u8]>, key: &[u8]) -> Verdict {
    let predecessor = Predecessor {
        life: SESSION_LIFE,
        key: b"old",
    };
    let record = record.map(|bytes| RecordRef::parse(bytes).expect("a record"));
    Verdict::of(predecessor, key, record.as_ref())
}

#[test]
fn an_old_record_opens_the_one_id_that_it_names() {
    let handed = handed_over_to(b"new", 77);
    assert_eq!(
        verdict(Some(&handed), b"new"),
        Verdict::HandedOver { until_ms: 77 }
    );
    assert_eq!(verdict(Some(&handed), b"other"), Verdict::Unfinished);
    assert_eq!(verdict(None, b"new"), Verdict::Unfinished);
    let plain = made(|out| delta::begin(out, life(SESSION_LIFE), NEVER, b"v"));
    assert_eq!(verdict(Some(&plain), b"new"), Verdict::Unfinished);
    let later = made(|out| delta::begin(out, life(SESSION_LIFE + 1), NEVER, b"v"));
    assert_eq!(verdict(Some(&later), b"new"), Verdict::Unfinished);
}

/// Buried in its life or, where it may have expired by somebody's clock, in the next.
#[test]
fn a_logout_is_told_from_the_end_of_a_rotation() {
    for number in [SESSION_LIFE, SESSION_LIFE + 1] {
        let buried = made(|out| delta::bury(out, life(number), NEVER));
        assert_eq!(verdict(Some(&buried), b"new"), Verdict::LoggedOut);
    }
    let over = made(|out| delta::bury(out, retired(life(SESSION_LIFE)), NEVER));
    assert_eq!(verdict(Some(&over), b"new"), Verdict::Settled);
}

/// A retired record is beyond everything of the life that it ends, and before the next.
#[test]
fn nothing_late_revives_a_retired_record() {
    let over = made(|out| delta::bury(out, retired(life(SESSION_LIFE)), NEVER));
    let buried = made(|out| delta::bury(out, life(SESSION_LIFE), NEVER));
    for late in [handed_over_to(b"new", 77), buried] {
        let mut out = Vec::new();
        assert_eq!(merge(&over, &late, &mut out), Ok(Merge::Unchanged));
        assert_eq!(merge(&late, &over, &mut out), Ok(Merge::Incoming));
    }
    assert!(retired(life(SESSION_LIFE)) < life(SESSION_LIFE + 1));
}

proptest! {
    #[test]
    fn hidden_fields_come_back(number in any::<u64>(), key in prop::collection::vec(any::<u8>(), 0..40)) {
        let successor = Successor { until_ms: number, key: &key };
        let bytes = successor.encode();
        prop_assert_eq!(Successor::decode(&bytes), Some(successor));
        let predecessor = Predecessor { life: number, key: &key };
        let bytes = predecessor.encode();
        prop_assert_eq!(Predecessor::decode(&bytes), Some(predecessor));
    }

    #[test]
    fn any_bytes_are_a_hidden_field_or_none(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        prop_assert_eq!(Successor::decode(&bytes).is_some(), bytes.len() >= 8);
        prop_assert_eq!(Predecessor::decode(&bytes).is_some(), bytes.len() >= 8);
    }
}

#[test]
fn what_cannot_be_rotated_is_refused() {
    let new = |old: &[u8], new: &[u8], grace_ms| {
        Rotation::new(old, new, grace_ms, crate::Options::default()).map(drop)
    };
    assert_eq!(new(b"sess:1", b"sess:2", MAX_GRACE_MS), Ok(()));
    assert!(new(b"sess:1", b"sess:1", 0).is_err());
    assert!(new(b"sess:1", b"sess:2", MAX_GRACE_MS + 1).is_err());
    assert!(new(b"sess:1", &[b'x'; 2_000], 0).is_err());
    assert!(new(b"sess:1", b"\0principal:a", 0).is_err());
    assert!(new(b"\0principal:a", b"sess:1", 0).is_err());
}

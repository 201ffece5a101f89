//! One encoding for each record, and no other bytes accepted.

use super::*;
use crate::delta;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn records_come_back(record in any_record()) {
        let bytes = encoded(&record);
        prop_assert_eq!(Record::decode(&parse(&bytes)), record);
    }

    #[test]
    fn random_bytes_are_refused_or_canonical(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..6_u8], 0..80),
    ) {
        only_canonical(&bytes)?;
    }

    #[test]
    fn altered_records_are_refused_or_canonical(
        bytes in any_encoded(), at in any::<prop::sample::Index>(),
        new in prop_oneof![any::<u8>(), 0..6_u8], cut in any::<prop::sample::Index>(),
    ) {
        let mut altered = bytes.clone();
        altered[at.index(bytes.len())] = new;
        only_canonical(&altered)?;
        altered.truncate(cut.index(bytes.len() + 1));
        only_canonical(&altered)?;
        let mut longer = bytes;
        longer.push(new);
        only_canonical(&longer)?;
    }
}

/// If it parses, then every accessor works and encoding it again gives the same bytes.
fn only_canonical(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(record) = RecordRef::parse(bytes) else {
        return Ok(());
    };
    prop_assert_eq!(&encoded(&Record::decode(&record))[..], bytes);
    prop_assert_eq!(merge(bytes, bytes, &mut Vec::new()), Ok(Merge::Unchanged));
    let _ = (
        record.is_live(1),
        record.newest(),
        record.siblings().count(),
        record.digest(),
    );
    let _ = (
        record.fields().count(),
        record.counters().count(),
        record.horizon(),
    );
    let _ = record
        .sets()
        .map(|(_, members)| members.count())
        .sum::<usize>();
    Ok(())
}

/// What the header and framing of a 512-byte value cost, by what has happened to the session.
#[test]
fn overhead_of_a_value_is_within_its_budget() {
    let value = [7; 512];
    let at = |time| stamp((1_700_000_000_000_u64 << 16) | time, 9);
    let mut begun = Vec::new();
    delta::begin(&mut begun, at(0), 1_700_000_900_000, &value);
    assert_eq!(begun.len() - value.len(), 23);

    let mut touch = Vec::new();
    delta::expire(&mut touch, at(0), at(1), 1_700_001_800_000);
    assert_eq!(join(&begun, &touch).len() - value.len(), 39);

    let mut write = Vec::new();
    delta::put(&mut write, at(0), at(2), Some(1_700_001_900_000), &value);
    assert_eq!(join(&begun, &write).len() - value.len(), 39);

    let mut shortened = Vec::new();
    delta::put(
        &mut shortened,
        at(0),
        at(2),
        Some(1_700_000_100_000),
        &value,
    );
    assert_eq!(join(&begun, &shortened).len() - value.len(), 45);

    let mut burial = Vec::new();
    delta::bury(&mut burial, at(0), 1_700_001_900_000);
    assert_eq!(join(&write, &burial).len(), 23, "a tombstone");
}

#[test]
fn stamps_that_repeat_are_not_spelled_out_again() {
    let fields: Vec<_> = (0..10).map(|i| [b'f', b'0' + i]).collect();
    let fields: Vec<(&[u8], Option<&[u8]>)> = fields
        .iter()
        .map(|name| (&name[..], Some(&b"value"[..])))
        .collect();
    let mut write = Vec::new();
    delta::put_fields(&mut write, stamp(1, 1), stamp(2, 1), None, &fields);
    let (header, first_stamp, per_field) = (17, 16, 1 + 2 + 1 + 1 + 5);
    assert_eq!(write.len(), header + first_stamp + 10 * per_field);
}

#[test]
fn times_beyond_48_bits_are_never() {
    for (given, taken) in [
        (LAST_MILLI, LAST_MILLI),
        (LAST_MILLI + 1, NEVER),
        (NEVER, NEVER),
    ] {
        let mut record = Vec::new();
        delta::begin(&mut record, stamp(1, 1), given, b"");
        assert_eq!(
            (parse(&record).deadline().at, parse(&record).horizon()),
            (taken, taken)
        );
        record.clear();
        delta::bury(&mut record, stamp(1, 1), given);
        assert_eq!(parse(&record).horizon(), taken);
    }
}

#[test]
fn a_merge_of_no_records_says_so_and_leaves_out_alone() {
    let mut good = Vec::new();
    delta::begin(&mut good, stamp(1, 1), 9, b"v");
    let mut out = b"before".to_vec();
    for (local, incoming) in [(&good[..], &b""[..]), (b"\x07", &good)] {
        assert!(merge(local, incoming, &mut out).is_err());
        assert_eq!(out, b"before");
    }
}

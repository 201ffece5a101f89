//! Scans of a store at rest.

use henge_ring::Partition;
use henge_versioning::{NEVER, RecordRef};

use super::{
    Make,
    records::{GRACE, Row, name, page, put, scan, unlimited, value},
};
use crate::{Cursor, Store};

/// `count` records in a partition, every fifth with a twin; their rows, sorted.
fn filled(store: &dyn Store, partition: u16, count: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..count {
        // Far apart and out of order: consecutive numbers must not be consecutive in the table.
        let token = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2;
        for twin in 0..=u8::from(number % 5 == 0) {
            let (name, record) = (name(partition, token, twin), value(1, NEVER, &[twin]));
            put(store, &name, &record).expect("there is no limit");
            let digest = RecordRef::parse(&record).expect("it is one").digest();
            rows.push((name.to_vec(), record, digest));
        }
    }
    rows.sort();
    rows
}

/// Pages of every size together show each record once, in token order; any cursor can be used
/// again, or made up.
pub fn a_scan_goes_on_from_its_cursor(make: Make<'_>) {
    let store = make(unlimited());
    let expected = filled(&*store, 1, 300);
    for limit in [1, 2, 7, 100, expected.len() - 1, expected.len(), usize::MAX] {
        assert_eq!(scan(&*store, 1, limit), expected, "limit {limit}");
    }
    for row in expected.iter().step_by(17) {
        let cursor = Cursor(super::records::token(&row.0).0);
        let rest = expected
            .iter()
            .filter(|row| super::records::token(&row.0).0 > cursor.0);
        assert!(
            page(&*store, 1, Some(cursor), usize::MAX)
                .0
                .iter()
                .eq(rest.clone())
        );
        let between = Cursor(cursor.0 - 1);
        let (rows, _) = page(&*store, 1, Some(between), 1);
        assert_eq!(
            rows.first().map(|row| super::records::token(&row.0).0),
            Some(cursor.0)
        );
    }
    assert_eq!(
        page(&*store, 1, Some(Cursor(u64::MAX)), 10),
        (Vec::new(), None)
    );
    assert_eq!(page(&*store, 1, None, usize::MAX).1, None);
}

/// A scan shows records of the partition asked for and no other.
pub fn a_scan_keeps_to_its_partition(make: Make<'_>) {
    let store = make(unlimited());
    let expected: Vec<_> = (0..4)
        .map(|p| filled(&*store, p, 10 + u64::from(p)))
        .collect();
    for partition in 0..4_u16 {
        assert_eq!(
            scan(&*store, partition, 4),
            expected[usize::from(partition)]
        );
    }
}

/// Partition numbers come from other nodes: one that does not exist here is empty, and no panic.
pub fn partitions_that_do_not_exist_are_empty(make: Make<'_>) {
    let store = make(unlimited());
    filled(&*store, 3, 10);
    for partition in [4, 5, u16::MAX] {
        assert_eq!(scan(&*store, partition, 10), Vec::new());
        assert_eq!(store.sweep(Partition(partition), NEVER, GRACE).records, 0);
        assert_eq!(store.changes(Partition(partition), 0, 10), Ok(Vec::new()));
    }
}

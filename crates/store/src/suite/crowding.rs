//! Keys that share a token: never by chance, always by intent.

use henge_ring::Partition;

use super::{
    Make,
    records::{GRACE, Name, dead, get, name, put, scan, unlimited, value},
};
use crate::{MAX_KEYS_PER_TOKEN, Store, StoreError, Written};

fn twin(n: usize) -> (Name, Vec<u8>) {
    (name(3, 77, n as u8), value(1, n as u64, &vec![n as u8; n]))
}

fn crowd(store: &dyn Store, count: usize) {
    for (name, record) in (0..count).map(twin) {
        assert_eq!(put(store, &name, &record), Ok(Written::Changed));
    }
}

/// Each of many keys with one token has its own record, through writes of any length and sweeps.
pub fn keys_of_one_token_are_kept_apart(make: Make<'_>) {
    let store = make(unlimited());
    crowd(&*store, 30);
    assert_eq!(get(&*store, &name(3, 77, 99)), None);
    let mut expected: Vec<_> = (0..30).map(twin).collect();
    for (n, len) in [(0, 0), (0, 300), (7, 7), (29, 1), (15, 9)] {
        expected[n].1 = value(2, n as u64, &vec![0xaa; len]);
        assert_eq!(
            put(&*store, &expected[n].0, &expected[n].1),
            Ok(Written::Changed)
        );
    }
    assert_eq!(store.sweep(Partition(3), 9, GRACE).records, 10);
    let left: Vec<_> = expected
        .drain(10..)
        .map(|(name, record)| (name.to_vec(), record))
        .collect();
    let rows = scan(&*store, 3, 1)
        .into_iter()
        .map(|(name, record, _)| (name, record));
    assert!(
        rows.eq(left.iter().cloned()),
        "shown together, although the limit is one"
    );
    let mut by_token = Vec::new();
    store.read_token(super::records::token(&left[0].0), &mut |key, stored| {
        by_token.push((key.to_vec(), stored.bytes.to_vec()));
    });
    by_token.sort();
    assert_eq!(by_token, left);
    store.read_token(super::records::token(&name(3, 78, 0)), &mut |key, _| {
        panic!("{key:?} has another token")
    });
    for (name, record) in &left {
        assert_eq!(
            get(&*store, name).map(|found| found.0).as_ref(),
            Some(record)
        );
    }
}

/// At the bound a further key is refused, and nothing else: keys that are there can be written,
/// other tokens too, and there is room again once some are gone.
pub fn too_many_keys_of_one_token_are_refused(make: Make<'_>) {
    let store = make(unlimited());
    crowd(&*store, MAX_KEYS_PER_TOKEN - 1);
    let (last, record) = twin(MAX_KEYS_PER_TOKEN - 1);
    assert_eq!(put(&*store, &last, &record), Ok(Written::Changed));
    let usage = store.usage();
    let (further, record) = twin(MAX_KEYS_PER_TOKEN);
    let refusal = StoreError::Crowded {
        count: MAX_KEYS_PER_TOKEN,
    };
    assert_eq!(put(&*store, &further, &record), Err(refusal));
    assert_eq!((get(&*store, &further), store.usage()), (None, usage));

    assert_eq!(put(&*store, &twin(5).0, &dead(2, 5)), Ok(Written::Changed));
    assert_eq!(put(&*store, &name(3, 78, 0), &record), Ok(Written::Changed));
    assert!(store.sweep(Partition(3), 5, GRACE).records > 0);
    assert_eq!(put(&*store, &further, &record), Ok(Written::Changed));
}

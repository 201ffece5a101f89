//! The op log.

use henge_ring::Partition;
use henge_versioning::NEVER;

use super::{
    Make,
    records::{key, name, put, unlimited, value},
};
use crate::{Change, Decision, Limits, Store, Written};

/// One entry for each change, in order, with contiguous positions from 0, in pages of any size;
/// none for what was kept; partitions count for themselves.
pub fn each_change_is_logged_once_in_order(make: Make<'_>) {
    let store = make(unlimited());
    let mut expected = [Vec::new(), Vec::new()];
    for n in 0..200_u64 {
        let name = name((n % 2) as u16, n * 7 % 11, 0);
        let written = store.update(key(&name), &mut |_, out| {
            if n % 5 == 0 {
                return Decision::Keep;
            }
            out.extend_from_slice(&value(n, NEVER, b"v"));
            Decision::Write
        });
        assert_eq!(
            written,
            Ok(if n % 5 == 0 {
                Written::Kept
            } else {
                Written::Changed
            })
        );
        let log = &mut expected[(n % 2) as usize];
        if n % 5 != 0 {
            log.push(Change {
                seq: log.len() as u64,
                token: key(&name).token,
            });
        }
    }
    for (partition, expected) in [Partition(0), Partition(1)].into_iter().zip(&expected) {
        for limit in [1, 7, 1000] {
            assert_eq!(&paged(&*store, partition, limit), expected);
        }
        assert_eq!(store.log_end(partition), expected.len() as u64);
        let beyond = expected.len() as u64 + 1;
        assert_eq!(
            store.changes(partition, beyond - 1, 10),
            Ok(Vec::new()),
            "nothing new yet"
        );
        assert!(
            store.changes(partition, beyond, 10).is_err(),
            "never reached: another life's"
        );
    }
    assert_eq!(store.changes(Partition(2), 0, 10), Ok(Vec::new()));
    assert_eq!(store.log_end(Partition(2)), 0);
}

fn paged(store: &dyn Store, partition: Partition, limit: usize) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let page = store
            .changes(partition, all.len() as u64, limit)
            .expect("nothing is trimmed");
        if page.is_empty() {
            return all;
        }
        assert!(page.len() <= limit);
        all.extend(page);
    }
}

/// A log with little memory keeps the newest entries, and names the oldest to whoever asks for
/// less.
pub fn the_log_forgets_the_oldest_and_says_so(make: Make<'_>) {
    const COUNT: u64 = 1_000;
    let store = make(Limits {
        op_log_bytes: 4 * 1_024,
        ..unlimited()
    });
    for n in 0..COUNT {
        put(&*store, &name(1, n, 0), &value(1, NEVER, b"v")).expect("there is no limit");
    }
    let gap = store
        .changes(Partition(1), 0, 10)
        .expect_err("a thousand do not fit into 1 KiB");
    assert_eq!(gap.asked, 0);
    assert_eq!(store.log_end(Partition(1)), COUNT, "it still counts");
    assert!((COUNT - 128..COUNT - 64).contains(&gap.oldest), "{gap}");
    assert_eq!(
        store
            .changes(Partition(1), gap.oldest - 1, 10)
            .map_err(|gap| gap.oldest),
        Err(gap.oldest)
    );
    let kept = store
        .changes(Partition(1), gap.oldest, usize::MAX)
        .expect("the oldest is there");
    let expected = (gap.oldest..COUNT).map(|n| Change {
        seq: n,
        token: key(&name(1, n, 0)).token,
    });
    assert!(kept.into_iter().eq(expected));
    // The other partitions have their own shares.
    put(&*store, &name(2, 0, 0), &value(1, NEVER, b"v")).expect("there is no limit");
    assert_eq!(
        store.changes(Partition(2), 0, 10).map(|page| page.len()),
        Ok(1)
    );
}

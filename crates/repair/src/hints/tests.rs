//! Hinted handoff as transcripts. The laws under random faults are in `tests/handoff.rs`.

use super::*;

const A: NodeId = NodeId([1; 16]);
const B: NodeId = NodeId([2; 16]);

fn hints() -> Hints {
    Hints::new(HintLimits::default())
}

fn keys(batch: &[ToSend]) -> Vec<&[u8]> {
    batch.iter().map(|hint| &*hint.key).collect()
}

#[test]
fn a_hint_goes_when_its_target_acknowledges_it() {
    let mut hints = hints();
    assert_eq!(hints.add(A, b"k", 10), Added::New);
    assert!(hints.due(10).eq([A]));
    let batch = hints.next_batch(A, 10, 100);
    assert_eq!(keys(&batch), [b"k"]);
    assert_eq!(hints.len(), 1, "sent is not delivered");
    assert_eq!(hints.acked(A, b"k", batch[0].generation), Acked::Removed);
    assert!(hints.is_empty());
    assert_eq!((hints.bytes(), hints.deadline()), (0, None));
    assert_eq!(hints.acked(A, b"k", batch[0].generation), Acked::Unknown);
    assert_eq!(
        hints.counts(),
        HintCounts {
            stored: 1,
            delivered: 1,
            ..HintCounts::default()
        }
    );
}

#[test]
fn many_writes_to_one_key_are_one_hint() {
    let mut hints = hints();
    assert_eq!(hints.add(A, b"k", 10), Added::New);
    assert_eq!(hints.add(A, b"k", 11), Added::Merged);
    assert_eq!(
        hints.add(B, b"k", 12),
        Added::New,
        "another target is another hint"
    );
    assert_eq!(hints.len(), 2);
    assert!(hints.per_target().eq([(A, 1), (B, 1)]));
}

#[test]
fn an_acknowledgement_of_an_older_version_keeps_the_hint() {
    let mut hints = hints();
    hints.add(A, b"k", 10);
    let first = hints.next_batch(A, 10, 100);
    hints.add(A, b"k", 11);
    assert_eq!(hints.acked(A, b"k", first[0].generation), Acked::Newer);
    let second = hints.next_batch(A, 12, 100);
    assert_eq!(keys(&second), [b"k"]);
    assert_eq!(
        hints.acked(A, b"k", first[0].generation),
        Acked::Newer,
        "told twice"
    );
    assert_eq!(
        hints.next_batch(A, 13, 100),
        [],
        "the second is still in flight"
    );
    assert_eq!(hints.acked(A, b"k", second[0].generation), Acked::Removed);
}

#[test]
fn a_late_acknowledgement_after_a_failure_is_as_good_as_any() {
    let mut hints = hints();
    hints.add(A, b"k", 10);
    let batch = hints.next_batch(A, 10, 100);
    hints.failed(A, 20, 0);
    assert_eq!(hints.acked(A, b"k", batch[0].generation), Acked::Removed);
    assert!(hints.is_empty());
}

#[test]
fn batches_are_bounded_oldest_first_and_one_at_a_time() {
    let mut hints = hints();
    for key in [b"a", b"b", b"c"] {
        hints.add(A, key, 10);
    }
    hints.add(A, b"a", 11);
    let batch = hints.next_batch(A, 12, 2);
    assert_eq!(keys(&batch), [b"b", b"c"]);
    assert_eq!(hints.due(12).count(), 0);
    assert_eq!(hints.next_batch(A, 12, 2), []);
    hints.acked(A, b"b", batch[0].generation);
    assert_eq!(hints.next_batch(A, 12, 2), []);
    hints.acked(A, b"c", batch[1].generation);
    assert_eq!(keys(&hints.next_batch(A, 12, 2)), [b"a"]);
}

#[test]
fn failures_back_off_and_a_target_that_returns_ends_it() {
    let mut hints = hints();
    hints.add(A, b"k", 0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..9 {
        hints.next_batch(A, now, 1);
        hints.failed(A, now, u64::MAX - 1);
        let retry = hints.deadline().unwrap();
        assert_eq!(hints.due(retry - 1).count(), 0);
        waits.push(retry - now);
        now = retry;
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert!(waits[0] >= 125 && waits[8] <= 30_000, "{waits:?}");
    hints.next_batch(A, now, 1);
    hints.failed(A, now, 0);
    assert_eq!(hints.due(now).count(), 0);
    hints.target_up(A);
    assert!(hints.due(now).eq([A]));
}

#[test]
fn a_batch_backs_off_once_however_many_of_its_hints_fail() {
    let mut hints = hints();
    let all: Vec<_> = (0u8..100).map(|key| [key]).collect();
    all.iter().for_each(|key| {
        hints.add(A, key, 0);
    });
    let batch = hints.next_batch(A, 0, 100);
    for hint in &batch[..60] {
        hints.failed_one(A, &hint.key, hint.generation, 0, u64::MAX);
    }
    assert_eq!(hints.due(60_000).count(), 0, "forty are still awaited");
    for hint in &batch[60..] {
        hints.acked(A, &hint.key, hint.generation);
    }
    assert_eq!(hints.len(), 60);
    let retry = hints.deadline().unwrap();
    assert!(
        (125..=250).contains(&retry),
        "{retry} ms: the first back-off and no more"
    );
    hints.failed(A, 0, 0);
    assert_eq!(hints.deadline(), Some(retry), "nothing is in flight");
}

#[test]
fn an_outdated_failure_does_not_disturb_the_batch_in_flight() {
    let mut hints = hints();
    hints.add(A, b"k", 0);
    let first = hints.next_batch(A, 0, 1);
    hints.failed(A, 0, 0);
    hints.add(A, b"k", 1);
    hints.next_batch(A, 1_000, 1);
    hints.failed_one(A, b"k", first[0].generation, 1_001, 0);
    assert_eq!(
        hints.due(100_000).count(),
        0,
        "the second is still in flight"
    );
}

#[test]
fn a_target_that_is_down_is_left_alone() {
    let mut hints = hints();
    hints.add(A, b"k", 0);
    hints.next_batch(A, 0, 1);
    hints.target_down(A, 5);
    hints.add(A, b"l", 6);
    let too_old = HintLimits::default().max_age_ms + 1;
    assert_eq!(hints.deadline(), Some(too_old), "nothing but age counts");
    assert_eq!(hints.due(1_000_000).count(), 0);
    assert_eq!(hints.next_batch(A, 1_000_000, 9), []);
    hints.target_up(A);
    assert_eq!(keys(&hints.next_batch(A, 1_000_000, 9)), [b"k", b"l"]);
}

#[test]
fn a_batch_that_is_never_answered_is_taken_back() {
    let mut hints = hints();
    hints.add(A, b"k", 0);
    hints.next_batch(A, 0, 1);
    assert_eq!(hints.deadline(), Some(10_000));
    assert_eq!(hints.handle_timeout(9_999, 0), []);
    assert_eq!(hints.due(9_999).count(), 0);
    hints.handle_timeout(10_000, 0);
    assert!(hints.due(11_000).eq([A]));
}

#[test]
fn overflow_is_counted_and_its_partition_owed_anti_entropy() {
    let limits = HintLimits {
        max_hints: 1,
        ..HintLimits::default()
    };
    let mut hints = Hints::new(limits);
    hints.add(A, b"k", 0);
    assert_eq!(hints.add(A, b"l", 1), Added::Overflow);
    assert_eq!(
        hints.add(A, b"k", 2),
        Added::Merged,
        "what is there takes no room"
    );
    assert_eq!(hints.counts().overflowed, 1);
    let partition = Token::of(b"l").partition(limits.partition_bits);
    assert!(hints.owed_anti_entropy().iter().eq([&(A, partition)]));
    hints.anti_entropy_done(A, partition);
    assert!(hints.owed_anti_entropy().is_empty());
}

#[test]
fn bytes_are_bounded_too() {
    let limits = HintLimits {
        max_bytes: 1_000,
        ..HintLimits::default()
    };
    let mut hints = Hints::new(limits);
    assert_eq!(
        hints.add(A, &[7; 900], 0),
        Added::Overflow,
        "key and overhead"
    );
    assert_eq!(hints.add(A, &[7; 808], 0), Added::New);
    assert_eq!(hints.bytes(), 1_000);
    assert_eq!(hints.add(A, b"", 0), Added::Overflow);
}

#[test]
fn a_hint_expires_after_its_newest_write_and_says_so() {
    let limits = HintLimits {
        max_age_ms: 100,
        ..HintLimits::default()
    };
    let mut hints = Hints::new(limits);
    hints.target_down(A, 0);
    hints.add(A, b"k", 0);
    hints.add(A, b"l", 10);
    hints.add(A, b"k", 50);
    assert_eq!(hints.deadline(), Some(111));
    assert_eq!(hints.handle_timeout(110, 0), []);
    let dropped = hints.handle_timeout(111, 0);
    assert_eq!(
        dropped,
        [Dropped {
            target: A,
            key: b"l".as_slice().into()
        }]
    );
    assert_eq!((hints.len(), hints.counts().expired), (1, 1));
    assert!(!hints.owed_anti_entropy().is_empty());
    assert_eq!(hints.handle_timeout(1_000, 0).len(), 1);
    assert_eq!((hints.bytes(), hints.deadline()), (0, None));
}

#[test]
fn a_hint_that_expires_in_flight_leaves_nothing_behind() {
    let limits = HintLimits {
        max_age_ms: 100,
        ..HintLimits::default()
    };
    let mut hints = Hints::new(limits);
    hints.add(A, b"k", 0);
    let batch = hints.next_batch(A, 0, 1);
    assert_eq!(hints.handle_timeout(101, 0).len(), 1);
    assert_eq!(hints.acked(A, b"k", batch[0].generation), Acked::Unknown);
    assert_eq!(hints.deadline(), None);
    assert_eq!(hints.per_target().count(), 0);
}

#[test]
fn a_target_that_leaves_the_ring_is_owed_nothing() {
    let mut hints = Hints::new(HintLimits {
        max_hints: 2,
        ..HintLimits::default()
    });
    hints.add(A, b"k", 0);
    hints.add(B, b"k", 0);
    hints.add(A, b"l", 0);
    assert!(hints.is_hinted(b"k") && !hints.is_hinted(b"l"));
    assert_eq!(hints.forget(A).len(), 1);
    assert!(hints.owed_anti_entropy().is_empty());
    assert!(hints.is_hinted(b"k"), "the other target is still owed");
    assert_eq!(hints.forget(B).len(), 1);
    assert!(!hints.is_hinted(b"k"));
    assert_eq!((hints.counts().forgotten, hints.bytes()), (2, 0));
}

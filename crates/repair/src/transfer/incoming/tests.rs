//! A node that pulls: sources in turn, failures and pauses, bounds, and that every job ends.

use std::collections::BTreeSet;

use henge_ring::RingTag;
use proptest::prelude::*;

use super::*;

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn assignment(set: u64) -> AssignmentId {
    AssignmentId {
        view: RingTag::default(),
        set,
    }
}

fn wanted(sources: u8, needed: usize) -> Wanted {
    Wanted {
        from: assignment(1),
        to: assignment(2),
        sources: (1..=sources).map(node).collect(),
        needed,
    }
}

fn incoming(partitions: u16, sources: u8, needed: usize) -> Incoming {
    let mut incoming = Incoming::new(node(0), TransferLimits::default(), 0);
    for partition in 0..partitions {
        incoming.want(Partition(partition), Some(wanted(sources, needed)));
    }
    incoming
}

fn page(next: Option<u64>) -> Page {
    Page { next, bytes: 100 }
}

/// One pull after the other, each at a time when it may be tried, with everybody up.
fn next(incoming: &mut Incoming, now_ms: &mut u64) -> Pull {
    *now_ms += TransferLimits::default().retry_ms;
    let pull = incoming.next_pull(*now_ms, |_| true);
    pull.expect("there is something to pull")
}

#[test]
fn a_source_is_read_from_start_to_end_and_then_the_next() {
    let (mut incoming, mut now) = (incoming(1, 3, 2), 0);
    for (source, first, then) in [(1, 0, Some(7)), (1, 7, None), (2, 0, None)] {
        let pull = next(&mut incoming, &mut now);
        assert_eq!((pull.source, pull.first), (node(source), first));
        assert_eq!(incoming.finished(), None);
        incoming.pulled(&pull, page(then));
    }
    let (partition, fact) = incoming.finished().expect("two were read");
    assert_eq!((partition, fact.joiner), (Partition(0), node(0)));
    assert!(incoming.is_empty() && incoming.bytes() == 300);
}

#[test]
fn a_source_that_goes_on_failing_is_left_and_later_resumed() {
    let (mut incoming, mut now) = (incoming(1, 2, 2), 0);
    let pull = next(&mut incoming, &mut now);
    incoming.pulled(&pull, page(Some(40)));
    for _ in 0..PATIENCE {
        let pull = next(&mut incoming, &mut now);
        assert_eq!((pull.source, pull.first), (node(1), 40), "it may recover");
        incoming.failed(&pull, now);
    }
    let pull = next(&mut incoming, &mut now);
    assert_eq!((pull.source, pull.first), (node(2), 0));
    incoming.pulled(&pull, page(None));
    let pull = next(&mut incoming, &mut now);
    assert_eq!(
        (pull.source, pull.first),
        (node(1), 40),
        "from where it stopped"
    );
}

#[test]
fn an_only_source_is_tried_for_ever() {
    let (mut incoming, mut now) = (incoming(1, 1, 1), 0);
    for _ in 0..100 {
        let pull = next(&mut incoming, &mut now);
        assert_eq!(pull.source, node(1));
        incoming.failed(&pull, now);
    }
}

#[test]
fn a_failed_pull_waits_before_it_is_tried_again() {
    let mut incoming = incoming(1, 1, 1);
    let pull = incoming.next_pull(10, |_| true).expect("a pull");
    incoming.failed(&pull, 10);
    let retry_ms = TransferLimits::default().retry_ms;
    assert_eq!(incoming.next_pull(9 + retry_ms, |_| true), None);
    assert!(incoming.next_pull(10 + retry_ms, |_| true).is_some());
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken_for_a_page() {
    let mut incoming = incoming(1, 2, 1);
    let early = incoming.next_pull(0, |_| true).expect("a pull");
    incoming.failed(&early, 0);
    let pull = incoming
        .next_pull(1_000, |id| *id == node(2))
        .expect("a pull");
    assert_eq!(pull.source, node(2));
    incoming.pulled(&early, page(None));
    assert_eq!(incoming.finished(), None, "that source was given up");
}

#[test]
fn only_so_many_pulls_are_in_flight_and_only_so_many_bytes_a_second() {
    let mut incoming = incoming(9, 1, 1);
    let pulls: Vec<_> = std::iter::from_fn(|| incoming.next_pull(0, |_| true)).collect();
    assert_eq!(pulls.len(), TransferLimits::default().incoming);
    let second = TransferLimits::default().bytes_per_second;
    for pull in &pulls {
        let page = Page {
            next: None,
            bytes: second,
        };
        incoming.pulled(pull, page);
    }
    assert_eq!(incoming.next_pull(500, |_| true), None);
    let rest_ms = incoming.pace().rest_ms();
    assert!(incoming.next_pull(500 + rest_ms, |_| true).is_some());
}

#[test]
fn a_source_that_wants_rest_is_left_alone_and_nothing_else() {
    let mut incoming = incoming(2, 2, 1);
    let pull = incoming.next_pull(0, |_| true).expect("a pull");
    assert_eq!(pull.source, node(1));
    incoming.refused(&pull, 300, 0);
    let other = incoming.next_pull(1, |_| true).expect("a pull");
    assert_eq!(other.source, node(2));
    incoming.failed(&other, 1);
    assert_eq!(incoming.next_pull(299, |id| *id == node(1)), None);
    let again = incoming.next_pull(300, |id| *id == node(1));
    assert_eq!(
        again.map(|pull| (pull.source, pull.first)),
        Some((node(1), 0))
    );
    let pull = incoming.next_pull(400, |_| true).expect("a pull");
    incoming.refused(&pull, u64::MAX, 400);
    assert!(
        incoming.next_pull(1_400, |id| *id == pull.source).is_some(),
        "nobody rests for ever"
    );
}

#[test]
fn partitions_with_the_fewest_copies_come_first() {
    let mut incoming = incoming(1, 3, 1);
    incoming.want(Partition(1), Some(wanted(1, 1)));
    let pull = incoming.next_pull(0, |_| true).expect("a pull");
    assert_eq!(pull.partition, Partition(1));
}

proptest! {
    /// Whatever fails, and whoever is down for how long: once all are up and answer, every job ends,
    /// having read each of its sources that it counts from the first to the last page in order.
    #[test]
    fn every_job_ends_with_whole_sources(
        events in prop::collection::vec((0..4_u8, 0..16_u8), 0..200),
        pages in 1..5_u64,
    ) {
        let (partitions, sources, needed) = (3, 3, 2);
        let mut incoming = incoming(partitions, sources, needed);
        let mut seen: BTreeMap<(Partition, NodeId), u64> = BTreeMap::new();
        let mut whole: BTreeMap<Partition, BTreeSet<NodeId>> = BTreeMap::new();
        let (mut now, mut finished) = (0, BTreeSet::new());
        let quiet = std::iter::repeat_n((0, 0b1110), 300);
        for (fate, up) in events.into_iter().chain(quiet) {
            now += 60;
            let Some(pull) = incoming.next_pull(now, |id| up >> id.0[0] & 1 == 1) else {
                continue;
            };
            prop_assert!(up >> pull.source.0[0] & 1 == 1, "asked while down");
            let of = (pull.partition, pull.source);
            prop_assert_eq!(*seen.get(&of).unwrap_or(&0), pull.first, "a page left out or twice");
            if fate == 0 {
                let next = (pull.first + 1 < pages).then_some(pull.first + 1);
                seen.insert(of, pull.first + 1);
                if next.is_none() {
                    whole.entry(pull.partition).or_default().insert(pull.source);
                }
                incoming.pulled(&pull, page(next));
            } else {
                incoming.failed(&pull, now);
            }
            while let Some((partition, _)) = incoming.finished() {
                prop_assert!(whole[&partition].len() >= needed);
                finished.insert(partition);
            }
        }
        prop_assert_eq!(finished.len(), usize::from(partitions));
    }
}

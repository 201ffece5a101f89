//! The log is a grow-only set: laws of union, tags, and what is refused on the way in.

use henge_ring::{ChangeId, Event, Log, MAX_ADDRESS, MAX_ZONE, Op, RingTag, Weight, Zone};
use proptest::{collection::vec, prelude::*};

use crate::topology::{any_node, any_op, endpoints, id, join};

fn any_event() -> impl Strategy<Value = Event> {
    (0u64..5, 0u64..3, any_node(), any_op()).prop_map(|(lamport, change, proposer, op)| Event {
        lamport,
        change: ChangeId(change),
        proposer,
        op,
    })
}

fn any_log() -> impl Strategy<Value = Log> {
    vec(any_event(), 0..12).prop_map(|events| events.into_iter().collect())
}

fn united(a: &Log, b: &Log) -> Log {
    let mut union = a.clone();
    union.union(b);
    union
}

proptest! {
    #[test]
    fn union_is_a_join(a in any_log(), b in any_log(), c in any_log()) {
        prop_assert_eq!(united(&a, &b), united(&b, &a));
        prop_assert_eq!(united(&a, &united(&b, &c)), united(&united(&a, &b), &c));
        prop_assert_eq!(united(&a, &a), a.clone());
        prop_assert!(a.events().all(|event| united(&a, &b).contains(event)));
    }

    #[test]
    fn union_reports_progress(mut a in any_log(), b in any_log()) {
        let news = b.missing_from(&a).count();
        let before = a.len();
        prop_assert_eq!(a.union(&b), news > 0);
        prop_assert_eq!(a.len(), before + news);
        prop_assert!(!a.union(&b));
        prop_assert_eq!(b.missing_from(&a).count(), 0);
    }

    #[test]
    fn what_is_missing_completes_the_other(a in any_log(), b in any_log()) {
        let mut patched = b.clone();
        patched.extend(a.missing_from(&b).cloned());
        prop_assert_eq!(patched, united(&a, &b));
    }

    #[test]
    fn tags_tell_logs_apart(a in any_log(), b in any_log()) {
        prop_assert_eq!(a.tag() == b.tag(), a == b);
        let largest = a.events().map(|event| event.lamport).max();
        prop_assert_eq!(a.tag().lamport, largest.unwrap_or(0));
    }

    #[test]
    fn logs_survive_the_wire(log in any_log()) {
        let bytes = postcard::to_stdvec(&log).expect("encodes");
        prop_assert_eq!(postcard::from_bytes::<Log>(&bytes), Ok(log));
    }

    #[test]
    fn decoding_noise_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(log) = postcard::from_bytes::<Log>(&bytes) {
            prop_assert!(log.events().is_sorted());
        }
    }
}

#[test]
fn an_empty_log_has_the_zero_tag() {
    assert_eq!(
        Log::new().tag(),
        RingTag {
            lamport: 0,
            hash: 0
        }
    );
    assert_eq!(Log::new().next_lamport(), 1);
    assert!(Log::new().is_empty());
}

#[test]
fn a_proposal_follows_everything_known() {
    let mut log = Log::new();
    for change in 1..4 {
        let events = log.propose(id(0), ChangeId(change), [join(1, 1, 0), Op::SplitQ]);
        assert!(
            events
                .iter()
                .all(|event| event.lamport == change && !log.contains(event))
        );
        assert!(events.into_iter().all(|event| log.insert(event)));
    }
    assert_eq!(log.next_lamport(), 4);
    let again = log.events().next().cloned().expect("not empty");
    assert!(!log.insert(again), "inserting twice is no news");
}

#[test]
fn the_last_lamport_does_not_overflow() {
    let event = Event {
        lamport: u64::MAX,
        change: ChangeId(0),
        proposer: id(0),
        op: Op::SplitQ,
    };
    assert_eq!(Log::from_iter([event]).next_lamport(), u64::MAX);
}

#[test]
fn names_and_addresses_have_a_bound() {
    assert!(Zone::new("z".repeat(MAX_ZONE)).is_ok());
    let error = Zone::new("z".repeat(MAX_ZONE + 1)).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "a zone's name has at most 64 bytes, not 65"
    );

    let long_zone = postcard::to_stdvec(&"z".repeat(MAX_ZONE + 1)).expect("encodes");
    assert!(postcard::from_bytes::<Zone>(&long_zone).is_err());

    let with_peer = |length: usize| {
        let mut endpoints = endpoints("h");
        endpoints.peer = "p".repeat(length);
        let bytes = postcard::to_stdvec(&endpoints).expect("encodes");
        postcard::from_bytes::<henge_ring::Endpoints>(&bytes)
    };
    assert!(with_peer(MAX_ADDRESS).is_ok());
    assert!(with_peer(MAX_ADDRESS + 1).is_err());
}

#[test]
fn no_weight_is_zero() {
    assert_eq!(Weight::new(0), None);
    assert!(postcard::from_bytes::<Weight>(&[0]).is_err());
    assert_eq!(Weight::default().get(), 100);
}

#[test]
fn a_log_has_a_bound_for_what_others_send() {
    let event = |lamport| Event {
        lamport,
        change: ChangeId(0),
        proposer: id(1),
        op: Op::Leave { node: id(2) },
    };
    let most = Log::MAX_EVENTS as u64;
    let mut log: Log = (1..most).map(event).collect();
    assert_eq!(log.try_extend(vec![event(1), event(most)]), Ok(true));
    let full = log.clone();
    assert_eq!(log.try_extend(vec![event(1), event(most)]), Ok(false));
    let refused = log.try_extend(vec![event(most + 1), event(2)]).unwrap_err();
    assert_eq!(refused.events, Log::MAX_EVENTS + 1);
    assert_eq!(log, full, "nothing of it was taken");
}

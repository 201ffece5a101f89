//! Exchanges: however many clients exchange one value at once, each is told what the one before it has left.

use super::{
    counting::{alices, held},
    *,
};
use crate::{Modification, hidden};

fn exchange(value: Option<&str>) -> Operation<'_> {
    Operation::Exchange {
        value: value.map(str::as_bytes),
        expiry: Expiry::Keep,
        condition: Condition::Always,
    }
}

/// What was there before an exchange that was made.
fn told(outcome: &Result<Done, Failure>) -> Option<String> {
    let done = outcome.as_ref().expect("exchanged");
    assert!(!done.absorbed, "{done:?}");
    held(done.record.as_deref()?, None)
}

#[test]
fn of_a_hundred_at_once_each_is_told_what_another_has_left_and_no_two_the_same() {
    for key in ["value", "sess:value"] {
        let mut cluster = Cluster::new(5);
        let values: Vec<String> = (0..100).map(|number| format!("v{number}")).collect();
        let exchanges: Vec<_> = values.iter().map(|it| exchange(Some(it))).collect();
        let outcomes = cluster.at_once(key, &exchanges);
        assert!(outcomes.iter().flatten().all(|done| done.applied));
        let mut seen: Vec<_> = outcomes.iter().map(told).collect();
        seen.push(held(&cluster.found(3, key), None));
        seen.sort();
        let mut wanted: Vec<_> = values.iter().cloned().map(Some).collect();
        wanted.push(None);
        wanted.sort();
        assert_eq!(seen, wanted, "{key}");
    }
}

#[test]
fn of_a_hundred_that_take_a_value_at_once_one_gets_it() {
    for key in ["value", "sess:value"] {
        let mut cluster = Cluster::new(3);
        cluster.run(1, key, put("once")).expect("written");
        let outcomes = cluster.at_once(key, &vec![exchange(None); 100]);
        let seen: Vec<_> = outcomes.iter().filter_map(told).collect();
        assert_eq!(seen, ["once"], "{key}");
        assert_eq!(outcomes.iter().flatten().filter(|it| it.applied).count(), 1);
        assert_eq!(cluster.get(2, key), None);
    }
}

#[test]
fn what_is_in_its_way_is_shown_and_stays_as_it_is() {
    let mut cluster = Cluster::new(3);
    let fields = Operation::PutFields {
        fields: FieldWrites::from_slice(&[(b"f", Some(b"v"))]),
        expiry: Expiry::Keep,
    };
    cluster.run(1, "sess:hash", fields).expect("written");
    cluster.run(1, "sess:text", put("old")).expect("written");
    let only = |value, condition| Operation::Exchange {
        value: Some(value),
        expiry: Expiry::Keep,
        condition,
    };
    for (key, operation) in [
        ("sess:hash", exchange(Some("new"))),
        ("sess:hash", exchange(None)),
        ("sess:text", only(b"new", Condition::Absent)),
    ] {
        let before = cluster.found(2, key);
        let declined = cluster.run(3, key, operation.clone()).expect("decided");
        assert!(!declined.applied, "{key} {operation:?}");
        assert_eq!(declined.record.as_ref(), Some(&before), "{operation:?}");
        assert_eq!(cluster.found(2, key), before);
    }
    let declined = cluster.run(1, "sess:none", only(b"new", Condition::Present));
    assert_eq!(declined, Ok(Done::default()));
    assert_eq!(cluster.get(2, "sess:none"), None);
}

#[test]
fn a_destroyed_session_is_not_begun_again_by_an_exchange() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, "sess:k", put("v")).expect("written");
    assert_eq!(
        told(&cluster.run(2, "sess:k", exchange(None))),
        Some("v".into())
    );
    let late = cluster
        .run(3, "sess:k", exchange(Some("late")))
        .expect("decided");
    assert!(late.absorbed && !late.applied, "{late:?}");
    assert_eq!(cluster.get(1, "sess:k"), None);
}

#[test]
fn bytes_that_are_written_over_others_at_once_are_all_there() {
    let mut cluster = Cluster::new(3);
    let over = |from, patch| Operation::Modify {
        field: None,
        by: Modification::Overwrite {
            from,
            patch,
            most: 1_000,
        },
        expiry: Expiry::Keep,
        condition: Condition::Always,
    };
    let bytes: Vec<u8> = (b'A'..b'A' + 50).collect();
    let writes: Vec<_> = bytes
        .iter()
        .zip(0..)
        .map(|(byte, at)| over(at, std::slice::from_ref(byte)))
        .collect();
    let outcomes = cluster.at_once("sess:k", &writes);
    assert!(outcomes.iter().flatten().all(|done| done.applied));
    assert_eq!(cluster.get(2, "sess:k").as_ref(), Some(&bytes));
}

#[test]
fn of_a_principals_session_the_value_is_told_and_nothing_that_is_hidden() {
    let mut cluster = Cluster::new(3);
    alices(&mut cluster);
    for (operation, wanted) in [(exchange(Some("42")), "41"), (exchange(None), "42")] {
        let outcome = cluster.run(2, "sess:a", operation);
        let record = outcome.as_ref().ok().and_then(|it| it.record.as_deref());
        let record = record.expect("what was there");
        assert_eq!(hidden::visible(record), None, "no hidden field");
        let shown = held(record, None).or_else(|| held(record, Some("")));
        assert_eq!(shown.as_deref(), Some(wanted));
    }
    assert_eq!(cluster.get(1, "sess:a"), None);
}

#[test]
fn after_a_logout_everywhere_an_exchange_tells_nothing_of_the_session() {
    for operation in [exchange(Some("42")), exchange(None)] {
        let mut cluster = Cluster::new(3);
        alices(&mut cluster);
        super::principals::logout_all(&mut cluster, 2, "alice").expect("done");
        for node in 1..=3 {
            let late = cluster
                .run(node, "sess:a", operation.clone())
                .expect("taken");
            assert!(!late.applied, "{late:?}");
            let left = late.record.as_deref().map(RecordRef::parse);
            assert!(
                left.is_none_or(|record| record.is_ok_and(|it| it.is_dead())),
                "a tombstone at most"
            );
        }
        cluster.pass(100);
        assert_eq!(cluster.get(1, "sess:a"), None);
    }
}

#[test]
fn what_has_expired_is_not_told() {
    let mut cluster = Cluster::new(3);
    let expiry = Expiry::At(cluster.now.wall_ms + 1_000);
    for key in ["sess:k", "k"] {
        let begun = Operation::Put {
            value: b"old",
            expiry,
            condition: Condition::Always,
        };
        cluster.run(1, key, begun).expect("written");
    }
    cluster.pass(1_001);
    for key in ["sess:k", "k"] {
        let declined = cluster.run(2, key, exchange(None)).expect("decided");
        assert!(!declined.applied, "there is nothing to take");
        assert_eq!(told(&cluster.run(2, key, exchange(Some("new")))), None);
        assert_eq!(cluster.get(3, key).as_deref(), Some(&b"new"[..]));
    }
}

#[test]
fn the_wire_carries_it_as_the_last_operation() {
    let encoded = |value| {
        super::super::encode_request(&Request {
            key: b"k",
            operation: exchange(value),
            options: Options::default(),
        })
    };
    // Key, operation (value, expiry, condition), options.
    let put_x = [1, b'k', 12, 1, 1, b'x', 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(encoded(Some("x")), put_x);
    assert_eq!(encoded(None), [1, b'k', 12, 0, 0, 0, 0, 0, 0, 0, 0]);
    let decoded = super::super::decode_request(&put_x).expect("a request");
    assert_eq!(super::super::encode_request(&decoded), put_x);
}

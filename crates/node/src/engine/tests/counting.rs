//! Modifications: however many clients count at once, each is counted once and told its own number.

use super::*;
use crate::{Modification, hidden};

const ONE: Modification<'static> = Modification::Add(1);

fn modify<'a>(field: Option<&'a str>, by: Modification<'a>) -> Operation<'a> {
    Operation::Modify {
        field: field.map(str::as_bytes),
        by,
        expiry: Expiry::Keep,
        condition: Condition::Always,
    }
}

fn append(tail: &[u8]) -> Modification<'_> {
    let most = u64::MAX;
    Modification::Append { tail, most }
}

fn set_field<'a>(name: &'a str, value: &'a str) -> Operation<'a> {
    Operation::PutFields {
        fields: FieldWrites::from_slice(&[(name.as_bytes(), Some(value.as_bytes()))]),
        expiry: Expiry::Keep,
    }
}

/// What a record holds in the place that was modified.
pub(super) fn held(record: &[u8], field: Option<&str>) -> Option<String> {
    let record = RecordRef::parse(record).expect("a record");
    let value = match field {
        Some(name) => record.field(name.as_bytes()),
        None => record.value(),
    };
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

/// What an applied modification tells of itself.
fn told(done: &Done, field: Option<&str>) -> Option<String> {
    assert!(done.applied && !done.absorbed, "{done:?}");
    held(done.record.as_deref().expect("what was written"), field)
}

impl Cluster {
    /// Begins requests on one key through all nodes in turn, before anything is carried, and answers with
    /// their outcomes.
    pub(super) fn at_once<'a>(
        &mut self,
        key: &'a str,
        operations: &[Operation<'a>],
    ) -> Vec<Result<Done, Failure>> {
        let nodes = self.nodes.len();
        for (at, operation) in operations.iter().enumerate() {
            let request = Request {
                key: key.as_bytes(),
                operation: operation.clone(),
                options: Options::default(),
            };
            self.begin(1 + (at % nodes) as u8, &request, Engine::submit);
        }
        self.deliver();
        let mut outcomes = Vec::new();
        let mut completions = Vec::new();
        for (engine, _) in self.nodes.values_mut() {
            engine.take_completions(&mut completions);
            outcomes.append(&mut completions);
        }
        outcomes.sort_by_key(|(ticket, _)| ticket.token);
        outcomes.into_iter().map(|(_, it)| it.result).collect()
    }
}

#[test]
fn a_hundred_at_once_all_count_and_each_is_told_its_own_number() {
    for (key, field) in [
        ("counter", None),
        ("hash", Some("n")),
        ("sess:value", None),
        ("sess:hash", Some("n")),
    ] {
        let mut cluster = Cluster::new(5);
        let increments = vec![modify(field, ONE); 100];
        for round in 0..2 {
            let outcomes = cluster.at_once(key, &increments);
            let number = |it: &Result<Done, Failure>| {
                let number = told(it.as_ref().expect("counted"), field).expect("a number");
                number.parse::<usize>().expect("a whole number")
            };
            let mut numbers: Vec<usize> = outcomes.iter().map(number).collect();
            numbers.sort_unstable();
            let wanted: Vec<usize> = (round * 100 + 1..=round * 100 + 100).collect();
            assert_eq!(numbers, wanted, "{key}");
        }
        for node in 1..=5 {
            let found = cluster.found(node, key);
            assert_eq!(held(&found, field).as_deref(), Some("200"), "{key}");
        }
    }
}

#[test]
fn other_fields_change_beside_it_and_nothing_is_lost_of_either() {
    let mut cluster = Cluster::new(3);
    let names: Vec<String> = (0..30).map(|number| format!("f{number}")).collect();
    let mixed: Vec<_> = names
        .iter()
        .flat_map(|name| [modify(Some("n"), ONE), set_field(name, "set")])
        .collect();
    let outcomes = cluster.at_once("sess:k", &mixed);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let found = cluster.found(2, "sess:k");
    assert_eq!(held(&found, Some("n")).as_deref(), Some("30"));
    for name in &names {
        assert_eq!(held(&found, Some(name)).as_deref(), Some("set"));
    }
}

/// The key's decider in a cluster of three.
fn decider_of(key: &str) -> u8 {
    let ring = ring_of(3);
    let partition = ring.partition_of(henge_ring::Token::of(key.as_bytes()));
    ring.member(ring.primaries(partition)[0]).id.0[0]
}

#[test]
fn an_increment_that_ends_unknown_holds_up_none_that_follows_and_may_count() {
    let mut cluster = Cluster::new(3);
    let decider = decider_of("k");
    cluster
        .run(decider, "k", modify(None, ONE))
        .expect("counted");
    let others: Vec<_> = (1..=3).filter(|node| *node != decider).collect();
    let silent = Request {
        key: b"k",
        operation: modify(None, ONE),
        options: quorum(1, 2),
    };
    cluster.begin(decider, &silent, Engine::submit);
    cluster.down = others.iter().map(|node| id(*node)).collect();
    cluster.deliver();
    cluster.down.clear();
    let next = cluster.ask(
        decider,
        &Request {
            options: quorum(2, 2),
            ..silent
        },
    );
    assert_eq!(
        told(&next.result.expect("counted"), None).as_deref(),
        Some("3")
    );
    cluster.pass(2_000);
    let mut completions = Vec::new();
    cluster
        .engine(id(decider))
        .take_completions(&mut completions);
    let ended = completions.pop().map(|it| it.1.result);
    assert!(
        matches!(ended, Some(Err(Failure::Unknown { needed: 2, got: 1 }))),
        "{ended:?}"
    );
    assert_eq!(cluster.get(others[0], "k").as_deref(), Some(&b"3"[..]));
}

#[test]
fn another_decider_goes_on_from_what_was_acknowledged() {
    let mut cluster = Cluster::new(3);
    let decider = decider_of("k");
    let outcomes = cluster.at_once("k", &vec![modify(None, ONE); 9]);
    assert!(outcomes.iter().all(Result::is_ok));
    cluster.kill(decider);
    let next = cluster
        .run(decider % 3 + 1, "k", modify(None, ONE))
        .expect("counted");
    assert_eq!(told(&next, None).as_deref(), Some("10"));
}

#[test]
fn what_is_in_its_way_is_shown_and_stays_as_it_is() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, "text", put("abc")).expect("written");
    cluster
        .run(1, "hash", set_field("f", "abc"))
        .expect("written");
    cluster
        .run(1, "set", set_field("\0member", ""))
        .expect("written");
    let refused = [
        ("text", modify(None, ONE)),
        ("text", modify(None, Modification::AddFraction(0.5))),
        ("text", modify(Some("f"), ONE)),
        ("hash", modify(None, ONE)),
        ("hash", modify(None, append(b"x"))),
        ("hash", modify(Some("f"), ONE)),
        ("set", modify(Some("f"), ONE)),
    ];
    for (key, operation) in refused {
        let before = cluster.found(2, key);
        let declined = cluster.run(3, key, operation.clone()).expect("decided");
        assert!(
            !declined.applied && !declined.absorbed,
            "{key} {operation:?}"
        );
        assert_eq!(
            declined.record.as_ref(),
            Some(&before),
            "{key} {operation:?}"
        );
        assert_eq!(cluster.found(2, key), before);
    }
    let absent = Operation::Modify {
        field: None,
        by: ONE,
        expiry: Expiry::Keep,
        condition: Condition::Present,
    };
    let declined = cluster.run(1, "absent", absent).expect("decided");
    assert_eq!(declined, Done::default());
    let appended = cluster
        .run(2, "text", modify(None, append(b"de")))
        .expect("appended");
    assert_eq!(told(&appended, None).as_deref(), Some("abcde"));
}

#[test]
fn no_value_grows_beyond_what_a_bucket_takes() {
    let mut cluster = Cluster::new(3);
    let most = "v".repeat(1 << 20);
    cluster.run(1, "k", put(&most)).expect("just fits");
    let error = cluster
        .run(2, "k", modify(None, append(b"x")))
        .expect_err("one more");
    assert_eq!(
        error.to_string(),
        "a value has at most 1048576 bytes, this one 1048577"
    );
    assert_eq!(cluster.get(3, "k").map(|value| value.len()), Some(1 << 20));
}

#[test]
fn what_was_there_keeps_its_deadline_and_what_begins_gets_the_one_given() {
    let mut cluster = Cluster::new(3);
    let until = cluster.now.wall_ms + 10_000;
    let until_then = |at| Operation::Modify {
        field: None,
        by: ONE,
        expiry: Expiry::At(at),
        condition: Condition::Always,
    };
    for (at, wanted) in [(until, "1"), (until + 5_000, "2")] {
        let done = cluster.run(1, "sess:k", until_then(at)).expect("counted");
        assert_eq!(told(&done, None).as_deref(), Some(wanted));
        let found = cluster.found(2, "sess:k");
        let found = RecordRef::parse(&found).expect("a record");
        assert_eq!(found.deadline().at, until);
    }
    cluster.pass(10_001);
    let anew = cluster
        .run(3, "sess:k", modify(None, ONE))
        .expect("counted");
    assert_eq!(
        told(&anew, None).as_deref(),
        Some("1"),
        "what has expired does not count"
    );
}

#[test]
fn a_destroyed_session_absorbs_it() {
    let mut cluster = Cluster::new(3);
    cluster
        .run(1, "sess:k", modify(Some("n"), ONE))
        .expect("counted");
    cluster.run(2, "sess:k", DELETE).expect("destroyed");
    let late = cluster
        .run(3, "sess:k", modify(Some("n"), ONE))
        .expect("taken");
    assert!(late.absorbed && !late.applied);
    assert_eq!(cluster.get(1, "sess:k"), None);
}

/// A session of alice's, logged in with a count of 41.
pub(super) fn alices(cluster: &mut Cluster) {
    super::principals::login(cluster, 1, "sess:a", "alice").expect("logged in");
    cluster.run(1, "sess:a", put("41")).expect("written");
}

#[test]
fn counting_in_a_principals_session_tells_the_number_and_nothing_that_is_hidden() {
    let mut cluster = Cluster::new(3);
    alices(&mut cluster);
    let outcomes = cluster.at_once("sess:a", &vec![modify(None, ONE); 30]);
    let mut numbers: Vec<_> = outcomes
        .iter()
        .map(|it| {
            let done = it.as_ref().expect("counted");
            let record = done.record.as_deref().expect("what was written");
            assert_eq!(hidden::visible(record), None, "no hidden field");
            told(done, None)
                .or_else(|| held(record, Some("")))
                .expect("a number")
        })
        .collect();
    numbers.sort();
    assert_eq!(
        numbers,
        (42..=71).map(|it| it.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(cluster.get(2, "sess:a").as_deref(), Some(&b"71"[..]));
}

/// The number would tell what a session held that nobody may see any more.
#[test]
fn after_a_logout_everywhere_counting_tells_nothing_of_the_session() {
    let mut cluster = Cluster::new(3);
    alices(&mut cluster);
    super::principals::logout_all(&mut cluster, 2, "alice").expect("done");
    for node in 1..=3 {
        let late = cluster
            .run(node, "sess:a", modify(None, ONE))
            .expect("taken");
        assert!(
            late.absorbed && !late.applied && late.record.is_none(),
            "{late:?}"
        );
    }
    cluster.pass(100);
    assert_eq!(cluster.get(1, "sess:a"), None);
}

#[test]
fn an_id_that_is_counted_in_again_after_it_has_expired_is_nobodys() {
    let mut cluster = Cluster::new(3);
    alices(&mut cluster);
    let at = cluster.now.wall_ms + 1_000;
    let condition = Condition::Always;
    let expire = Operation::Expire { at, condition };
    cluster.run(1, "sess:a", expire).expect("touched");
    super::principals::logout_all(&mut cluster, 2, "alice").expect("done");
    cluster.pass(1_001);
    let anew = cluster
        .run(3, "sess:a", modify(None, ONE))
        .expect("counted");
    assert_eq!(told(&anew, None).as_deref(), Some("1"));
    cluster.pass(100);
    assert_eq!(cluster.get(2, "sess:a").as_deref(), Some(&b"1"[..]));
}

#[test]
fn the_wire_carries_it() {
    let encoded = |by| {
        super::super::encode_request(&Request {
            key: b"k",
            operation: modify(Some("f"), by),
            options: Options::default(),
        })
    };
    // Key, operation (field, modification, expiry, condition), options.
    let add = [1, b'k', 11, 1, 1, b'f', 0, 3, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(encoded(Modification::Add(-2)), add);
    let append_x = Modification::Append {
        tail: b"x",
        most: 3,
    };
    let append = [1, b'k', 11, 1, 1, b'f', 2, 1, b'x', 3, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(encoded(append_x), append);
    let over = Modification::Overwrite {
        from: 300,
        patch: b"x",
        most: 3,
    };
    let overwrite = [
        1, b'k', 11, 1, 1, b'f', 3, 0xac, 2, 1, b'x', 3, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(encoded(over), overwrite);
    let fraction = [
        &[1, b'k', 11, 1, 1, b'f', 1][..],
        &0.5_f64.to_le_bytes(),
        &[0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(encoded(Modification::AddFraction(0.5)), fraction);
    for bytes in [&add[..], &append, &fraction] {
        let request = super::super::decode_request(bytes).expect("ours");
        assert_eq!(super::super::encode_request(&request), bytes);
    }
}

//! Reads with a bound on staleness: what one replica may answer alone, and for how long.

use proptest::prelude::*;

use super::*;

const KEY: &str = "k";

impl Cluster {
    fn read_within(&mut self, at: u8, r: u64, max_staleness_ms: u64) -> Option<Vec<u8>> {
        let operation = Operation::GetWithin { max_staleness_ms };
        let done = self.with(at, KEY, operation, quorum(r, 2)).expect("read");
        let record = done.record?;
        let record = RecordRef::parse(&record).expect("a record");
        Some(record.value().expect("a value").to_vec())
    }

    /// A write that this node hears nothing of, and that nobody remembers it should.
    fn write_unheard(&mut self, deaf: u8, value: &str) {
        let key = Key::new(KEY.as_bytes());
        let store = Arc::clone(&self.nodes[&id(deaf)].1);
        let mut before = None;
        store.read(key, &mut |stored| {
            before = stored.map(|it| it.bytes.to_vec())
        });
        let writer = if deaf == 1 { 2 } else { 1 };
        self.with(writer, KEY, put(value), quorum(2, 2))
            .expect("written");
        assert!(store.remove(key, store.digest(key).expect("replicated")));
        if let Some(before) = before {
            let before = RecordRef::parse(&before).expect("a record");
            store.merge(key, before).expect("room");
        }
    }
}

#[test]
fn a_replica_answers_alone_until_the_bound_has_passed() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, KEY, put("one")).expect("written");
    assert_eq!(cluster.read_within(3, 2, 500).as_deref(), Some(&b"one"[..]));
    cluster.write_unheard(3, "two");
    cluster.pass(400);
    let carried = cluster.carried;
    assert_eq!(cluster.read_within(3, 2, 500).as_deref(), Some(&b"one"[..]));
    assert_eq!(cluster.carried, carried, "nobody is asked");
    assert_eq!(
        cluster.read_within(3, 2, 300).as_deref(),
        Some(&b"two"[..]),
        "who wants to be told sooner is"
    );
    assert_eq!(
        cluster.read_within(3, 2, 500).as_deref(),
        Some(&b"two"[..]),
        "and this node has it now"
    );
}

#[test]
fn absence_is_remembered_too_and_no_longer() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.read_within(3, 2, 500), None);
    cluster.write_unheard(3, "one");
    assert_eq!(cluster.read_within(3, 2, 500), None);
    cluster.pass(501);
    assert_eq!(cluster.read_within(3, 2, 500).as_deref(), Some(&b"one"[..]));
}

#[test]
fn what_fewer_replicas_answered_does_not_do_for_more() {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.read_within(3, 1, 500), None);
    cluster.write_unheard(3, "one");
    assert_eq!(cluster.read_within(3, 1, 500), None, "R=1 promises nothing");
    assert_eq!(cluster.read_within(3, 2, 500).as_deref(), Some(&b"one"[..]));
}

#[test]
fn alone_it_answers_though_the_others_are_down_and_fails_once_the_bound_has_passed() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, KEY, put("one")).expect("written");
    cluster.read_within(3, 2, 5_000);
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(
        cluster.read_within(3, 2, 5_000).as_deref(),
        Some(&b"one"[..])
    );
    let operation = Operation::GetWithin {
        max_staleness_ms: 0,
    };
    cluster.pass(1);
    let failed = cluster.with(3, KEY, operation, quorum(2, 2));
    assert!(
        matches!(
            failed,
            Err(Failure::Failed {
                needed: 2,
                got: 1,
                ..
            })
        ),
        "{failed:?}"
    );
}

#[test]
fn an_answer_of_stand_ins_is_not_remembered() {
    let mut cluster = Cluster::new(5);
    let owners = owners_among_five(KEY.as_bytes());
    let sloppy = |r| Options {
        strict: Some(false),
        ..quorum(r, 2)
    };
    cluster.kill(owners[1]);
    cluster.kill(owners[2]);
    cluster.pass(10);
    for _ in 0..2 {
        let operation = Operation::GetWithin {
            max_staleness_ms: 60_000,
        };
        let carried = cluster.carried;
        cluster
            .with(owners[0], KEY, operation, sloppy(2))
            .expect("with stand-ins");
        assert_ne!(cluster.carried, carried, "a stand-in is asked each time");
    }
}

#[test]
fn a_new_ring_makes_it_forget() {
    let mut cluster = Cluster::new(3);
    cluster.read_within(3, 2, 60_000);
    cluster.write_unheard(3, "one");
    let ring = ring_of(3);
    cluster.engine(id(3)).take_ring(ring);
    assert_eq!(
        cluster.read_within(3, 2, 60_000).as_deref(),
        Some(&b"one"[..])
    );
}

#[derive(Clone, Debug)]
enum Step {
    Write { deaf: u8 },
    Pass { ms: u64 },
    Read { at: u8, bound_ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1..4_u8).prop_map(|deaf| Step::Write { deaf }),
        2 => (1..300_u64).prop_map(|ms| Step::Pass { ms }),
        4 => (1..4_u8, 0..600_u64).prop_map(|(at, bound_ms)| Step::Read { at, bound_ms }),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is missed by whom: a read shows at least what had been acknowledged its bound ago.
    #[test]
    fn nothing_is_shown_that_is_older_than_the_bound(steps in steps()) {
        let mut cluster = Cluster::new(3);
        let mut acknowledged = Vec::new();
        for step in steps {
            match step {
                Step::Write { deaf } => {
                    cluster.write_unheard(deaf, &acknowledged.len().to_string());
                    acknowledged.push(cluster.now.mono_ms);
                }
                Step::Pass { ms } => cluster.pass(ms),
                Step::Read { at, bound_ms } => {
                    let since = cluster.now.mono_ms.saturating_sub(bound_ms);
                    let shown = cluster.read_within(at, 2, bound_ms);
                    let due = acknowledged.iter().filter(|at| **at < since).count();
                    let shown = shown.map_or(0, |value| {
                        1 + String::from_utf8(value).expect("digits").parse::<usize>().expect("a number")
                    });
                    prop_assert!(shown >= due, "write {shown} shown, {due} were due");
                }
            }
        }
    }
}

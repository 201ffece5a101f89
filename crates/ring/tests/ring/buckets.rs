//! Buckets in the log: the fold is the same for everyone, keeps its bounds, and moves nothing.

use henge_ring::{
    BadBucket, BucketDefinition, BucketDefinitions, BucketKind, ChangeId, Event, Log, MAX_BUCKETS,
    MAX_LIFETIME_MS, MAX_PREFIXES, MAX_SIBLINGS, OnDead, Op, Ring,
};
use proptest::{collection::vec, prelude::*};

use crate::topology::{Cluster, any_bucket_op, any_node};

fn bucket(name: &str, prefixes: &[&str]) -> BucketDefinition {
    BucketDefinition {
        prefixes: prefixes.iter().map(|&it| it.to_owned()).collect(),
        ..BucketDefinition::new(name, BucketKind::Session)
    }
}

fn set(bucket: BucketDefinition) -> Op {
    Op::SetBucket { bucket }
}

fn names(ring: &Ring) -> Vec<&str> {
    ring.buckets().iter().map(|it| it.name.as_str()).collect()
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = (1u64..5, 0u64..9, any_node(), any_bucket_op());
    let event = event.prop_map(|(lamport, change, proposer, op)| Event {
        lamport,
        change: ChangeId(change),
        proposer,
        op,
    });
    vec(event, 0..16)
}

proptest! {
    #[test]
    fn logs_may_be_united_in_any_order(
        parts in vec(any_events(), 1..4).prop_flat_map(|parts| {
            (Just(parts.clone()), Just(parts).prop_shuffle())
        })
    ) {
        let united = |parts: Vec<Vec<Event>>| {
            let mut all = Log::new();
            for part in parts {
                all.union(&part.into_iter().collect());
            }
            Ring::fold(&all)
        };
        prop_assert_eq!(united(parts.0), united(parts.1));
    }

    /// What the fold of any log has kept is sound: each bucket by itself, and no prefix twice.
    #[test]
    fn a_prefix_is_one_buckets_and_every_bucket_can_be(events in any_events()) {
        let ring = Ring::fold(&events.into_iter().collect());
        let mut anew = BucketDefinitions::default();
        for bucket in ring.buckets().iter() {
            prop_assert_eq!(anew.set(bucket), Ok(()));
        }
        prop_assert_eq!(&anew, ring.buckets());
    }

    #[test]
    fn buckets_move_nothing(ops in vec(any_bucket_op(), 1..6)) {
        let mut cluster = Cluster::even(10, 5, 2);
        let before = cluster.ring();
        cluster.change(ops);
        let after = cluster.ring();
        prop_assert_eq!(before.layout_hash(), after.layout_hash());
        for partition in before.partitions() {
            prop_assert_eq!(before.primaries(partition), after.primaries(partition));
            prop_assert_eq!(before.replica_set(partition), after.replica_set(partition));
        }
    }
}

#[test]
fn the_later_event_replaces_and_a_removal_takes_back() {
    let mut cluster = Cluster::default();
    cluster.change([set(bucket("a", &["x:"])), set(bucket("b", &["y:"]))]);
    let mut later = bucket("a", &["z:"]);
    later.ttl_ms = Some(5);
    cluster.change([set(later.clone())]);
    assert_eq!(cluster.ring().buckets().get("a"), Some(&later));
    cluster.change([set(bucket("b", &["x:"]))]);
    assert_eq!(
        cluster.ring().buckets().get("b"),
        Some(&bucket("b", &["x:"]))
    );
    cluster.change([Op::RemoveBucket { name: "a".into() }]);
    assert_eq!(names(&cluster.ring()), ["b"]);
}

#[test]
fn what_cannot_be_has_no_effect() {
    let mut cluster = Cluster::default();
    cluster.change([set(bucket("a", &["x:"]))]);
    let before = cluster.ring();
    cluster.change([set(bucket("b", &["x:"])), set(bucket("A", &["y:"]))]);
    cluster.change([Op::RemoveBucket { name: "b".into() }]);
    assert_eq!(cluster.ring().buckets(), before.buckets());
}

#[test]
fn there_is_an_end_to_buckets_and_to_prefixes() {
    let mut buckets = BucketDefinitions::default();
    for at in 0..MAX_BUCKETS {
        let one = bucket(&format!("b{at}"), &[&format!("{at}:")]);
        assert_eq!(buckets.set(&one), Ok(()));
    }
    let refused = buckets.set(&bucket("more", &["more:"]));
    assert!(matches!(refused, Err(BadBucket::TooMany { count: 65, .. })));
    assert_eq!(
        buckets.set(&bucket("b0", &["0:", "more:"])),
        Ok(()),
        "it was there"
    );

    let prefixes: Vec<String> = (0..MAX_PREFIXES).map(|at| format!("p{at}")).collect();
    let mut many = bucket("b1", &[]);
    many.prefixes = prefixes;
    let refused = buckets.set(&many);
    assert!(
        matches!(
            refused,
            Err(BadBucket::TooMany {
                what: "prefixes",
                ..
            })
        ),
        "{refused:?}"
    );
}

#[test]
fn bad_definitions_are_told_with_their_numbers() {
    let session = || bucket("a", &["x:"]);
    let with = |change: fn(&mut BucketDefinition)| {
        let mut bucket = session();
        change(&mut bucket);
        bucket.check().map_err(|error| error.to_string())
    };
    assert_eq!(session().check(), Ok(()));
    type Spoil = fn(&mut BucketDefinition);
    let wrong: [(Spoil, &str); 11] = [
        (|it| it.name = "Sessions".into(), "unlike \"Sessions\""),
        (|it| it.name.clear(), "1 to 64 small letters"),
        (|it| it.prefixes = vec!["p".repeat(129)], "has 129"),
        (
            |it| it.prefixes = vec!["x".into(), "x".into()],
            "given twice",
        ),
        (|it| it.prefixes = vec!["\0p".into()], "begins with a NUL"),
        (|it| it.r = Some(0), "r must be 1 to 7, not 0"),
        (|it| it.w = Some(8), "w must be 1 to 7, not 8"),
        (
            |it| it.ttl_ms = Some(MAX_LIFETIME_MS + 1),
            "ttl_ms must be 1 to 315360000000",
        ),
        (
            |it| it.max_siblings = Some(2),
            "max_siblings is a rule for buckets of siblings",
        ),
        (
            |it| (it.kind, it.max_lifetime_ms) = (BucketKind::Register, Some(1)),
            "max_lifetime is a rule for buckets of sessions, not of Register",
        ),
        (
            |it| (it.kind, it.on_dead) = (BucketKind::Siblings, OnDead::Error),
            "on_dead=error is a rule for buckets of sessions, not of Siblings",
        ),
    ];
    for (change, wanted) in wrong {
        let said = with(change).expect_err(wanted);
        assert!(said.contains(wanted), "{said}");
    }
    let mut siblings = BucketDefinition::new("s", BucketKind::Siblings);
    siblings.max_siblings = Some(MAX_SIBLINGS);
    assert_eq!(siblings.check(), Ok(()));
}

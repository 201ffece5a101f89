//! The rules of buckets that stand in the log, as engines carry them out.

use henge_ring::BucketDefinition;

use super::*;
use crate::{Kind, OnDead};

impl Cluster {
    /// All engines get a ring in whose log these buckets stand.
    fn with_buckets(nodes: u8, buckets: Vec<BucketDefinition>) -> Self {
        let mut cluster = Self::new(nodes);
        let mut log: Log = log_of(nodes);
        let ops = buckets.into_iter().map(|bucket| Op::SetBucket { bucket });
        let events = log.propose(id(1), ChangeId(7), ops);
        log.extend(events);
        let ring = Arc::new(Ring::fold(&log));
        for number in 1..=nodes {
            cluster.engine(id(number)).set_ring(Arc::clone(&ring));
        }
        cluster
    }
}

fn bucket(kind: Kind) -> BucketDefinition {
    BucketDefinition {
        prefixes: vec!["own:".into()],
        ..BucketDefinition::new("own", kind)
    }
}

fn touch(at: u64) -> Operation<'static> {
    Operation::Expire {
        at,
        condition: Condition::Always,
    }
}

#[test]
fn a_session_ends_at_its_beginning_plus_the_longest_lifetime_however_often_it_is_touched() {
    let mut own = bucket(Kind::Session);
    (own.ttl_ms, own.max_lifetime_ms) = (Some(40_000), Some(100_000));
    let mut cluster = Cluster::with_buckets(3, vec![own]);
    cluster.run(1, "own:a", put("v")).expect("written");
    for round in 0..9 {
        cluster.pass(10_000);
        let at = 1 + round % 3;
        let longer = if round == 4 {
            NEVER
        } else {
            cluster.now.wall_ms + 60_000
        };
        assert!(
            cluster
                .run(at, "own:a", touch(longer))
                .expect("touched")
                .applied
        );
        cluster.run(at, "own:a", put("w")).expect("written");
        assert!(cluster.get(1 + (round + 1) % 3, "own:a").is_some());
    }
    cluster.pass(10_000);
    for at in 1..=3 {
        assert_eq!(cluster.get(at, "own:a"), None, "100 s are over");
    }
    assert!(
        !cluster
            .run(2, "own:a", touch(NEVER))
            .expect("answered")
            .applied
    );
}

#[test]
fn a_session_that_began_before_the_limit_gets_it_with_its_next_write() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, "sess:a", put("v")).expect("written");
    let mut sessions = BucketDefinition::new("sessions", Kind::Session);
    sessions.max_lifetime_ms = Some(50_000);
    let mut log = log_of(3);
    let op = Op::SetBucket { bucket: sessions };
    let events = log.propose(id(1), ChangeId(7), [op]);
    log.extend(events);
    let ring = Arc::new(Ring::fold(&log));
    (1..=3).for_each(|at| cluster.engine(id(at)).set_ring(Arc::clone(&ring)));
    cluster.pass(60_000);
    assert!(
        cluster.get(2, "sess:a").is_some(),
        "nobody has written to it"
    );
    assert!(
        cluster
            .run(2, "sess:a", touch(NEVER))
            .expect("touched")
            .applied
    );
    cluster.pass(49_000);
    assert!(cluster.get(3, "sess:a").is_some());
    cluster.pass(1_000);
    assert_eq!(cluster.get(3, "sess:a"), None);
}

#[test]
fn a_write_to_a_destroyed_session_is_refused_where_the_bucket_says_so() {
    let mut own = bucket(Kind::Session);
    own.on_dead = OnDead::Error;
    let mut cluster = Cluster::with_buckets(3, vec![own]);
    cluster.run(1, "own:a", put("v")).expect("written");
    assert!(cluster.run(2, "own:a", DELETE).expect("deleted").applied);
    for at in 1..=3 {
        assert_eq!(cluster.run(at, "own:a", put("late")), Err(Failure::Dead));
        assert_eq!(cluster.get(at, "own:a"), None);
    }
    assert!(!cluster.run(3, "own:a", DELETE).expect("answered").applied);
}

#[test]
fn lifetime_size_and_number_of_values_are_the_buckets() {
    let mut own = bucket(Kind::Siblings);
    (own.ttl_ms, own.max_value, own.max_siblings) = (Some(5_000), Some(4), Some(2));
    let mut cluster = Cluster::with_buckets(3, vec![own]);
    let write = |value: &'static [u8]| Operation::PutSibling {
        value,
        context: Default::default(),
        expiry: Expiry::Clear,
    };
    let too_long = cluster
        .run(1, "own:a", write(b"12345"))
        .expect_err("too long");
    assert_eq!(
        too_long.to_string(),
        "a value has at most 4 bytes, this one 5"
    );
    for value in [b"1", b"2"] {
        cluster.run(1, "own:a", write(value)).expect("written");
    }
    let too_many = cluster.run(1, "own:a", write(b"3")).expect_err("too many");
    assert!(too_many.to_string().contains("at most 2"), "{too_many}");
    let begun_ms = cluster.now.wall_ms;
    let found = cluster.found(2, "own:a");
    let deadline = RecordRef::parse(&found).expect("a record").deadline().at;
    assert!(
        (begun_ms - 4_000..=begun_ms + 5_000).contains(&deadline),
        "{deadline}"
    );
    cluster
        .run(1, "elsewhere", put("12345"))
        .expect("another bucket's key");
}

#[test]
fn quorums_are_the_requests_then_the_buckets_then_the_nodes() {
    let mut own = bucket(Kind::Session);
    (own.r, own.w, own.strict) = (Some(1), Some(3), Some(false));
    let mut cluster = Cluster::with_buckets(3, vec![own]);
    cluster.run(1, "own:a", put("v")).expect("all three are up");
    cluster.kill(3);
    let fell_short = cluster.run(1, "own:a", put("w"));
    assert!(
        matches!(fell_short, Err(Failure::Failed { needed: 3, .. })),
        "{fell_short:?}"
    );
    cluster
        .with(1, "own:a", put("w"), quorum(1, 2))
        .expect("the request says 2");
    cluster
        .run(1, "sess:a", put("w"))
        .expect("another bucket's key");
    cluster.kill(2);
    assert!(cluster.get(1, "own:a").is_some(), "R=1");
    assert!(cluster.run(1, "sess:a", Operation::Get).is_err(), "R=2");
}

//! Touches that one before them covers: which are answered from memory, and which are not.

use super::{rotations::rotate, *};

const KEY: &str = "sess:1";
const HALF_AN_HOUR: u64 = 1_800_000;

fn expire_at(at: u64, condition: Condition) -> Operation<'static> {
    Operation::Expire { at, condition }
}

impl Cluster {
    fn touch_with(&mut self, at: u8, lifetime_ms: u64, options: Options) -> Result<Done, Failure> {
        let deadline = self.now.wall_ms + lifetime_ms;
        self.with(at, KEY, expire_at(deadline, Condition::Always), options)
    }

    fn touch(&mut self, at: u8, lifetime_ms: u64) -> bool {
        let touched = self.touch_with(at, lifetime_ms, Options::default());
        touched.expect("answered").applied
    }

    /// Whether any peer was sent anything meanwhile.
    fn asks(&mut self, act: impl FnOnce(&mut Self)) -> bool {
        let carried = self.carried;
        act(self);
        self.carried > carried
    }

    fn lifetime(&mut self, at: u8) -> u64 {
        let record = self.found(at, KEY);
        let record = RecordRef::parse(&record).expect("a record");
        record.deadline().at - self.now.wall_ms
    }
}

/// A session that node 1 has touched for half an hour.
fn touched_once() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.run(1, KEY, put("v")).expect("written");
    assert!(cluster.asks(|it| assert!(it.touch(1, HALF_AN_HOUR))));
    cluster
}

#[test]
fn a_touch_within_the_slack_asks_nobody_and_the_session_ends_so_much_earlier() {
    let mut cluster = touched_once();
    cluster.pass(9_000);
    assert!(!cluster.asks(|it| assert!(it.touch(1, HALF_AN_HOUR))));
    assert_eq!(
        cluster.engine(id(1)).parts.counters.covered_touches.get(),
        1
    );
    assert_eq!(cluster.lifetime(2), HALF_AN_HOUR - 9_000);
    cluster.pass(1_001);
    assert!(
        cluster.asks(|it| assert!(it.touch(1, HALF_AN_HOUR))),
        "ten seconds are the most"
    );
    assert_eq!(cluster.lifetime(2), HALF_AN_HOUR);
}

#[test]
fn of_a_short_lifetime_a_hundredth_is_the_most() {
    let mut cluster = touched_once();
    cluster.pass(HALF_AN_HOUR - 100_000);
    cluster.touch(1, 100_000);
    cluster.pass(1_000);
    assert!(!cluster.asks(|it| assert!(it.touch(1, 100_000))));
    cluster.pass(1);
    assert!(cluster.asks(|it| assert!(it.touch(1, 100_000))));
}

#[test]
fn only_the_node_that_heard_the_replicas_knows() {
    let mut cluster = touched_once();
    assert!(cluster.asks(|it| assert!(it.touch(2, HALF_AN_HOUR))));
    assert!(!cluster.asks(|it| assert!(it.touch(2, HALF_AN_HOUR))));
}

#[test]
fn one_that_asks_for_more_replicas_or_to_be_told_who_they_are_is_not_covered() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, KEY, put("v")).expect("written");
    cluster.kill(3);
    assert!(cluster.touch_with(1, HALF_AN_HOUR, quorum(2, 2)).is_ok());
    cluster.revive(3);
    let mut with =
        |options| cluster.asks(|it| assert!(it.touch_with(1, HALF_AN_HOUR, options).is_ok()));
    assert!(with(quorum(2, 3)));
    assert!(with(Options {
        receipt: true,
        ..Options::default()
    }));
    assert!(!with(quorum(2, 2)));
}

#[test]
fn one_that_w_replicas_have_not_acknowledged_covers_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, KEY, put("v")).expect("written");
    cluster.down = vec![id(2), id(3)]; // silent: nobody has noticed yet
    for _ in 0..2 {
        let unknown = cluster.touch_with(1, HALF_AN_HOUR, Options::default());
        assert!(
            matches!(unknown, Err(Failure::Unknown { needed: 2, got: 1 })),
            "{unknown:?}"
        );
    }
}

#[test]
fn stand_ins_do_not_count() {
    let mut cluster = Cluster::new(5);
    cluster.run(1, KEY, put("v")).expect("written");
    let [at, second, third] = owners_among_five(KEY.as_bytes())[..] else {
        panic!("three replicas");
    };
    cluster.kill(second);
    cluster.kill(third);
    let sloppy = Options {
        strict: Some(false),
        ..Options::default()
    };
    for _ in 0..2 {
        assert!(cluster.asks(|it| assert!(it.touch_with(at, HALF_AN_HOUR, sloppy).is_ok())));
    }
}

#[test]
fn a_deadline_that_was_made_earlier_is_moved_again() {
    let mut cluster = touched_once();
    cluster.touch(2, 60_000);
    assert_eq!(cluster.lifetime(1), 60_000);
    assert!(cluster.asks(|it| assert!(it.touch(1, HALF_AN_HOUR))));
    assert_eq!(cluster.lifetime(3), HALF_AN_HOUR);
    assert!(
        cluster.asks(|it| assert!(it.touch(1, 60_000))),
        "earlier by itself"
    );
    assert_eq!(cluster.lifetime(3), 60_000);
}

#[test]
fn after_a_logout_or_in_the_next_life_nothing_is_covered() {
    let mut cluster = touched_once();
    cluster.run(2, KEY, DELETE).expect("logged out");
    assert!(!cluster.touch(1, HALF_AN_HOUR), "it is over");

    let mut cluster = Cluster::new(3);
    cluster.run(1, KEY, put("v")).expect("written");
    cluster.touch(1, 1_000);
    cluster.pass(1_001);
    let now = cluster.now.wall_ms;
    let again = Operation::Put {
        value: b"again",
        expiry: Expiry::At(now + 5),
        condition: Condition::Always,
    };
    cluster.run(2, KEY, again).expect("the id has expired");
    assert!(cluster.asks(|it| assert!(it.touch(1, 5))), "another life");
}

#[test]
fn conditions_and_plain_keys_are_exact() {
    let mut cluster = touched_once();
    let at = cluster.now.wall_ms + HALF_AN_HOUR + 1;
    for condition in [Condition::Present, Condition::Later] {
        let moved = cluster.asks(|it| {
            let done = it.run(1, KEY, expire_at(at, condition)).expect("answered");
            assert_eq!(done.applied, condition == Condition::Present, "moved once");
        });
        assert!(moved, "{condition:?}");
    }
    cluster.run(1, "plain", put("v")).expect("written");
    for later in 0..2 {
        let touch = expire_at(at + later, Condition::Always);
        assert!(cluster.asks(|it| assert!(it.run(1, "plain", touch).expect("answered").applied)));
    }
}

#[test]
fn under_an_id_that_was_given_up_the_new_one_is_touched() {
    let mut cluster = touched_once();
    rotate(&mut cluster, 2, KEY, "sess:new").expect("rotated");
    cluster.pass(9_000);
    assert!(cluster.asks(|it| assert!(it.touch(1, HALF_AN_HOUR))));
    let record = cluster.found(3, "sess:new");
    let record = RecordRef::parse(&record).expect("a record");
    assert_eq!(record.deadline().at, cluster.now.wall_ms + HALF_AN_HOUR);
}

#[test]
fn another_ring_is_another_set_of_replicas() {
    let mut cluster = touched_once();
    cluster.engine(id(1)).take_ring(ring_of(3));
    assert!(cluster.asks(|it| assert!(it.touch(1, HALF_AN_HOUR))));
}

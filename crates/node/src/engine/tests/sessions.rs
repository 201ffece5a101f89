//! Sessions: their lives, deadlines and fields.

use super::*;

#[test]
fn a_destroyed_session_absorbs_late_writes_and_a_register_does_not() {
    let mut cluster = Cluster::new(3);
    for (key, comes_back) in [("sess:1", false), ("plain", true)] {
        cluster.run(1, key, put("first")).expect("written");
        assert!(cluster.run(2, key, DELETE).expect("deleted").applied);
        assert!(
            !cluster.run(3, key, DELETE).expect("answered").applied,
            "nothing left to delete"
        );
        let late = cluster.run(3, key, put("late")).expect("taken");
        assert_eq!(late.absorbed, !comes_back);
        assert_eq!(cluster.get(1, key).is_some(), comes_back);
    }
}

#[test]
fn deadlines_are_replicated_and_touching_never_creates() {
    let mut cluster = Cluster::new(3);
    let soon = cluster.now.wall_ms + 5_000;
    let touch = |at| Operation::Expire {
        at,
        condition: Condition::Always,
    };
    assert!(
        !cluster
            .run(1, "sess:1", touch(soon))
            .expect("answered")
            .applied
    );
    cluster.run(1, "sess:1", put("v")).expect("written");
    assert!(
        cluster
            .run(2, "sess:1", touch(soon))
            .expect("touched")
            .applied
    );
    assert!(cluster.get(3, "sess:1").is_some());
    cluster.pass(6_000);
    assert!(cluster.get(3, "sess:1").is_none());
    assert!(
        !cluster
            .run(2, "sess:1", touch(NEVER))
            .expect("answered")
            .applied,
        "expired is gone"
    );
    cluster
        .run(2, "sess:1", put("again"))
        .expect("an id that expired may be used again");
    assert!(cluster.get(1, "sess:1").is_some());
}

#[test]
fn fields_changed_on_different_nodes_all_survive() {
    let mut cluster = Cluster::new(3);
    for node in 1..=3u8 {
        let (name, value) = (format!("field{node}"), [node]);
        let fields = FieldWrites::from_slice(&[(name.as_bytes(), Some(&value[..]))]);
        let operation = Operation::PutFields {
            fields,
            expiry: Expiry::Clear,
        };
        cluster.run(node, "sess:f", operation).expect("written");
    }
    let record = cluster.found(1, "sess:f");
    assert_eq!(
        RecordRef::parse(&record)
            .expect("a record")
            .fields()
            .count(),
        3
    );
}

#[test]
fn a_session_begun_twice_is_one_life_so_that_logout_wins() {
    let mut cluster = Cluster::new(5);
    let sloppy = Options {
        strict: Some(false),
        ..Options::default()
    };
    // Two sides of a partition begin the same session, and one of them destroys it.
    cluster.down = vec![id(4), id(5)];
    let _ = cluster.with(1, "sess:k", put("one"), quorum(1, 1));
    assert!(cluster.run(1, "sess:k", DELETE).expect("destroyed").applied);
    cluster.down = vec![id(1), id(2), id(3)];
    let _ = cluster.with(
        4,
        "sess:k",
        put("two"),
        Options {
            r: Some(1),
            w: Some(1),
            ..sloppy
        },
    );
    cluster.down.clear();
    (0..40).for_each(|_| cluster.pass(500));
    let all = Options {
        r: Some(3),
        ..Options::default()
    };
    for node in 1..=5 {
        let record = cluster
            .with(node, "sess:k", Operation::Get, all)
            .expect("read")
            .record;
        let live = record.is_some_and(|record| {
            RecordRef::parse(&record)
                .expect("a record")
                .is_live(cluster.now.wall_ms)
        });
        assert!(!live, "seen by node {node}");
    }
}

impl Cluster {
    /// Does something while all clocks are `ms` ahead: as a node would whose own is.
    fn ahead<T>(&mut self, ms: u64, act: impl FnOnce(&mut Self) -> T) -> T {
        self.now.wall_ms += ms;
        let done = act(self);
        self.now.wall_ms -= ms;
        done
    }
}

/// A session's value that expires 100 ms from now.
fn soon_over(cluster: &Cluster) -> Operation<'static> {
    Operation::Put {
        value: b"v",
        expiry: Expiry::At(cluster.now.wall_ms + 100),
        condition: Condition::Always,
    }
}

/// A node whose clock was ahead took a session for expired and began its next life with a late
/// write, while another one, by whose clock it was alive, logged it out in the life before. The next
/// life overruled the logout, and everybody saw the session again. (Found by the simulator.)
#[test]
fn a_logout_wins_over_the_life_that_begins_meanwhile_where_a_clock_is_ahead() {
    let mut cluster = Cluster::new(3);
    let begin = soon_over(&cluster);
    cluster.run(1, "sess:k", begin).expect("written");
    cluster.down = vec![id(2), id(3)];
    let late = cluster.ahead(200, |cluster| {
        let late = put("late");
        cluster.with(1, "sess:k", late, quorum(1, 1))
    });
    assert!(!late.expect("written").absorbed, "it began a life");
    cluster.down = vec![id(1)];
    assert!(cluster.run(2, "sess:k", DELETE).expect("destroyed").applied);
    cluster.down.clear();
    (0..40).for_each(|_| cluster.pass(500));
    for node in 1..=3 {
        assert_eq!(cluster.get(node, "sess:k"), None, "seen by node {node}");
    }
}

#[test]
fn a_logout_where_the_session_has_expired_holds_where_it_has_not() {
    let mut cluster = Cluster::new(3);
    let begin = soon_over(&cluster);
    cluster.run(1, "sess:k", begin).expect("written");
    let logout = cluster.ahead(200, |cluster| cluster.run(1, "sess:k", DELETE));
    assert!(
        !logout.expect("answered").applied,
        "by this clock it was gone"
    );
    assert_eq!(cluster.get(2, "sess:k"), None);
}

#[test]
fn a_second_logout_is_answered_when_w_replicas_know_of_the_first() {
    let mut cluster = Cluster::new(3);
    cluster.run(1, "sess:k", put("v")).expect("written");
    cluster.down = vec![id(2), id(3)];
    let _ = cluster.with(1, "sess:k", DELETE, quorum(1, 1));
    let twice = cluster.with(1, "sess:k", DELETE, quorum(1, 2));
    assert!(twice.is_err(), "nobody else knows yet: {twice:?}");
    cluster.down.clear();
    assert!(!cluster.run(1, "sess:k", DELETE).expect("answered").applied);
    cluster.kill(1);
    assert_eq!(cluster.get(2, "sess:k"), None);
}

/// Node 1 began the next life of a session that had expired, alone and unacknowledged. The others, who had
/// forgotten that there had been one, began the first life anew, and node 1 acknowledged what they
/// wrote, then the logout, though beside its later life none of it counted. (Found by the simulator.)
#[test]
fn what_a_later_life_overrules_is_not_acknowledged() {
    let mut cluster = Cluster::new(3);
    let all = || quorum(1, 3);
    let begin = soon_over(&cluster);
    cluster.with(1, "sess:k", begin, all()).expect("written");
    cluster.pass(200);
    for (node, (engine, store)) in &mut cluster.nodes {
        engine.leave_it_to_anti_entropy();
        if *node != id(1) {
            let key = Key::new(b"sess:k");
            assert!(store.remove(key, store.digest(key).expect("there")));
        }
    }
    cluster.down = vec![id(2), id(3)];
    let alone = cluster.with(1, "sess:k", put("alone"), all());
    assert!(matches!(alone, Err(Failure::Unknown { .. })), "{alone:?}");
    cluster.down.clear();
    let overruled = cluster.with(2, "sess:k", put("overruled"), all());
    let is_unknown = matches!(overruled, Err(Failure::Unknown { needed: 3, .. }));
    assert!(is_unknown, "not on node 1: {overruled:?}");
    assert_eq!(cluster.get(2, "sess:k").as_deref(), Some(&b"alone"[..]));
    cluster
        .with(2, "sess:k", put("again"), all())
        .expect("written");
    assert_eq!(cluster.get(1, "sess:k").as_deref(), Some(&b"again"[..]));
    assert!(
        cluster
            .with(2, "sess:k", DELETE, all())
            .expect("destroyed")
            .applied
    );
    assert!((1..=3).all(|node| cluster.get(node, "sess:k").is_none()));
}

/// Sets a field by way of one node if it still has a value; says whether it had.
fn replace(cluster: &mut Cluster, node: u8, before: Option<&[u8]>, after: &[u8]) -> bool {
    let (name, key) = (&b"n"[..], "sess:n");
    let operation = Operation::ReplaceField {
        name,
        before,
        after,
    };
    cluster.run(node, key, operation).expect("decided").applied
}

#[test]
fn a_field_is_replaced_only_while_it_has_the_value_that_was_seen() {
    let mut cluster = Cluster::new(3);
    assert!(replace(&mut cluster, 1, None, b"1"));
    // Another node saw it absent too, and is told of what is there by now.
    assert!(!replace(&mut cluster, 2, None, b"1"));
    assert!(replace(&mut cluster, 2, Some(b"1"), b"2"));
    assert!(!replace(&mut cluster, 3, Some(b"1"), b"2"));
    let fields = FieldWrites::from_slice(&[(&b"other"[..], Some(&b"x"[..]))]);
    let expiry = Expiry::Keep;
    let other = Operation::PutFields { fields, expiry };
    cluster.run(1, "sess:n", other).expect("written");
    assert!(replace(&mut cluster, 3, Some(b"2"), b"3"));
    let found = cluster.found(2, "sess:n");
    let record = RecordRef::parse(&found).expect("a record");
    assert_eq!(record.field(b"n"), Some(&b"3"[..]));
    assert_eq!(record.field(b"other"), Some(&b"x"[..]));
}

#[test]
fn a_field_of_a_destroyed_session_is_not_replaced() {
    let mut cluster = Cluster::new(3);
    assert!(replace(&mut cluster, 1, None, b"1"));
    let condition = Condition::Always;
    let logout = Operation::Delete { condition };
    cluster.run(2, "sess:n", logout).expect("destroyed");
    let operation = Operation::ReplaceField {
        name: b"n",
        before: Some(b"1"),
        after: b"2",
    };
    let done = cluster.run(3, "sess:n", operation).expect("answered");
    assert!(done.absorbed && !done.applied);
    assert!(cluster.get(1, "sess:n").is_none());
}

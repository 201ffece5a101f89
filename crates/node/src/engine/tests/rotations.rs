//! Rotations of session ids: which id opens the session, when, and what ends it.

use super::*;
use crate::{
    principals::{Login, index_key},
    rotation::{GRACE_MS, Rotated, Rotation, SETTLED_MS},
};

const GRACE: u64 = GRACE_MS;

pub(super) fn delete<'a>() -> Operation<'a> {
    Operation::Delete {
        condition: Condition::Always,
    }
}

pub(super) fn begin(old: &str, new: &str) -> Rotation {
    Rotation::new(old.as_bytes(), new.as_bytes(), GRACE, Options::default()).expect("right")
}

/// One step; `true`: it goes on.
pub(super) fn step(
    cluster: &mut Cluster,
    at: u8,
    rotation: &mut Rotation,
) -> Option<Result<Rotated, Failure>> {
    let outcome = cluster.ask_own(at, &rotation.request());
    rotation.answered(outcome, cluster.now.wall_ms)
}

pub(super) fn rotate(
    cluster: &mut Cluster,
    at: u8,
    old: &str,
    new: &str,
) -> Result<Rotated, Failure> {
    let mut rotation = begin(old, new);
    loop {
        if let Some(ended) = step(cluster, at, &mut rotation) {
            return ended;
        }
    }
}

fn is_done(rotated: &Result<Rotated, Failure>) -> bool {
    matches!(rotated, Ok(Rotated::Done { .. }))
}

fn log_in(cluster: &mut Cluster, session: &str, value: &str, principal: &str) {
    let request = Request {
        key: session.as_bytes(),
        operation: put(value),
        options: Options::default(),
    };
    let mut login = Login::new(&request, principal.as_bytes()).expect("a login");
    loop {
        let outcome = cluster.ask_own(1, &login.request());
        if let Some(ended) = login.answered(outcome) {
            return assert!(ended.result.expect("logged in").applied);
        }
    }
}

fn log_out_everywhere(cluster: &mut Cluster, principal: &str) {
    let key = index_key(principal.as_bytes()).expect("short");
    let request = Request {
        key: &key,
        operation: delete(),
        options: Options::default(),
    };
    assert!(cluster.ask_own(2, &request).result.expect("done").applied);
}

fn shows(cluster: &mut Cluster, key: &str, value: Option<&str>) {
    for node in 1..=5 {
        let shown = cluster.get(node, key);
        assert_eq!(
            shown.as_deref(),
            value.map(str::as_bytes),
            "{key} at {node}"
        );
    }
}

#[test]
fn the_old_id_stands_for_the_new_one_and_then_it_is_dead_for_good() {
    let mut cluster = Cluster::new(5);
    cluster.run(1, "sess:old", put("v")).expect("written");
    assert!(is_done(&rotate(&mut cluster, 2, "sess:old", "sess:new")));
    shows(&mut cluster, "sess:old", Some("v"));
    shows(&mut cluster, "sess:new", Some("v"));
    // A request that began with the old id ends with it.
    cluster.run(3, "sess:old", put("late")).expect("passed on");
    shows(&mut cluster, "sess:new", Some("late"));
    cluster.run(4, "sess:new", put("newer")).expect("written");
    shows(&mut cluster, "sess:old", Some("newer"));
    cluster.pass(GRACE);
    for node in 1..=5 {
        let late = cluster.run(node, "sess:old", put("revived"));
        let late = late.expect("taken");
        assert!(late.absorbed && !late.applied, "{late:?}");
        let created = cluster.run(node, "sess:old", put_if("revived", Condition::Absent));
        assert!(created.expect("taken").absorbed);
        let touched = Operation::Expire {
            at: NEVER,
            condition: Condition::Always,
        };
        assert!(
            !cluster
                .run(node, "sess:old", touched)
                .expect("answered")
                .applied
        );
        assert!(
            !cluster
                .run(node, "sess:old", delete())
                .expect("answered")
                .applied
        );
    }
    shows(&mut cluster, "sess:old", None);
    shows(&mut cluster, "sess:new", Some("newer"));
}

#[test]
fn when_it_is_settled_the_new_id_is_a_session_like_any_other_and_the_old_record_dead() {
    let mut cluster = Cluster::new(5);
    cluster.run(1, "sess:old", put("v")).expect("written");
    assert!(is_done(&rotate(&mut cluster, 2, "sess:old", "sess:new")));
    cluster.pass(GRACE + SETTLED_MS + 1);
    shows(&mut cluster, "sess:new", Some("v"));
    (0..3).for_each(|_| cluster.pass(10));
    let mut holders = 0;
    for (_, store) in cluster.nodes.values() {
        store.read(Key::new(b"sess:old"), &mut |stored| {
            holders += usize::from(stored.is_some());
            assert!(stored.is_none_or(|it| it.record().is_dead()));
        });
        store.read(Key::new(b"sess:new"), &mut |stored| {
            let hidden =
                stored.and_then(|it| Some(crate::hidden::Hidden::of(it.bytes)?.predecessor));
            assert_eq!(hidden.flatten(), None, "it still names the old id");
        });
    }
    assert_eq!(holders, 3);
    shows(&mut cluster, "sess:old", None);
    shows(&mut cluster, "sess:new", Some("v"));
    let late = cluster.run(1, "sess:old", delete()).expect("answered");
    assert!(!late.applied);
    shows(&mut cluster, "sess:new", Some("v"));
}

#[test]
fn logging_out_either_id_ends_both() {
    for ended in ["sess:old", "sess:new"] {
        let mut cluster = Cluster::new(5);
        cluster.run(1, "sess:old", put("v")).expect("written");
        assert!(is_done(&rotate(&mut cluster, 2, "sess:old", "sess:new")));
        assert!(cluster.run(4, ended, delete()).expect("done").applied);
        shows(&mut cluster, "sess:old", None);
        shows(&mut cluster, "sess:new", None);
    }
}

/// The node at which the user logs out by the old id has missed the rotation.
#[test]
fn a_logout_under_the_old_id_at_a_node_that_knows_nothing_ends_the_new_one() {
    for missed in 1..=3u8 {
        let mut cluster = Cluster::new(3);
        cluster.run(1, "sess:old", put("v")).expect("written");
        cluster.kill(missed);
        let at = missed % 3 + 1;
        assert!(is_done(&rotate(&mut cluster, at, "sess:old", "sess:new")));
        // Its hints do not arrive before the logout.
        cluster.only_calls = true;
        cluster.revive(missed);
        cluster.only_calls = false;
        assert!(
            cluster
                .run(missed, "sess:old", delete())
                .expect("done")
                .applied
        );
        for node in 1..=3 {
            assert_eq!(cluster.get(node, "sess:old"), None);
            assert_eq!(cluster.get(node, "sess:new"), None);
        }
    }
}

#[test]
fn of_two_rotations_one_wins_and_the_other_leaves_nothing() {
    let mut cluster = Cluster::new(5);
    cluster.run(1, "sess:old", put("v")).expect("written");
    let (mut one, mut other) = (begin("sess:old", "sess:a"), begin("sess:old", "sess:b"));
    let (mut done, mut lost) = (0, 0);
    let mut ended = [false; 2];
    while ended != [true; 2] {
        for (which, rotation) in [&mut one, &mut other].into_iter().enumerate() {
            if ended[which] {
                continue;
            }
            match step(&mut cluster, 1 + which as u8, rotation) {
                None => {}
                Some(Ok(Rotated::Done { .. })) => (done, ended[which]) = (done + 1, true),
                Some(Ok(Rotated::Elsewhere)) => (lost, ended[which]) = (lost + 1, true),
                Some(other) => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((done, lost), (1, 1));
    let shown = ["sess:a", "sess:b"].map(|key| cluster.get(3, key).is_some());
    assert!(shown[0] != shown[1], "{shown:?}");
    shows(&mut cluster, "sess:old", Some("v"));
    let kept = if shown[0] { "sess:a" } else { "sess:b" };
    assert!(
        is_done(&rotate(&mut cluster, 4, "sess:old", kept)),
        "once more is no other"
    );
}

/// What is written between the copy and the handover is not lost.
#[test]
fn a_session_that_changes_meanwhile_is_copied_again() {
    let mut cluster = Cluster::new(5);
    cluster.run(1, "sess:old", put("v")).expect("written");
    let mut rotation = begin("sess:old", "sess:new");
    assert!(step(&mut cluster, 2, &mut rotation).is_none(), "looked");
    assert!(step(&mut cluster, 2, &mut rotation).is_none(), "copied");
    shows(&mut cluster, "sess:new", None);
    cluster.run(3, "sess:old", put("changed")).expect("written");
    let ended = loop {
        if let Some(ended) = step(&mut cluster, 2, &mut rotation) {
            break ended;
        }
    };
    assert!(is_done(&ended), "{ended:?}");
    shows(&mut cluster, "sess:new", Some("changed"));
    shows(&mut cluster, "sess:old", Some("changed"));
}

#[test]
fn what_is_no_session_or_is_taken_is_not_rotated() {
    let mut cluster = Cluster::new(5);
    assert_eq!(
        rotate(&mut cluster, 1, "sess:none", "sess:new"),
        Ok(Rotated::Gone)
    );
    for key in ["sess:a", "sess:b", "sess:dead"] {
        cluster.run(1, key, put(key)).expect("written");
    }
    cluster.run(1, "sess:dead", delete()).expect("destroyed");
    for taken in ["sess:b", "sess:dead"] {
        assert_eq!(rotate(&mut cluster, 2, "sess:a", taken), Ok(Rotated::Taken));
    }
    assert_eq!(
        rotate(&mut cluster, 2, "sess:dead", "sess:new"),
        Ok(Rotated::Gone)
    );
    shows(&mut cluster, "sess:a", Some("sess:a"));
    assert!(is_done(&rotate(&mut cluster, 2, "sess:a", "sess:c")));
    assert_eq!(
        rotate(&mut cluster, 3, "sess:c", "sess:a"),
        Ok(Rotated::Taken),
        "no circle"
    );
    assert_eq!(
        rotate(&mut cluster, 3, "sess:a", "sess:d"),
        Ok(Rotated::Elsewhere)
    );
    shows(&mut cluster, "sess:d", None);
}

/// Rotated again within the grace: the first id leads to the last, a logout of the first ends it, and
/// all old records go in the end.
#[test]
fn ids_that_follow_each_other_quickly() {
    for logged_out in [false, true] {
        let mut cluster = Cluster::new(3);
        cluster.run(1, "sess:1", put("v")).expect("written");
        assert!(is_done(&rotate(&mut cluster, 1, "sess:1", "sess:2")));
        assert!(is_done(&rotate(&mut cluster, 2, "sess:2", "sess:3")));
        for key in ["sess:1", "sess:2", "sess:3"] {
            assert!(cluster.get(3, key).is_some(), "{key}");
        }
        if logged_out {
            assert!(cluster.run(3, "sess:1", delete()).expect("done").applied);
        }
        cluster.pass(GRACE + SETTLED_MS + 1);
        for key in ["sess:1", "sess:2", "sess:3"] {
            let shown = cluster.get(1, key).is_some();
            assert_eq!(shown, !logged_out && key == "sess:3", "{key}");
        }
        (0..3).for_each(|_| cluster.pass(10));
        assert_eq!(cluster.get(2, "sess:3").is_some(), !logged_out);
    }
}

#[test]
fn owner_and_cap_go_with_the_session() {
    let mut cluster = Cluster::new(5);
    log_in(&mut cluster, "sess:old", "v", "alice");
    assert!(is_done(&rotate(&mut cluster, 2, "sess:old", "sess:new")));
    shows(&mut cluster, "sess:new", Some("v"));
    log_out_everywhere(&mut cluster, "alice");
    shows(&mut cluster, "sess:old", None);
    shows(&mut cluster, "sess:new", None);
    assert_eq!(
        rotate(&mut cluster, 3, "sess:new", "sess:newer"),
        Ok(Rotated::Gone)
    );

    let mut capped = Vec::new();
    let (epoch, at) = (
        henge_versioning::Stamp {
            time: henge_versioning::HlcTime(1),
            actor: henge_versioning::ActorId(0),
        },
        cluster.now.wall_ms + 5_000,
    );
    henge_versioning::delta::cap(&mut capped, epoch, at);
    cluster.run(1, "sess:capped", put("v")).expect("written");
    for (_, store) in cluster.nodes.values() {
        let record = RecordRef::parse(&capped).expect("a record");
        store.merge(Key::new(b"sess:capped"), record).expect("kept");
    }
    assert!(is_done(&rotate(&mut cluster, 2, "sess:capped", "sess:2")));
    let touch = Operation::Expire {
        at: NEVER,
        condition: Condition::Always,
    };
    assert!(cluster.run(3, "sess:2", touch).expect("touched").applied);
    cluster.pass(5_000);
    shows(&mut cluster, "sess:2", None);
}

/// The logout everywhere comes between two steps of the rotation.
#[test]
fn a_logout_everywhere_amid_a_rotation_wins() {
    for before_step in 0..4 {
        let mut cluster = Cluster::new(5);
        log_in(&mut cluster, "sess:old", "v", "alice");
        let mut rotation = begin("sess:old", "sess:new");
        for number in 0.. {
            if number == before_step {
                log_out_everywhere(&mut cluster, "alice");
            }
            if let Some(ended) = step(&mut cluster, 1 + number, &mut rotation) {
                assert!(is_done(&ended) || ended == Ok(Rotated::Gone), "{ended:?}");
                break;
            }
        }
        shows(&mut cluster, "sess:old", None);
        shows(&mut cluster, "sess:new", None);
    }
}

#[test]
fn clients_cannot_take_the_steps_themselves() {
    let mut cluster = Cluster::new(3);
    let whole = Operation::Rotate(crate::rotation::Step::Whole);
    let refused = cluster.run(1, "sess:1", whole).expect_err("refused");
    assert!(matches!(refused, Failure::Invalid(_)), "{refused}");
}

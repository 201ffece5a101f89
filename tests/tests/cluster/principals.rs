//! All sessions of one user: logged in at one node, listed at another, ended at a third.

use std::collections::BTreeSet;

use crate::{
    buckets::is_taken_over,
    doors::{Reply, Resp},
    nodes::{Cluster, Port, wait},
    programs::Ran,
};

fn log_in(client: &mut Resp, session: &str, user: &str) {
    let words = [
        "HENGE.SET",
        session,
        "secret",
        "EX",
        "600",
        "PRINCIPAL",
        user,
    ];
    let applied = Reply::List(vec![
        Reply::bulk("applied"),
        Reply::Integer(1),
        Reply::bulk("absorbed"),
        Reply::Integer(0),
    ]);
    assert_eq!(client.call(&words), applied, "{session}");
}

/// The keys of a user's sessions, as a node's Redis door lists them; each has time left.
fn listed(cluster: &Cluster, node: usize, user: &str) -> BTreeSet<String> {
    let answer = cluster.resp(node).call(&["HENGE.SESSIONS", user]);
    let Reply::List(pairs) = answer else {
        panic!("no list: {answer:?}")
    };
    let session = |pair: &[Reply]| match pair {
        [Reply::Bulk(key), Reply::Integer(1..)] => key.clone(),
        other => panic!("no session with its time: {other:?}"),
    };
    pairs.chunks(2).map(session).collect()
}

/// Whether a node shows a session, through either of its doors and asking so many replicas.
fn is_shown(cluster: &Cluster, node: usize, r: &str, (bucket, name): (&str, &str)) -> bool {
    let mut client = cluster.resp(node);
    assert_eq!(
        client.call(&["HENGE.QUORUM", "R", r]),
        Reply::text("OK"),
        "R={r}"
    );
    let prefix = match bucket {
        "sessions" => "sess:",
        _ => "quick:",
    };
    let over_resp = match client.call(&["GET", &format!("{prefix}{name}")]) {
        Reply::Bulk(value) => value == "secret",
        Reply::Nothing => false,
        other => panic!("{other:?}"),
    };
    let path = format!("/v1/buckets/{bucket}/keys/{name}?r={r}");
    let over_http = match cluster.http(node, "GET", &path, "") {
        (200, body) => body == "secret",
        (404, _) => false,
        other => panic!("{other:?}"),
    };
    assert_eq!(over_resp, over_http, "the doors differ about {name}");
    over_resp
}

#[test]
fn who_is_logged_out_everywhere_is_logged_in_nowhere_and_nobody_else_is_touched() {
    let cluster = Cluster::start(3);
    let mut first = cluster.resp(0);
    let names: Vec<_> = (0..6).map(|number| format!("alice-{number}")).collect();
    for name in &names[..5] {
        log_in(&mut first, &format!("sess:{name}"), "alice");
    }
    let path = "/v1/buckets/sessions/keys/alice-5?ttl_ms=600000&principal=alice";
    let (status, body) = cluster.http(0, "PUT", path, "secret");
    assert_eq!(status, 200, "{body}");
    log_in(&mut first, "sess:bob", "bob");
    let all: BTreeSet<_> = names.iter().map(|name| format!("sess:{name}")).collect();
    assert_eq!(listed(&cluster, 1, "alice"), all);
    assert_eq!(
        listed(&cluster, 2, "bob"),
        BTreeSet::from(["sess:bob".to_owned()])
    );

    let ended = cluster.resp(2).call(&["HENGE.LOGOUTALL", "alice"]);
    let Reply::List(ended) = ended else {
        panic!("not ended: {ended:?}")
    };
    assert_eq!(ended[..2], [Reply::bulk("sessions"), Reply::Integer(6)]);
    for node in cluster.running() {
        for name in &names {
            assert!(!is_shown(&cluster, node, "2", ("sessions", name)), "{name}");
            // A request that was under way, and its library's touch.
            let mut client = cluster.resp(node);
            client.call(&["SET", &format!("sess:{name}"), "secret"]);
            client.call(&["EXPIRE", &format!("sess:{name}"), "600"]);
            assert!(!is_shown(&cluster, node, "2", ("sessions", name)), "{name}");
        }
        assert_eq!(listed(&cluster, node, "alice"), BTreeSet::new());
        assert!(is_shown(&cluster, node, "2", ("sessions", "bob")));
        assert_eq!(listed(&cluster, node, "bob").len(), 1);
    }
    log_in(&mut first, "sess:again", "alice");
    for node in cluster.running() {
        assert!(is_shown(&cluster, node, "2", ("sessions", "again")));
    }
}

/// Reads that ask one replica need a logout that all of them know. With one node killed it is refused
/// with the numbers and changes nothing; when the node is back it is done, and no replica shows one.
#[test]
fn a_logout_everywhere_that_not_all_replicas_can_hear_of_is_no_success() {
    let mut cluster = Cluster::start(3);
    let http = cluster.address(0, Port::Http);
    let rules = "--kind session --prefix quick: --r 1 --w 3 --ttl 1h";
    let rules: Vec<_> = rules.split(' ').collect();
    let set = ["bucket", "set", "quick", "--http", &http, "--apply"];
    Ran::well(&[&set[..], &rules].concat());
    is_taken_over(&cluster, "quick:", "");
    let mut client = cluster.resp(0);
    let names: Vec<_> = (0..4).map(|number| format!("alice-{number}")).collect();
    for name in &names {
        log_in(&mut client, &format!("quick:{name}"), "alice");
    }
    cluster.kill(2);
    cluster.wait_until_noticed(0, 2);
    let refused = client.call(&["HENGE.LOGOUTALL", "alice"]);
    let Reply::Error(text) = refused else {
        panic!("two of three are no success: {refused:?}")
    };
    assert!(text.starts_with("FAILED needed 3 got 2"), "{text}");
    assert!(text.contains("nothing was changed"), "{text}");
    let (status, body) = cluster.http(0, "DELETE", "/v1/principals/alice/sessions", "");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("needed 3 got 2"), "{body}");
    for name in &names {
        assert!(is_shown(&cluster, 0, "1", ("quick", name)), "{name}");
    }

    cluster.restart(2);
    cluster.wait_until_settled(3);
    let ended = cluster.resp(2).call(&["HENGE.LOGOUTALL", "alice"]);
    assert!(
        matches!(&ended, Reply::List(ended) if ended[1] == Reply::Integer(4)),
        "{ended:?}"
    );
    for node in cluster.running() {
        for name in &names {
            assert!(!is_shown(&cluster, node, "1", ("quick", name)), "{name}");
        }
        assert_eq!(listed(&cluster, node, "alice"), BTreeSet::new());
    }
}

/// A session gets a new id at one node while another is dead: the old id leads to it on all nodes, on the
/// one that comes back too, and ends with it.
#[test]
fn a_session_with_a_new_id_is_served_under_both_and_ends_under_both() {
    let mut cluster = Cluster::start(3);
    let mut first = cluster.resp(0);
    for name in ["a", "b", "c"] {
        log_in(&mut first, &format!("sess:{name}"), "alice");
    }
    cluster.kill(2);
    for name in ["a", "b", "c"] {
        let (old, new) = (format!("sess:{name}"), format!("sess:new-{name}"));
        let words = [
            "HENGE.ROTATE",
            &old,
            &new,
            "GRACE",
            "60000",
            "TIMEOUT",
            "5000",
        ];
        let rotated = retried(|| cluster.resp(1).call(&words));
        assert_eq!(rotated[..2], [Reply::bulk("rotated"), Reply::Integer(1)]);
    }
    cluster.restart(2);
    cluster.wait_until_settled(3);
    for node in cluster.running() {
        for name in ["a", "new-a", "b", "new-b"] {
            assert!(
                is_shown(&cluster, node, "2", ("sessions", name)),
                "{name} at {node}"
            );
        }
    }
    assert_eq!(
        cluster.resp(2).call(&["DEL", "sess:new-a"]),
        Reply::Integer(1)
    );
    assert_eq!(cluster.resp(2).call(&["DEL", "sess:b"]), Reply::Integer(1));
    for node in cluster.running() {
        for name in ["a", "new-a", "b", "new-b"] {
            assert!(
                !is_shown(&cluster, node, "2", ("sessions", name)),
                "{name} at {node}"
            );
        }
        assert!(is_shown(&cluster, node, "2", ("sessions", "c")));
    }
    let ended = cluster.resp(0).call(&["HENGE.LOGOUTALL", "alice"]);
    assert!(matches!(ended, Reply::List(_)), "{ended:?}");
    for node in cluster.running() {
        for name in ["c", "new-c"] {
            assert!(
                !is_shown(&cluster, node, "2", ("sessions", name)),
                "{name} at {node}"
            );
        }
    }
}

/// What a request is answered with that may be sent again, while a node has just died.
fn retried(mut ask: impl FnMut() -> Reply) -> Vec<Reply> {
    let mut answer = None;
    wait("it is carried out", || match ask() {
        Reply::List(list) => {
            answer = Some(list);
            true
        }
        Reply::Error(_) => false,
        other => panic!("{other:?}"),
    });
    answer.expect("it was")
}

//! Sessions of principals: logged in, listed, and logged out everywhere.

use super::*;
use crate::principals::{self, Login, entries, index_key};

fn delete<'a>() -> Operation<'a> {
    Operation::Delete {
        condition: Condition::Always,
    }
}

pub(super) fn login(
    cluster: &mut Cluster,
    at: u8,
    session: &str,
    principal: &str,
) -> Result<Done, Failure> {
    let mut login = begin_login(session, principal);
    loop {
        let outcome = step(cluster, at, &login);
        if let Some(ended) = login.answered(outcome) {
            return ended.result;
        }
    }
}

fn begin_login(session: &str, principal: &str) -> Login {
    let request = Request {
        key: session.as_bytes(),
        operation: put("secret"),
        options: Options::default(),
    };
    Login::new(&request, principal.as_bytes()).expect("a login")
}

fn step(cluster: &mut Cluster, at: u8, login: &Login) -> Outcome {
    cluster.ask_own(at, &login.request())
}

pub(super) fn logout_all(cluster: &mut Cluster, at: u8, principal: &str) -> Result<Done, Failure> {
    let key = index_key(principal.as_bytes()).expect("short");
    let request = Request {
        key: &key,
        operation: delete(),
        options: Options::default(),
    };
    cluster.ask_own(at, &request).result
}

fn listed(cluster: &mut Cluster, at: u8, principal: &str) -> Vec<String> {
    let key = index_key(principal.as_bytes()).expect("short");
    let request = Request {
        key: &key,
        operation: Operation::Get,
        options: Options::default(),
    };
    let index = cluster.ask_own(at, &request).result.expect("read").record;
    let index = index
        .as_deref()
        .map(|it| RecordRef::parse(it).expect("a record"));
    let all = index.iter().flat_map(entries);
    let mut all: Vec<_> = all
        .map(|it| String::from_utf8_lossy(it.session).into_owned())
        .collect();
    all.sort();
    all
}

#[test]
fn after_a_logout_everywhere_no_node_shows_a_session_and_a_new_login_is_shown() {
    let mut cluster = Cluster::new(5);
    for number in 0..8 {
        let session = format!("sess:{number}");
        login(&mut cluster, 1 + number % 5, &session, "alice").expect("logged in");
        assert_eq!(
            cluster.get(1 + (number + 2) % 5, &session).as_deref(),
            Some(&b"secret"[..])
        );
    }
    login(&mut cluster, 1, "sess:other", "bob").expect("logged in");
    assert_eq!(listed(&mut cluster, 4, "alice").len(), 8);
    assert!(logout_all(&mut cluster, 3, "alice").expect("done").applied);
    login(&mut cluster, 2, "sess:new", "alice").expect("logged in");
    for node in 1..=5 {
        for number in 0..8 {
            assert_eq!(cluster.get(node, &format!("sess:{number}")), None);
        }
        assert!(cluster.get(node, "sess:new").is_some());
        assert!(cluster.get(node, "sess:other").is_some());
        assert_eq!(listed(&mut cluster, node, "alice"), ["sess:new"]);
    }
}

#[test]
fn what_clients_see_of_a_principals_session_is_what_they_wrote() {
    let mut cluster = Cluster::new(3);
    login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
    let shown = cluster.found(2, "sess:1");
    let shown = RecordRef::parse(&shown).expect("a record");
    assert_eq!(shown.value(), Some(&b"secret"[..]), "a plain value");
    // It is also what compare-and-set compares with, and it survives a whole new value.
    let digest = Condition::Digest(shown.digest());
    assert!(
        cluster
            .run(3, "sess:1", put_if("two", digest))
            .expect("put")
            .applied
    );
    assert!(
        !cluster
            .run(3, "sess:1", put_if("three", digest))
            .expect("answered")
            .applied
    );
    let shown = cluster
        .run(3, "sess:1", put_if("three", digest))
        .expect("answered")
        .record;
    let shown = shown.expect("what a declined write found");
    assert_eq!(
        RecordRef::parse(&shown).expect("a record").value(),
        Some(&b"two"[..])
    );
    cluster.run(2, "sess:1", put("four")).expect("put");
    let field = FieldWrites::from_slice(&[(&b"name"[..], Some(&b"value"[..]))]);
    let fields = Operation::PutFields {
        fields: field,
        expiry: Expiry::Keep,
    };
    cluster.run(1, "sess:1", fields).expect("put");
    let shown = cluster.found(2, "sess:1");
    let names = RecordRef::parse(&shown).expect("a record");
    assert_eq!(
        names.fields().map(|(name, _)| name).collect::<Vec<_>>(),
        [&b""[..], b"name"]
    );
    assert!(logout_all(&mut cluster, 3, "alice").expect("done").applied);
    assert!(
        cluster
            .run(1, "sess:1", Operation::Get)
            .expect("read")
            .record
            .is_none()
    );
    let declined = cluster
        .run(2, "sess:1", put_if("new", Condition::Absent))
        .expect("answered");
    assert_eq!(declined.record, None, "nor does a declined write show it");
}

#[test]
fn clients_cannot_touch_an_index_or_the_hidden_field() {
    let mut cluster = Cluster::new(3);
    login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
    let index = String::from_utf8(index_key(b"alice").expect("short")).expect("text");
    for operation in [Operation::Get, put("x"), delete()] {
        let refused = cluster.run(2, &index, operation).expect_err("refused");
        assert!(matches!(refused, Failure::Invalid(_)), "{refused}");
    }
    let forged = FieldWrites::from_slice(&[(b"\0\0principal", Some(&b"x"[..]))]);
    let forged = Operation::PutFields {
        fields: forged,
        expiry: Expiry::Keep,
    };
    let refused = cluster.run(2, "sess:1", forged).expect_err("refused");
    assert!(matches!(refused, Failure::Invalid(_)), "{refused}");
}

/// Between the two steps of a login comes a logout: the session is acknowledged and never shown. A
/// login whose first step comes after it is shown.
#[test]
fn a_login_is_before_a_logout_or_after_it_and_never_both() {
    for first_step_first in [true, false] {
        let mut cluster = Cluster::new(5);
        login(&mut cluster, 1, "sess:before", "alice").expect("logged in");
        let mut racing = begin_login("sess:racing", "alice");
        if first_step_first {
            let entered = step(&mut cluster, 2, &racing);
            assert!(racing.answered(entered).is_none());
        }
        assert!(logout_all(&mut cluster, 3, "alice").expect("done").applied);
        while racing_goes_on(&mut cluster, &mut racing) {}
        for node in 1..=5 {
            assert_eq!(
                cluster.get(node, "sess:racing").is_some(),
                !first_step_first
            );
            assert_eq!(cluster.get(node, "sess:before"), None);
        }
    }
}

fn racing_goes_on(cluster: &mut Cluster, login: &mut Login) -> bool {
    let outcome = step(cluster, 4, login);
    login.answered(outcome).is_none()
}

/// The logout is coordinated by a node whose clock is behind those that stamped the logins, and the
/// next login by one that is behind the logout's: no order depends on them.
#[test]
fn clocks_do_not_matter() {
    let mut cluster = Cluster::new(3);
    let present = cluster.now;
    let behind = Now {
        wall_ms: present.wall_ms - 400,
        ..present
    };
    login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
    cluster.now = behind;
    assert!(logout_all(&mut cluster, 2, "alice").expect("done").applied);
    (1..=3).for_each(|node| assert_eq!(cluster.get(node, "sess:1"), None));
    login(&mut cluster, 3, "sess:2", "alice").expect("logged in");
    cluster.now = present;
    (1..=3).for_each(|node| assert!(cluster.get(node, "sess:2").is_some()));
}

#[test]
fn a_logout_that_one_replica_missed_is_heeded_by_every_node() {
    let mut cluster = Cluster::new(3);
    login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
    for missed in 1..=3u8 {
        let session = format!("sess:{missed}");
        login(&mut cluster, 1, &session, "alice").expect("logged in");
        cluster.kill(missed);
        let at = missed % 3 + 1;
        assert!(
            logout_all(&mut cluster, at, "alice")
                .expect("by two")
                .applied
        );
        cluster.revive(missed);
        for node in [missed, 1, 2, 3] {
            assert_eq!(
                cluster.get(node, &session),
                None,
                "at {node}, missed by {missed}"
            );
        }
    }
}

/// Too few replicas of the index: the answer is the shortage, never the session.
#[test]
fn what_cannot_be_checked_is_not_shown() {
    let mut cluster = Cluster::new(5);
    login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
    let index = index_key(b"alice").expect("short");
    let holders = |cluster: &Cluster, key: &[u8]| -> Vec<u8> {
        let ring = ring_of(5);
        let owners = ring.replica_ids(ring.partition_of(henge_ring::Token::of(key)));
        let owners: Vec<_> = owners.map(|owner| owner.0[0]).collect();
        assert!(
            owners
                .iter()
                .all(|owner| cluster.nodes.contains_key(&id(*owner)))
        );
        owners
    };
    let (of_index, of_session) = (holders(&cluster, &index), holders(&cluster, b"sess:1"));
    let at = of_session[0];
    for node in of_index.iter().filter(|node| !of_session.contains(node)) {
        cluster.kill(*node);
    }
    let both: Vec<_> = of_index
        .iter()
        .filter(|it| of_session.contains(it))
        .collect();
    if both.len() > 1 {
        cluster.kill(**both.iter().find(|it| ***it != at).expect("another"));
    }
    let read = cluster.run(at, "sess:1", Operation::Get);
    assert!(matches!(read, Err(Failure::Failed { .. })), "{read:?}");
}

/// Sessions that come and go: the index has as many slots as there were sessions at one time.
#[test]
fn slots_of_sessions_that_are_gone_are_used_again() {
    let mut cluster = Cluster::new(3);
    for number in 0..60 {
        let session = format!("sess:{number}");
        login(&mut cluster, 1 + number % 3, &session, "alice").expect("logged in");
        cluster.run(1, &session, delete()).expect("destroyed");
        cluster.pass(principals::SETTLED_MS);
        let key = index_key(b"alice").expect("short");
        let gone = FieldWrites::from_slice(&[(session.as_bytes(), None)]);
        let free = Request {
            key: &key,
            operation: Operation::PutFields {
                fields: gone,
                expiry: Expiry::Keep,
            },
            options: Options::default(),
        };
        for node in 1..=3 {
            cluster.ask_own(node, &free).result.expect("answered");
        }
    }
    assert_eq!(listed(&mut cluster, 2, "alice"), Vec::<String>::new());
    let key = index_key(b"alice").expect("short");
    cluster.nodes[&id(1)].1.read(Key::new(&key), &mut |stored| {
        let bytes = stored.expect("the index").bytes.len();
        assert!(bytes < 300, "{bytes}");
    });
}

/// A read that finds a session logged out has it destroyed, so that its copies go.
#[test]
fn a_session_found_logged_out_is_destroyed() {
    let mut cluster = Cluster::new(3);
    login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
    logout_all(&mut cluster, 2, "alice").expect("done");
    assert_eq!(cluster.get(3, "sess:1"), None);
    cluster.pass(10);
    for (_, store) in cluster.nodes.values() {
        store.read(Key::new(b"sess:1"), &mut |stored| {
            assert!(stored.is_some_and(|it| it.record().is_dead()));
        });
    }
}

/// A replica that answers alone for a while asks R replicas all the same whether the user was logged out.
#[test]
fn a_read_with_a_bound_on_staleness_looks_into_the_index_of_r_replicas() {
    for at in 1..=3 {
        let mut cluster = Cluster::new(3);
        login(&mut cluster, 1, "sess:1", "alice").expect("logged in");
        let within = || Operation::GetWithin {
            max_staleness_ms: 60_000,
        };
        let shown = |done: Done| done.record.is_some();
        assert!(shown(cluster.run(at, "sess:1", within()).expect("read")));
        // The logout does not reach this node.
        cluster.kill(at);
        assert!(
            logout_all(&mut cluster, at % 3 + 1, "alice")
                .expect("done")
                .applied
        );
        cluster.only_calls = true;
        cluster.revive(at);
        cluster.only_calls = false;
        assert!(!shown(cluster.run(at, "sess:1", within()).expect("read")));
    }
}

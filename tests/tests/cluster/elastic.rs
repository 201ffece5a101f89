//! The cluster grows and shrinks while it serves.

use crate::{
    doors::Reply,
    load::Load,
    nodes::{Cluster, Port},
    programs::Ran,
};

/// Sessions that were written before the ring changed, and some that were destroyed.
struct Sessions {
    alive: Vec<(String, String)>,
    dead: Vec<String>,
}

impl Sessions {
    fn begin(cluster: &Cluster) -> Self {
        let mut client = cluster.resp(1);
        let mut written = |name: &str, count: u32| -> Vec<(String, String)> {
            let pairs = (0..count).map(|at| (format!("sess:{name}-{at}"), format!("value {at}")));
            let pairs: Vec<_> = pairs.collect();
            for (key, value) in &pairs {
                let answer = client.call(&["SET", key, value, "EX", "600"]);
                assert_eq!(answer, Reply::text("OK"), "{key}");
            }
            pairs
        };
        let (alive, dead) = (written("alive", 200), written("dead", 50));
        let dead: Vec<_> = dead.into_iter().map(|(key, _)| key).collect();
        for key in &dead {
            assert_eq!(client.call(&["DEL", key]), Reply::Integer(1), "{key}");
        }
        Self { alive, dead }
    }

    /// Every node shows what lives, and what was destroyed takes no write.
    fn check(&self, cluster: &Cluster) {
        for node in cluster.running() {
            for r in [2, 3] {
                cluster.holds(node, r, &self.alive);
            }
            let mut client = cluster.resp(node);
            for key in &self.dead {
                assert_eq!(
                    client.call(&["SET", key, "late"]),
                    Reply::text("OK"),
                    "{key}"
                );
                assert_eq!(client.call(&["GET", key]), Reply::Nothing, "{key} is back");
            }
        }
    }
}

/// `henge ring`: so many members, and no two whose shares differ by more than one partition.
pub(crate) fn is_even(cluster: &Cluster, node: usize, members: usize) {
    let told = Ran::well(&[
        "ring",
        "--json",
        "--node",
        &cluster.address(node, Port::Resp),
    ]);
    let ring: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
    let shares = ring["members"].as_array().into_iter().flatten();
    let shares: Vec<_> = shares.filter_map(|it| it["partitions"].as_u64()).collect();
    assert_eq!(shares.len(), members, "{told}");
    let (most, least) = (shares.iter().max(), shares.iter().min());
    assert!(most <= least.map(|least| least + 1).as_ref(), "{told}");
}

#[test]
fn one_joins_and_one_leaves_under_load_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start(3);
    let sessions = Sessions::begin(&cluster);
    let load = Load::start(&cluster, &[0, 1, 2]);

    let joined = cluster.join();
    cluster.wait_until_settled(4);
    is_even(&cluster, 0, 4);

    let (id, http) = (cluster.id(0), cluster.address(joined, Port::Http));
    let shown = Ran::well(&["leave", &id, "--http", &http]);
    assert!(shown.contains("nothing was changed"), "{shown}");
    is_even(&cluster, joined, 4);
    let told = Ran::well(&["leave", &id[..12], "--apply", "--http", &http]);
    assert!(
        told.contains("applied\n") && told.contains("done after"),
        "{told}"
    );
    // It has waited: there is nothing more to wait for.
    assert_eq!(cluster.json(0, "/v1/members")["moving"]["left"], true);
    cluster.wait_until_settled(3);
    is_even(&cluster, joined, 3);

    // Only then may it be stopped; its clients find it gone.
    cluster.wait_until_left(0);
    cluster.kill(0);
    load.end();
    sessions.check(&cluster);
    Ran::well(&["status", "--node", &cluster.address(joined, Port::Resp)]);
}

/// A plan as a program reads it.
fn planned(words: &[&str], http: &str) -> serde_json::Value {
    let told = Ran::well(&[words, &["--json", "--http", http]].concat());
    serde_json::from_str(&told).expect("it is JSON")
}

#[test]
fn what_a_change_would_do_is_told_and_nothing_is_done() {
    let cluster = Cluster::start(4);
    let sessions = Sessions::begin(&cluster);
    let (http, id) = (cluster.address(0, Port::Http), cluster.id(3));

    let left = planned(&["leave", &id], &http);
    let copies = |plan: &serde_json::Value, id: &str| {
        let nodes = plan["nodes"].as_array().into_iter().flatten();
        let node = nodes.into_iter().find(|node| node["id"] == *id);
        let count = |name| node.and_then(|it| it[name].as_u64());
        (count("before"), count("after"), count("receives"))
    };
    // Four nodes share 3 x 1,024 replicas, three have them all.
    assert_eq!(copies(&left, &id), (Some(768), Some(0), Some(0)));
    assert_eq!((&left["moves"], &left["least"]), (&768.into(), &768.into()));
    assert_eq!(left["sized_by"], 4);
    let size = left["replica_bytes"].as_u64().expect("a number");
    assert!(size > 0);
    assert_eq!(left["bytes"].as_u64(), Some(768 * size));
    let ms = |name: &str| left["duration"][name].as_u64();
    assert!(ms("soonest_ms") < ms("slowest_ms"), "{left}");

    let joined = planned(&["join", "--zone", "attic 2"], &http);
    let new = joined["newcomer"].as_str().expect("an id").to_owned();
    let takes = joined["moves"].as_u64();
    assert_eq!(copies(&joined, &new), (Some(0), takes, takes));
    // Alone in a second zone it has one replica of everything.
    assert_eq!(takes, Some(1_024), "{joined}");
    assert_eq!(joined["zones"]["after"]["zones"], 2);

    let replaced = planned(&["replace", &id[..12]], &http);
    let new = replaced["newcomer"].as_str().expect("an id").to_owned();
    assert_eq!(copies(&replaced, &new), (Some(0), Some(768), Some(768)));
    let told = Ran::well(&["replace", &id, "--http", &http]);
    let listens = format!("--listen-peer {}", cluster.address(3, Port::Peer));
    assert!(told.contains(&listens) && told.contains("(new)"), "{told}");

    let moved = planned(&["zone", &id, "attic"], &http);
    assert_eq!(moved["zones"]["after"]["zones"], 2);
    let shown = Ran::well(&["reweight", &id, "2", "--http", &http]);
    assert!(shown.contains("nothing was changed"), "{shown}");
    let (status, said) = cluster.http(0, "POST", "/v1/members/join?weight=1&zone=a&apply=true", "");
    assert!(status == 400 && said.contains("by itself"), "{said}");
    is_even(&cluster, 0, 4);
    sessions.check(&cluster);
}

#[test]
fn a_member_that_stands_elsewhere_says_so_and_replicas_spread() {
    let cluster = Cluster::start(4);
    let sessions = Sessions::begin(&cluster);
    let (http, id) = (cluster.address(1, Port::Http), cluster.id(0));
    let told = Ran::well(&["zone", &id, "attic", "--apply", "--http", &http]);
    assert!(told.contains("done after"), "{told}");
    // Two zones for three replicas: one of each partition is in the attic.
    let ring = cluster.json(2, "/v1/ring");
    let members = ring["members"].as_array().expect("it has members");
    let alone = members.iter().position(|it| it["zone"] == "attic");
    let alone = serde_json::json!(alone.expect("it is known everywhere"));
    for replicas in ring["partitions"].as_array().into_iter().flatten() {
        let has = replicas.as_array().is_some_and(|it| it.contains(&alone));
        assert!(has, "{replicas}");
    }
    sessions.check(&cluster);
}

#[test]
fn a_leave_taken_back_midway_leaves_a_full_member_and_nothing_is_lost() {
    let cluster = Cluster::start(4);
    let sessions = Sessions::begin(&cluster);
    let load = Load::start(&cluster, &[0, 1, 2]);
    let (http, id) = (cluster.address(0, Port::Http), cluster.id(3));
    let undo = ["leave", &id, "--undo", "--http", &http];
    Ran::refused(&undo, &["has not left"]);

    let told = Ran::well(&["leave", &id, "--apply", "--no-wait", "--http", &http]);
    assert!(
        told.contains("applied\n") && !told.contains("done"),
        "{told}"
    );
    let moving = cluster.json(0, "/v1/members")["moving"]["partitions"].as_u64();
    assert!(moving > Some(0), "768 partitions are not moved in no time");
    let told = Ran::well(&[&undo[..], &["--apply"]].concat());
    assert!(told.contains("done after"), "{told}");
    cluster.wait_until_settled(4);
    is_even(&cluster, 3, 4);
    assert_eq!(cluster.json(3, "/v1/members")["moving"]["left"], false);
    load.end();
    sessions.check(&cluster);
}

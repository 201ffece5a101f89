//! `henge repair`, `henge export` and `GET /v1/changes` against a cluster that runs, and what they
//! say when they cannot.

use std::collections::BTreeMap;

use henge_ring::Token;
use serde_json::Value;

use crate::{
    doors::Reply,
    nodes::{Cluster, Port, wait},
    programs::Ran,
};

fn set(cluster: &Cluster, node: usize, key: &str, value: &str) {
    let answer = cluster.resp(node).call(&["SET", key, value, "EX", "600"]);
    assert_eq!(answer, Reply::text("OK"), "{key}");
}

fn partition(key: &str) -> u64 {
    u64::from(Token::of(key.as_bytes()).partition(10).0)
}

/// The records that a command prints, by key.
fn exported(words: &[&str]) -> BTreeMap<String, Value> {
    let told = Ran::well(words);
    let records = told.lines().map(|line| {
        let record: Value = serde_json::from_str(line).expect("a line is JSON");
        (record["key"].as_str().expect("a key").to_owned(), record)
    });
    records.collect()
}

/// How many rounds a node has gone through, as `henge repair` tells in its line. A round that was due
/// anyhow may have come on top.
fn rounds(told: &str, node: &str) -> Option<u32> {
    let of_node = |it: &&str| it.starts_with(node) && it.contains(" rounds, ");
    let line = told.lines().find(of_node)?;
    assert!(line.contains(" 0 refused;"), "{told}");
    line[node.len() + 2..].split(' ').next()?.parse().ok()
}

#[test]
fn repair_tells_what_each_node_compared_and_which_cannot_be_reached() {
    let mut cluster = Cluster::start(3);
    (0..50).for_each(|at| set(&cluster, 0, &format!("sess:{at}"), "v"));
    let address = |node| cluster.address(node, Port::Resp);
    let [first, second, third] = [0, 1, 2].map(address);
    let all = ["repair", "--node", &first];
    let told = Ran::well(&all);
    for node in [&first, &second, &third] {
        assert!(rounds(&told, node) >= Some(2), "{told}");
    }
    let reports = Ran::well(&[&all[..], &["--status", "--json"]].concat());
    assert_eq!(reports.lines().count(), 3, "{reports}");
    for line in reports.lines() {
        let report: Value = serde_json::from_str(line).expect("it is JSON");
        assert!(report["totals"]["rounds"].as_u64() >= Some(2), "{report}");
        let peers = report["peers"].as_array().expect("it has peers");
        let compared = |peer: &Value| peer["up"] == true && peer["round_age_ms"].is_u64();
        assert!(peers.len() == 2 && peers.iter().all(compared), "{report}");
    }

    cluster.kill(2);
    cluster.wait_until_noticed(0, 2);
    let Ran { status, out, err } = Ran::henge(&all);
    assert_eq!(status, 1, "{out}{err}");
    for node in [&first, &second] {
        assert!(rounds(&out, node) >= Some(1), "{out}");
    }
    assert!(
        err.starts_with(&format!("{third}: no node reachable")),
        "{err}"
    );
    let named = first.replace("127.0.0.1", "localhost");
    let told = Ran::well(&["repair", "--only", "--node", &named]);
    let strangers = told.lines().filter(|it| !it.starts_with([' ', 'l']));
    assert_eq!(strangers.count(), 0, "others than {named}: {told}");
    Ran::refused(&["repair", "--only", "--node", &third], &[&third]);
}

#[test]
fn export_prints_what_a_node_holds_or_the_part_that_is_asked_for() {
    let mut cluster = Cluster::start(4);
    let keys: Vec<_> = (0..60).map(|at| format!("sess:{at}")).collect();
    keys.iter().for_each(|key| set(&cluster, 0, key, "v"));
    set(&cluster, 1, "cart:1", "w");
    assert_eq!(cluster.resp(1).call(&["DEL", "sess:0"]), Reply::Integer(1));
    // W=2 of N=3: the third replica follows.
    let records = |node| cluster.json(node, "/v1/members")["records"].as_u64();
    let sum = || (0..4).filter_map(records).sum::<u64>();
    wait("each record is on three of four nodes", || sum() == 3 * 61);
    let mut copies = BTreeMap::<String, u32>::new();
    for node in 0..4 {
        for (key, record) in exported(&["export", "--node", &cluster.address(node, Port::Resp)]) {
            let dead = key == "sess:0";
            assert_eq!(record["state"] == "alive", !dead, "{record}");
            assert_eq!(record["changed_ms"].is_null(), dead, "{record}");
            assert_eq!(
                record["values"].as_array().map(Vec::len),
                Some(usize::from(!dead))
            );
            *copies.entry(key).or_default() += 1;
        }
    }
    assert_eq!(copies.len(), 61);
    assert!(copies.values().all(|count| *count == 3), "{copies:?}");

    let ring = cluster.json(0, "/v1/ring");
    let owner = ring["partitions"][partition("cart:1") as usize][0].as_u64();
    let owner = owner.expect("it has an owner") as usize;
    let owner = ring["members"][owner]["resp"].as_str().expect("an address");
    let from_owner = |part: &[&str]| {
        let records = exported(&[&["export", "--node", owner], part].concat());
        records.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(from_owner(&["--prefix", "cart:"]), ["cart:1"]);
    let number = partition("cart:1").to_string();
    let of_partition = from_owner(&["--partition", &number]);
    assert!(of_partition.contains(&"cart:1".to_owned()));
    assert!(
        of_partition
            .iter()
            .all(|key| partition(key) == partition("cart:1"))
    );
    let future = from_owner(&["--since", "99999999999999"]);
    let known = ["sess:0".to_owned()];
    assert!(
        future.is_empty() || future == known,
        "only what has no time: {future:?}"
    );
    assert_eq!(from_owner(&["--since", "1h"]), from_owner(&[]));

    let refused = |part: &[&str], wanted: &str| {
        Ran::refused(&[&["export", "--node", owner], part].concat(), &[wanted]);
    };
    refused(&["--partition", "1024"], "there is no partition 1024");
    refused(&["--partition", "70000"], "numbered from 0 to 1023");
    refused(&["--since", "yesterday"], "neither a duration");
    cluster.kill(3);
    let gone = cluster.address(3, Port::Resp);
    Ran::refused(&["export", "--node", &gone], &[&gone, "no node reachable"]);
}

#[test]
fn changes_are_followed_until_the_node_has_another_life() {
    let mut cluster = Cluster::start(3);
    let path = format!("/v1/changes?partition={}", partition("sess:a"));
    set(&cluster, 1, "sess:a", "1");
    // The write may not have come here yet.
    let first = || cluster.json(0, &path);
    wait("the change is there", || first()["next"] == 1);
    let page = first();
    let keys = |page: &Value| {
        let changes = page["changes"].as_array().into_iter().flatten();
        changes.map(|it| it["key"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&page), ["sess:a"]);
    let life = page["life"].as_str().expect("it has a life").to_owned();
    let since = |at: u64| format!("{path}&since={at}&life={life}");
    assert!(keys(&cluster.json(0, &since(1))).is_empty());
    set(&cluster, 1, "sess:a", "2");
    wait("the next change is there", || {
        keys(&cluster.json(0, &since(1))) == ["sess:a"]
    });

    let refused = |path: &str, status: u16, words: &str| {
        let (got, body) = cluster.http(0, "GET", path, "");
        assert!(
            got == status && body.contains(words),
            "{path}: {got} {body}"
        );
    };
    refused(&since(99), 410, "from position 0 to 2, 99 was asked for");
    refused("/v1/changes", 400, "partition is missing");
    refused("/v1/changes?partition=1024", 400, "numbered from 0 to 1023");
    refused(
        &format!("{path}&since=x"),
        400,
        "since must be a whole number",
    );

    cluster.kill(0);
    cluster.restart(0);
    cluster.wait_until_settled(3);
    let (status, body) = cluster.http(0, "GET", &since(1), "");
    assert_eq!(status, 410, "{body}");
    assert!(body.contains(&format!("of life {life}")), "{body}");
    let anew = cluster.json(0, &path);
    assert_eq!(keys(&anew), ["sess:a"], "what was pulled is a change too");
}

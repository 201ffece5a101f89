//! `henge bucket`: rules set at one node are obeyed through every node's doors, also of one that joins
//! later.

use serde_json::Value;

use crate::{
    doors::Reply,
    nodes::{Cluster, Port, wait},
    programs::Ran,
};

/// What a node says of a bucket.
fn bucket(cluster: &Cluster, node: usize, name: &str) -> Option<Value> {
    let (status, body) = cluster.http(node, "GET", &format!("/v1/buckets/{name}"), "");
    (status == 200).then(|| serde_json::from_str(&body).expect("it is JSON"))
}

fn is_everywhere(cluster: &Cluster, name: &str, rule: &str, wanted: &Value) {
    for node in cluster.running() {
        let known = || bucket(cluster, node, name).is_some_and(|it| it[rule] == *wanted);
        wait("the node knows the bucket's rules", known);
    }
}

/// Data threads take the log's rules over a tick after the node knows them; a node spreads its
/// connections over its threads, so that these reach each of them. Of a bucket whose sessions have a
/// lifetime.
pub(crate) fn is_taken_over(cluster: &Cluster, prefix: &str, round: &str) {
    let mut attempt = 0;
    for node in cluster.running() {
        wait("every data thread works by the rules", || {
            let lives = |connection: u32| {
                attempt += 1;
                let key = format!("{prefix}probe-{round}{attempt}");
                let mut client = cluster.resp(node);
                assert_eq!(
                    client.call(&["SET", &key, "v"]),
                    Reply::text("OK"),
                    "{connection}"
                );
                client.call(&["TTL", &key]) != Reply::Integer(-1)
            };
            (0..4).map(lives).filter(|lives| *lives).count() == 4
        });
    }
}

/// Through each node's doors: a new session gets the bucket's lifetimes, and a destroyed one refuses
/// writes in words.
fn is_obeyed(cluster: &Cluster, round: &str) {
    is_taken_over(cluster, "adm:", round);
    for node in cluster.running() {
        let (key, path) = (format!("adm:{round}{node}"), "/v1/buckets/admins/keys");
        let mut client = cluster.resp(node);
        assert_eq!(client.call(&["SET", &key, "v"]), Reply::text("OK"));
        let Reply::Integer(ttl) = client.call(&["TTL", &key]) else {
            panic!("no number");
        };
        assert!((1..=1_800).contains(&ttl), "30 minutes, not {ttl} s");
        assert_eq!(client.call(&["EXPIRE", &key, "999999"]), Reply::Integer(1));
        let Reply::Integer(ttl) = client.call(&["TTL", &key]) else {
            panic!("no number");
        };
        assert!((1..=43_200).contains(&ttl), "12 hours, not {ttl} s");
        assert_eq!(client.call(&["DEL", &key]), Reply::Integer(1));
        match client.call(&["SET", &key, "late"]) {
            Reply::Error(text) => assert!(text.starts_with("DEAD "), "{text}"),
            other => panic!("{other:?}"),
        }
        let late = cluster.http(node, "PUT", &format!("{path}/{round}{node}"), "late");
        assert_eq!(late.0, 410, "{}", late.1);
        let long = cluster.http(node, "PUT", &format!("{path}/long"), &"x".repeat(1_025));
        assert!(
            long.0 == 400 && long.1.contains("at most 1024 bytes"),
            "{}",
            long.1
        );
    }
}

#[test]
fn a_bucket_set_at_one_node_is_obeyed_by_all_and_by_one_that_joins() {
    let mut cluster = Cluster::start(3);
    let http = cluster.address(1, Port::Http);
    let set = |more: &[&str]| {
        let words = [&["bucket", "set", "admins", "--http", &http], more].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let words = set(&[
        "--kind",
        "session",
        "--prefix",
        "adm:",
        "--ttl",
        "30m",
        "--max-lifetime",
        "12h",
        "--on-dead",
        "error",
        "--max-value",
        "1KiB",
    ]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let shown = Ran::well(&words);
    assert!(shown.contains("nothing was changed"), "{shown}");
    assert_eq!(bucket(&cluster, 1, "admins"), None);
    let made = Ran::well(&[&words[..], &["--apply"]].concat());
    assert!(made.contains("applied"), "{made}");
    is_everywhere(&cluster, "admins", "ttl_ms", &1_800_000.into());
    let status = cluster.json(0, "/v1/members");
    assert_eq!(status["moving"]["partitions"], 0, "nothing moves");
    is_obeyed(&cluster, "founders");

    cluster.join();
    cluster.wait_until_settled(4);
    is_everywhere(&cluster, "admins", "max_value", &1_024.into());
    is_obeyed(&cluster, "joined");

    let refused = |more: &[&str], wanted: &str| {
        let words = set(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ran::refused(&words, &[wanted]);
    };
    refused(
        &[
            "--kind",
            "siblings",
            "--max-lifetime",
            "none",
            "--on-dead",
            "absorb",
            "--apply",
        ],
        "another rule",
    );
    refused(&["--n", "5"], "N is the cluster's");
    refused(&["--r", "9"], "r must be 1 to 7, not 9");
    refused(&["--ttl", "soon"], "cannot be read");

    Ran::well(&[
        "bucket", "set", "admins", "--http", &http, "--ttl", "none", "--apply",
    ]);
    is_everywhere(&cluster, "admins", "ttl_ms", &Value::Null);
    let list = Ran::well(&["bucket", "list", "--http", &http]);
    assert!(list.contains("adm:; strict; max_lifetime 12h"), "{list}");
    let gone = ["bucket", "remove", "admins", "--http", &http, "--apply"];
    Ran::refused(&gone, &["another rule"]);
    let one = [
        "bucket", "set", "sessions", "--http", &http, "--r", "1", "--apply", "--json",
    ];
    let told: Value = serde_json::from_str(&Ran::well(&one)).expect("it is JSON");
    assert_eq!(
        (&told["after"]["r"], &told["applied"]),
        (&1.into(), &true.into())
    );
    is_everywhere(&cluster, "sessions", "r", &1.into());
    Ran::well(&["bucket", "remove", "sessions", "--http", &http, "--apply"]);
    is_everywhere(&cluster, "sessions", "r", &Value::Null);
}

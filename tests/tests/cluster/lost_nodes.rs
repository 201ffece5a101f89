//! A machine is lost with all it held, and another takes its place.

use std::collections::BTreeMap;

use henge_ring::Token;

use crate::{
    doors::Reply,
    elastic::is_even,
    nodes::{Cluster, Port},
    programs::Ran,
};

/// Writes sessions and registers through a node, each acknowledged by two of three replicas.
fn write(cluster: &Cluster, node: usize) -> Vec<(String, String)> {
    let mut client = cluster.resp(node);
    let names = (0..300).map(|at| match at % 2 {
        0 => format!("sess:{at}"),
        _ => format!("cart:{at}"),
    });
    let pairs: Vec<_> = names
        .map(|key| (key.clone(), format!("value of {key}")))
        .collect();
    for (key, value) in &pairs {
        let answer = client.call(&["SET", key, value, "EX", "600"]);
        assert_eq!(answer, Reply::text("OK"), "{key}");
    }
    pairs
}

/// What each running node holds of each key, as `henge export` prints it, by the node's id.
fn copies(cluster: &Cluster) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut copies = BTreeMap::<String, BTreeMap<String, String>>::new();
    for node in cluster.running() {
        let id = cluster.id(node);
        for line in Ran::well(&["export", "--node", &cluster.address(node, Port::Resp)]).lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
            let text = |name: &str| record[name].as_str().expect("it is text").to_owned();
            let of_key = copies.entry(text("key")).or_default();
            of_key.insert(id.clone(), text("record"));
        }
    }
    copies
}

/// After a round of repair, all three replicas of each key are there, and the same.
fn replicas_are_equal(cluster: &Cluster, node: usize, written: &[(String, String)]) {
    Ran::well(&["repair", "--node", &cluster.address(node, Port::Resp)]);
    let ring = cluster.json(node, "/v1/ring");
    let copies = copies(cluster);
    for (key, _) in written {
        let partition = Token::of(key.as_bytes()).partition(10).0;
        let owners = ring["partitions"][usize::from(partition)].as_array();
        let owners = owners.expect("it has owners").iter().map(|index| {
            let index = index.as_u64().expect("an index") as usize;
            ring["members"][index]["id"].as_str().expect("an id")
        });
        let held: Vec<_> = owners.map(|owner| copies[key].get(owner)).collect();
        let equal = held.len() == 3 && held.iter().all(|it| it.is_some() && *it == held[0]);
        assert!(equal, "{key}: {held:?}");
    }
}

/// It comes back on its old addresses, as a node of another id, and takes the places of the one that
/// was lost. It serves at once, and what two of three acknowledged is not missed meanwhile.
#[test]
fn a_node_that_lost_its_memory_takes_its_old_places() {
    let mut cluster = Cluster::start(5);
    let lost = cluster.id(2);
    let written = write(&cluster, 0);
    cluster.kill(2);
    for node in [0, 4] {
        cluster.holds(node, 2, &written);
    }
    cluster.restart(2);
    for node in [2, 0] {
        cluster.holds(node, 2, &written);
    }
    cluster.wait_until_settled(5);
    assert_ne!(cluster.id(2), lost);
    is_even(&cluster, 0, 5);
    replicas_are_equal(&cluster, 2, &written);
    cluster.holds(2, 3, &written);
}

/// Another machine joins for it, and the operator lets the lost one leave.
#[test]
fn a_new_node_joins_and_the_lost_one_is_let_go() {
    let mut cluster = Cluster::start(5);
    let lost = cluster.id(4);
    let written = write(&cluster, 0);
    cluster.kill(4);
    let joined = cluster.join();
    cluster.wait_until_settled(6);
    cluster.holds(joined, 2, &written);

    let http = cluster.address(joined, Port::Http);
    Ran::well(&["leave", &lost, "--apply", "--http", &http]);
    for node in [joined, 1] {
        cluster.holds(node, 2, &written);
    }
    cluster.wait_until_settled(5);
    is_even(&cluster, joined, 5);
    replicas_are_equal(&cluster, joined, &written);
    cluster.holds(joined, 3, &written);
    Ran::well(&["status", "--node", &cluster.address(joined, Port::Resp)]);
}

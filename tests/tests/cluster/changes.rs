//! Many clients change one session at once, through every node: nothing of it may be lost.
//!
//! `loadgen/lost-changes.py` makes the same changes, also as clients of a store of whole values do.

use crate::{
    doors::{Reply, Resp},
    nodes::Cluster,
};

const CLIENTS: usize = 50;
const EACH: usize = 20;

/// Every client makes its changes, all clients at once, spread over the nodes; what they were answered.
fn at_once(cluster: &Cluster, change: impl Fn(&mut Resp, usize) -> Reply + Sync) -> Vec<Reply> {
    let together = std::sync::Barrier::new(CLIENTS);
    let client = |number: usize| {
        let mut client = cluster.resp(number % 3);
        together.wait();
        let numbers = number * EACH..(number + 1) * EACH;
        numbers
            .map(|it| change(&mut client, it))
            .collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let start = |number| scope.spawn(move || client(number));
        let clients: Vec<_> = (0..CLIENTS).map(start).collect();
        let ended = clients.into_iter().map(|it| it.join());
        ended.flat_map(|it| it.expect("it is answered")).collect()
    })
}

/// Increments come second. Two nodes took themselves for the decider of a key for seconds after a start:
/// one had been told by the other that it did not know the time yet, and asked again only with the next
/// ping, 10 s later on a link at rest. Now it asks until that is settled.
#[test]
fn a_thousand_changes_at_once_lose_nothing() {
    let cluster = Cluster::start(3);
    different_fields(&cluster);
    increments(&cluster);
}

fn different_fields(cluster: &Cluster) {
    let set = |client: &mut Resp, number: usize| {
        client.call(&["HSET", "sess:fields", &format!("f{number}"), "changed"])
    };
    let answers = at_once(cluster, set);
    let refused: Vec<_> = answers
        .iter()
        .filter(|it| **it != Reply::Integer(1))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    for node in 0..3 {
        let there = cluster.resp(node).call(&["HLEN", "sess:fields"]);
        assert_eq!(
            there,
            Reply::Integer((CLIENTS * EACH) as i64),
            "node {node}"
        );
    }
}

/// Beside the counts other fields of the same session change, which must not get in their way.
fn increments(cluster: &Cluster) {
    let count = |client: &mut Resp, number: usize| {
        if number.is_multiple_of(EACH) {
            client.call(&["HSET", "sess:counts", &format!("f{number}"), "changed"]);
        }
        match number % 2 {
            0 => client.call(&["HINCRBY", "sess:counts", "count", "1"]),
            _ => client.call(&["INCR", "sess:count"]),
        }
    };
    let answers = at_once(cluster, count);
    // Each is carried out however many there are, and no number is given out twice.
    let mut numbers: Vec<i64> = answers
        .iter()
        .map(|it| match it {
            Reply::Integer(number) => *number,
            refused => panic!("{refused:?}"),
        })
        .collect();
    let counted = |words: &[&str]| match cluster.resp(0).call(words) {
        Reply::Bulk(number) => number.parse::<usize>().expect("a number"),
        other => panic!("{other:?}"),
    };
    let total = counted(&["HGET", "sess:counts", "count"]) + counted(&["GET", "sess:count"]);
    assert_eq!(total, CLIENTS * EACH);
    numbers.sort_unstable();
    let thrice = numbers.windows(3).find(|it| it[0] == it[2]);
    assert_eq!(
        thrice, None,
        "two counters, and a number was given out thrice"
    );
}

//! A node dies: what is refused, what goes on, and what must not be lost.

use std::time::{Duration, Instant};

use crate::{doors::Reply, nodes::Cluster};

#[test]
fn what_one_node_acknowledges_the_others_show() {
    let cluster = Cluster::start(3);
    let mut first = cluster.resp(0);
    let mut second = cluster.resp(1);
    assert_eq!(
        first.call(&["SET", "sess:a", "hi", "EX", "60"]),
        Reply::text("OK")
    );
    assert_eq!(second.call(&["GET", "sess:a"]), Reply::bulk("hi"));
    let (status, body) = cluster.http(2, "GET", "/v1/buckets/sessions/keys/sess:a", "");
    assert_eq!((status, body.as_str()), (200, "hi"));
    assert_eq!(second.call(&["DEL", "sess:a"]), Reply::Integer(1));
    assert_eq!(first.call(&["GET", "sess:a"]), Reply::Nothing);
}

/// The promise about errors: with one node gone, W=3 is refused with the numbers, through both
/// doors, and what was refused is not there.
#[test]
fn with_a_node_killed_two_of_three_go_on_and_three_of_three_say_why_not() {
    let mut cluster = Cluster::start(3);
    cluster.kill(2);
    cluster.wait_until_noticed(0, 2);
    let put = "/v1/buckets/sessions/keys/sess:b";
    let (status, body) = cluster.http(0, "PUT", &format!("{put}?w=3"), "no");
    assert!(status >= 500, "{status} {body}");
    assert!(body.contains("needed 3 got 2"), "{body}");
    let mut client = cluster.resp(0);
    let refused = client.call(&["HENGE.QUORUM", "W", "3"]);
    assert_eq!(refused, Reply::text("OK"));
    let Reply::Error(text) = client.call(&["SET", "sess:b", "no"]) else {
        panic!("W=3 was acknowledged by two nodes")
    };
    assert!(text.contains("needed 3 got 2"), "{text}");
    assert_eq!(client.call(&["GET", "sess:b"]), Reply::Nothing);
    let (status, body) = cluster.http(1, "PUT", &format!("{put}?w=2"), "yes");
    assert!((200..300).contains(&status), "{status} {body}");
    assert_eq!(client.call(&["GET", "sess:b"]), Reply::bulk("yes"));
}

/// A node is killed under load. Every write that was acknowledged, before or after, is there on each
/// of the nodes that are left, and on the one that was killed once it is back.
#[test]
fn nothing_acknowledged_is_lost_when_a_node_is_killed() {
    const WRITES: usize = 3000;
    let mut cluster = Cluster::start(3);
    let mut acked = Vec::new();
    let mut client = cluster.resp(0);
    let mut longest = Duration::ZERO;
    for number in 0..WRITES {
        if number == WRITES / 3 {
            cluster.kill(2);
        }
        let (key, value) = (format!("sess:{number}"), format!("value {number}"));
        let asked = Instant::now();
        if client.call(&["SET", &key, &value]) == Reply::text("OK") {
            acked.push((key, value));
        }
        longest = longest.max(asked.elapsed());
    }
    assert!(
        acked.len() > WRITES * 9 / 10,
        "only {} of {WRITES} succeeded",
        acked.len()
    );
    assert!(
        longest < Duration::from_secs(5),
        "one write took {longest:?}"
    );
    for node in [0, 1] {
        cluster.holds(node, 2, &acked);
    }
    cluster.restart(2);
    cluster.holds(2, 2, &acked);
}

//! A node whose memory is used up by real data.

use crate::{
    clients::{Client, http},
    node::Node,
};

/// Bytes of one value.
const VALUE: usize = 4096;

fn key(number: usize) -> String {
    format!("full:{number}")
}

/// Different for each key, so that a mix-up would show.
fn value(number: usize) -> String {
    format!("{number:0>VALUE$}")
}

#[test]
fn a_full_node_refuses_writes_and_keeps_what_it_has() {
    let node = Node::alone(&["--memory-limit", "16mb"]);
    let mut client = Client::connect(node.resp);
    let is_kept = |client: &mut Client, number: usize| match client
        .ask(&["SET", &key(number), &value(number)])
        .as_str()
    {
        "OK" => true,
        refused if refused.starts_with("-OOM ") => false,
        other => panic!("neither kept nor refused: {other}"),
    };
    let kept = (0..10_000).take_while(|&number| is_kept(&mut client, number));
    let kept = kept.count();
    assert!((2_000..4_096).contains(&kept), "16 MB held {kept} values");
    let refused = node.metric("henge_full_refused_total");
    assert!(refused > 0, "not counted");
    let put = http(
        node.http,
        "PUT /v1/buckets/default/keys/another",
        &[],
        value(0).as_bytes(),
    );
    assert_eq!(put.status, 507);
    node.counts(
        "henge_http_requests_total{route=\"keys\",status=\"507\"}",
        1,
    );
    let (used, limit) = (
        node.metric("henge_store_bytes"),
        node.metric("henge_store_limit_bytes"),
    );
    assert!(used <= limit && limit == 16 << 20, "{used} of {limit}");

    for number in 0..kept {
        assert_eq!(client.ask(&["GET", &key(number)]), value(number));
    }
    for number in 0..kept / 2 {
        assert_eq!(client.ask(&["DEL", &key(number)]), "1");
    }
    for number in 0..kept / 4 {
        let number = kept + 1 + number;
        assert!(is_kept(&mut client, number), "no room was made");
    }
    for number in kept / 2..kept {
        assert_eq!(client.ask(&["GET", &key(number)]), value(number));
    }
    node.serves_others();
}

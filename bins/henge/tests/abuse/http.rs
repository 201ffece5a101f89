//! The HTTP door.

use std::net::TcpStream;

use crate::{
    clients::{exchange, http, parse_answer},
    node::Node,
};

const KEY: &str = "/v1/buckets/default/keys/k";

#[test]
fn a_head_that_is_too_large_is_refused_and_counted() {
    let node = Node::alone(&[]);
    let long = "x".repeat(20_000);
    let request = format!("GET / HTTP/1.1\r\nHost: henge\r\nX-Long: {long}\r\n\r\n");
    let answer = parse_answer(&exchange(node.http, request.as_bytes()));
    assert_eq!(answer.status, 431);
    let many = "X-Many: x\r\n".repeat(1_000);
    let request = format!("GET / HTTP/1.1\r\nHost: henge\r\n{many}\r\n");
    let answer = parse_answer(&exchange(node.http, request.as_bytes()));
    assert_eq!(answer.status, 431);
    node.counts("henge_http_cut_total{reason=\"head_too_large\"}", 2);
    node.serves_others();
}

#[test]
fn what_is_not_http_is_refused_and_counted() {
    let node = Node::alone(&[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ] {
        assert_eq!(parse_answer(&exchange(node.http, bytes)).status, 400);
    }
    node.counts("henge_http_cut_total{reason=\"malformed\"}", 3);
    node.serves_others();
}

#[test]
fn a_body_over_the_limit_is_refused_and_counted() {
    let node = Node::alone(&[]);
    let put = format!("PUT {KEY}");
    let limit = 2 << 20;
    assert_eq!(http(node.http, &put, &[], &vec![b'v'; limit]).status, 200);
    assert_eq!(
        http(node.http, &put, &[], &vec![b'v'; limit + 1]).status,
        413
    );
    // Without a length given beforehand.
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "v".repeat(1 << 20));
    let head = format!("{put} HTTP/1.1\r\nHost: henge\r\nTransfer-Encoding: chunked\r\n\r\n");
    let endless = head + &chunk.repeat(3);
    let answer = parse_answer(&exchange(node.http, endless.as_bytes()));
    assert_eq!(answer.status, 413);
    node.counts(
        "henge_http_requests_total{route=\"keys\",status=\"413\"}",
        2,
    );
    let read = http(node.http, &format!("GET {KEY}"), &[], b"");
    assert_eq!((read.status, read.body.len()), (200, limit));
    node.serves_others();
}

#[test]
fn nested_json_and_long_keys_are_refused() {
    let node = Node::alone(&[]);
    let deep = "[".repeat(40_000);
    let patch = format!("PATCH {KEY}");
    assert_eq!(http(node.http, &patch, &[], deep.as_bytes()).status, 400);
    let long = format!("PUT {KEY}{}", "k".repeat(1_024));
    assert_eq!(http(node.http, &long, &[], b"v").status, 400);
    let context = [("Henge-Context", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    let forged = "PUT /v1/buckets/siblings/keys/k";
    assert_eq!(http(node.http, forged, &context, b"v").status, 400);
    node.counts(
        "henge_http_requests_total{route=\"keys\",status=\"400\"}",
        3,
    );
    node.serves_others();
}

#[test]
fn three_hundred_idle_connections_are_in_nobodys_way() {
    let node = Node::alone(&[]);
    let idle: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(node.http).expect("it listens"))
        .collect();
    assert_eq!(http(node.http, "GET /readyz", &[], b"").status, 200);
    node.serves_others();
    drop(idle);
}

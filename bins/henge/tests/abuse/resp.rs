//! The Redis door.

use std::{io::Write, time::Duration};

use crate::{
    clients::{Client, command, exchange},
    node::{Node, eventually},
};

/// What a node may grow by under any attack of one client: it holds 16 MiB of output for it, twice
/// that while the buffer grows, and the records behind it.
const GROWTH: u64 = 64 << 20;

const ERRORS: &str = "henge_resp_protocol_errors_total";

#[test]
fn broken_protocol_is_refused_before_it_costs_anything() {
    let node = Node::alone(&[]);
    node.serves_others();
    let before = node.resident();
    let attacks: [(Vec<u8>, &str, &str); 6] = [
        (
            b"*1\r\n".repeat(10_000),
            "not_a_bulk",
            "expected '$', got '*'",
        ),
        (
            b"*1\r\n$536870912\r\n".to_vec(),
            "bulk_length",
            "invalid bulk length",
        ),
        (
            b"*1000000000\r\n".to_vec(),
            "array_length",
            "invalid multibulk length",
        ),
        (
            [b"*", &b"1".repeat(70_000)[..]].concat(),
            "array_length",
            "too big mbulk count string",
        ),
        (
            b"x".repeat(70_000),
            "inline_length",
            "too big inline request",
        ),
        (
            b"GET 'unbalanced\r\n".to_vec(),
            "quotes",
            "unbalanced quotes in request",
        ),
    ];
    for (bytes, kind, wanted) in attacks {
        let counter = format!("{ERRORS}{{kind=\"{kind}\"}}");
        let counted = node.metric(&counter);
        let answer = String::from_utf8(exchange(node.resp, &bytes)).expect("text");
        assert_eq!(answer, format!("-ERR Protocol error: {wanted}\r\n"));
        node.counts(&counter, counted + 1);
        node.serves_others();
    }
    let grown = node.resident().saturating_sub(before);
    assert!(grown < GROWTH / 4, "{grown} bytes more are in use");
}

#[test]
fn announced_and_never_sent_costs_nothing() {
    let node = Node::alone(&[]);
    node.serves_others();
    let before = node.resident();
    let waiting: Vec<Client> = (0..300)
        .map(|_| {
            let mut client = Client::connect(node.resp);
            client.send(b"*1024\r\n$2097152\r\nx");
            client
        })
        .collect();
    node.counts("henge_resp_connections", 300);
    node.serves_others();
    let grown = node.resident().saturating_sub(before);
    assert!(grown < GROWTH / 4, "{grown} bytes for 600 MB announced");
    drop(waiting);
    eventually("they are forgotten", Duration::from_secs(10), || {
        node.metric("henge_resp_connections") == 0
    });
}

#[test]
fn ten_thousand_replies_that_nobody_reads_are_cut_at_the_output_limit() {
    let node = Node::alone(&[]);
    let mut deaf = Client::connect(node.resp);
    assert_eq!(deaf.ask(&[&b"SET"[..], b"k", &[b'x'; 65_536]]), "OK");
    let before = node.resident();
    let mut socket = deaf.socket();
    let writer = std::thread::spawn(move || {
        // Cut in the middle, as it should be.
        let _ = socket.write_all(&command(&["GET", "k"]).repeat(10_000));
    });
    let mut peak = before;
    eventually("it is cut", Duration::from_secs(20), || {
        node.serves_others();
        peak = peak.max(node.resident());
        node.metric("henge_resp_cut_total{reason=\"output\"}") == 1
    });
    writer.join().expect("the writer ends once it is cut");
    let grown = peak - before;
    assert!(grown < GROWTH, "{grown} bytes more were in use");
    let written = node.metric("henge_resp_written_bytes_total");
    assert!(written < GROWTH, "{written} bytes went out to nobody");
    node.serves_others();
}

#[test]
fn a_key_or_value_that_is_too_long_is_an_error_and_the_connection_goes_on() {
    let node = Node::alone(&[]);
    let mut client = Client::connect(node.resp);
    let (key, value) = ([b'k'; 1024], vec![b'v'; 2 << 20]);
    assert_eq!(client.ask(&[b"SET", &key[..], &value]), "OK");
    let long_key = [b'k'; 1025];
    let too_long = "-ERR a key has at most 1024 bytes, this one 1025";
    let failed = node.metric("henge_failed_total");
    assert_eq!(client.ask(&[b"SET", &long_key[..], b"v"]), too_long);
    assert_eq!(client.ask(&[b"GET", &long_key[..]]), too_long);
    assert_eq!(client.ask(&[b"DEL", &long_key[..]]), too_long);
    node.counts("henge_failed_total", failed + 3);
    let long_value = vec![b'v'; value.len() + 1];
    let reply = client.ask(&[b"SET", &key[..], &long_value]);
    assert!(
        reply.starts_with("-ERR the value has 2097153 bytes"),
        "{reply}"
    );
    let reply = client.ask(&[b"APPEND", &key[..], b"v"]);
    assert!(reply.starts_with("-ERR "), "{reply}");
    assert_eq!(client.ask(&[b"STRLEN", &key[..]]), value.len().to_string());
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8388609\r\n");
    assert_eq!(client.reply(), "-ERR Protocol error: invalid bulk length");
    assert!(client.is_closed());
    node.serves_others();
}

#[test]
fn strangers_may_send_little_and_guess_slowly() {
    let node = Node::alone(&["--password", "of the tests"]);
    for (bytes, wanted) in [
        (&b"*11\r\n"[..], "unauthenticated multibulk length"),
        (b"*1\r\n$17000\r\n", "unauthenticated bulk length"),
    ] {
        let answer = String::from_utf8(exchange(node.resp, bytes)).expect("text");
        assert_eq!(answer, format!("-ERR Protocol error: {wanted}\r\n"));
    }
    node.counts(&format!("{ERRORS}{{kind=\"before_auth\"}}"), 2);
    let mut guesser = Client::connect(node.resp);
    for _ in 0..3 {
        assert!(guesser.ask(&["AUTH", "guess"]).starts_with("-WRONGPASS"));
    }
    assert_eq!(node.metric("henge_auth_failures_total"), 3);
    let mut client = Client::connect(node.resp);
    assert!(client.ask(&["GET", "k"]).starts_with("-NOAUTH"));
    assert_eq!(client.ask(&["AUTH", "of the tests"]), "OK");
    assert_eq!(client.ask(&["SET", "k", &"v".repeat(20_000)]), "OK");
    node.serves_others();
}

#[test]
fn three_hundred_idle_connections_are_in_nobodys_way() {
    let node = Node::alone(&[]);
    let before = node.resident();
    let idle: Vec<Client> = (0..300).map(|_| Client::connect(node.resp)).collect();
    node.counts("henge_resp_connections", 300);
    node.serves_others();
    let grown = node.resident().saturating_sub(before);
    assert!(grown < GROWTH / 4, "{grown} bytes for idle connections");
    drop(idle);
    eventually("they are forgotten", Duration::from_secs(10), || {
        node.metric("henge_resp_connections") == 0
    });
}

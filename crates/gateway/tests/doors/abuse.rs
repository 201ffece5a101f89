//! Clients that break the protocol, guess passwords, do not read, or are slow: each is bounded,
//! told why, counted, and does not disturb others.

use std::time::{Duration, Instant};

use henge_gateway::Limits;

use crate::one_node::serve;

#[test]
fn broken_protocol_is_told_in_redis_words_and_ends_the_connection() {
    let served = serve(None, Limits::default());
    for (bytes, wanted) in [
        (
            "*1000000000\r\n",
            "-ERR Protocol error: invalid multibulk length",
        ),
        (
            "*1\r\n$536870912\r\n",
            "-ERR Protocol error: invalid bulk length",
        ),
        ("*1\r\n*1\r\n", "-ERR Protocol error: expected '$', got '*'"),
        (
            "GET \"\r\n",
            "-ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut client = served.client();
        client.send(format!("PING\r\n{bytes}").as_bytes());
        assert_eq!(client.reply(), "+PONG");
        assert_eq!(client.reply(), wanted);
        assert!(client.is_closed());
    }
    let mut deep = served.client();
    deep.send("*1\r\n".repeat(10_000).as_bytes());
    assert_eq!(deep.reply(), "-ERR Protocol error: expected '$', got '*'");
    let metrics = served.doors.metrics();
    assert!(
        metrics.contains("henge_resp_protocol_errors_total{kind=\"bulk_length\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_request_made_by_a_browser_is_cut_without_an_answer() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n");
    assert!(client.is_closed());
    assert_eq!(served.client().ask("GET k"), "nil");
    assert!(
        served
            .doors
            .metrics()
            .contains("henge_resp_cut_total{reason=\"http\"} 1")
    );
}

#[test]
fn strangers_may_only_authenticate() {
    let served = serve(Some("secret"), Limits::default());
    let mut client = served.client();
    for line in [
        "GET k",
        "PING",
        "INFO",
        "KEYS *",
        "CLIENT LIST",
        "MULTI",
        "HENGE.RING",
    ] {
        assert_eq!(
            client.ask(line),
            "-NOAUTH Authentication required.",
            "{line}"
        );
    }
    assert!(
        client
            .ask("HELLO 3")
            .starts_with("-NOAUTH HELLO must be called")
    );
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(client.ask("AUTH wrong"), wrong);
    assert_eq!(client.ask("AUTH admin secret"), wrong);
    assert_eq!(client.ask("HELLO 3 AUTH default wrong"), wrong);
    assert_eq!(client.ask("AUTH secret"), "+OK");
    assert_eq!(client.ask("SET k v"), "+OK");
    assert_eq!(client.ask("RESET"), "+RESET");
    assert_eq!(client.ask("GET k"), "-NOAUTH Authentication required.");
    assert!(
        client
            .ask("HELLO 3 AUTH default secret SETNAME web")
            .starts_with('{')
    );
    assert_eq!(client.ask("CLIENT GETNAME"), "\"web\"");
}

#[test]
fn strangers_may_send_little() {
    let served = serve(Some("secret"), Limits::default());
    let mut many = served.client();
    many.send(b"*11\r\n");
    assert_eq!(
        many.reply(),
        "-ERR Protocol error: unauthenticated multibulk length"
    );
    let mut long = served.client();
    long.send(b"*1\r\n$16385\r\n");
    assert_eq!(
        long.reply(),
        "-ERR Protocol error: unauthenticated bulk length"
    );
    let mut known = served.client();
    known.ask("AUTH secret");
    known.send_args(&["SET", "k", &"x".repeat(100_000)]);
    assert_eq!(known.reply(), "+OK");
}

#[test]
fn guessing_passwords_gets_slow() {
    let served = serve(Some("secret"), Limits::default());
    let mut client = served.client();
    for _ in 0..10 {
        assert!(client.ask("AUTH wrong").starts_with("-WRONGPASS"));
    }
    let begun = Instant::now();
    assert!(served.client().ask("AUTH wrong").starts_with("-WRONGPASS"));
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_client_that_reads_nothing_is_bounded_and_others_go_on() {
    let limits = Limits {
        output: 1 << 20,
        stuck_s: 2,
        ..Limits::default()
    };
    let served = serve(None, limits);
    let mut deaf = served.client();
    deaf.send_args(&["SET", "k", &"x".repeat(200_000)]);
    assert_eq!(deaf.reply(), "+OK");
    let mut sender = deaf.sender();
    let writer = std::thread::spawn(move || sender(&b"GET k\r\n".repeat(10_000)));
    let begun = Instant::now();
    let mut other = served.client();
    let is_cut = || {
        served
            .doors
            .metrics()
            .contains("henge_resp_cut_total{reason=")
    };
    while !is_cut() {
        assert_eq!(other.ask("PING"), "+PONG");
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            served.doors.metrics()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(other.ask("STRLEN k"), ":200000");
    writer.join().unwrap();
}

#[test]
fn a_command_that_trickles_in_is_cut() {
    let served = serve(
        None,
        Limits {
            slow_s: 2,
            ..Limits::default()
        },
    );
    let mut slow = served.client();
    slow.send(b"*2\r\n$3\r\nGE");
    let begun = Instant::now();
    assert!(slow.is_closed());
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert!(
        served
            .doors
            .metrics()
            .contains("henge_resp_cut_total{reason=\"slow\"} 1")
    );
}

#[test]
fn values_and_patterns_are_bounded() {
    let served = serve(
        None,
        Limits {
            value: 10,
            pattern: 5,
            ..Limits::default()
        },
    );
    let mut client = served.client();
    assert_eq!(client.ask("SET k 1234567890"), "+OK");
    let wanted = "-ERR the value has 11 bytes, at most 10 are accepted";
    assert_eq!(client.ask("SET k 12345678901"), wanted);
    assert_eq!(client.ask("APPEND k 1"), wanted);
    assert_eq!(client.ask("GET k"), "\"1234567890\"");
    assert!(
        client
            .ask("KEYS 123456")
            .starts_with("-ERR the pattern has 6 bytes")
    );
    assert!(
        client
            .ask("SETRANGE k 4000000000 x")
            .starts_with("-ERR string exceeds")
    );
}

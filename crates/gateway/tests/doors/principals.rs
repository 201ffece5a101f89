//! All sessions of one user, through both doors.

use henge_gateway::Limits;

use crate::{
    http::http,
    one_node::{Client, serve},
};

/// Commands with their replies, a line each; `*` at the end stands for anything more.
pub(crate) fn run(client: &mut Client, transcript: &str) {
    for line in transcript
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
    {
        let (command, wanted) = line.split_once(" ⇒ ").expect("command ⇒ reply");
        let got = client.ask(command);
        match wanted.strip_suffix('*') {
            Some(head) => assert!(got.starts_with(head), "{command}: {got}, wanted {wanted}"),
            None => assert_eq!(got, wanted, "{command}"),
        }
    }
}

#[test]
fn every_command_sees_what_was_written_and_nothing_after_the_logout() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.ask("HELLO 3");
    run(
        &mut client,
        r#"
        HENGE.SET sess:1 hello PRINCIPAL alice ⇒ {"applied": :1, "absorbed": :0}
        HENGE.FSET sess:2 PX 60000 PRINCIPAL alice FIELDS a 1 b 2 ⇒ {"applied": :1, "absorbed": :0}
        HENGE.SET sess:3 other PRINCIPAL bob ⇒ {"applied": :1, "absorbed": :0}
        GET sess:1 ⇒ "hello"
        TYPE sess:1 ⇒ +string
        TYPE sess:2 ⇒ +hash
        HGETALL sess:2 ⇒ {"a": "1", "b": "2"}
        HLEN sess:2 ⇒ :2
        HENGE.GET sess:2 ⇒ {"values": [], "fields": {"a": "1", "b": "2"}, *
        SET sess:1 new XX ⇒ +OK
        APPEND sess:1 er ⇒ :5
        HINCRBY sess:2 a 1 ⇒ :2
        MGET sess:1 sess:3 ⇒ ["newer", "other"]
        DBSIZE ⇒ :3
        SCAN 0 TYPE string COUNT 100 ⇒ ["0", [*
        HENGE.SESSIONS alice ⇒ {"sess:1": :-1, "sess:2": :*
        DEL sess:1 ⇒ :1
        HENGE.SESSIONS alice ⇒ {"sess:2": :*
        HENGE.LOGOUTALL alice ⇒ {"sessions": :2, "destroyed": :1}
        HGETALL sess:2 ⇒ {}
        EXISTS sess:1 sess:2 sess:3 ⇒ :1
        HENGE.SESSIONS alice ⇒ {}
        HENGE.LOGOUTALL alice ⇒ {"sessions": :0, "destroyed": :0}
        HENGE.LOGOUTALL nobody ⇒ {"sessions": :0, "destroyed": :0}
        HENGE.SET sess:4 again PRINCIPAL alice ⇒ {"applied": :1, "absorbed": :0}
        GET sess:4 ⇒ "again"
        "#,
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    run(
        &mut client,
        r#"
        HENGE.SET sess:1 v NX PRINCIPAL alice ⇒ -ERR only a write without a condition*
        HENGE.SET plain v PRINCIPAL alice ⇒ -ERR only a session can have a principal*
        HENGE.SET sess:1 v PRINCIPAL ⇒ -ERR syntax error
        HENGE.GET sess:1 PRINCIPAL alice ⇒ -ERR unknown option*
        HENGE.SESSIONS alice FOO ⇒ -ERR unknown option*
        EXISTS sess:1 ⇒ :0
        HENGE.SET sess:1 v PRINCIPAL alice ⇒ [*
        RENAME sess:1 sess:2 ⇒ -ERR this session belongs to a principal*
        RENAME sess:1 sess:1 ⇒ +OK
        "#,
    );
    let long = "u".repeat(257);
    let refused = client.ask(&format!("HENGE.SET sess:1 v PRINCIPAL {long}"));
    assert!(
        refused.starts_with("-ERR a principal has 1 to 256 bytes"),
        "{refused}"
    );
    // A key that a client calls so is another one.
    assert_eq!(client.ask("DEL \0principal:alice"), ":0");
    assert_eq!(client.ask("SET \0principal:alice x"), "+OK");
    assert_eq!(
        client.ask("HENGE.LOGOUTALL alice"),
        "[\"sessions\", :1, \"destroyed\", :1]"
    );
    // Nor is a member, or a field, that a client calls so what the cluster keeps under that name.
    assert_eq!(client.ask("SADD sess:5 \0principal"), ":1");
    assert_eq!(client.ask("HSET sess:6 \0\0principal alice"), ":1");
    assert_eq!(client.ask("SMEMBERS sess:5"), "[\"\\0principal\"]");
    assert_eq!(client.ask("HGET sess:6 \0\0principal"), "\"alice\"");
    assert_eq!(client.ask("HENGE.SESSIONS alice"), "[]");
}

#[test]
fn http_logs_in_lists_and_logs_out() {
    let http = http(None, Limits::default());
    let own = "/v1/principals/a%2Fb/sessions";
    for key in ["1", "2"] {
        let path = format!("PUT /v1/buckets/sessions/keys/{key}?ttl_ms=60000&principal=a%2Fb");
        assert_eq!(http.ask(&path, &[], b"x").status, 200);
    }
    let patch = "PATCH /v1/buckets/sessions/keys/3?principal=a%2Fb";
    assert_eq!(http.ask(patch, &[], br#"{"f":"dmFs"}"#).status, 200);
    let listed = http.get(own).body;
    assert!(listed.contains("sess:1") && listed.contains(r#"{"key":"sess:3","ttl_ms":-1}"#));
    assert_eq!(
        http.get("/v1/buckets/sessions/keys/3").body,
        r#"{"fields":{"f":"dmFs"}}"#
    );
    let ended = http.ask(&format!("DELETE {own}?w=1"), &[], b"");
    assert_eq!(
        (ended.status, &ended.body[..]),
        (200, r#"{"destroyed":3,"sessions":3}"#)
    );
    assert_eq!(http.get(own).body, r#"{"sessions":[]}"#);
    for key in ["1", "2", "3"] {
        assert_eq!(
            http.get(&format!("/v1/buckets/sessions/keys/{key}")).status,
            404
        );
    }
    for wrong in ["default/keys/k", "siblings/keys/k"] {
        let path = format!("PUT /v1/buckets/{wrong}?principal=a");
        assert_eq!(http.ask(&path, &[], b"x").status, 400, "{wrong}");
    }
    assert_eq!(http.get("/v1/buckets/principals/keys/a").status, 400);
}

//! Sessions that get a new id, through both doors.

use henge_gateway::Limits;

use crate::{http::http, one_node::serve, principals::run};

#[test]
fn every_command_finds_the_session_under_either_id_and_after_the_grace_under_one() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.ask("HELLO 3");
    run(
        &mut client,
        r#"
        SET sess:a hello EX 60 ⇒ +OK
        HENGE.ROTATE sess:a sess:b ⇒ {"rotated": :1, "grace_ms": :*
        GET sess:a ⇒ "hello"
        GET sess:b ⇒ "hello"
        APPEND sess:a ! ⇒ :6
        GETRANGE sess:b 0 -1 ⇒ "hello!"
        EXPIRE sess:a 600 ⇒ :1
        TTL sess:b ⇒ :6*
        SET sess:a more XX KEEPTTL GET ⇒ "hello!"
        MGET sess:a sess:b ⇒ ["more", "more"]
        DBSIZE ⇒ :1
        KEYS * ⇒ ["sess:b"]
        HENGE.ROTATE sess:a sess:b ⇒ {"rotated": :1, "grace_ms": :*
        HENGE.ROTATE sess:a sess:c ⇒ {"rotated": :0, "why": "the session has another new id already"}
        GET sess:c ⇒ nil
        HENGE.FSET sess:h FIELDS a 1 b 2 ⇒ {"applied": :1, "absorbed": :0}
        HENGE.ROTATE sess:h sess:i GRACE 60000 ⇒ {"rotated": :1, "grace_ms": :*
        HINCRBY sess:h a 1 ⇒ :2
        HGETALL sess:i ⇒ {"a": "2", "b": "2"}
        DEL sess:h ⇒ :1
        EXISTS sess:h sess:i ⇒ :0
        SET sess:s now ⇒ +OK
        HENGE.ROTATE sess:s sess:t GRACE 0 ⇒ {"rotated": :1, "grace_ms": :0}
        GET sess:s ⇒ nil
        SET sess:s revived ⇒ +OK
        SET sess:s revived NX ⇒ +OK
        EXPIRE sess:s 60 ⇒ :0
        DEL sess:s ⇒ :0
        EXISTS sess:s ⇒ :0
        GET sess:t ⇒ "now"
        "#,
    );
}

#[test]
fn what_cannot_be_rotated_is_refused() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.ask("HELLO 3");
    run(
        &mut client,
        r#"
        SET sess:a v ⇒ +OK
        SET sess:b v ⇒ +OK
        SET plain v ⇒ +OK
        HENGE.ROTATE sess:a ⇒ -ERR wrong number of arguments*
        HENGE.ROTATE sess:a sess:b ⇒ {"rotated": :0, "why": "the new id is, or was, a session of its own"}
        HENGE.ROTATE sess:none sess:c ⇒ {"rotated": :0, "why": "there is no session under the old id"}
        HENGE.ROTATE sess:a sess:a ⇒ -ERR the new id is the old one*
        HENGE.ROTATE plain sess:c ⇒ -ERR only sessions' ids can be rotated*
        HENGE.ROTATE sess:a plain2 ⇒ -ERR only sessions' ids can be rotated*
        HENGE.ROTATE sess:a sess:c GRACE 60001 ⇒ -ERR the grace is 60000 ms at most*
        HENGE.ROTATE sess:a sess:c GRACE ⇒ -ERR syntax error
        HENGE.ROTATE sess:a sess:c GRACE soon ⇒ -ERR*
        HENGE.ROTATE sess:a sess:c FOO ⇒ -ERR unknown option*
        EXISTS sess:c ⇒ :0
        SELECT 3 ⇒ +OK
        SET sess:a other ⇒ +OK
        HENGE.ROTATE sess:a sess:c ⇒ {"rotated": :1, "grace_ms": :*
        GET sess:c ⇒ "other"
        SELECT 0 ⇒ +OK
        EXISTS sess:c ⇒ :0
        "#,
    );
}

#[test]
fn a_users_session_stays_the_users() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.ask("HELLO 3");
    run(
        &mut client,
        r#"
        HENGE.SET sess:a v PRINCIPAL alice ⇒ {"applied": :1, "absorbed": :0}
        HENGE.ROTATE sess:a sess:b GRACE 0 ⇒ {"rotated": :1, "grace_ms": :0}
        HENGE.SESSIONS alice ⇒ {"sess:b": :-1}
        RENAME sess:b sess:c ⇒ -ERR this session belongs to a principal*
        HENGE.LOGOUTALL alice ⇒ {"sessions": :2, "destroyed": :1}
        EXISTS sess:a sess:b ⇒ :0
        "#,
    );
}

#[test]
fn http_rotates() {
    let http = http(None, Limits::default());
    let path = |key: &str| format!("/v1/buckets/sessions/keys/{key}");
    assert_eq!(
        http.ask(&format!("PUT {}", path("a")), &[], b"x").status,
        200
    );
    let rotate =
        |old: &str, query: &str| http.ask(&format!("POST {}/rotate?{query}", path(old)), &[], b"");
    let rotated = rotate("a", "to=b%2F1&grace_ms=60000");
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    assert!(
        rotated.body.contains(r#""rotated":true"#),
        "{}",
        rotated.body
    );
    for key in ["a", "b%2F1"] {
        assert_eq!(http.get(&path(key)).body, "x", "{key}");
    }
    assert_eq!(rotate("a", "to=c").status, 409);
    assert_eq!(rotate("none", "to=c").status, 404);
    for wrong in ["", "to=", "to=a", "to=%FF", "to=c&grace_ms=60001"] {
        assert_eq!(rotate("a", wrong).status, 400, "{wrong}");
    }
    let deleted = http.ask(&format!("DELETE {}", path("a")), &[], b"");
    assert_eq!(deleted.status, 200);
    assert_eq!(http.get(&path("b%2F1")).status, 404);
}

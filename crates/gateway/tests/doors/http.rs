//! The HTTP door.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use henge_gateway::{Limits, serve_http};

use crate::one_node::{Served, serve};

pub(crate) struct Http {
    served: Served,
    address: SocketAddr,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }
}

/// The door runs on a thread of its own until the test's process ends.
pub(crate) fn http(password: Option<&str>, limits: Limits) -> Http {
    let served = serve(password, limits);
    let (node, doors) = (served.node.handle().clone(), Arc::new(served.doors.clone()));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve_http(listener, node, doors).await;
        });
    });
    Http {
        served,
        address: told.recv().unwrap(),
    }
}

impl Http {
    pub(crate) fn ask(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // A refused body may close the connection before it is sent whole.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], b"")
    }
}

#[test]
fn a_key_is_written_read_touched_and_deleted() {
    let http = http(None, Limits::default());
    let path = "/v1/buckets/default/keys/k";
    assert_eq!(http.get(path).status, 404);
    let put = http.ask(&format!("PUT {path}?ttl_ms=60000&receipt"), &[], b"value");
    assert_eq!(
        (put.status, put.body.as_str()),
        (200, r#"{"absorbed":false,"applied":true}"#)
    );
    assert!(
        put.header("henge-receipt")
            .unwrap()
            .contains("\"role\":\"primary\""),
        "{put:?}"
    );
    let read = http.get(path);
    assert_eq!((read.status, read.body.as_str()), (200, "value"));
    let ttl: u64 = read.header("henge-ttl-ms").unwrap().parse().unwrap();
    assert!((50_000..=60_000).contains(&ttl));
    assert_eq!(http.served.client().ask("GET k"), "\"value\"");
    assert_eq!(
        http.ask(&format!("POST {path}/touch?ttl_ms=100000"), &[], b"")
            .status,
        200
    );
    assert_eq!(http.served.client().ask("TTL k"), ":100");
    assert_eq!(
        http.ask(&format!("POST {path}/touch"), &[], b"").status,
        400
    );
    assert_eq!(
        http.ask(&format!("DELETE {path}"), &[], b"").body,
        r#"{"absorbed":false,"applied":true}"#
    );
    assert_eq!(
        http.ask(&format!("POST {path}/touch?ttl_ms=1"), &[], b"")
            .status,
        404
    );
}

#[test]
fn conditions_and_fields() {
    let http = http(None, Limits::default());
    let put = |headers: &[(&str, &str)]| {
        http.ask("PUT /v1/buckets/sessions/keys/1", headers, b"x")
            .status
    };
    assert_eq!(put(&[("If-Match", "*")]), 412);
    assert_eq!(put(&[("If-None-Match", "*")]), 200);
    assert_eq!(put(&[("If-None-Match", "*")]), 412);
    assert_eq!(http.served.client().ask("GET sess:1"), "\"x\"");
    let patch = |body: &str| http.ask("PATCH /v1/buckets/sessions/keys/2", &[], body.as_bytes());
    assert_eq!(patch(r#"{"a":"MQ==","b":"Mg=="}"#).status, 200);
    assert_eq!(patch(r#"{"b":null}"#).status, 200);
    assert_eq!(patch("[]").status, 400);
    assert_eq!(patch(r#"{"":"MQ=="}"#).status, 400);
    assert_eq!(
        http.get("/v1/buckets/sessions/keys/2").body,
        r#"{"fields":{"a":"MQ=="}}"#
    );
}

#[test]
fn siblings_ask_for_a_context_and_blind_writes_end() {
    let http = http(None, Limits::default());
    let path = "/v1/buckets/siblings/keys/k";
    let put = |headers: &[(&str, &str)], value: &str| {
        http.ask(&format!("PUT {path}"), headers, value.as_bytes())
    };
    for value in 0..8 {
        assert_eq!(put(&[], &value.to_string()).status, 200);
    }
    let read = http.get(path);
    assert_eq!(read.status, 300);
    assert!(
        read.body.contains("\"Nw==\"") && read.body.contains("\"MA==\""),
        "{}",
        read.body
    );
    let refused = put(&[], "one more");
    assert_eq!(refused.status, 409);
    let token = refused.header("henge-context").unwrap().to_owned();
    assert_eq!(put(&[("Henge-Context", &token)], "resolved").status, 200);
    let read = http.get(path);
    assert_eq!((read.status, read.body.as_str()), (200, "resolved"));
    assert_eq!(put(&[("Henge-Context", "forged")], "x").status, 400);
}

#[test]
fn a_read_shows_what_its_token_names_or_fails() {
    let (http, elsewhere) = (http(None, Limits::default()), http(None, Limits::default()));
    let path = "/v1/buckets/sessions/keys/1";
    let written = http.ask(&format!("PUT {path}?ttl_ms=60000&token"), &[], b"alice");
    let token = written.header("henge-context").expect("asked for");
    assert_eq!(written.header("henge-receipt"), None);
    let named =
        |door: &Http, token: &str| door.ask(&format!("GET {path}"), &[("Henge-After", token)], b"");
    assert_eq!(named(&http, token).body, "alice");
    assert_eq!(http.get(&format!("{path}?r=1&after={token}")).body, "alice");
    let both = http.get(&format!("{path}?max_staleness_ms=500&after={token}"));
    assert_eq!(both.status, 400);
    let bounded = http.get(&format!("{path}?max_staleness_ms=500"));
    assert_eq!(bounded.body, "alice");
    let missed = named(&elsewhere, token);
    assert_eq!(missed.status, 503);
    assert!(missed.body.contains("\"needed\":1"), "{}", missed.body);
    let gone = http.ask(&format!("DELETE {path}?token"), &[], b"");
    let token = gone.header("henge-context").expect("asked for");
    assert_eq!(named(&http, token).status, 404);
    assert_eq!(named(&http, "forged").status, 400);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let http = http(
        None,
        Limits {
            value: 100,
            ..Limits::default()
        },
    );
    for (line, status, word) in [
        (
            "GET /v1/buckets/default/keys/k?r=x",
            400,
            "r must be a whole number",
        ),
        ("GET /v1/buckets/default/keys/k?r=9", 400, "9"),
        ("GET /v1/buckets/nothing/keys/k", 400, "there is no bucket"),
        ("GET /nowhere", 404, "there is nothing at this path"),
    ] {
        let answer = http.ask(line, &[], b"");
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(answer.body.contains(word), "{line}: {answer:?}");
    }
    assert_eq!(
        http.ask("PUT /v1/buckets/default/keys/k", &[], &[b'x'; 100])
            .status,
        200
    );
    assert_eq!(
        http.ask("PUT /v1/buckets/default/keys/k", &[], &[b'x'; 101])
            .status,
        413
    );
}

#[test]
fn operators_see_the_node() {
    let http = http(None, Limits::default());
    http.served.client().ask("SET k v");
    assert_eq!(
        (http.get("/healthz").status, http.get("/readyz").status),
        (200, 200)
    );
    let ring: serde_json::Value = serde_json::from_str(&http.get("/v1/ring").body).unwrap();
    assert_eq!(
        ring["partitions"].as_array().unwrap().len(),
        1 << ring["bits"].as_u64().unwrap()
    );
    assert_eq!(ring["members"][0]["up"], true);
    let members: serde_json::Value = serde_json::from_str(&http.get("/v1/members").body).unwrap();
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
    let export = |query: &str| -> serde_json::Value {
        serde_json::from_str(&http.get(&format!("/v1/export{query}")).body).unwrap()
    };
    let records = export("")["records"].as_array().unwrap().len();
    assert!(records > 0 && export("")["next"].is_null());
    let one = &export("?prefix=k")["records"][0];
    assert_eq!((&one["key"], &one["state"]), (&"k".into(), &"alive".into()));
    assert_eq!(export("?prefix=none")["records"], serde_json::json!([]));
    let partition = henge_ring::Token::of(b"k").partition(10).0;
    let path = format!("/v1/changes?partition={partition}");
    let changes: serde_json::Value = serde_json::from_str(&http.get(&path).body).unwrap();
    assert_eq!(changes["changes"][0]["key"], "k", "{changes}");
    assert_eq!(changes["next"], changes["end"]);
    let life = changes["life"].as_str().unwrap();
    let end = changes["end"].as_u64().unwrap();
    for (query, status) in [
        (format!("{path}&since={end}&life={life}"), 200),
        (format!("{path}&since={end}&life=1"), 410),
        (format!("{path}&since={}", end + 1), 410),
        (format!("{path}&since=x"), 400),
        ("/v1/changes".to_owned(), 400),
        ("/v1/changes?partition=1024".to_owned(), 400),
        ("/v1/export?n=1".to_owned(), 400),
        ("/v1/export?partition=70000".to_owned(), 400),
    ] {
        assert_eq!(http.get(&query).status, status, "{query}");
    }
    let repair: serde_json::Value = serde_json::from_str(&http.get("/v1/repair").body).unwrap();
    assert!(repair["totals"]["rounds"].is_u64(), "{repair}");
    let explain: serde_json::Value = serde_json::from_str(&http.get("/v1/explain/k").body).unwrap();
    assert_eq!(explain["replicas"][0]["state"], "alive", "{explain}");
    let quorum: serde_json::Value = serde_json::from_str(&http.get("/v1/quorum").body).unwrap();
    assert_eq!(
        (&quorum["n"], &quorum["probe_share"]),
        (&1.into(), &0.01.into())
    );
    let choices = quorum["choices"].as_array().unwrap();
    // A node alone: one choice, nobody to wait for, nothing to miss.
    assert_eq!(choices.len(), 1, "{quorum}");
    assert_eq!(choices[0]["read_ms"]["p99"], 0.0, "{quorum}");
    assert_eq!(choices[0]["stale"][0]["predicted"], 0.0, "{quorum}");
    assert_eq!(choices[0]["reads_go_on"]["strict_now"], 1.0, "{quorum}");
    let metrics = http.get("/metrics").body;
    assert!(metrics.contains("henge_probes_total 0"), "{metrics}");
    assert!(
        metrics.contains("henge_resp_commands_total{command=\"set\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("henge_http_requests_total{route=\"healthz\",status=\"200\"} 1"));
    let page = http.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("script-src 'self'")
    );
    assert!(!page.body.contains("onclick") && !page.body.contains("http://"));
}

#[test]
fn the_password_is_the_bearer_token() {
    let http = http(Some("secret"), Limits::default());
    for path in [
        "/v1/ring",
        "/metrics",
        "/v1/members",
        "/v1/quorum",
        "/v1/repair",
        "/v1/export",
        "/v1/changes?partition=0",
        "/v1/buckets/default/keys/k",
        "/v1/explain/k",
    ] {
        assert_eq!(http.get(path).status, 401, "{path}");
        let line = format!("GET {path}");
        let wrong = http.ask(&line, &[("Authorization", "Bearer secre")], b"");
        assert_eq!(wrong.status, 401, "{path}");
        let right = http.ask(&line, &[("Authorization", "Bearer secret")], b"");
        assert_ne!(right.status, 401, "{path}");
    }
    assert_eq!(http.get("/healthz").status, 200);
}

#[test]
fn a_slow_head_and_a_large_one_are_cut() {
    let http = http(
        None,
        Limits {
            http_head_s: 1,
            ..Limits::default()
        },
    );
    let mut slow = TcpStream::connect(http.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let large = http.ask("GET /healthz", &[("X", &"x".repeat(20_000))], b"");
    assert_eq!(large.status, 431);
}

#[test]
fn a_body_that_never_comes_is_given_up() {
    let http = http(
        None,
        Limits {
            http_body_s: 1,
            ..Limits::default()
        },
    );
    let mut slow = TcpStream::connect(http.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let head = "PUT /v1/buckets/default/keys/k HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(b"half").unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 408 "), "{rest:?}");
    assert_eq!(http.get("/v1/buckets/default/keys/k").status, 404);
}

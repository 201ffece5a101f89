//! What people write: configuration files and HTTP requests.

use std::sync::LazyLock;

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use henge_gateway::{Doors, Limits, http_routes};
use henge_node::{Config, Node, Setting, Settings};
use tower::ServiceExt;

use super::{Behaviour, Run, Signature, Target, kind};

pub(super) const CONFIG: Target = Target {
    name: "config",
    about: "configuration files: taken, or refused with the file's name",
    longest: 2048,
    seeds: || {
        [
            &b"listen_resp = \"127.0.0.1:0\"\npeers = [\"127.0.0.1:1\"]\nreplicas = 3\n"[..],
            b"r = 2\nw = 2\nstrict = true\ntimeout = \"250ms\"\nmax_skew = \"1s\"\n",
            b"memory_limit = \"512mb\"\nmax_value = \"1mb\"\ndata_threads = 2\nweight = 7\n",
            b"cluster = \"c\"\ncluster_key = \"0123456789abcdef\"\nzone = \"z\"\nopen = true\n",
            b"password = \"p\"\nlisten_http = \"0.0.0.0:1\"\nlisten_peer = \"[::1]:2\"\n",
            b"replicas = \"three\"\nunknown = 1\n",
        ]
        .map(<[u8]>::to_vec)
        .to_vec()
    },
    tokens: &[
        b"=", b"\"", b"[", b"]", b"\n", b"{", b".", b"'''", b"inf", b"99999h", b"tb", b"e9",
    ],
    make: || Box::new(|input, _| config(input)),
};

fn config(input: &[u8]) -> Behaviour {
    let mut signature = Signature::default();
    let Ok(text) = std::str::from_utf8(input) else {
        return signature.behaviour();
    };
    let mut settings = match Settings::parse("node.toml", text) {
        Ok(settings) => settings,
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("node.toml: "), "which file? {text}");
            // The last line says what is wrong, the ones before show where. What it quotes is the
            // input's.
            let said = text.lines().last().unwrap_or_default();
            let said = said.split(['`', '"']).next().unwrap_or_default();
            return signature.note(kind(&said)).behaviour();
        }
    };
    // Not the fuzzer's to open.
    settings.cluster_key_file = None;
    match Config::check(&settings) {
        Ok(config) => {
            let defaults = config.defaults;
            assert!(
                (1..=defaults.n).contains(&defaults.r) && (1..=defaults.n).contains(&defaults.w)
            );
            assert!((1..=2 << 20).contains(&config.max_value) && config.data_threads >= 1);
            signature.note([defaults.n, defaults.r, defaults.w]);
            signature.size(config.peers.len()).size(config.max_value);
        }
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains(" is not possible: "),
                "what would be right? {text}"
            );
            let place = text.split_once(": \"").map_or("", |(place, _)| place);
            signature.note(kind(&place));
        }
    }
    signature.behaviour()
}

pub(super) const HTTP: Target = Target {
    name: "http",
    about: "HTTP requests to a node of its own: answered with a status that says whose fault it is",
    longest: 4096,
    seeds: || {
        [
            &b"PUT /v1/buckets/default/keys/k?w=1&ttl_ms=1000&receipt\n\nvalue"[..],
            b"GET /v1/buckets/default/keys/k?r=1&strict&timeout_ms=250\n\n",
            b"PATCH /v1/buckets/sessions/keys/1\n\n{\"a\":\"dmFs\",\"b\":null}",
            b"DELETE /v1/buckets/sessions/keys/1\n\n",
            b"POST /v1/buckets/sessions/keys/1/touch?ttl_ms=5000\n\n",
            b"PUT /v1/buckets/siblings/keys/s\nhenge-context: AAAA\n\nvalue",
            b"PUT /v1/buckets/default/keys/k\nif-none-match: *\n\nvalue",
            b"GET /v1/explain/sess:1\n\n",
            b"GET /v1/ring\n\n",
            b"GET /v1/members\n\n",
            b"GET /healthz\n\n",
            b"GET /readyz\n\n",
            b"GET /metrics\n\n",
            b"GET /\naccept: text/html\n\n",
        ]
        .map(<[u8]>::to_vec)
        .to_vec()
    },
    tokens: &[
        b"%00",
        b"%2f",
        b"%ff",
        b"?",
        b"&",
        b"=",
        b"/",
        b"siblings:",
        b"sess:",
        b"\n",
        b"null",
        b"r=",
        b"w=",
        b"strict=",
        b"receipt",
        b"ttl_ms=",
        b"timeout_ms=",
        b"[",
        b"{",
        b"\"",
    ],
    make: http,
};

/// A cluster of one node for all threads; it goes with the process.
static NODE: LazyLock<(Node, Doors)> = LazyLock::new(|| {
    let any = || Some(Setting::flag("listen", "127.0.0.1:0".to_owned()));
    let settings = Settings {
        listen_resp: any(),
        listen_http: any(),
        listen_peer: any(),
        memory_limit: Some(Setting::flag("memory-limit", "32mb".to_owned())),
        ..Settings::default()
    };
    let config = Config::check(&settings).expect("good settings");
    let doors = Doors::new(None, Limits::default(), b"secret of the fuzzer");
    let node = Node::builder(config).start().expect("free ports");
    while !node.handle().is_ready() {
        std::thread::yield_now();
    }
    (node, doors)
});

fn http() -> Run {
    let (node, doors) = &*NODE;
    let routes = http_routes(node.handle().clone(), doors);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    Box::new(move |input, _| {
        let mut signature = Signature::default();
        let Some(request) = parse(input) else {
            return signature.behaviour();
        };
        let (status, length) = runtime.block_on(async {
            let response = routes.clone().oneshot(request).await;
            let response = response.unwrap_or_else(|never| match never {});
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), 8 << 20).await;
            (status, body.expect("a bounded body").len())
        });
        assert!(
            matches!(status, 200..=308 | 400..=431 | 507),
            "{status}: neither done nor the client's fault"
        );
        signature
            .note(status.to_le_bytes())
            .size(length)
            .behaviour()
    })
}

/// `METHOD URI`, lines of headers, an empty line, and the body.
fn parse(input: &[u8]) -> Option<Request<Body>> {
    let end = input.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (std::str::from_utf8(&input[..end]).ok()?, &input[end + 2..]);
    let mut lines = head.lines();
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_vec())).ok()
}

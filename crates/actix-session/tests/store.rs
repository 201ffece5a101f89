//! The store over three real nodes in this process.

use std::{
    collections::HashMap,
    net::TcpListener,
    time::{Duration as Span, Instant},
};

use actix_session::storage::{SessionKey, SessionStore};
use henge_actix_session::HengeStore;
use henge_node::{Config, Node, Options, Settings};
use time::Duration;

const MINUTE: Duration = Duration::MINUTE;

fn cluster() -> Vec<Node> {
    let bound: Vec<_> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let at: Vec<_> = bound
        .iter()
        .map(|it| format!("\"{}\"", it.local_addr().expect("an address")))
        .collect();
    drop(bound);
    let node = |own: &String| {
        let peers = at.join(", ");
        let text = format!("listen_peer = {own}\npeers = [{peers}]\ndata_threads = 1\n");
        let settings = Settings::parse("test", &text).expect("parses");
        let config = Config::check(&settings).expect("right");
        Node::builder(config).start().expect("starts")
    };
    let nodes: Vec<_> = at.iter().map(node).collect();
    let begun = Instant::now();
    while !nodes.iter().all(|node| node.handle().is_ready()) {
        assert!(begun.elapsed() < Span::from_secs(30), "not ready");
        std::thread::sleep(Span::from_millis(5));
    }
    nodes
}

fn stores(nodes: &[Node]) -> Vec<HengeStore> {
    let stores = nodes.iter();
    stores
        .map(|it| HengeStore::new(it.handle().clone()))
        .collect()
}

fn state(user: &str) -> HashMap<String, String> {
    HashMap::from([("user".to_owned(), user.to_owned())])
}

fn same(key: &SessionKey) -> SessionKey {
    key.as_ref().to_owned().try_into().expect("short")
}

#[tokio::test]
async fn a_session_is_there_on_every_node_until_it_is_destroyed_on_one() {
    let nodes = cluster();
    let stores = stores(&nodes);
    let ada = stores[0].save(state("ada"), &MINUTE).await.expect("saved");
    for store in &stores {
        let loaded = store.load(&ada).await.expect("loaded");
        assert_eq!(loaded, Some(state("ada")));
    }
    let updated = stores[1].update(same(&ada), state("lovelace"), &MINUTE);
    assert_eq!(updated.await.expect("updated"), ada);
    let loaded = stores[2].load(&ada).await.expect("loaded");
    assert_eq!(loaded, Some(state("lovelace")));
    stores[2].delete(&ada).await.expect("destroyed");
    // Requests that had loaded it before end late.
    for store in &stores {
        let late = store.update(same(&ada), state("ada"), &MINUTE).await;
        assert_eq!(late.expect("answered"), ada, "and not under another id");
        store.update_ttl(&ada, &MINUTE).await.expect("answered");
    }
    for store in &stores {
        assert_eq!(store.load(&ada).await.expect("answered"), None);
    }
    stores[0].delete(&ada).await.expect("once more");
}

#[tokio::test]
async fn a_touch_prolongs_and_shortens_and_never_creates() {
    let nodes = cluster();
    let stores = stores(&nodes);
    let key = stores[0].save(state("x"), &MINUTE).await.expect("saved");
    let never: SessionKey = "never".to_owned().try_into().expect("short");
    for (key, found) in [(&key, Some(state("x"))), (&never, None)] {
        stores[1].update_ttl(key, &MINUTE).await.expect("answered");
        assert_eq!(stores[2].load(key).await.expect("answered"), found);
    }
    let over = Duration::seconds(-1);
    stores[1].update_ttl(&key, &over).await.expect("answered");
    for store in &stores {
        assert_eq!(store.load(&key).await.expect("answered"), None);
    }
}

#[tokio::test]
async fn what_was_not_made_here_is_no_session() {
    let nodes = cluster();
    let store = &stores(&nodes)[0];
    for id in [String::new(), "unknown".to_owned(), "x".repeat(4000)] {
        let key = id.try_into().expect("short enough for a cookie");
        assert_eq!(store.load(&key).await.expect("answered"), None);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_numbers() {
    let nodes = cluster();
    let options = Options {
        w: Some(4),
        ..Options::default()
    };
    let store = stores(&nodes).remove(0).options(options);
    let refused = store.save(state("x"), &MINUTE).await.expect_err("of three");
    let source = std::error::Error::source(&refused).expect("why");
    let text = source.to_string();
    assert!(text.contains('4') && text.contains('3'), "{text}");
}

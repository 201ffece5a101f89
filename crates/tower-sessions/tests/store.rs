//! The store over three real nodes in this process.

use std::{
    collections::HashMap,
    net::TcpListener,
    time::{Duration, Instant},
};

use henge_node::{Config, Node, Options, Settings};
use henge_tower_sessions::HengeStore;
use serde_json::json;
use tower_sessions_core::{
    SessionStore,
    session::{Id, Record},
};

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
        assert!(begun.elapsed() < Duration::from_secs(30), "not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    nodes
}

fn stores(nodes: &[Node]) -> Vec<HengeStore> {
    let stores = nodes.iter();
    stores
        .map(|it| HengeStore::new(it.handle().clone()))
        .collect()
}

fn session(name: &str) -> Record {
    let until = time::OffsetDateTime::now_utc() + Duration::from_secs(60);
    Record {
        id: Id::default(),
        data: HashMap::from([("name".to_owned(), json!(name))]),
        // The store has milliseconds.
        expiry_date: until.replace_millisecond(5).expect("in range"),
    }
}

#[tokio::test]
async fn a_session_is_there_on_every_node_until_it_is_destroyed_on_one() {
    let nodes = cluster();
    let stores = stores(&nodes);
    let mut ada = session("ada");
    stores[0].create(&mut ada).await.expect("created");
    for store in &stores {
        let loaded = store.load(&ada.id).await.expect("loaded");
        assert_eq!(loaded.as_ref(), Some(&ada));
    }
    ada.data.insert("cart".to_owned(), json!([1, 2]));
    stores[1].save(&ada).await.expect("saved");
    assert_eq!(
        stores[2].load(&ada.id).await.expect("loaded"),
        Some(ada.clone())
    );
    stores[2].delete(&ada.id).await.expect("destroyed");
    // A request that had loaded it before ends late.
    for store in &stores {
        store.save(&ada).await.expect("answered");
    }
    for store in &stores {
        assert_eq!(store.load(&ada.id).await.expect("answered"), None);
    }
}

#[tokio::test]
async fn an_id_that_was_ever_used_is_not_given_again() {
    let nodes = cluster();
    let stores = stores(&nodes);
    let mut first = session("first");
    stores[0].create(&mut first).await.expect("created");
    let mut second = Record {
        id: first.id,
        ..session("second")
    };
    stores[1].create(&mut second).await.expect("created");
    assert_ne!(second.id, first.id);
    stores[2].delete(&first.id).await.expect("destroyed");
    let mut third = Record {
        id: first.id,
        ..session("third")
    };
    stores[0].create(&mut third).await.expect("created");
    assert_ne!(third.id, first.id, "destroyed ids stay destroyed");
    assert_eq!(
        stores[1].load(&third.id).await.expect("loaded"),
        Some(third)
    );
    assert_eq!(
        stores[1].load(&second.id).await.expect("loaded"),
        Some(second)
    );
}

#[tokio::test]
async fn an_expired_session_is_none() {
    let nodes = cluster();
    let store = &stores(&nodes)[0];
    let mut over = session("over");
    store.create(&mut over).await.expect("created");
    over.expiry_date = time::OffsetDateTime::now_utc() - Duration::from_secs(1);
    store.save(&over).await.expect("answered");
    assert_eq!(store.load(&over.id).await.expect("answered"), None);
    assert_eq!(store.load(&Id(42)).await.expect("answered"), None);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_numbers() {
    let nodes = cluster();
    let options = Options {
        w: Some(4),
        ..Options::default()
    };
    let store = stores(&nodes).remove(0).options(options);
    let refused = store.create(&mut session("x")).await.expect_err("of three");
    let text = refused.to_string();
    assert!(text.contains('4') && text.contains('3'), "{text}");
}

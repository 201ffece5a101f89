//! The store over three real nodes in this process.

use std::collections::HashMap;

use actix_session::storage::{SessionKey, SessionStore};
use henge_actix_session::HengeStore;
use henge_node::{Node, Options};
use time::Duration;

/// Real nodes in one process, as `henge-node`'s own tests start them.
#[path = "../../node/tests/rig/mod.rs"]
mod rig;

const MINUTE: Duration = Duration::MINUTE;

/// Three nodes of one data thread each, that serve.
fn cluster() -> Vec<Node> {
    let all = rig::free_addresses(3);
    let nodes: Vec<_> = all.iter().map(|at| rig::start(*at, &all, 1)).collect();
    let ready = || nodes.iter().all(|node| node.handle().is_ready());
    rig::wait_until("all nodes serve", ready);
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

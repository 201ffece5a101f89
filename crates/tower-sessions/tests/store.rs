//! The store over three real nodes in this process.

use std::{collections::HashMap, time::Duration};

use henge_node::{Node, Options};
use henge_tower_sessions::HengeStore;
use serde_json::json;
use tower_sessions_core::{
    SessionStore,
    session::{Id, Record},
};

/// Real nodes in one process, as `henge-node`'s own tests start them.
#[path = "../../node/tests/rig/mod.rs"]
mod rig;

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

fn of_user(user: &str) -> Record {
    let mut record = session("theirs");
    record.data.insert("user".to_owned(), json!(user));
    record
}

#[tokio::test]
async fn a_users_sessions_are_listed_and_end_together() {
    let nodes = cluster();
    let stores = stores(&nodes).into_iter().map(|it| it.user_in("user"));
    let stores: Vec<_> = stores.collect();
    let (mut laptop, mut phone, mut other) = (of_user("ada"), of_user("ada"), of_user("bob"));
    stores[0].create(&mut laptop).await.expect("created");
    stores[0].create(&mut other).await.expect("created");
    // One that begins before anybody logs in.
    phone.data.remove("user");
    stores[1].create(&mut phone).await.expect("created");
    assert_eq!(
        stores[2].sessions("ada").await.expect("listed"),
        [laptop.id]
    );
    phone.data.insert("user".to_owned(), json!("ada"));
    stores[1].save(&phone).await.expect("saved");
    let mut listed = stores[2].sessions("ada").await.expect("listed");
    let mut wanted = vec![laptop.id, phone.id];
    listed.sort_by_key(|id| id.0);
    wanted.sort_by_key(|id| id.0);
    assert_eq!(listed, wanted);
    // Another save of what was loaded: the session is still theirs.
    let mut loaded = stores[2]
        .load(&phone.id)
        .await
        .expect("loaded")
        .expect("there");
    loaded.data.insert("cart".to_owned(), json!(1));
    stores[2].save(&loaded).await.expect("saved");

    stores[0].logout_all("ada").await.expect("ended");
    for store in &stores {
        for id in [laptop.id, phone.id] {
            assert_eq!(store.load(&id).await.expect("answered"), None);
        }
        assert!(store.load(&other.id).await.expect("loaded").is_some());
        assert_eq!(store.sessions("ada").await.expect("listed"), []);
        assert_eq!(store.sessions("bob").await.expect("listed"), [other.id]);
    }
}

/// As `Session::cycle_id` does it: the old id is deleted, and what was loaded is created anew.
#[tokio::test]
async fn a_cycled_session_is_its_users_again() {
    let nodes = cluster();
    let store = stores(&nodes).remove(0).user_in("user");
    let mut session = of_user("ada");
    store.create(&mut session).await.expect("created");
    let mut again = store
        .load(&session.id)
        .await
        .expect("loaded")
        .expect("there");
    store.delete(&session.id).await.expect("destroyed");
    again.id = Id::default();
    store.create(&mut again).await.expect("created");
    assert_eq!(store.sessions("ada").await.expect("listed"), [again.id]);
    store.logout_all("ada").await.expect("ended");
    assert_eq!(store.load(&again.id).await.expect("answered"), None);
}

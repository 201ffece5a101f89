//! Sessions of axum and other tower services, kept by a node in the same process.
//!
//! [`HengeStore`] is a `SessionStore` of tower-sessions over an embedded node: every instance of a web
//! server runs one, they form a cluster, and nothing else has to run. Any instance may vanish, its
//! users stay logged in. What holds beyond what a store usually promises:
//!
//! * `create` rejects an id that exists, or has been destroyed: the session gets another.
//! * `delete`, a logout, wins: a `save` that is late, on whatever instance, brings nothing back.
//! * `save` has happened on W replicas when it returns; an error says whether it may have.
//!
//! A session is one value, so of two requests that change the same session at once the later `save` keeps
//! what it had read: an application that needs both changes keeps them in sessions' fields
//! (`henge_node::Operation::PutFields`, or a hash over the Redis protocol).
//!
//! `examples/embedded.rs` is a server with a login page on three nodes.

mod record;

use async_trait::async_trait;
use henge_node::{Condition, Done, Expiry, Failure, Handle, Operation, Options, Request};
use tower_sessions_core::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

/// What keys begin with: the prefix of a bucket in which logout wins.
pub const PREFIX: &str = "tower.sess:";

/// How many ids are tried for a new session. One is enough unless somebody guesses 128 bits.
const MOST_IDS: usize = 3;

/// Sessions in the cluster that a node in this process belongs to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HengeStore {
    node: Handle,
    options: Options,
}

impl HengeStore {
    /// Sessions of this node's cluster, with its defaults of R and W.
    pub fn new(node: Handle) -> Self {
        Self {
            node,
            options: Options::default(),
        }
    }

    /// The same with other R, W or patience. Of sessions no logout is undone while R + W > N.
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    async fn call<'a>(&self, key: &'a str, operation: Operation<'a>) -> Result<Done> {
        let request = Request {
            key: key.as_bytes(),
            operation,
            options: self.options,
        };
        let outcome = self.node.call(&request).await;
        outcome.result.map_err(|failure| told(&failure))
    }

    async fn put(&self, record: &Record, condition: Condition) -> Result<Done> {
        let (key, value) = (key(&record.id), record::encode(record)?);
        let put = Operation::Put {
            value: &value,
            expiry: Expiry::At(record::deadline(record.expiry_date)),
            condition,
        };
        self.call(&key, put).await
    }
}

fn key(id: &Id) -> String {
    format!("{PREFIX}{id}")
}

/// The store's failure in tower-sessions' words, with all its numbers.
fn told(failure: &Failure) -> Error {
    Error::Backend(failure.to_string())
}

#[async_trait]
impl SessionStore for HengeStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        for _ in 0..MOST_IDS {
            if self.put(record, Condition::Absent).await?.applied {
                return Ok(());
            }
            record.id = Id::default();
        }
        Err(Error::Backend(format!(
            "{MOST_IDS} random session ids were taken: the random numbers are not random"
        )))
    }

    /// Of a session that was destroyed it changes nothing, and the next `load` finds none.
    async fn save(&self, record: &Record) -> Result<()> {
        self.put(record, Condition::Always).await.map(drop)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let found = self.call(&key(id), Operation::Get).await?.record;
        let now_ms = self.node.wall_ms();
        found.map_or(Ok(None), |bytes| record::decode(*id, &bytes, now_ms))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let (key, condition) = (key(id), Condition::Always);
        let delete = Operation::Delete { condition };
        self.call(&key, delete).await.map(drop)
    }
}

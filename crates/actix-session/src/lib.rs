//! Sessions of actix-web, kept by a node in the same process.
//!
//! [`HengeStore`] is a `SessionStore` of actix-session over an embedded node: every instance of a web
//! server runs one, they form a cluster, and nothing else has to run. Any instance may vanish, its
//! users stay logged in. What holds beyond what a store usually promises:
//!
//! * `save` gives an id that was never used before, in the whole cluster.
//! * `delete`, a logout, wins: an `update` that is late, on whatever instance, brings nothing back, also
//!   not under another id.
//! * `save` and `update` have happened on W replicas when they return; an error says whether they may
//!   have.
//!
//! A session is one value, so of two requests that change the same session at once the later `update`
//! keeps what it had read.
//!
//! ```no_run
//! # fn with(node: &henge_node::Node) {
//! let store = henge_actix_session::HengeStore::new(node.handle().clone());
//! // App::new().wrap(SessionMiddleware::new(store.clone(), key.clone()))
//! # drop(store);
//! # }
//! ```

use std::collections::HashMap;

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use anyhow::anyhow;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use henge_node::{Condition, Done, Expiry, Handle, Operation, Options, Request};
use henge_versioning::RecordRef;
use time::Duration;

/// What keys begin with: a name of its own in a bucket in which logout wins.
pub const PREFIX: &str = "sessions:actix:";

/// Random bytes of an id.
const ID_LEN: usize = 32;

/// How many ids are tried for a new session. One is enough unless somebody guesses 256 bits.
const MOST_IDS: usize = 3;

/// The longest id that is looked up; what is longer was not made here.
const LONGEST_ID: usize = 256;

type State = HashMap<String, String>;

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

    async fn call<'a>(&self, key: &'a str, operation: Operation<'a>) -> anyhow::Result<Done> {
        let request = Request {
            key: key.as_bytes(),
            operation,
            options: self.options,
        };
        Ok(self.node.call(&request).await.result?)
    }

    async fn put(
        &self,
        id: &str,
        value: &[u8],
        ttl: &Duration,
        condition: Condition,
    ) -> anyhow::Result<Done> {
        let key = key(id);
        let put = Operation::Put {
            value,
            expiry: Expiry::At(self.deadline(ttl)),
            condition,
        };
        self.call(&key, put).await
    }

    /// Milliseconds since 1970; a lifetime below zero is over.
    fn deadline(&self, ttl: &Duration) -> u64 {
        let ttl_ms = u64::try_from(ttl.whole_milliseconds()).unwrap_or(0);
        self.node.wall_ms().saturating_add(ttl_ms)
    }
}

fn key(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn fresh_id() -> anyhow::Result<String> {
    let mut bytes = [0; ID_LEN];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers for an id: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The session in a stored record, unless it is over.
fn decode(bytes: &[u8], now_ms: u64) -> anyhow::Result<Option<State>> {
    let record = RecordRef::parse(bytes)?;
    if !record.is_live(now_ms) {
        return Ok(None);
    }
    let value = (record.value())
        .ok_or_else(|| anyhow!("it is no plain value: something else writes under this prefix"))?;
    Ok(Some(serde_json::from_slice(value)?))
}

impl SessionStore for HengeStore {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<State>, LoadError> {
        let id = session_key.as_ref();
        if id.len() > LONGEST_ID {
            return Ok(None);
        }
        let found = self.call(&key(id), Operation::Get).await;
        let Some(bytes) = found.map_err(LoadError::Other)?.record else {
            return Ok(None);
        };
        decode(&bytes, self.node.wall_ms()).map_err(LoadError::Deserialization)
    }

    async fn save(&self, session_state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let value = serde_json::to_vec(&session_state)
            .map_err(|error| SaveError::Serialization(error.into()))?;
        for _ in 0..MOST_IDS {
            let id = fresh_id().map_err(SaveError::Other)?;
            let put = self.put(&id, &value, ttl, Condition::Absent).await;
            if put.map_err(SaveError::Other)?.applied {
                return (id.try_into()).map_err(|error| SaveError::Other(anyhow!("{error}")));
            }
        }
        Err(SaveError::Other(anyhow!(
            "{MOST_IDS} random session ids were taken: the random numbers are not random"
        )))
    }

    /// Of a session that was destroyed it changes nothing, and the next `load` finds none.
    async fn update(
        &self,
        session_key: SessionKey,
        session_state: State,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let value = serde_json::to_vec(&session_state)
            .map_err(|error| UpdateError::Serialization(error.into()))?;
        let put = self.put(session_key.as_ref(), &value, ttl, Condition::Always);
        put.await.map_err(UpdateError::Other)?;
        Ok(session_key)
    }

    /// Never creates.
    async fn update_ttl(&self, session_key: &SessionKey, ttl: &Duration) -> anyhow::Result<()> {
        let key = key(session_key.as_ref());
        let expire = Operation::Expire {
            at: self.deadline(ttl),
            condition: Condition::Always,
        };
        self.call(&key, expire).await.map(drop)
    }

    async fn delete(&self, session_key: &SessionKey) -> anyhow::Result<()> {
        let (key, condition) = (key(session_key.as_ref()), Condition::Always);
        let delete = Operation::Delete { condition };
        self.call(&key, delete).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use henge_versioning::{ActorId, HlcTime, NEVER, Stamp, delta};

    use super::*;

    fn stored(deadline: u64, value: &[u8]) -> Vec<u8> {
        let epoch = Stamp {
            time: HlcTime(1),
            actor: ActorId(1),
        };
        let mut bytes = Vec::new();
        delta::begin(&mut bytes, epoch, deadline, value);
        bytes
    }

    #[test]
    fn a_session_comes_back_as_it_was_until_it_expires() {
        let state = HashMap::from([("user".to_owned(), "\"ada\"".to_owned())]);
        let bytes = stored(100, &serde_json::to_vec(&state).expect("encodes"));
        assert_eq!(decode(&bytes, 99).expect("decodes"), Some(state));
        assert_eq!(decode(&bytes, 100).expect("decodes"), None);
    }

    #[test]
    fn what_something_else_has_written_is_an_error_and_no_session() {
        for value in [&b"not json"[..], b"[1]", b"", b"{\"a\":1}"] {
            assert!(decode(&stored(NEVER, value), 5).is_err(), "{value:?}");
        }
        assert!(decode(b"\xff", 5).is_err());
    }

    #[test]
    fn ids_are_long_and_differ() {
        let (one, other) = (fresh_id().expect("random"), fresh_id().expect("random"));
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
    }
}

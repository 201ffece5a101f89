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
use henge_node::{Condition, Done, Handle, Options, ValueSession, ValueSessions};
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
pub struct HengeStore(ValueSessions);

impl HengeStore {
    /// Sessions of this node's cluster, with its defaults of R and W.
    pub fn new(node: Handle) -> Self {
        Self(ValueSessions::new(node))
    }

    /// The same with other R, W or patience. Of sessions no logout is undone while R + W > N.
    pub fn options(self, options: Options) -> Self {
        Self(self.0.options(options))
    }

    async fn put(
        &self,
        id: &str,
        value: &[u8],
        ttl: &Duration,
        condition: Condition,
    ) -> anyhow::Result<Done> {
        let deadline = self.deadline(ttl);
        Ok(self.0.put(&key(id), value, deadline, condition).await?)
    }

    /// Milliseconds since 1970; a lifetime below zero is over.
    fn deadline(&self, ttl: &Duration) -> u64 {
        let ttl_ms = u64::try_from(ttl.whole_milliseconds()).unwrap_or(0);
        self.0.node().wall_ms().saturating_add(ttl_ms)
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

/// The session in what is stored.
fn decode(session: &ValueSession) -> anyhow::Result<State> {
    let value = (session.value.as_deref())
        .ok_or_else(|| anyhow!("it is no plain value: something else writes under this prefix"))?;
    Ok(serde_json::from_slice(value)?)
}

impl SessionStore for HengeStore {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<State>, LoadError> {
        let id = session_key.as_ref();
        if id.len() > LONGEST_ID {
            return Ok(None);
        }
        let found = self.0.load(&key(id)).await;
        let found = found.map_err(|failure| LoadError::Other(failure.into()))?;
        let state = found.as_ref().map(decode).transpose();
        state.map_err(LoadError::Deserialization)
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
        let (key, deadline) = (key(session_key.as_ref()), self.deadline(ttl));
        Ok(self.0.touch(&key, deadline).await.map(drop)?)
    }

    async fn delete(&self, session_key: &SessionKey) -> anyhow::Result<()> {
        let key = key(session_key.as_ref());
        Ok(self.0.destroy(&key).await.map(drop)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(value: &[u8]) -> ValueSession {
        ValueSession {
            value: Some(value.to_vec()),
            deadline: 100,
        }
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let state = HashMap::from([("user".to_owned(), "\"ada\"".to_owned())]);
        let session = stored(&serde_json::to_vec(&state).expect("encodes"));
        assert_eq!(decode(&session).expect("decodes"), state);
    }

    #[test]
    fn what_something_else_has_written_is_an_error_and_no_session() {
        for value in [&b"not json"[..], b"[1]", b"", b"{\"a\":1}"] {
            assert!(decode(&stored(value)).is_err(), "{value:?}");
        }
        let fields = ValueSession {
            value: None,
            ..stored(b"")
        };
        assert!(decode(&fields).is_err());
    }

    #[test]
    fn ids_are_long_and_differ() {
        let (one, other) = (fresh_id().expect("random"), fresh_id().expect("random"));
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
    }
}

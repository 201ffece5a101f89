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
//! # Whose sessions
//!
//! Name the field of the session's data that holds the user, and sessions in which it is set are that
//! user's: [`HengeStore::sessions`] lists them, [`HengeStore::logout_all`] ends them all, on every instance.
//!
//! ```no_run
//! # async fn with(node: &henge_node::Node) -> Result<(), tower_sessions_core::session_store::Error> {
//! let store = henge_tower_sessions::HengeStore::new(node.handle().clone()).user_in("user");
//! // session.insert("user", "ada").await?, as at every login; later, from anywhere:
//! store.logout_all("ada").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What the trait leaves no room for
//!
//! * *A grace for old ids.* `Session::cycle_id` deletes the old id through the store before there is a new
//!   one, and nothing tells the store that the two belong together: the old id is dead at once, and a
//!   request under way with it finds no session. (`henge_node::Handle::rotate` has a grace, for programs that
//!   keep the cookie themselves.) The new id is its user's again.
//! * *Tokens* (reads that show the browser's own login at R=1): `load` gets an id and nothing else that the
//!   browser sent, and `save` gives nothing back. Keep R + W > N.
//!
//! `examples/embedded.rs` is a server with a login page on three nodes.

mod record;

use async_trait::async_trait;
use henge_node::{Condition, Failure, Handle, Options, ValueSessions};
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
    sessions: ValueSessions,
    user_field: Option<&'static str>,
}

impl HengeStore {
    /// Sessions of this node's cluster, with its defaults of R and W.
    pub fn new(node: Handle) -> Self {
        Self {
            sessions: ValueSessions::new(node),
            user_field: None,
        }
    }

    /// The same with other R, W or patience. Of sessions no logout is undone while R + W > N.
    pub fn options(self, options: Options) -> Self {
        Self {
            sessions: self.sessions.options(options),
            ..self
        }
    }

    /// The same, in which a session is the user's that this field of its data names, from the first save
    /// on with it set: text of 1 to 256 bytes, or a number. A session stays its user's until it ends.
    /// The first such save costs a quorum read and a write more, each `load` a quorum read.
    pub fn user_in(self, field: &'static str) -> Self {
        Self {
            user_field: Some(field),
            ..self
        }
    }

    /// A user's live sessions.
    ///
    /// # Errors
    /// If any of them cannot be read: a list never leaves one out.
    pub async fn sessions(&self, user: impl ToString) -> Result<Vec<Id>> {
        let (node, options) = (self.sessions.node(), self.sessions.consistency());
        let user = user.to_string();
        let found = node.sessions(user.as_bytes(), options).await;
        let found = found.map_err(|failure| told(&failure))?;
        let ids = found.iter().filter_map(|session| {
            let key = str::from_utf8(&session.key).ok()?;
            key.strip_prefix(PREFIX)?.parse().ok()
        });
        Ok(ids.collect())
    }

    /// Ends all of a user's sessions, on every instance, through whatever store or door they began.
    ///
    /// # Errors
    /// If that could not be assured.
    pub async fn logout_all(&self, user: impl ToString) -> Result<()> {
        let (node, options) = (self.sessions.node(), self.sessions.consistency());
        let user = user.to_string();
        let ended = node.logout_all(user.as_bytes(), options).await;
        ended.map(drop).map_err(|failure| told(&failure))
    }

    /// Whose session it is, by its data.
    fn user(&self, record: &Record) -> Option<String> {
        record::user(record.data.get(self.user_field?)?)
    }

    async fn log_in(&self, record: &Record, user: &str) -> Result<()> {
        let (key, value) = (key(&record.id), record::encode(record, Some(user))?);
        let deadline = record::deadline(record.expiry_date);
        let done = self.sessions.login(&key, &value, deadline, user.as_bytes());
        done.await.map(drop).map_err(|failure| told(&failure))
    }

    /// `false`: the condition does not hold.
    async fn put(&self, record: &Record, user: Option<&str>, condition: Condition) -> Result<bool> {
        let (key, value) = (key(&record.id), record::encode(record, user)?);
        let deadline = record::deadline(record.expiry_date);
        let done = self.sessions.put(&key, &value, deadline, condition).await;
        done.map(|done| done.applied)
            .map_err(|failure| told(&failure))
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
            if self.put(record, None, Condition::Absent).await? {
                return match self.user(record) {
                    Some(user) => self.log_in(record, &user).await,
                    None => Ok(()),
                };
            }
            record.id = Id::default();
        }
        Err(Error::Backend(format!(
            "{MOST_IDS} random session ids were taken: the random numbers are not random"
        )))
    }

    /// Of a session that was destroyed it changes nothing, and the next `load` finds none.
    async fn save(&self, record: &Record) -> Result<()> {
        match self.user(record) {
            Some(user) if record::owner(record) != Some(&user) => self.log_in(record, &user).await,
            user => {
                let put = self.put(record, user.as_deref(), Condition::Always);
                put.await.map(drop)
            }
        }
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let found = self.sessions.load(&key(id)).await;
        let found = found.map_err(|failure| told(&failure))?;
        found
            .map(|session| record::decode(*id, &session))
            .transpose()
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let destroyed = self.sessions.destroy(&key(id)).await;
        destroyed.map(drop).map_err(|failure| told(&failure))
    }
}

//! Sessions that are one value each: what a web framework's session store is made of.

use henge_versioning::RecordRef;

use crate::{Condition, Done, Expiry, Failure, Handle, Operation, Options, Request};

/// Sessions in the cluster that a node in this process belongs to, each with one value. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ValueSessions {
    node: Handle,
    options: Options,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSession {
    /// Its value; `None`: it has fields, so something else writes under its key.
    pub value: Option<Vec<u8>>,
    /// When it ends, in milliseconds since 1970; `henge_versioning::NEVER`: not by itself.
    pub deadline: u64,
}

impl ValueSessions {
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

    /// The node.
    pub fn node(&self) -> &Handle {
        &self.node
    }

    /// R, W and patience, as they were given.
    pub fn consistency(&self) -> Options {
        self.options
    }

    /// The session under a key, unless it is over.
    ///
    /// # Errors
    /// If too few replicas answer.
    pub async fn load(&self, key: &str) -> Result<Option<ValueSession>, Failure> {
        let found = self.call(key, Operation::Get).await?.record;
        let now_ms = self.node.wall_ms();
        let record = found.as_deref().map(RecordRef::parse);
        // A node answers with records only.
        let live = record.and_then(Result::ok);
        let live = live.filter(|record| record.is_live(now_ms));
        Ok(live.map(|record| ValueSession {
            value: record.value().map(<[u8]>::to_vec),
            deadline: record.deadline().at,
        }))
    }

    /// Writes a session that ends at `deadline`, in milliseconds since 1970. Of one that was destroyed
    /// it changes nothing ([`Done::absorbed`]); whether a condition held is [`Done::applied`].
    ///
    /// # Errors
    /// As of every write: an error says whether it may have happened.
    pub async fn put(
        &self,
        key: &str,
        value: &[u8],
        deadline: u64,
        condition: Condition,
    ) -> Result<Done, Failure> {
        self.call(key, put(value, deadline, condition)).await
    }

    /// Writes a session that is `principal`'s: see [`Handle::login`].
    ///
    /// # Errors
    /// As of every write.
    pub async fn login(
        &self,
        key: &str,
        value: &[u8],
        deadline: u64,
        principal: &[u8],
    ) -> Result<Done, Failure> {
        let request = self.request(key, put(value, deadline, Condition::Always));
        self.node.login(&request, principal).await.result
    }

    /// Moves the end of a session; never creates one.
    ///
    /// # Errors
    /// As of every write.
    pub async fn touch(&self, key: &str, deadline: u64) -> Result<Done, Failure> {
        let condition = Condition::Always;
        let at = deadline;
        self.call(key, Operation::Expire { at, condition }).await
    }

    /// Destroys a session: whatever is late, on whatever node, brings nothing back.
    ///
    /// # Errors
    /// As of every write.
    pub async fn destroy(&self, key: &str) -> Result<Done, Failure> {
        let condition = Condition::Always;
        self.call(key, Operation::Delete { condition }).await
    }

    async fn call<'a>(&self, key: &'a str, operation: Operation<'a>) -> Result<Done, Failure> {
        self.node.call(&self.request(key, operation)).await.result
    }

    fn request<'a>(&self, key: &'a str, operation: Operation<'a>) -> Request<'a> {
        Request {
            key: key.as_bytes(),
            operation,
            options: self.options,
        }
    }
}

fn put(value: &[u8], deadline: u64, condition: Condition) -> Operation<'_> {
    Operation::Put {
        value,
        expiry: Expiry::At(deadline),
        condition,
    }
}

//! One request: what is asked, with which quorum, and how it reads on the wire.

use std::{
    future::IntoFuture,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{FutureExt, future::BoxFuture};

use crate::{Client, Done, Error, Got};

/// Whether fallbacks may stand in for primaries that are away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Primaries only: R + W > N then gives read-your-writes.
    Strict,
    /// Fallbacks count, and hand the data on when the primary is back.
    Sloppy,
}

/// Knobs common to reads and writes; unset ones are the server's defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs {
    pub(crate) r: Option<u32>,
    pub(crate) w: Option<u32>,
    pub(crate) mode: Option<Mode>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) receipt: bool,
}

impl Knobs {
    fn push(&self, args: &mut Args) {
        if let Some(r) = self.r {
            args.word("R").number(r.into());
        }
        if let Some(w) = self.w {
            args.word("W").number(w.into());
        }
        match self.mode {
            Some(Mode::Strict) => args.word("STRICT"),
            Some(Mode::Sloppy) => args.word("SLOPPY"),
            None => args,
        };
        if let Some(timeout) = self.timeout {
            args.word("TIMEOUT").number(millis(timeout));
        }
        if self.receipt {
            args.word("RECEIPT");
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The arguments of one command, counted; [`Args::finish`] puts the header before them.
#[derive(Default)]
pub(crate) struct Args {
    body: BytesMut,
    count: usize,
}

impl Args {
    pub(crate) fn of(word: &str) -> Self {
        let mut args = Self::default();
        args.word(word);
        args
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.body.reserve(bytes.len() + 16);
        self.body
            .put_slice(format!("${}\r\n", bytes.len()).as_bytes());
        self.body.put_slice(bytes);
        self.body.put_slice(b"\r\n");
        self.count += 1;
        self
    }

    pub(crate) fn word(&mut self, word: &str) -> &mut Self {
        self.bytes(word.as_bytes())
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.word(&number.to_string())
    }

    pub(crate) fn finish(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.body.len() + 16);
        out.put_slice(format!("*{}\r\n", self.count).as_bytes());
        out.put_slice(&self.body);
        out.freeze()
    }
}

/// A read being prepared; `.await` sends it.
#[must_use = "a request does nothing until it is awaited"]
pub struct Read<'c> {
    pub(crate) client: &'c Client,
    pub(crate) key: Bytes,
    pub(crate) knobs: Knobs,
    pub(crate) context: bool,
    pub(crate) after: Option<String>,
    pub(crate) max_staleness: Option<Duration>,
}

impl Read<'_> {
    /// Replicas to wait for.
    pub fn r(mut self, replicas: u32) -> Self {
        self.knobs.r = Some(replicas);
        self
    }

    /// Primaries only, or fallbacks as well.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.knobs.mode = Some(mode);
        self
    }

    /// Deadline at the server.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.knobs.timeout = Some(limit);
        self
    }

    /// Asks for the causal context.
    pub fn context(mut self) -> Self {
        self.context = true;
        self
    }

    /// Shows what this context names, or something later, whichever replicas answer: the read goes on
    /// to others until one has it, and fails if none does. A context comes from an earlier read, or
    /// from a write that was asked for its [`token`](Write::token).
    pub fn after(mut self, token: impl Into<String>) -> Self {
        self.after = Some(token.into());
        self
    }

    /// Shows what R replicas would have shown so long ago, or something later: a node that has read the
    /// key from R of them within that time answers alone. Not together with [`after`](Read::after).
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = Some(bound);
        self
    }

    /// Asks which replicas answered.
    pub fn receipt(mut self) -> Self {
        self.knobs.receipt = true;
        self
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut args = Args::of("HENGE.GET");
        args.bytes(&self.key);
        self.knobs.push(&mut args);
        if self.context {
            args.word("CONTEXT");
        }
        if let Some(token) = &self.after {
            args.word("AFTER").word(token);
        }
        if let Some(bound) = self.max_staleness {
            let ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
            args.word("STALENESS").number(ms);
        }
        args.finish()
    }

    /// The same for plain Redis.
    pub(crate) fn encode_plain(&self) -> Result<Bytes, Error> {
        match &self.after {
            Some(_) => Err(Error::Refused(
                "plain Redis has no causal contexts".to_owned(),
            )),
            None => Ok(Args::of("GET").bytes(&self.key).finish()),
        }
    }
}

impl<'c> IntoFuture for Read<'c> {
    type Output = Result<Got, Error>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.client.read(&self).await }.boxed()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(Bytes),
    Fields(Vec<(Bytes, Bytes)>),
    Touch(Duration),
    Delete,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expiry {
    In(Duration),
    At(SystemTime),
    Keep,
}

/// A write being prepared; `.await` sends it.
#[must_use = "a request does nothing until it is awaited"]
pub struct Write<'c> {
    pub(crate) client: &'c Client,
    pub(crate) key: Bytes,
    pub(crate) change: Change,
    pub(crate) knobs: Knobs,
    pub(crate) expiry: Option<Expiry>,
    pub(crate) condition: Option<&'static str>,
    pub(crate) context: Option<String>,
    pub(crate) token: bool,
    pub(crate) principal: Option<Bytes>,
    pub(crate) idempotent: bool,
}

impl Write<'_> {
    /// Replicas that must hold it before the answer.
    pub fn w(mut self, replicas: u32) -> Self {
        self.knobs.w = Some(replicas);
        self
    }

    /// Replicas to ask where the write reads first (conditions, ids not known locally).
    pub fn r(mut self, replicas: u32) -> Self {
        self.knobs.r = Some(replicas);
        self
    }

    /// Primaries only, or fallbacks as well.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.knobs.mode = Some(mode);
        self
    }

    /// Deadline at the server.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.knobs.timeout = Some(limit);
        self
    }

    /// Asks which replicas hold it.
    pub fn receipt(mut self) -> Self {
        self.knobs.receipt = true;
        self
    }

    /// Lets the record expire after `ttl` (at least 1 ms).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.expiry = Some(Expiry::In(ttl));
        self
    }

    /// Lets the record expire at a time of the wall clock.
    pub fn expire_at(mut self, time: SystemTime) -> Self {
        self.expiry = Some(Expiry::At(time));
        self
    }

    /// Keeps the expiry the record has; without this a plain set drops it, as in Redis.
    pub fn keep_ttl(mut self) -> Self {
        self.expiry = Some(Expiry::Keep);
        self
    }

    /// Only if the record is absent.
    pub fn if_absent(mut self) -> Self {
        self.condition = Some("NX");
        self
    }

    /// Only if the record is there.
    pub fn if_present(mut self) -> Self {
        self.condition = Some("XX");
        self
    }

    /// The context of the read whose values this write replaces.
    pub fn context(mut self, token: impl Into<String>) -> Self {
        self.context = Some(token.into());
        self
    }

    /// Asks for the context of what this write writes, short enough for a cookie: a read
    /// [`after`](Read::after) it shows no older state.
    pub fn token(mut self) -> Self {
        self.token = true;
        self
    }

    /// Makes this write a login: the session is this user's, is among their [`Client::sessions`] until
    /// it ends, and [`Client::logout_all`] ends it. Of a set or of fields, without a condition.
    pub fn principal(mut self, principal: impl AsRef<[u8]>) -> Self {
        self.principal = Some(Bytes::copy_from_slice(principal.as_ref()));
        self
    }

    /// Says that doing this write twice is as good as once, so that it may be repeated even when
    /// nobody knows whether it happened.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    fn push_expiry(&self, args: &mut Args) {
        match self.expiry {
            Some(Expiry::In(ttl)) => args.word("PX").number(millis(ttl)),
            Some(Expiry::At(time)) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                args.word("PXAT").number(millis(since))
            }
            Some(Expiry::Keep) => args.word("KEEPTTL"),
            None => args,
        };
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut args = match &self.change {
            Change::Set(_) => Args::of("HENGE.SET"),
            Change::Fields(_) => Args::of("HENGE.FSET"),
            Change::Touch(_) => Args::of("HENGE.TOUCH"),
            Change::Delete => Args::of("HENGE.DEL"),
        };
        args.bytes(&self.key);
        match &self.change {
            Change::Set(value) => args.bytes(value),
            Change::Touch(ttl) => args.number(millis(*ttl)),
            Change::Fields(_) | Change::Delete => &mut args,
        };
        self.push_expiry(&mut args);
        if let Some(condition) = self.condition {
            args.word(condition);
        }
        self.knobs.push(&mut args);
        if let Some(token) = &self.context {
            args.word("CONTEXT").word(token);
        }
        if self.token {
            args.word("TOKEN");
        }
        if let Some(principal) = &self.principal {
            args.word("PRINCIPAL").bytes(principal);
        }
        if let Change::Fields(fields) = &self.change {
            args.word("FIELDS");
            fields.iter().for_each(|(field, value)| {
                args.bytes(field).bytes(value);
            });
        }
        args.finish()
    }

    /// The same for plain Redis, as far as one Redis command can say it.
    pub(crate) fn encode_plain(&self) -> Result<Bytes, Error> {
        if self.context.is_some() || self.token {
            return Err(Error::Refused(
                "plain Redis has no causal contexts".to_owned(),
            ));
        }
        if self.principal.is_some() {
            return Err(Error::Refused("plain Redis has no principals".to_owned()));
        }
        let mut args = match &self.change {
            Change::Set(value) => {
                let mut args = Args::of("SET");
                args.bytes(&self.key).bytes(value);
                self.push_expiry(&mut args);
                args
            }
            Change::Fields(fields) if self.expiry.is_none() => {
                let mut args = Args::of("HSET");
                args.bytes(&self.key);
                fields.iter().for_each(|(field, value)| {
                    args.bytes(field).bytes(value);
                });
                args
            }
            Change::Fields(_) => {
                return Err(Error::Refused(
                    "plain Redis cannot set fields and an expiry at once".to_owned(),
                ));
            }
            Change::Touch(ttl) => {
                let mut args = Args::of("PEXPIRE");
                args.bytes(&self.key).number(millis(*ttl));
                args
            }
            Change::Delete => {
                let mut args = Args::of("DEL");
                args.bytes(&self.key);
                args
            }
        };
        if let Some(condition) = self.condition {
            args.word(condition);
        }
        Ok(args.finish())
    }
}

impl<'c> IntoFuture for Write<'c> {
    type Output = Result<Done, Error>;
    type IntoFuture = BoxFuture<'c, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.client.write(&self).await }.boxed()
    }
}

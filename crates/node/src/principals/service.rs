//! What embedding programs and doors ask of principals, carried out on a data thread.

use std::{collections::BTreeMap, future::poll_fn, task::Poll};

use futures::{StreamExt, stream};
use henge_versioning::{Merge, RecordRef, merge};

use super::{Entry, Login, SETTLED_MS, entries, index_key};
use crate::{
    Condition, Expiry, Failure, FieldWrites, Handle, Kind, LocalNode, Operation, Options, Outcome,
    Request, Shortage, Unready, engine, hidden::Hidden,
};

/// Requests about one principal's sessions under way at a time.
const AT_ONCE: usize = 64;
/// Entries from which on a login looks for sessions that are gone.
const TIDY_FROM: usize = 16;
/// Sessions that one login looks at, the oldest: more than it adds, so that the index shrinks.
const TIDIED: usize = 8;

/// A live session of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSession {
    /// Its key.
    pub key: Vec<u8>,
    /// When it ends, in milliseconds since 1970; `henge_versioning::NEVER`: not by itself.
    pub deadline: u64,
}

/// What logging out everywhere has done. The sessions are over in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoggedOut {
    /// Sessions that there were, by the index: some may have ended before.
    pub sessions: usize,
    /// Of those, how many were destroyed on the spot. The others are when they are read next, or
    /// expire.
    pub destroyed: usize,
}

impl LocalNode {
    /// Writes a session (its value, or fields) that belongs to a principal: one request in two steps,
    /// each with the request's consistency and time-out. Acknowledged, it is among the principal's
    /// [`sessions`](Self::sessions) until it ends, and [`logout_all`](Self::logout_all) ends it.
    pub async fn login(&self, request: &Request<'_>, principal: &[u8]) -> Outcome {
        match Login::new(request, principal) {
            Ok(login) => self.carry_out(login).await,
            Err(failure) => failed(failure),
        }
    }

    /// As [`login`](Self::login), of one that was prepared before.
    pub async fn carry_out(&self, mut login: Login) -> Outcome {
        let bucket = self.buckets().of(login.session()).kind;
        if bucket != Kind::Session {
            let text = "only a session can have a principal, and this key is none";
            return failed(Failure::Invalid(text.to_owned()));
        }
        loop {
            let outcome = self.call_own(&login.request()).await;
            if let Some(ended) = login.answered(outcome) {
                self.tidy_after(login);
                return ended;
            }
        }
    }

    /// A principal's live sessions, by key.
    ///
    /// # Errors
    /// If the index, or any session in it, cannot be read as asked: a list never leaves one out.
    pub async fn sessions(
        &self,
        principal: &[u8],
        options: Options,
    ) -> Result<Vec<OwnSession>, Failure> {
        let key = index_key(principal)?;
        let index = self.index(&key, Operation::Get, options).await?;
        let known = listed(index.as_deref());
        let (mut live, mut gone) = (Vec::new(), Vec::new());
        let keys: Vec<_> = known.keys().map(Vec::as_slice).collect();
        for (key, deadline) in self.deadlines(&keys, options).await? {
            match deadline {
                Some(deadline) => live.push(OwnSession {
                    key: key.to_vec(),
                    deadline,
                }),
                None => gone.push(key.to_vec()),
            }
        }
        self.forget(key, gone, options);
        Ok(live)
    }

    /// Ends every session of a principal. Once this is answered no read with R + W > N (its R, the W of
    /// `options`, or the largest that a bucket of sessions has) shows any that was acknowledged before;
    /// then they are destroyed, as far as that can be done now.
    ///
    /// # Errors
    /// If that could not be assured. [`Failure::Unknown`]: they may be over, or be over soon.
    pub async fn logout_all(
        &self,
        principal: &[u8],
        options: Options,
    ) -> Result<LoggedOut, Failure> {
        let key = index_key(principal)?;
        // A bucket whose reads make do with few replicas wants many for its writes, this one among them.
        let members = self.ring().members().len() as u64;
        let widest = self.buckets().widest_w(Kind::Session);
        let widest = widest.max(Some(self.handle().defaults().w));
        let everywhere = Options {
            w: options.w.or(widest.map(|w| u64::from(w).min(members))),
            ..options
        };
        let before = self.index(&key, destroy(), everywhere).await?;
        let known = listed(before.as_deref());
        let requests = known.keys().map(async |key| {
            let request = Request {
                key,
                operation: destroy(),
                options,
            };
            self.call(&request).await.result.is_ok_and(|it| it.applied)
        });
        let ends = stream::iter(requests).buffer_unordered(AT_ONCE);
        let destroyed = ends.filter(|done| std::future::ready(*done)).count().await;
        Ok(LoggedOut {
            sessions: known.len(),
            destroyed,
        })
    }

    /// Whose session a key holds, by what those of its replicas hold that can be reached: at least R.
    ///
    /// # Errors
    /// If fewer answer.
    pub async fn principal_of(
        &self,
        key: &[u8],
        options: Options,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let views = self.explain(key).await;
        let needed = options.r.unwrap_or(u64::from(self.handle().defaults().r));
        let needed = (needed as usize).min(views.len());
        let held: Vec<_> = views
            .into_iter()
            .filter_map(|view| view.record.ok())
            .collect();
        if held.len() < needed {
            return Err(Failure::Failed {
                needed: needed as u8,
                got: held.len() as u8,
                why: Shortage::Silent,
            });
        }
        let joined = held.into_iter().flatten().reduce(|one, other| {
            let mut both = Vec::new();
            match merge(&one, &other, &mut both) {
                Ok(Merge::Joined) => both,
                Ok(Merge::Incoming) => other,
                Ok(Merge::Unchanged) | Err(_) => one,
            }
        });
        let owner = joined.as_deref().and_then(|it| Hidden::of(it)?.owner);
        Ok(owner.map(|owner| owner.principal.to_vec()))
    }

    /// One request on a principal's index; answers with the index as it is, or was before.
    async fn index<'a>(
        &self,
        key: &'a [u8],
        operation: Operation<'a>,
        options: Options,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let options = Options {
            receipt: false,
            ..options
        };
        let request = Request {
            key,
            operation,
            options,
        };
        self.call_own(&request).await.result.map(|done| done.record)
    }

    pub(crate) async fn call_own(&self, request: &Request<'_>) -> Outcome {
        let call = self.shard().begin_own_call(request);
        poll_fn(|context| call.poll(context).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// When each of these sessions ends; `None`: it is not there.
    async fn deadlines<'k>(
        &self,
        keys: &[&'k [u8]],
        options: Options,
    ) -> Result<Vec<(&'k [u8], Option<u64>)>, Failure> {
        let options = Options {
            receipt: false,
            ..options
        };
        let reads = keys.iter().map(async |&key| {
            let request = Request {
                key,
                operation: Operation::Get,
                options,
            };
            let done = self.call(&request).await.result?;
            let record = done.record.as_deref().map(RecordRef::parse);
            let live = record.and_then(Result::ok);
            let live = live.filter(|record| record.is_live(self.wall_ms()));
            Ok((key, live.map(|record| record.deadline().at)))
        });
        let reads: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        reads.into_iter().collect()
    }

    /// After a login into a large index: looks, in the background, which of the oldest sessions are
    /// gone, and lets go of their entries.
    fn tidy_after(&self, login: Login) {
        let (index, before, options) = login.into_index();
        let mut known: Vec<_> = listed(before.as_deref()).into_iter().collect();
        if known.len() < TIDY_FROM {
            return;
        }
        let now_ms = self.wall_ms();
        known.retain(|(_, entered_ms)| now_ms.saturating_sub(*entered_ms) >= SETTLED_MS);
        known.sort_unstable_by_key(|(_, entered_ms)| *entered_ms);
        // Old ones that live on would be looked at for ever: which are looked at moves on.
        let turns = known.len().div_ceil(TIDIED).max(1);
        let from = now_ms as usize % turns * TIDIED;
        let chosen: Vec<_> = known.into_iter().skip(from).take(TIDIED).collect();
        let node = self.clone();
        tokio::task::spawn_local(async move {
            let keys: Vec<_> = chosen.iter().map(|(key, _)| key.as_slice()).collect();
            let Ok(found) = node.deadlines(&keys, options).await else {
                return;
            };
            let gone = found.into_iter().filter(|(_, deadline)| deadline.is_none());
            let gone = gone.map(|(key, _)| key.to_vec()).collect();
            node.forget(index, gone, options);
        });
    }

    /// Lets go of entries, in the background: those of sessions just begun stay.
    fn forget(&self, index: Vec<u8>, gone: Vec<Vec<u8>>, options: Options) {
        if gone.is_empty() {
            return;
        }
        let node = self.clone();
        tokio::task::spawn_local(async move {
            let fields: FieldWrites<'_> = gone.iter().map(|key| (key.as_slice(), None)).collect();
            let expiry = Expiry::Keep;
            let operation = Operation::PutFields { fields, expiry };
            // What fails is tried again by whoever looks next.
            let _ = node.index(&index, operation, options).await;
        });
    }
}

impl Handle {
    /// See [`LocalNode::login`].
    pub async fn login(&self, request: &Request<'_>, principal: &[u8]) -> Outcome {
        let (request, principal) = (engine::encode_request(request), principal.to_vec());
        let done = self.on_data_thread(move |node| async move {
            match engine::decode_request(&request) {
                Some(request) => node.login(&request, &principal).await,
                None => failed(Failure::Invalid("the request cannot be encoded".to_owned())),
            }
        });
        done.await.unwrap_or_else(|| failed(STOPPING))
    }

    /// See [`LocalNode::sessions`].
    ///
    /// # Errors
    /// As there.
    pub async fn sessions(
        &self,
        principal: &[u8],
        options: Options,
    ) -> Result<Vec<OwnSession>, Failure> {
        let principal = principal.to_vec();
        let done = self
            .on_data_thread(move |node| async move { node.sessions(&principal, options).await });
        done.await.unwrap_or(Err(STOPPING))
    }

    /// See [`LocalNode::logout_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn logout_all(
        &self,
        principal: &[u8],
        options: Options,
    ) -> Result<LoggedOut, Failure> {
        let principal = principal.to_vec();
        let done = self
            .on_data_thread(move |node| async move { node.logout_all(&principal, options).await });
        done.await.unwrap_or(Err(STOPPING))
    }
}

const STOPPING: Failure = Failure::NotReady(Unready::Stopping);

fn destroy<'a>() -> Operation<'a> {
    Operation::Delete {
        condition: Condition::Always,
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome {
        result: Err(failure),
        receipt: None,
    }
}

/// The keys of the sessions in an index, each with the time of its latest entry, in milliseconds since
/// 1970. Some may have ended.
pub fn listed(index: Option<&[u8]>) -> BTreeMap<Vec<u8>, u64> {
    let mut sessions = BTreeMap::new();
    let index = index.and_then(|bytes| RecordRef::parse(bytes).ok());
    for Entry {
        entered_ms,
        session,
    } in index.iter().flat_map(entries)
    {
        let latest = sessions.entry(session.to_vec()).or_insert(entered_ms);
        *latest = entered_ms.max(*latest);
    }
    sessions
}

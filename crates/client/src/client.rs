//! Routing and safe retries.

use std::{
    collections::BTreeMap,
    future::IntoFuture,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    Done, Doubt, Error, Got, Options, Quorum, Read, RingView, Spread, Value, Write,
    link::{Link, LinkError},
    request::{Args, Change, Knobs},
};

/// Reads of one [`Client::get_many`] that are under way at once.
const BATCH: usize = 512;

/// Pause before a repeat to a node that was busy or lacked replicas; doubled each time.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Least time between two fetches of the ring, however many replies ask for one.
const REFRESH_GAP: Duration = Duration::from_millis(200);

/// What one replica holds of a key, as `HENGE.EXPLAIN` tells it: an open map per node.
pub type Explained = Vec<Value>;

/// A client of one cluster, cheap to clone. All clones share the connections, which close when the
/// last clone is dropped.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    seeds: Vec<String>,
    topology: RwLock<Arc<Topology>>,
    refresh: Arc<Notify>,
    turn: AtomicUsize,
}

/// Where requests can go, as of one fetch of the ring.
struct Topology {
    /// `None` for plain Redis.
    ring: Option<RingView>,
    /// One per member (in the ring's order), or one per seed.
    links: Vec<Arc<Link>>,
}

impl Client {
    /// Connects to the first seed (`host:port`) that answers, and learns the ring from it.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no seed answers, [`Error::Refused`] when one asks for a password.
    pub async fn connect<S: Into<String>>(
        seeds: impl IntoIterator<Item = S>,
        options: Options,
    ) -> Result<Self, Error> {
        let seeds: Vec<String> = seeds.into_iter().map(Into::into).collect();
        let refresh = Arc::new(Notify::new());
        let links: Vec<_> = seeds
            .iter()
            .map(|seed| Link::start(seed, &options, refresh.clone()))
            .collect();
        let ring = first_ring(&links, options.connect_timeout * 2).await?;
        let links = match &ring {
            Some(ring) => links_for(ring, &links, &options, &refresh),
            None => links,
        };
        let topology = RwLock::new(Arc::new(Topology { ring, links }));
        let shared = Arc::new(Shared {
            options,
            seeds,
            topology,
            refresh,
            turn: AtomicUsize::new(0),
        });
        tokio::spawn(keep_ring_fresh(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// Prepares a read of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Read<'_> {
        let key = Bytes::copy_from_slice(key.as_ref());
        Read {
            client: self,
            key,
            knobs: Knobs::default(),
            context: false,
            after: None,
            max_staleness: None,
        }
    }

    /// Reads many keys, in the order given; each fails or succeeds by itself.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Result<Got, Error>> {
        let reads = keys.iter().map(|key| self.get(key).into_future());
        stream::iter(reads).buffered(BATCH).collect().await
    }

    /// Prepares a write of a whole value.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<'_> {
        self.write_of(
            key.as_ref(),
            Change::Set(Bytes::copy_from_slice(value.as_ref())),
        )
    }

    /// Prepares a write of named fields; other fields of the record stay.
    pub fn set_fields<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = (F, V)>,
    ) -> Write<'_> {
        let copy = |(f, v): (F, V)| {
            (
                Bytes::copy_from_slice(f.as_ref()),
                Bytes::copy_from_slice(v.as_ref()),
            )
        };
        self.write_of(
            key.as_ref(),
            Change::Fields(fields.into_iter().map(copy).collect()),
        )
    }

    /// Prepares a touch: the record lives on for `ttl`. Never creates one.
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Write<'_> {
        self.write_of(key.as_ref(), Change::Touch(ttl)).idempotent()
    }

    /// Prepares a delete.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Write<'_> {
        self.write_of(key.as_ref(), Change::Delete)
    }

    /// What each replica holds of a key.
    pub async fn explain(&self, key: impl AsRef<[u8]>) -> Result<Explained, Error> {
        let key = key.as_ref();
        let request = Args::of("HENGE.EXPLAIN").bytes(key).finish();
        match self.call(key, request, true).await? {
            Value::Array(nodes) => Ok(nodes),
            other => Err(Error::Protocol(format!("to HENGE.EXPLAIN: {other:?}"))),
        }
    }

    /// The defaults new connections have at the server; `None` for plain Redis.
    pub async fn quorum(&self) -> Result<Option<Quorum>, Error> {
        if self.is_plain() {
            return Ok(None);
        }
        let reply = self
            .call(b"", Args::of("HENGE.QUORUM").finish(), true)
            .await?;
        Quorum::from_value(&reply).map(Some)
    }

    /// What the member (or seed) at this address says of itself: the text of INFO.
    pub async fn info(&self, address: &str) -> Result<String, Error> {
        self.ask(address, &["INFO"]).await
    }

    /// Asks the member (or seed) at this address, and no other, a command whose answer is text: for
    /// operators' commands, which concern one node. Nothing is repeated.
    ///
    /// # Errors
    /// If there is no such member, it does not answer in time, or refuses.
    pub async fn ask(&self, address: &str, command: &[&str]) -> Result<String, Error> {
        let (name, words) = command.split_first().ok_or_else(|| Error::Unreachable {
            attempts: 0,
            last: "an empty command".to_owned(),
        })?;
        let link = self.link_to(address).ok_or_else(|| Error::Unreachable {
            attempts: 0,
            last: format!("no member at {address}"),
        })?;
        let limit = self.shared.options.request_timeout;
        let mut args = Args::of(name);
        for word in words {
            args.bytes(word.as_bytes());
        }
        let asked = link.call(args.finish());
        let reply = judge(timeout(limit, asked).await, limit, 1)?;
        let not_text = || Error::Protocol(format!("to {name}: {reply:?}"));
        reply.text().ok_or_else(not_text)
    }

    /// The ring as last fetched; `None` for plain Redis.
    pub fn ring(&self) -> Option<RingView> {
        self.topology().ring.clone()
    }

    /// Whether the server is a plain Redis.
    pub fn is_plain(&self) -> bool {
        self.topology().ring.is_none()
    }

    fn write_of(&self, key: &[u8], change: Change) -> Write<'_> {
        Write {
            client: self,
            key: Bytes::copy_from_slice(key),
            change,
            knobs: Knobs::default(),
            expiry: None,
            condition: None,
            context: None,
            token: false,
            principal: None,
            idempotent: false,
        }
    }

    pub(crate) async fn read(&self, read: &Read<'_>) -> Result<Got, Error> {
        if self.is_plain() {
            let reply = self.call(&read.key, read.encode_plain()?, true).await;
            return Got::from_plain(&reply.map_err(of_a_read)?);
        }
        let reply = self
            .call(&read.key, read.encode(), true)
            .await
            .map_err(of_a_read)?;
        self.notice_ring(&reply);
        Got::from_value(&reply)
    }

    pub(crate) async fn write(&self, write: &Write<'_>) -> Result<Done, Error> {
        if self.is_plain() {
            let reply = self
                .call(&write.key, write.encode_plain()?, write.idempotent)
                .await?;
            return Done::from_plain(&reply, !matches!(write.change, Change::Fields(_)));
        }
        let reply = self
            .call(&write.key, write.encode(), write.idempotent)
            .await?;
        self.notice_ring(&reply);
        Done::from_value(&reply)
    }

    /// The link to a member, or to a seed: members have numeric addresses, a seed may be a name of
    /// one of them (`localhost:7379`) or a node that is no member any more.
    fn link_to(&self, address: &str) -> Option<Arc<Link>> {
        let topology = self.topology();
        let standing = topology.links.iter().find(|link| link.address == address);
        standing.cloned().or_else(|| {
            let seed = self.shared.seeds.iter().find(|seed| *seed == address)?;
            let (options, refresh) = (&self.shared.options, &self.shared.refresh);
            Some(Link::start(seed, options, refresh.clone()))
        })
    }

    fn topology(&self) -> Arc<Topology> {
        self.shared
            .topology
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A reply that names another ring than ours asks for a fresh one.
    fn notice_ring(&self, reply: &Value) {
        let named = reply
            .field("ring")
            .or_else(|| reply.field("receipt")?.field("ring"));
        let Some(tag) = named.and_then(Value::text) else {
            return;
        };
        if self
            .topology()
            .ring
            .as_ref()
            .is_some_and(|ring| ring.tag != tag)
        {
            self.shared.refresh.notify_one();
        }
    }

    /// Sends a request to one live primary after another, as long as repeating is safe.
    pub(crate) async fn call(
        &self,
        key: &[u8],
        request: Bytes,
        repeatable: bool,
    ) -> Result<Value, Error> {
        let options = &self.shared.options;
        let deadline = Instant::now() + options.request_timeout;
        let mut pause = RETRY_PAUSE;
        let mut outcome = Err(Error::Unreachable {
            attempts: 0,
            last: "no members".to_owned(),
        });
        for attempt in 1..=options.attempts {
            let Some(link) = self.pick(key, attempt - 1) else {
                return outcome;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            // A node that hangs must leave time for another, if another may be asked at all.
            let limit = if repeatable && attempt < options.attempts {
                left / 2
            } else {
                left
            };
            outcome = judge(
                timeout(limit, link.call(request.clone())).await,
                limit,
                attempt,
            );
            let error = match &outcome {
                Ok(_) => return outcome,
                Err(error) => error,
            };
            let may_repeat = error.did_not_happen()
                || repeatable && matches!(error, Error::Unknown(_) | Error::TimedOut(_));
            if !may_repeat || attempt == options.attempts || left < pause {
                break;
            }
            if !matches!(error, Error::Unreachable { .. }) || attempt > 1 {
                sleep(pause).await;
                pause *= 2;
            }
        }
        outcome
    }

    /// The link for the `skip`-th attempt: live primaries first, then any live node, then any.
    fn pick(&self, key: &[u8], skip: u32) -> Option<Arc<Link>> {
        let topology = self.topology();
        let links = &topology.links;
        let mut order: Vec<usize> = match &topology.ring {
            Some(ring) if !key.is_empty() => ring.primaries(key).to_vec(),
            _ => (0..links.len()).collect(),
        };
        match self.shared.options.spread {
            Spread::First => {}
            Spread::RoundRobin if order.is_empty() => {}
            Spread::RoundRobin => {
                let turn = self.shared.turn.fetch_add(1, Relaxed) % order.len();
                order.rotate_left(turn);
            }
            Spread::Latency => order.sort_by_key(|index| links[*index].latency_us()),
        }
        for index in 0..links.len() {
            if !order.contains(&index) {
                order.push(index);
            }
        }
        order.sort_by_key(|index| !links[*index].is_live());
        let live = order
            .iter()
            .filter(|index| links[**index].is_live())
            .count()
            .max(1);
        order
            .get(skip as usize % live)
            .map(|index| links[*index].clone())
    }
}

/// A read has no unknown outcome: it just was not answered.
pub(crate) fn of_a_read(error: Error) -> Error {
    match error {
        Error::Unknown(Doubt::Quorum { needed, got }) => Error::Failed { needed, got },
        Error::Unknown(Doubt::TimedOut(limit)) => Error::TimedOut(limit),
        Error::Unknown(Doubt::ConnectionLost(last)) => Error::Unreachable { attempts: 1, last },
        other => other,
    }
}

/// Turns what a link gave into what it means for the data.
fn judge(
    reply: Result<Result<Value, LinkError>, tokio::time::error::Elapsed>,
    limit: Duration,
    attempts: u32,
) -> Result<Value, Error> {
    match reply {
        Ok(Ok(Value::Error(text))) => Err(Error::from_reply(&String::from_utf8_lossy(&text))),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(LinkError::NotSent(last))) => Err(Error::Unreachable { attempts, last }),
        Ok(Err(LinkError::Lost(reason))) => Err(Error::Unknown(Doubt::ConnectionLost(reason))),
        Err(_) => Err(Error::Unknown(Doubt::TimedOut(limit))),
    }
}

/// Asks one link for the ring; `Ok(None)` when it is a plain Redis.
async fn fetch_ring(link: &Link, limit: Duration) -> Result<Option<RingView>, Error> {
    let request = Args::of("HENGE.RING").finish();
    match judge(timeout(limit, link.call(request)).await, limit, 1) {
        Ok(Value::Bulk(json)) => RingView::parse(&json)
            .map(Some)
            .map_err(|error| Error::Protocol(error.to_string())),
        Ok(other) => Err(Error::Protocol(format!("to HENGE.RING: {other:?}"))),
        Err(Error::Refused(text)) if text.contains("unknown command") => Ok(None),
        Err(error) => Err(error),
    }
}

async fn first_ring(links: &[Arc<Link>], limit: Duration) -> Result<Option<RingView>, Error> {
    let mut last = Error::Unreachable {
        attempts: 0,
        last: "no seeds given".to_owned(),
    };
    for link in links {
        match fetch_ring(link, limit).await {
            Ok(ring) => return Ok(ring),
            Err(Error::Unreachable { last: why, .. }) => {
                let last_one = format!("{}: {why}", link.address);
                last = Error::Unreachable {
                    attempts: links.len() as u32,
                    last: last_one,
                };
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One link per member, reusing those that stand.
fn links_for(
    ring: &RingView,
    old: &[Arc<Link>],
    options: &Options,
    refresh: &Arc<Notify>,
) -> Vec<Arc<Link>> {
    let mut links: BTreeMap<&str, Arc<Link>> = old
        .iter()
        .map(|link| (link.address.as_str(), link.clone()))
        .collect();
    let start = |address: &str| Link::start(address, options, refresh.clone());
    let members = ring.members.iter();
    members
        .map(|m| {
            links
                .entry(&m.resp)
                .or_insert_with(|| start(&m.resp))
                .clone()
        })
        .collect()
}

/// Fetches the ring at intervals and when asked, until the client is gone.
async fn keep_ring_fresh(shared: Weak<Shared>) {
    while let Some((refresh, age)) = shared
        .upgrade()
        .map(|s| (s.refresh.clone(), s.options.ring_refresh))
    {
        // The wait must not hold the client alive: it only holds the bell.
        let _ = timeout(age, refresh.notified()).await;
        let Some(client) = shared.upgrade() else {
            return;
        };
        refresh_ring(&client).await;
        drop(client);
        sleep(REFRESH_GAP).await;
    }
}

/// Asks the live nodes, then the seeds; keeps the old ring when nobody answers.
async fn refresh_ring(shared: &Shared) {
    let old = shared
        .topology
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let Some(known) = &old.ring else {
        return;
    };
    let mut sources: Vec<_> = old
        .links
        .iter()
        .filter(|link| link.is_live())
        .cloned()
        .collect();
    if sources.is_empty() {
        let seeds = shared.seeds.iter();
        sources
            .extend(seeds.map(|seed| Link::start(seed, &shared.options, shared.refresh.clone())));
    }
    match first_ring(&sources, shared.options.connect_timeout).await {
        Ok(Some(ring)) if ring.tag != known.tag => {
            tracing::debug!(tag = ring.tag, "ring changed");
            let links = links_for(&ring, &old.links, &shared.options, &shared.refresh);
            let topology = Arc::new(Topology {
                ring: Some(ring),
                links,
            });
            *shared
                .topology
                .write()
                .unwrap_or_else(PoisonError::into_inner) = topology;
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "ring not refreshed"),
    }
}

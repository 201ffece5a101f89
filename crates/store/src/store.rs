//! The trait every engine implements.

use henge_ring::{Partition, Token};
use henge_versioning::{DecodeError, Merge, RecordRef, Stamp, merge_records};

/// A key with its token, so that it is hashed once on its way through a node.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key's bytes.
    pub bytes: &'a [u8],
    /// `Token::of(bytes)`.
    pub token: Token,
}

impl<'a> Key<'a> {
    /// Hashes the key.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            token: Token::of(bytes),
        }
    }
}

/// A record as the store holds it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The encoded record. Engines keep only what they have checked.
    pub bytes: &'a [u8],
    /// Its digest, kept beside it so that comparing replicas does not read the value.
    pub digest: u64,
}

impl<'a> Stored<'a> {
    /// The record. Parsed here and not by the engine, since a reader that passes it on need not
    /// look into it.
    ///
    /// # Panics
    /// If the engine keeps what is no record: a bug in the engine.
    #[inline]
    pub fn record(&self) -> RecordRef<'a> {
        RecordRef::parse(self.bytes).expect("records are checked before they are kept")
    }
}

/// What an update decided.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// Leave the key as it is.
    Keep,
    /// Store the record written to the scratch buffer in place of the present one.
    Write,
    /// Store this record in place of the present one. It need not be copied to the scratch buffer,
    /// nor parsed again.
    Put(RecordRef<'a>),
}

impl<'a> Decision<'a> {
    /// For engines: the record to store, `None` to leave the key as it is. `out` is the scratch
    /// buffer.
    ///
    /// # Errors
    /// If the scratch buffer is to be stored and holds no record.
    #[inline]
    pub fn record<'b>(self, out: &'b [u8]) -> Result<Option<RecordRef<'b>>, DecodeError>
    where
        'a: 'b,
    {
        match self {
            Self::Keep => Ok(None),
            Self::Write => RecordRef::parse(out).map(Some),
            Self::Put(record) => Ok(Some(record)),
        }
    }
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing changed.
    Kept,
    /// The key now holds another record.
    Changed,
}

/// Why a store refused. In every case the key is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The write would pass the memory limit.
    #[error("store is full: {used} of {limit} bytes used, this write needs {needed} more")]
    Full {
        /// Bytes in use.
        used: u64,
        /// The limit.
        limit: u64,
        /// What the write would have added.
        needed: u64,
    },
    /// Too many different keys have this token (only made on purpose).
    #[error("{count} keys share one token; no more are accepted")]
    Crowded {
        /// How many there are.
        count: usize,
    },
    /// The bytes to be stored are not a record.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A durable engine's disk failed; nothing is acknowledged from it any more.
    #[error("disk: {0}")]
    Disk(String),
}

/// One entry of a partition's op log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Position in this replica's log of this partition; grows by one with each change.
    pub seq: u64,
    /// Token of the key that changed; the record itself is read from the store when it is sent.
    pub token: Token,
}

/// The log no longer reaches back to the position asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log starts at {oldest}, {asked} was asked for")]
pub struct OpLogGap {
    /// The first position still there.
    pub oldest: u64,
    /// The one asked for.
    pub asked: u64,
}

/// Where a scan goes on: after every key with this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// What a sweep took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records removed.
    pub records: u64,
    /// How many of them were sibling sets: whoever stamps siblings must not go on as the same actor
    /// where its earlier dots were forgotten.
    pub siblings: u64,
    /// Bytes given back.
    pub bytes: u64,
}

/// What is wanted of the keys that a store is to [warm](Store::warm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warm {
    /// Their digests.
    Digests,
    /// Where their records begin, which tells whether they are live.
    Outlines,
    /// Their records too, for reading.
    Records,
    /// Their records and what an update touches beside them.
    Updates,
}

/// How full the store is. Bytes include keys, headers, table slots and the op log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records held, dead and expired ones included.
    pub records: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// The limit; `u64::MAX` for none.
    pub limit: u64,
}

/// A replica's storage engine. Object safe, so that a node takes any engine as `Arc<dyn Store>`;
/// shared by all data threads. Every engine runs the same test suite (feature `suite`).
///
/// Callbacks run under the key's lock: they must be short and must not call the store.
pub trait Store: Send + Sync + 'static {
    /// Shows the record under `key`.
    fn read(&self, key: Key<'_>, visit: &mut dyn FnMut(Option<Stored<'_>>));

    /// The digest of the record under `key`, for comparing with other replicas' before reading the
    /// record itself. It may cost much less than [`Store::read`], and in return it is not quite as
    /// strict: the answer may be of a record under another key with the same token, if that is the
    /// only one with it.
    ///
    /// So an answer other than the digest compared with, or `None`, means that [`Store::read`] has
    /// to tell; and one that equals it means that the store holds an equal record. That it does so
    /// under this key follows where no two keys have equal records: every record holds the
    /// stamp of the write that made it, and an actor stamps each of its writes with another time.
    fn digest(&self, key: Key<'_>) -> Option<u64> {
        let mut digest = None;
        self.read(key, &mut |stored| digest = stored.map(|it| it.digest));
        digest
    }

    /// Brings what operations on these keys will touch into the processor's caches, waiting for
    /// all of it at once and not, as the operations would, for one after the other. Worth while for
    /// as many keys as wait together in a node, from about four to a hundred; more push each other
    /// out again. Changes nothing, and what it missed is only slower: by default it does nothing.
    fn warm(&self, tokens: &[Token], wanted: Warm) {
        let _ = (tokens, wanted);
    }

    /// Atomically for this key: shows the present record to `decide`, once. It may write an encoded
    /// record to the (cleared) scratch buffer and answer [`Decision::Write`], or answer with one that
    /// it has ([`Decision::Put`]).
    fn update<'a>(
        &self,
        key: Key<'_>,
        decide: &mut dyn FnMut(Option<Stored<'_>>, &mut Vec<u8>) -> Decision<'a>,
    ) -> Result<Written, StoreError>;

    /// Joins an incoming record into the key's.
    fn merge(&self, key: Key<'_>, incoming: RecordRef<'_>) -> Result<Written, StoreError> {
        self.update(key, &mut |present, out| {
            let merged = present.map(|present| merge_records(present.record(), incoming, out));
            match merged {
                Some(Merge::Unchanged) => Decision::Keep,
                Some(Merge::Joined) => Decision::Write,
                Some(Merge::Incoming) | None => Decision::Put(incoming),
            }
        })
    }

    /// Visits the partition's records in token order, from after `from` (from the start for
    /// `None`), until at least `limit` (at least one) were shown; keys with equal tokens stay
    /// together. Returns where to go on, `None` at the end. A record present during the whole scan
    /// is shown.
    fn scan(
        &self,
        partition: Partition,
        from: Option<Cursor>,
        limit: usize,
        visit: &mut dyn FnMut(&[u8], Stored<'_>),
    ) -> Option<Cursor>;

    /// Removes from the partition every record that may go ([`RecordRef::removable_at`] with this
    /// grace) at or before `before_ms`. The caller subtracts the margins for clock skew and late
    /// messages from its clock first, and gives the same grace each time: an engine may remember
    /// when the next record is due, and after a shorter grace than before find some late.
    fn sweep(&self, partition: Partition, before_ms: u64, grace_ms: u64) -> Swept;

    /// Removes the record under `key` if it still has this digest; says whether it had. For data that
    /// has moved to other nodes: unlike a sweep it takes records before their time.
    fn remove(&self, key: Key<'_>, digest: u64) -> bool;

    /// Up to `limit` changes of the partition from position `from` on, oldest first. Positions
    /// begin at 0; the one after the last is empty, and one beyond that is a gap: whoever asks for
    /// it has it from another life of this store.
    fn changes(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Change>, OpLogGap>;

    /// The position after the last change of the partition: 0 if there was none.
    fn log_end(&self, partition: Partition) -> u64;

    /// Shows the records under every key with this token, which is nearly always one.
    fn read_token(&self, token: Token, visit: &mut dyn FnMut(&[u8], Stored<'_>));

    /// The newest stamp this store has ever held: a node whose clock starts behind it after a
    /// restart would stamp into the past.
    fn newest(&self) -> Stamp;

    /// How full the store is.
    fn usage(&self) -> Usage;

    /// How many partition bits the store was made for.
    fn partition_bits(&self) -> u8;
}

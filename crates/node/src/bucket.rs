//! Buckets: rules for the keys that share a prefix.

/// How the values of a bucket behave under concurrent writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The session lattice: logout wins, fields merge one by one, ids are not reused.
    Session,
    /// Last writer wins, by hybrid time: for what people keep in Redis beside sessions.
    Register,
    /// Concurrent values are kept as siblings until a write that has seen them resolves them.
    Siblings,
}

/// What a key begins with that stands apart from those that applications name: what follows, one byte
/// below [`KEY_MARKS`], says for what. The Redis door marks keys of databases other than 0.
pub const KEY_MARK: u8 = 0;
/// Bytes of a mark.
pub const KEY_MARK_LEN: usize = 2;
/// How many marks there are.
pub const KEY_MARKS: u8 = 16;

/// A key without its mark: what decides about its bucket.
#[inline]
pub fn unmarked(key: &[u8]) -> &[u8] {
    match key {
        [KEY_MARK, mark, name @ ..] if *mark < KEY_MARKS => name,
        _ => key,
    }
}

/// The rules of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name, as HTTP and metrics show it.
    pub name: String,
    /// Keys that start with this belong to it; the longest matching prefix wins.
    pub prefix: Vec<u8>,
    /// How values merge.
    pub kind: Kind,
    /// Lifetime given to a value written without one, in milliseconds; `None`: it stays.
    pub default_ttl_ms: Option<u64>,
    /// Whether requests that do not say so themselves use strict quorums, whatever the node's
    /// default is. Sessions do: a sloppy quorum may consist of nodes that never heard of a session,
    /// and then a late write can bring back one that was destroyed.
    pub strict: bool,
}

/// All buckets, in the order of matching.
#[derive(Clone, Debug)]
pub struct Buckets {
    longest_first: Vec<Bucket>,
    rest: Bucket,
}

impl Buckets {
    /// The built-in buckets: usual session prefixes are sessions, `siblings:` keeps siblings,
    /// everything else is a register.
    pub fn builtin() -> Self {
        let bucket = |name: &str, prefix: &str, kind| Bucket {
            name: name.to_owned(),
            prefix: prefix.as_bytes().to_vec(),
            kind,
            default_ttl_ms: None,
            strict: kind == Kind::Session,
        };
        let sessions = [
            "sess:",
            "session:",
            "sessions:",
            "spring:session:",
            "PHPREDIS_SESSION:",
            "tower.sess:",
        ];
        let mut longest_first: Vec<_> = sessions
            .iter()
            .map(|prefix| bucket("sessions", prefix, Kind::Session))
            .collect();
        longest_first.push(bucket("siblings", "siblings:", Kind::Siblings));
        longest_first.sort_by_key(|bucket| std::cmp::Reverse(bucket.prefix.len()));
        Self {
            longest_first,
            rest: bucket("default", "", Kind::Register),
        }
    }

    /// The bucket a key belongs to.
    #[inline]
    pub fn of(&self, key: &[u8]) -> &Bucket {
        let key = unmarked(key);
        // The first byte settles nearly all comparisons, and costs no call.
        let first = key.first();
        self.longest_first
            .iter()
            .find(|b| b.prefix.first() == first && key.starts_with(&b.prefix))
            .unwrap_or(&self.rest)
    }

    /// Every bucket, the catch-all last.
    pub fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.longest_first.iter().chain([&self.rest])
    }
}

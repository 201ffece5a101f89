//! Buckets as the membership log holds them: rules for the keys that share a prefix.
//!
//! The ring only keeps them: they decide no placement. [`Op::SetBucket`](crate::Op::SetBucket) and
//! [`Op::RemoveBucket`](crate::Op::RemoveBucket) fold into [`Ring::buckets`](crate::Ring::buckets) in
//! the order of the log, so that nodes with the same events have the same buckets.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::MAX_N;

/// Most buckets that a log defines: each costs every node a few hundred bytes per data thread.
pub const MAX_BUCKETS: usize = 64;
/// Most prefixes of all of them together: the longest list that a key may be compared with.
pub const MAX_PREFIXES: usize = 128;
/// Longest name of a bucket, in bytes.
pub const MAX_BUCKET_NAME: usize = 64;
/// Longest prefix, in bytes.
pub const MAX_PREFIX: usize = 128;
/// Longest lifetime that a bucket can give or allow, in milliseconds: ten years.
pub const MAX_LIFETIME_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// Most siblings that a bucket can keep under one key.
pub const MAX_SIBLINGS: u16 = 256;

/// How the values of a bucket behave under concurrent writes. The order is wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BucketKind {
    /// The session lattice: logout wins, fields merge one by one, ids are not reused.
    Session,
    /// Last writer wins, by hybrid time: for what people keep in Redis beside sessions.
    Register,
    /// Concurrent values are kept as siblings until a write that has seen them resolves them.
    Siblings,
}

/// What becomes of a write to a session that was destroyed. Either way it changes nothing. The order
/// is wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OnDead {
    /// It is taken, and answered as if it had worked: what libraries expect.
    Absorb,
    /// It is refused.
    Error,
}

/// The rules of one bucket, as an operator set them. What is `None` comes from the node's
/// configuration, or is not limited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BucketDefinition {
    /// Its name: small letters, digits, `-` and `_`.
    pub name: String,
    /// Keys that start with one of these belong to it; of all buckets' prefixes the longest wins. A
    /// built-in bucket without any keeps its own.
    pub prefixes: Vec<String>,
    /// How values merge.
    pub kind: BucketKind,
    /// Replicas that a read waits for, unless it says so itself.
    pub r: Option<u8>,
    /// Replicas that a write waits for, unless it says so itself.
    pub w: Option<u8>,
    /// Whether only primaries count, unless a request says so itself. `None`: they do for sessions.
    pub strict: Option<bool>,
    /// Lifetime given to a value written without one, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// How long a session lasts at most, in milliseconds since it began, however often it is touched.
    pub max_lifetime_ms: Option<u64>,
    /// What becomes of a write to a destroyed session.
    pub on_dead: OnDead,
    /// Longest value, in bytes. The node's own limit holds besides.
    pub max_value: Option<u64>,
    /// Most values kept side by side under one key.
    pub max_siblings: Option<u16>,
}

/// Why a definition is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBucket {
    /// The name is empty, too long, or has other characters.
    #[error(
        "a bucket's name has 1 to {MAX_BUCKET_NAME} small letters, digits, `-` and `_`, unlike {name:?}"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A prefix is empty or too long.
    #[error("a prefix has 1 to {MAX_PREFIX} bytes, {prefix:?} has {length}")]
    Prefix {
        /// The prefix.
        prefix: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A prefix begins like the keys that nodes keep for themselves.
    #[error("the prefix {prefix:?} begins with a NUL, as keys do that nodes keep for themselves")]
    Internal {
        /// The prefix.
        prefix: String,
    },
    /// A prefix stands twice in one definition.
    #[error("the prefix {prefix:?} is given twice")]
    Twice {
        /// The prefix.
        prefix: String,
    },
    /// A prefix is another bucket's.
    #[error("the prefix {prefix:?} belongs to the bucket {owner:?}")]
    Taken {
        /// The prefix.
        prefix: String,
        /// Whose it is.
        owner: String,
    },
    /// A number is out of its range.
    #[error("{what} must be {least} to {most}, not {given}")]
    Range {
        /// Which.
        what: &'static str,
        /// What was given.
        given: u64,
        /// The least that can be.
        least: u64,
        /// The most that can be.
        most: u64,
    },
    /// A rule that the kind has no use for.
    #[error("{what} is a rule for buckets of {wanted}, not of {kind:?}")]
    WrongKind {
        /// The rule.
        what: &'static str,
        /// The kind that it is for.
        wanted: &'static str,
        /// The bucket's kind.
        kind: BucketKind,
    },
    /// There would be too many.
    #[error("{count} {what}, but a cluster has at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there would be.
        count: usize,
        /// How many there can be.
        most: usize,
    },
}

impl BucketDefinition {
    /// A bucket with nothing but a kind.
    pub fn new(name: impl Into<String>, kind: BucketKind) -> Self {
        Self {
            name: name.into(),
            prefixes: Vec::new(),
            kind,
            r: None,
            w: None,
            strict: None,
            ttl_ms: None,
            max_lifetime_ms: None,
            on_dead: OnDead::Absorb,
            max_value: None,
            max_siblings: None,
        }
    }

    /// Whether it can be, regarded by itself.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadBucket> {
        self.check_name()?;
        self.check_prefixes()?;
        let quorums = [("r", self.r), ("w", self.w)];
        for (what, quorum) in quorums {
            in_range(what, quorum.map(u64::from), u64::from(MAX_N))?;
        }
        in_range("ttl_ms", self.ttl_ms, MAX_LIFETIME_MS)?;
        in_range("max_lifetime_ms", self.max_lifetime_ms, MAX_LIFETIME_MS)?;
        in_range("max_value", self.max_value, u64::from(u32::MAX))?;
        let siblings = self.max_siblings.map(u64::from);
        in_range("max_siblings", siblings, u64::from(MAX_SIBLINGS))?;
        let (session, keeps_siblings) = (BucketKind::Session, BucketKind::Siblings);
        let rules = [
            ("max_lifetime", self.max_lifetime_ms.is_some(), session),
            ("on_dead=error", self.on_dead == OnDead::Error, session),
            ("max_siblings", self.max_siblings.is_some(), keeps_siblings),
        ];
        match rules
            .iter()
            .find(|(_, is_set, kind)| *is_set && *kind != self.kind)
        {
            None => Ok(()),
            Some(&(what, _, wanted)) => Err(BadBucket::WrongKind {
                what,
                wanted: if wanted == session {
                    "sessions"
                } else {
                    "siblings"
                },
                kind: self.kind,
            }),
        }
    }

    fn check_name(&self) -> Result<(), BadBucket> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        match (1..=MAX_BUCKET_NAME).contains(&self.name.len()) && self.name.bytes().all(is_plain) {
            true => Ok(()),
            false => Err(BadBucket::Name {
                name: self.name.chars().take(MAX_BUCKET_NAME).collect(),
            }),
        }
    }

    fn check_prefixes(&self) -> Result<(), BadBucket> {
        most("prefixes", self.prefixes.len(), MAX_PREFIXES)?;
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if !(1..=MAX_PREFIX).contains(&prefix.len()) {
                return Err(BadBucket::Prefix {
                    prefix: prefix.chars().take(MAX_PREFIX).collect(),
                    length: prefix.len(),
                });
            }
            if prefix.starts_with('\0') {
                let prefix = prefix.clone();
                return Err(BadBucket::Internal { prefix });
            }
            if self.prefixes[..at].contains(prefix) {
                let prefix = prefix.clone();
                return Err(BadBucket::Twice { prefix });
            }
        }
        Ok(())
    }
}

fn in_range(what: &'static str, given: Option<u64>, most: u64) -> Result<(), BadBucket> {
    match given {
        Some(given) if !(1..=most).contains(&given) => Err(BadBucket::Range {
            what,
            given,
            least: 1,
            most,
        }),
        _ => Ok(()),
    }
}

fn most(what: &'static str, count: usize, most: usize) -> Result<(), BadBucket> {
    match count > most {
        true => Err(BadBucket::TooMany { what, count, most }),
        false => Ok(()),
    }
}

/// The buckets that a log defines, by name. Shared by all rings between two changes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketDefinitions(Arc<BTreeMap<String, BucketDefinition>>);

impl BucketDefinitions {
    /// One bucket.
    pub fn get(&self, name: &str) -> Option<&BucketDefinition> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &BucketDefinition> {
        self.0.values()
    }

    /// Puts a bucket in the place of the one of its name, if there is one.
    ///
    /// # Errors
    /// What is wrong with it by itself, or beside the others; nothing was changed.
    pub fn set(&mut self, bucket: &BucketDefinition) -> Result<(), BadBucket> {
        bucket.check()?;
        let others = || self.0.values().filter(|it| it.name != bucket.name);
        let prefixes = others().map(|it| it.prefixes.len()).sum::<usize>();
        most("buckets", others().count() + 1, MAX_BUCKETS)?;
        most("prefixes", prefixes + bucket.prefixes.len(), MAX_PREFIXES)?;
        for prefix in &bucket.prefixes {
            if let Some(owner) = others().find(|it| it.prefixes.contains(prefix)) {
                return Err(BadBucket::Taken {
                    prefix: prefix.clone(),
                    owner: owner.name.clone(),
                });
            }
        }
        Arc::make_mut(&mut self.0).insert(bucket.name.clone(), bucket.clone());
        Ok(())
    }

    /// Takes a bucket away; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.contains_key(name) && Arc::make_mut(&mut self.0).remove(name).is_some()
    }
}

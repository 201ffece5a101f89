//! Buckets: rules for the keys that share a prefix.
//!
//! Some are built in. Others, and other rules for these, stand in the membership log
//! ([`Ring::buckets`](henge_ring::Ring::buckets)), so that all nodes have the same; an engine takes
//! them over with the ring ([`Buckets::with`]).

pub use henge_ring::BucketKind as Kind;
use henge_ring::{BucketDefinition, BucketDefinitions, OnDead};

use crate::principals::PRINCIPALS;

/// The bucket of principals' indexes, which is nobody's: no definition can have this name.
const INDEXES: &str = "(principals)";

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

/// The rules of one bucket for the keys of one prefix. What is `None` comes from the node, or is
/// not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name, as HTTP and metrics show it.
    pub name: String,
    /// Keys that start with this belong to it; the longest matching prefix wins.
    pub prefix: Vec<u8>,
    /// How values merge.
    pub kind: Kind,
    /// Replicas that a read waits for, unless it says so itself.
    pub r: Option<u8>,
    /// Replicas that a write waits for, unless it says so itself.
    pub w: Option<u8>,
    /// Whether requests that do not say so themselves use strict quorums, whatever the node's
    /// default is. Sessions do: a sloppy quorum may consist of nodes that never heard of a session,
    /// and then a late write can bring back one that was destroyed.
    pub strict: Option<bool>,
    /// Lifetime given to a value written without one, in milliseconds; `None`: it stays.
    pub default_ttl_ms: Option<u64>,
    /// How long a session lasts at most since it began, in milliseconds.
    pub max_lifetime_ms: Option<u64>,
    /// What becomes of a write to a destroyed session.
    pub on_dead: OnDead,
    /// Longest value, in bytes.
    pub max_value: Option<u64>,
    /// Most values kept side by side under one key.
    pub max_siblings: Option<u16>,
    /// Its position in [`Buckets::iter`], for what is worked out once per bucket.
    pub(crate) number: usize,
}

impl Bucket {
    /// The rules that a kind has where nobody says anything else.
    fn usual(name: &str, prefix: &str, kind: Kind) -> Self {
        Self::of(&BucketDefinition::new(name, kind), prefix)
    }

    fn of(rules: &BucketDefinition, prefix: &str) -> Self {
        Self {
            name: rules.name.clone(),
            prefix: prefix.as_bytes().to_vec(),
            kind: rules.kind,
            r: rules.r,
            w: rules.w,
            strict: rules
                .strict
                .or((rules.kind == Kind::Session).then_some(true)),
            default_ttl_ms: rules.ttl_ms,
            max_lifetime_ms: rules.max_lifetime_ms,
            on_dead: rules.on_dead,
            max_value: rules.max_value,
            max_siblings: rules.max_siblings,
            number: 0,
        }
    }
}

/// All buckets, in the order of matching.
#[derive(Clone, Debug)]
pub struct Buckets {
    /// By first byte of the prefix, and of one byte the longest first.
    prefixed: Vec<Bucket>,
    /// For each first byte of a key, where its prefixes begin and end.
    by_first: Box<[(u16, u16); 256]>,
    rest: Bucket,
}

impl Buckets {
    /// The built-in buckets: usual session prefixes are sessions, `siblings:` keeps siblings,
    /// everything else is a register.
    pub fn builtin() -> Self {
        let sessions = [
            "sess:",
            "session:",
            "sessions:",
            "spring:session:",
            "PHPREDIS_SESSION:",
            "tower.sess:",
        ];
        let sessions = sessions.map(|prefix| Bucket::usual("sessions", prefix, Kind::Session));
        let siblings = Bucket::usual("siblings", "siblings:", Kind::Siblings);
        let indexes = String::from_utf8_lossy(PRINCIPALS);
        let indexes = Bucket::usual(INDEXES, &indexes, Kind::Session);
        let prefixed = sessions.into_iter().chain([siblings, indexes]);
        Self::sorted(
            prefixed.collect(),
            Bucket::usual("default", "", Kind::Register),
        )
    }

    /// These with what a log defines: a bucket of a known name gets other rules, and other prefixes if
    /// it names some; a prefix that a bucket of the log names is its, whoever had it here.
    pub fn with(&self, defined: &BucketDefinitions) -> Self {
        let claimed = |prefix: &[u8]| {
            let mut prefixes = defined.iter().flat_map(|it| &it.prefixes);
            prefixes.any(|it| it.as_bytes() == prefix)
        };
        let is_moved = |name: &str| defined.get(name).is_some_and(|it| !it.prefixes.is_empty());
        let kept = self.prefixed.iter();
        let kept = kept.filter(|it| !claimed(&it.prefix) && !is_moved(&it.name));
        let kept = kept.map(|it| match defined.get(&it.name) {
            None => it.clone(),
            Some(rules) => Bucket::of(rules, &String::from_utf8_lossy(&it.prefix)),
        });
        let own = |it: &BucketDefinition| -> Vec<_> {
            let prefixes = it.prefixes.iter();
            prefixes.map(|prefix| Bucket::of(it, prefix)).collect()
        };
        let prefixed = kept.chain(defined.iter().flat_map(own)).collect();
        let rest = match defined.get(&self.rest.name) {
            None => self.rest.clone(),
            Some(rules) => Bucket::of(rules, ""),
        };
        Self::sorted(prefixed, rest)
    }

    fn sorted(mut prefixed: Vec<Bucket>, mut rest: Bucket) -> Self {
        let order = |it: &Bucket| {
            let longest_first = std::cmp::Reverse(it.prefix.len());
            (it.prefix.first().copied(), longest_first, it.prefix.clone())
        };
        prefixed.sort_by_key(order);
        rest.number = prefixed.len();
        let mut by_first = Box::new([(0, 0); 256]);
        for (at, bucket) in prefixed.iter_mut().enumerate() {
            bucket.number = at;
            let Some(first) = bucket.prefix.first() else {
                continue;
            };
            // There are at most a few hundred prefixes.
            let (begin, end) = &mut by_first[usize::from(*first)];
            if *end == 0 {
                *begin = at as u16;
            }
            *end = at as u16 + 1;
        }
        Self {
            prefixed,
            by_first,
            rest,
        }
    }

    /// The bucket a key belongs to.
    #[inline]
    pub fn of(&self, key: &[u8]) -> &Bucket {
        let key = unmarked(key);
        let Some(first) = key.first() else {
            return &self.rest;
        };
        // The first byte leaves the few prefixes that a key can have, mostly none.
        let (begin, end) = self.by_first[usize::from(*first)];
        self.prefixed[usize::from(begin)..usize::from(end)]
            .iter()
            .find(|bucket| key.starts_with(&bucket.prefix))
            .unwrap_or(&self.rest)
    }

    /// Every bucket, once for each of its prefixes, the catch-all last.
    pub fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.prefixed.iter().chain([&self.rest])
    }

    /// The rules of a bucket and its prefixes, in order, as a log would define them; a bucket whose
    /// prefixes have all gone to others is none.
    pub fn definition(&self, name: &str) -> Option<BucketDefinition> {
        let mut named = self.iter().filter(|it| it.name == name).peekable();
        let rules = (*named.peek()?).clone();
        let text = |it: &Bucket| String::from_utf8_lossy(&it.prefix).into_owned();
        let mut prefixes: Vec<_> = named.map(text).filter(|it| !it.is_empty()).collect();
        prefixes.sort();
        Some(BucketDefinition {
            name: rules.name,
            prefixes,
            kind: rules.kind,
            r: rules.r,
            w: rules.w,
            strict: rules.strict,
            ttl_ms: rules.default_ttl_ms,
            max_lifetime_ms: rules.max_lifetime_ms,
            on_dead: rules.on_dead,
            max_value: rules.max_value,
            max_siblings: rules.max_siblings,
        })
    }

    /// The most replicas that a bucket of this kind wants a write to wait for; `None`: none says.
    pub fn widest_w(&self, kind: Kind) -> Option<u8> {
        let of_kind = self.iter().filter(|it| it.kind == kind);
        of_kind.filter_map(|it| it.w).max()
    }

    /// The names of all buckets, sorted.
    pub fn names(&self) -> std::collections::BTreeSet<&str> {
        let names = self.iter().map(|it| it.name.as_str());
        names.filter(|name| *name != INDEXES).collect()
    }

    /// Whether some key has another kind among `others`. Kinds change at prefixes only, so it is
    /// enough to look at each prefix of either, as a key.
    pub(crate) fn kinds_differ(&self, others: &Self) -> bool {
        let mut prefixes = self.iter().chain(others.iter()).map(|it| &it.prefix);
        prefixes.any(|prefix| self.of(prefix).kind != others.of(prefix).kind)
    }
}

#[cfg(test)]
mod tests;

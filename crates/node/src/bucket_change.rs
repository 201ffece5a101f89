//! Changing the rules of buckets: an event in the membership log, proposed by whichever node is asked.
//!
//! A rule other than the kind may change at any time: it holds from where the event is known. Until
//! all nodes know it (a round trip; a node that is cut off learns it when it is back) some requests
//! are still carried out by the rule before, and what they wrote stays as it is.
//!
//! Another kind is another thing. Values of one key written by two rules merge (every record does), but
//! not as either rule promises: a register's value may overrule a logout. So a change is refused while
//! any member holds a record of a key that would get another kind, dead and expired ones included. All
//! members are asked, and each must answer. What is written between the question and the event's
//! arrival is not seen, so a prefix is given a kind before an application uses it.
//!
//! All members are asked before any other change, too: a build that does not know of buckets cannot read
//! a log in which one stands, so it must not get there while such a node is a member.

use std::fmt;

use henge_ring::{
    BadBucket, BucketDefinition, BucketDefinitions, ChangeId, NodeId, Op, Partition, Token,
};
use henge_store::{Cursor, Store};
use serde_bytes::ByteBuf;

use crate::{
    Buckets, Handle,
    scan::{Look, MOST_KEYS, Seen},
    shard::Shard,
    shared::Shared,
};

/// What is to become of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketChange {
    /// It has these rules from now on.
    Set(BucketDefinition),
    /// What was set of it is taken back.
    Remove(String),
}

/// What a change comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlan {
    /// The bucket as it is; `None`: there is none.
    pub before: Option<BucketDefinition>,
    /// The bucket as it will be; `None`: there will be none.
    pub after: Option<BucketDefinition>,
    /// Whether the change was made.
    pub applied: bool,
}

/// Why a change of a bucket is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketRefused {
    /// It cannot be.
    #[error(transparent)]
    Bad(#[from] BadBucket),
    /// No key could be in it.
    #[error("the bucket {name:?} has no prefix: no key would be in it")]
    NoPrefix {
        /// Its name.
        name: String,
    },
    /// Nothing was set of it.
    #[error("nothing was set of a bucket {name:?}")]
    Unset {
        /// Its name.
        name: String,
    },
    /// The node does not serve.
    #[error("this node does not serve yet")]
    NotReady,
    /// A member did not say whether it holds records.
    #[error("{} does not tell what it holds ({why}); all members are asked", .node.short())]
    Silent {
        /// Who.
        node: NodeId,
        /// Why not.
        why: String,
    },
    /// A key that would get another kind is in use.
    #[error(
        "{} holds a record under {key:?}, be it expired or destroyed, whose values would merge by \
         another rule: a kind is given to a prefix before it is used",
        .node.short()
    )]
    InUse {
        /// Who.
        node: NodeId,
        /// Under which key.
        key: String,
    },
}

impl BucketChange {
    /// Whose rules change.
    pub fn name(&self) -> &str {
        match self {
            Self::Set(bucket) => &bucket.name,
            Self::Remove(name) => name,
        }
    }

    fn op(&self) -> Op {
        match self.clone() {
            Self::Set(bucket) => Op::SetBucket { bucket },
            Self::Remove(name) => Op::RemoveBucket { name },
        }
    }

    fn apply(&self, defined: &mut BucketDefinitions) -> Result<(), BucketRefused> {
        match self {
            Self::Set(bucket) => Ok(defined.set(bucket)?),
            Self::Remove(name) if defined.remove(name) => Ok(()),
            Self::Remove(name) => Err(BucketRefused::Unset { name: name.clone() }),
        }
    }
}

impl Handle {
    /// What a change of a bucket comes to; with `apply`, makes it.
    ///
    /// # Errors
    /// [`BucketRefused`]; nothing was changed.
    pub async fn change_bucket(
        &self,
        change: BucketChange,
        apply: bool,
    ) -> Result<BucketPlan, BucketRefused> {
        if !self.is_ready() {
            return Err(BucketRefused::NotReady);
        }
        let (before, after) = both(self.shared(), &change)?;
        let name = change.name();
        let mut plan = BucketPlan {
            before: before.definition(name),
            after: after.definition(name),
            applied: false,
        };
        if let (BucketChange::Set(_), None) = (&change, &plan.after) {
            let name = name.to_owned();
            return Err(BucketRefused::NoPrefix { name });
        }
        // Where no kind changes there is nothing to look for, but everybody must know what a bucket is.
        let from = if before.kinds_differ(&after) {
            0
        } else {
            u64::MAX
        };
        let asked = change.clone();
        let admitted = self.on_data_thread(move |node| async move {
            node.shard().admit_bucket(&asked, from).await
        });
        admitted.await.unwrap_or(Err(BucketRefused::NotReady))?;
        if apply {
            self.propose(&change);
            plan.applied = true;
        }
        Ok(plan)
    }

    fn propose(&self, change: &BucketChange) {
        let me = self.info().id;
        let edited = self.shared().edit_log(|log| {
            let seed = format!("{me}{:?}{change:?}", log.tag());
            let events = log.propose(me, ChangeId(Token::of(seed.as_bytes()).0), [change.op()]);
            log.extend(events);
        });
        if let Some(ring) = edited {
            tracing::info!(bucket = change.name(), "the rules of a bucket are changed");
            self.publish(&ring);
        }
    }
}

/// All buckets as this node knows them, before and after a change.
fn both(shared: &Shared, change: &BucketChange) -> Result<(Buckets, Buckets), BucketRefused> {
    let mut defined = shared.ring().buckets().clone();
    let before = shared.built_in.with(&defined);
    change.apply(&mut defined)?;
    Ok((before, shared.built_in.with(&defined)))
}

impl Shard {
    /// Asks every member, from this token on, for a key whose kind would change.
    async fn admit_bucket(&self, change: &BucketChange, from: u64) -> Result<(), BucketRefused> {
        let ring = self.shared().ring();
        for member in ring.members() {
            let node = member.id;
            let silent = |why: &dyn fmt::Display| BucketRefused::Silent {
                node,
                why: why.to_string(),
            };
            let mut next = Some(from);
            while let Some(from) = next {
                let (name, bucket) = match change.clone() {
                    BucketChange::Set(bucket) => (bucket.name.clone(), Some(bucket)),
                    BucketChange::Remove(name) => (name, None),
                };
                let look = Look::OtherKind { name, bucket, from };
                let seen = self.look(node, &look).await.map_err(|why| silent(&why))?;
                if let Some((key, _)) = seen.entries.first() {
                    let key = String::from_utf8_lossy(key).into_owned();
                    return Err(BucketRefused::InUse { node, key });
                }
                // A page that does not get on would be asked for again and again.
                next = seen.covered.filter(|covered| *covered > from);
            }
        }
        Ok(())
    }
}

/// A page of this node's answer to [`Look::OtherKind`]: the first key found, if there is one.
pub(crate) fn of_other_kind(shared: &Shared, change: &BucketChange, from: u64) -> Seen {
    match both(shared, change) {
        Ok((before, after)) => find(&*shared.store, from, |key| {
            before.of(key).kind != after.of(key).kind
        }),
        // This node knows of other buckets than the one that asks, which will hear of them: then the
        // event has no effect.
        Err(_) => Seen::default(),
    }
}

/// Looks at about [`MOST_KEYS`] keys from a token on.
fn find(store: &dyn Store, from: u64, wanted: impl Fn(&[u8]) -> bool) -> Seen {
    let shift = 64 - u32::from(store.partition_bits());
    let (first, last) = (from >> shift, u64::MAX >> shift);
    let (mut entries, mut looked_at) = (Vec::new(), 0);
    for number in first..=last {
        // There are at most 65,536 partitions.
        let partition = Partition(number as u16);
        let mut cursor = match number == first {
            true => from.checked_sub(1).map(Cursor),
            false => None,
        };
        loop {
            cursor = store.scan(partition, cursor, MOST_KEYS, &mut |key, _| {
                looked_at += 1;
                if entries.is_empty() && wanted(key) {
                    entries.push((ByteBuf::from(key), ByteBuf::new()));
                }
            });
            let covered = match cursor {
                Some(Cursor(token)) => token.checked_add(1),
                None if number < last => Some((number + 1) << shift),
                None => None,
            };
            if looked_at >= MOST_KEYS || !entries.is_empty() {
                return Seen { covered, entries };
            }
            if cursor.is_none() {
                break;
            }
        }
    }
    Seen {
        covered: None,
        entries,
    }
}

#[cfg(test)]
mod tests {
    use henge_ring::Token;
    use henge_store::{Key, Limits, MemoryStore};
    use henge_versioning::{ActorId, HlcTime, NEVER, RecordRef, Stamp, delta};

    use super::*;

    #[test]
    fn one_key_among_thousands_is_found_and_pages_come_to_an_end() {
        let store = MemoryStore::new(Limits::default());
        let stamp = Stamp {
            time: HlcTime::new(1, 0),
            actor: ActorId(1),
        };
        let mut record = Vec::new();
        delta::begin(&mut record, stamp, NEVER, b"v");
        let record = RecordRef::parse(&record).expect("just made");
        for at in 0..5_000 {
            let key = format!("key{at}");
            store
                .merge(Key::new(key.as_bytes()), record)
                .expect("room enough");
        }
        let search = |wanted: &str| {
            let (mut from, mut pages) = (0, 0);
            loop {
                pages += 1;
                let seen = find(&store, from, |key| key == wanted.as_bytes());
                if let Some((key, _)) = seen.entries.first() {
                    return (Some(Token::of(key)), pages);
                }
                match seen.covered {
                    None => return (None, pages),
                    Some(covered) => {
                        assert!(covered > from);
                        from = covered;
                    }
                }
            }
        };
        for wanted in ["key0", "key777", "key4999"] {
            assert_eq!(search(wanted).0, Some(Token::of(wanted.as_bytes())));
        }
        let (found, pages) = search("none");
        assert!(found.is_none() && (5..=6).contains(&pages), "{pages}");
    }
}

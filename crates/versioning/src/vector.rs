//! Version vectors: how much of each actor's work somebody has seen.

use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::ActorId;

/// Per actor the number of its events that are known. A partially ordered set and a lattice:
/// [`merge`](Self::merge) is the least upper bound under [`descends`](Self::descends).
///
/// Sorted by actor; counts of zero are not stored, so equal vectors are equal bit by bit. Four
/// entries (three replicas and a fallback) fit without allocating.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector {
    entries: SmallVec<[(ActorId, u64); 4]>,
}

impl VersionVector {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many of `actor`'s events are known.
    pub fn get(&self, actor: ActorId) -> u64 {
        self.find(actor).map_or(0, |at| self.entries[at].1)
    }

    /// Learns of `actor`'s events up to number `count`; never forgets any.
    pub fn advance(&mut self, actor: ActorId, count: u64) {
        match self.find(actor) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(count),
            Err(at) if count > 0 => self.entries.insert(at, (actor, count)),
            Err(_) => {}
        }
    }

    /// Learns all that `other` knows.
    pub fn merge(&mut self, other: &Self) {
        other
            .iter()
            .for_each(|(actor, count)| self.advance(actor, count));
    }

    /// Whether it knows all that `other` knows (equal vectors descend each other).
    pub fn descends(&self, other: &Self) -> bool {
        other.iter().all(|(actor, count)| self.get(actor) >= count)
    }

    /// Whether each knows something that the other does not.
    pub fn concurrent(&self, other: &Self) -> bool {
        self.partial_cmp(other).is_none()
    }

    /// The entries, by ascending actor.
    pub fn iter(&self) -> impl Iterator<Item = (ActorId, u64)> + '_ {
        self.entries.iter().copied()
    }

    /// How many actors it names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, actor: ActorId) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&actor, |(known, _)| *known)
    }
}

/// Less is "happened before".
impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.descends(other), other.descends(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

impl FromIterator<(ActorId, u64)> for VersionVector {
    /// Of an actor named twice the greater count is taken.
    fn from_iter<I: IntoIterator<Item = (ActorId, u64)>>(entries: I) -> Self {
        let mut vector = Self::new();
        entries
            .into_iter()
            .for_each(|(actor, count)| vector.advance(actor, count));
        vector
    }
}

#[cfg(test)]
mod tests;

//! Is it enough? Counting answers of distinct places.
//!
//! The verdict has three values and stops early on the third (as in raft-rs, `src/quorum.rs`): once
//! too few places are left to reach the quorum, waiting for them cannot help.
//!
//! The tally counts *places of the preference list*, not answers: a place that acknowledges twice,
//! or whose fallback and primary both do, is one. Counting answers instead loses acknowledged
//! writes with the loss of a single disk.

use crate::{MAX_PLACES, PlaceSet};

/// Whether enough places have acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet, and still possible.
    Pending,
    /// Enough have. An acknowledgement is never taken back, so this is final.
    Met,
    /// Too few are left. Final only as far as failures are: a place that was given up and
    /// acknowledges after all still counts.
    Impossible,
}

/// How many of a key's places have acknowledged, and which.
///
/// While a partition moves, the places are those of several replica sets, and each set needs its
/// quorum ([`jointly`](Self::jointly)); a place counts in every set it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    places: u8,
    need: u8,
    acked: PlaceSet,
    failed: PlaceSet,
    /// The replica sets; none while there is only one, which has all places.
    sets: Option<Box<[PlaceSet]>>,
}

impl Tally {
    /// A tally in which `need` of `places` places have to acknowledge. Needing more than there are
    /// is impossible from the start, needing none is met.
    ///
    /// # Panics
    /// If `places` is above [`MAX_PLACES`]; [`Defaults::check`](crate::Defaults::check) has seen to
    /// that.
    pub fn new(places: u8, need: u8) -> Self {
        assert!(
            places <= MAX_PLACES,
            "{places} places, but a key has at most {MAX_PLACES}"
        );
        Self {
            places,
            need,
            acked: PlaceSet::EMPTY,
            failed: PlaceSet::EMPTY,
            sets: None,
        }
    }

    /// The same, with `need` places (or all, of a smaller set) in each of these sets. No sets: all
    /// places are one.
    #[must_use]
    pub fn jointly(mut self, sets: &[PlaceSet]) -> Self {
        self.sets = (!sets.is_empty()).then(|| sets.into());
        self
    }

    /// Whether there is more than one set.
    #[inline]
    pub fn is_joint(&self) -> bool {
        self.sets.is_some()
    }

    /// A place acknowledged: the first time, again, or after it was given up. A place that the key
    /// does not have changes nothing.
    pub fn ack(&mut self, place: u8) -> Verdict {
        if place < self.places {
            self.acked.insert(place);
            self.failed.remove(place);
        }
        self.verdict()
    }

    /// A place will not acknowledge. If it already has, it stays counted.
    pub fn fail(&mut self, place: u8) -> Verdict {
        if place < self.places && !self.acked.contains(place) {
            self.failed.insert(place);
        }
        self.verdict()
    }

    /// A place that failed is asked again, by another node: it is unanswered once more.
    pub fn reopen(&mut self, place: u8) {
        self.failed.remove(place);
    }

    /// Whether it is enough.
    #[inline]
    pub fn verdict(&self) -> Verdict {
        if let Some(sets) = &self.sets {
            return self.joint_verdict(sets);
        }
        if self.got() >= self.need {
            Verdict::Met
        } else if self.places - self.failed.len() < self.need {
            Verdict::Impossible
        } else {
            Verdict::Pending
        }
    }

    #[cold]
    fn joint_verdict(&self, sets: &[PlaceSet]) -> Verdict {
        let need = |set: &PlaceSet| self.need.min(set.len());
        let met = |set: &PlaceSet| set.intersection(self.acked).len() >= need(set);
        let lost = |set: &PlaceSet| set.difference(self.failed).len() < need(set);
        if sets.iter().all(met) {
            Verdict::Met
        } else if sets.iter().any(lost) {
            Verdict::Impossible
        } else {
            Verdict::Pending
        }
    }

    /// How many distinct places have acknowledged.
    #[inline]
    pub fn got(&self) -> u8 {
        self.acked.len()
    }

    /// For saying why it is not enough: how many places had to acknowledge, and how many have. While
    /// there are several sets, those of the set that lacks most.
    pub fn needed_and_got(&self) -> (u8, u8) {
        self.needed_and(self.acked)
    }

    /// As [`needed_and_got`](Self::needed_and_got), before anybody was asked: how many can be.
    pub fn needed_and_reachable(&self) -> (u8, u8) {
        self.needed_and(self.unanswered())
    }

    fn needed_and(&self, places: PlaceSet) -> (u8, u8) {
        let of_set = |set: &PlaceSet| {
            let needed = self.need.min(set.len());
            (needed, set.intersection(places).len())
        };
        let sets = self.sets.iter().flatten().map(of_set);
        let worst = sets.max_by_key(|(needed, got)| needed.saturating_sub(*got));
        worst.unwrap_or((self.need, places.len()))
    }

    /// How many have to.
    #[inline]
    pub fn need(&self) -> u8 {
        self.need
    }

    /// How many places there are.
    #[inline]
    pub fn places(&self) -> u8 {
        self.places
    }

    /// The places that acknowledged.
    pub fn acked(&self) -> PlaceSet {
        self.acked
    }

    /// The places that will not, as far as is known.
    pub fn failed(&self) -> PlaceSet {
        self.failed
    }

    /// The places of which nothing is known yet.
    pub fn unanswered(&self) -> PlaceSet {
        PlaceSet::first(self.places).difference(self.acked.union(self.failed))
    }
}

#[cfg(test)]
mod tests;

//! One read: ask as few replicas as will do, merge, repair.
//!
//! ```text
//!  asking ──R places answered──▶ merging ──merged(digest)──▶ answered
//!    │                              │                           ▲
//!    │ too few left, or deadline    │ repair before answer, and │ R places
//!    ▼                              ▼ fewer than R hold it      │ hold it
//!  failed ◀──────────────────── repairing ──────────────────────┘
//! ```
//!
//! A read has no effect on the record, so one that falls short has always *failed*; there is no
//! unknown.
//!
//! The driver may find that what R places hold is older than what its client has seen already. Then it
//! calls [`Read::ask_on`] instead of `merged`: all places are asked, and each further answer is merged
//! and looked at, until one suffices or none is left.
//!
//! The machine handles digests only. The driver merges the records of all answers and reports the
//! digest of the result; a place whose answer had another digest is owed the result.
//!
//! *Repair before answer* makes successive reads monotonic: without it, a read can see a write that
//! fell short of its quorum, and the next read, from other replicas, not see it (R + W > N does not
//! help: the write was never acknowledged). The price is one more round trip, paid only by reads
//! that found a difference. It needs two reads to share a replica:
//! [`Consistency::can_be_monotonic`](crate::Consistency::can_be_monotonic).

use smallvec::{SmallVec, smallvec};

use crate::{Consistency, Mode, PlaceInfo, PlaceSet, Tally, Verdict};

/// What a replica holds of a key: the digest of its record, or no record.
pub type Held = Option<u64>;

/// What the driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ReadStep {
    /// Send to whatever [`Read::next_to_ask`] and [`Read::next_to_repair`] name, and wait.
    Wait,
    /// Enough have answered: merge the records and call [`Read::merged`]. Said once.
    Merge,
    /// Answer the client with the merged record. Said once.
    Answer,
    /// Answer the client with this error. Said once.
    Fail(ReadError),
}

/// A read that did not get its quorum. The record is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too few replicas answered.
    #[error("too few replicas answered: needed {needed} got {got}")]
    Unanswered {
        /// Places that had to answer.
        needed: u8,
        /// Places that did.
        got: u8,
    },
    /// The record was read, but could not be put on enough replicas to promise that the next read
    /// sees it too.
    #[error("too few replicas could be repaired before the answer: needed {needed} got {got}")]
    Unrepaired {
        /// Places that had to hold it.
        needed: u8,
        /// Places that do.
        got: u8,
    },
    /// Enough answered, but what the client has seen already is in none of the answers.
    #[error("what was seen before is in no answer: of {needed} replicas {got} answered")]
    Older {
        /// All places there are: any of the others may hold it.
        needed: u8,
        /// Places that answered.
        got: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Asking,
    Merging,
    Repairing,
    Done,
}

/// A read in flight.
///
/// After each call, send a request to every place [`next_to_ask`](Self::next_to_ask) names, and the
/// merged record to every place [`next_to_repair`](Self::next_to_repair) names, until both say
/// `None`.
#[derive(Clone, Debug)]
pub struct Read {
    places: SmallVec<[PlaceInfo; 5]>,
    held: SmallVec<[Held; 5]>,
    /// Asking: who answered. Its quorum is R.
    answers: Tally,
    /// Repairing: who holds the merged record. Its quorum is R too.
    holders: Tally,
    asked: PlaceSet,
    repairing: PlaceSet,
    /// How many places should be at it at once: R, and one more for each hedge.
    wanted: u8,
    mode: Mode,
    base: Held,
    merged: Held,
    repair_first: bool,
    /// A quorum has answered, and it did not suffice.
    asks_on: bool,
    phase: Phase,
}

impl Read {
    /// A read from `places`, *best first*, of which `reachable` can be asked now; in strict mode a
    /// place filled by a fallback cannot. `base` is what this node holds, and what the requests
    /// carry as a digest so that a replica that holds the same says only that; this node's own
    /// place, if it has one, still has to be reported by [`replied`](Self::replied).
    ///
    /// `repair_first` asks for repair before answer.
    ///
    /// # Errors
    /// [`ReadError::Unanswered`] when fewer places can be asked than R; `got` is how many can.
    ///
    /// # Panics
    /// If there are more than [`MAX_PLACES`](crate::MAX_PLACES) places.
    pub fn begin(
        places: &[PlaceInfo],
        reachable: PlaceSet,
        base: Held,
        repair_first: bool,
        asked: &Consistency,
    ) -> Result<Self, ReadError> {
        Self::begin_jointly(places, reachable, &[], base, repair_first, asked)
    }

    /// A read from a partition that moves: it needs R places in each of these sets, or all of a set
    /// that is smaller, and asks all places at once. No sets: all places are one.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    ///
    /// # Panics
    /// As [`begin`](Self::begin).
    pub fn begin_jointly(
        places: &[PlaceInfo],
        reachable: PlaceSet,
        sets: &[PlaceSet],
        base: Held,
        repair_first: bool,
        asked: &Consistency,
    ) -> Result<Self, ReadError> {
        let count = u8::try_from(places.len()).unwrap_or(u8::MAX);
        let mut answers = Tally::new(count, asked.r()).jointly(sets);
        for (place, info) in (0..count).zip(places) {
            if !reachable.contains(place) || !info.may_fill(asked.mode()) {
                answers.fail(place);
            }
        }
        if answers.verdict() == Verdict::Impossible {
            let (needed, got) = answers.needed_and_reachable();
            return Err(ReadError::Unanswered { needed, got });
        }
        Ok(Self {
            places: SmallVec::from_slice(places),
            held: smallvec![None; places.len()],
            // A place that cannot be asked cannot be repaired before the answer either.
            holders: answers.clone(),
            wanted: if answers.is_joint() { count } else { asked.r() },
            answers,
            asked: PlaceSet::EMPTY,
            repairing: PlaceSet::EMPTY,
            mode: asked.mode(),
            base,
            merged: base,
            repair_first,
            asks_on: false,
            phase: Phase::Asking,
        })
    }

    /// What this node held when the read began: what *every* request has to carry, also one sent
    /// after other records were merged. [`same`](Self::same) means this digest and no other.
    pub fn base(&self) -> Held {
        self.base
    }

    /// The next place to send the read to, now. Names R places at first, one more for each that
    /// fails, and one more for each hedge.
    pub fn next_to_ask(&mut self) -> Option<u8> {
        self.next_to_ask_by(|_| 0)
    }

    /// As [`next_to_ask`](Self::next_to_ask), but the node that costs least comes first; of equals
    /// the first place.
    #[inline]
    pub fn next_to_ask_by(&mut self, cost: impl Fn(u16) -> u16) -> Option<u8> {
        let at_it = self.asked.difference(self.answers.failed());
        if self.phase != Phase::Asking || at_it.len() >= self.wanted {
            return None;
        }
        let cost = |place: &u8| cost(self.places[usize::from(*place)].node);
        let place = self.not_asked().into_iter().min_by_key(cost)?;
        self.asked.insert(place);
        Some(place)
    }

    /// Whether one more request could help: the read still waits for answers and a place is left
    /// that was not asked.
    pub fn can_hedge(&self) -> bool {
        self.phase == Phase::Asking && !self.not_asked().is_empty()
    }

    /// Lets [`next_to_ask`](Self::next_to_ask) name one place more. Returns whether it will. Ask a
    /// [`HedgeBudget`](crate::HedgeBudget) first.
    pub fn hedge(&mut self) -> bool {
        let can = self.can_hedge();
        self.wanted += u8::from(can);
        can
    }

    /// A place holds the same as the [`base`](Self::base).
    pub fn same(&mut self, place: u8) -> ReadStep {
        self.replied(place, self.base)
    }

    /// Whether a record that arrives now belongs into the answer: merge it, then call
    /// [`replied`](Self::replied). Later ones must not be merged into the record that is about to be
    /// answered, which has been promised to be on R places.
    pub fn is_collecting(&self) -> bool {
        self.phase == Phase::Asking
    }

    /// A place told what it holds. A late reply is taken note of for
    /// [`repair_owed`](Self::repair_owed). In strict mode a fallback's is not.
    pub fn replied(&mut self, place: u8, held: Held) -> ReadStep {
        let Some(info) = self.places.get(usize::from(place)) else {
            return ReadStep::Wait;
        };
        if !info.may_fill(self.mode) {
            return ReadStep::Wait;
        }
        self.held[usize::from(place)] = held;
        self.asked.insert(place);
        let verdict = self.answers.ack(place);
        match self.phase {
            Phase::Asking if verdict == Verdict::Met => {
                self.phase = Phase::Merging;
                ReadStep::Merge
            }
            Phase::Repairing if held == self.merged => self.repaired(place),
            _ => ReadStep::Wait,
        }
    }

    /// A place will not answer: it refused, or its link was lost.
    pub fn failed(&mut self, place: u8) -> ReadStep {
        self.answers.fail(place);
        self.holders.fail(place);
        self.settle()
    }

    /// The merge of all answers so far has this digest. Called after [`ReadStep::Merge`].
    pub fn merged(&mut self, merged: Held) -> ReadStep {
        if self.phase != Phase::Merging {
            return ReadStep::Wait;
        }
        self.merged = merged;
        for place in self.answers.acked() {
            if self.held[usize::from(place)] == merged {
                self.holders.ack(place);
            }
        }
        // Nothing to repair with: no replica that answered holds anything.
        let enough = merged.is_none() || self.holders.verdict() == Verdict::Met;
        match self.repair_first && !enough {
            true => self.phase = Phase::Repairing,
            false => return self.finish(ReadStep::Answer),
        }
        self.settle()
    }

    /// The answers so far, which are a quorum, do not show what has to be shown. Called after
    /// [`ReadStep::Merge`] instead of [`merged`](Self::merged): every place that can be asked is
    /// asked now, and with each answer that comes [`ReadStep::Merge`] is said once more.
    #[cold]
    pub fn ask_on(&mut self) -> ReadStep {
        if self.phase != Phase::Merging {
            return ReadStep::Wait;
        }
        self.phase = Phase::Asking;
        self.wanted = self.answers.places();
        self.asks_on = true;
        self.settle()
    }

    /// The next place to send the merged record to, now, while the answer waits for it: first every
    /// place that answered with less, then others while fewer than R hold it or are being sent it.
    pub fn next_to_repair(&mut self) -> Option<u8> {
        if self.phase != Phase::Repairing {
            return None;
        }
        let open = self.holders.unanswered().difference(self.repairing);
        let behind = open.intersection(self.answers.acked());
        let at_it = self
            .repairing
            .difference(self.holders.failed())
            .union(self.holders.acked());
        let place = match behind.lowest() {
            Some(place) => place,
            None if self.holders.is_joint() || at_it.len() < self.holders.need() => {
                open.lowest()?
            }
            None => return None,
        };
        self.repairing.insert(place);
        Some(place)
    }

    /// A place now holds the merged record.
    pub fn repaired(&mut self, place: u8) -> ReadStep {
        if let Some(held) = self.held.get_mut(usize::from(place)) {
            *held = self.merged;
        }
        self.holders.ack(place);
        self.settle()
    }

    /// The operation's time is up. Between [`ReadStep::Merge`] and [`merged`](Self::merged), which a
    /// driver does in one go, it changes nothing.
    pub fn deadline(&mut self) -> ReadStep {
        match self.phase {
            Phase::Merging | Phase::Done => ReadStep::Wait,
            Phase::Asking | Phase::Repairing => self.finish(ReadStep::Fail(self.shortfall())),
        }
    }

    /// The places that answered with something else than `merged`, the digest of everything merged
    /// until now: each is owed that record. To be read when the operation ends, so that late
    /// replies are in it.
    pub fn repair_owed(&self, merged: Held) -> PlaceSet {
        let behind = |&place: &u8| self.held[usize::from(place)] != merged;
        match merged {
            None => PlaceSet::EMPTY,
            Some(_) => self.answers.acked().into_iter().filter(behind).collect(),
        }
    }

    /// The place that `node` fills.
    pub fn place_of(&self, node: u16) -> Option<u8> {
        self.places
            .iter()
            .position(|info| info.node == node)
            .map(|place| place as u8)
    }

    /// Who fills a place.
    pub fn place(&self, place: u8) -> Option<PlaceInfo> {
        self.places.get(usize::from(place)).copied()
    }

    /// The places asked so far.
    pub fn asked(&self) -> PlaceSet {
        self.asked
    }

    /// The places asked that have neither answered nor failed.
    pub fn unanswered(&self) -> PlaceSet {
        self.answers.unanswered().intersection(self.asked)
    }

    /// The count of answers so far.
    pub fn tally(&self) -> &Tally {
        &self.answers
    }

    /// Whether the client has its answer.
    pub fn is_answered(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether it was answered and no reply can come in any more: the operation can go.
    pub fn is_settled(&self) -> bool {
        self.is_answered() && self.unanswered().is_empty()
    }

    fn not_asked(&self) -> PlaceSet {
        self.answers.unanswered().difference(self.asked)
    }

    fn settle(&mut self) -> ReadStep {
        match (self.phase, self.answers.verdict(), self.holders.verdict()) {
            (Phase::Asking, Verdict::Impossible, _)
            | (Phase::Repairing, _, Verdict::Impossible) => {
                self.finish(ReadStep::Fail(self.shortfall()))
            }
            (Phase::Repairing, _, Verdict::Met) => self.finish(ReadStep::Answer),
            (Phase::Asking, Verdict::Met, _) if self.answers.unanswered().is_empty() => {
                self.finish(ReadStep::Fail(self.shortfall()))
            }
            _ => ReadStep::Wait,
        }
    }

    fn finish(&mut self, last: ReadStep) -> ReadStep {
        self.phase = Phase::Done;
        last
    }

    fn shortfall(&self) -> ReadError {
        match self.phase {
            Phase::Repairing => {
                let (needed, got) = self.holders.needed_and_got();
                ReadError::Unrepaired { needed, got }
            }
            _ if self.asks_on => ReadError::Older {
                needed: self.answers.places(),
                got: self.answers.got(),
            },
            _ => {
                let (needed, got) = self.answers.needed_and_got();
                ReadError::Unanswered { needed, got }
            }
        }
    }
}

#[cfg(test)]
mod tests;

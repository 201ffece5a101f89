//! One write: from the first message to what is owed after the answer.
//!
//! ```text
//!            too few places reachable
//!  begin ───────────────────────────────▶ Failed            nothing was sent
//!    │
//!    ▼           W distinct places keep it
//!  pending ─────────────────────────────▶ Ok
//!    │           every place refused
//!    ├──────────────────────────────────▶ Failed            nothing was applied
//!    │           W cannot be reached any more, or deadline
//!    └──────────────────────────────────▶ Unknown           some replica has it or may have it
//! ```
//!
//! The answer is given once. *Failed* is a promise that the write did not and will not happen, so
//! that a client may simply send it again; it is given only if each place refused it or was never
//! sent it. Everything else that falls short is *unknown*. A write that cannot succeed any more
//! answers at once, except while *failed* is still possible: then it waits, until its deadline, for
//! the places that have not said anything, because certainty is worth more to the client than the
//! wait.
//!
//! A write that is counted anew, because its places have changed, lies where the old ones were: it
//! never ends as *failed* ([`begin_again`](Write::begin_again)).
//!
//! After the answer, acknowledgements keep coming in and are counted. What is then left is
//! [`owed`](Write::owed).

use smallvec::SmallVec;

use crate::{
    Consistency, Mode, PlaceInfo, PlaceReceipt, PlaceSet, PlaceStatus, Receipt, Tally, Verdict,
};

/// How a replica keeps what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In memory.
    InMemory,
    /// On disk, synced before it acknowledged.
    Durable,
}

/// Why a place certainly did not apply the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The message never left this node: no link, or the peer's backlog is full.
    Unsent,
    /// It has too much to do.
    Busy,
    /// Its memory or disk is full.
    Full,
    /// It works with another layout, in which this place is not its own.
    Layout,
    /// The record is stamped too far ahead of its clock.
    Skew,
    /// Its store has failed, or the record is nothing it can read.
    Broken,
    /// It has a later life of the session, beside which the write counts for nothing.
    Overruled,
}

/// A write that did not get its quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It did not happen and will not: no replica applied it, none may apply it later.
    #[error("nothing was written: needed {needed} got {got}")]
    Failed {
        /// Places that had to keep it.
        needed: u8,
        /// Places that could be reached when nothing was sent; otherwise 0.
        got: u8,
    },
    /// Some replica keeps it or may keep it. It may be seen by reads and spread, now or later.
    #[error("the write may have happened: needed {needed} got {got}")]
    Unknown {
        /// Places that had to keep it.
        needed: u8,
        /// Places known to keep it.
        got: u8,
    },
}

/// What the client is told.
pub type WriteAnswer = Result<(), WriteError>;

/// A place that is not known to keep the record, and the primary that has to have it in the end:
/// the target of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The place.
    pub place: u8,
    /// The primary it belongs to, by its number in the layout.
    pub target: u16,
}

/// A write in flight.
///
/// Call [`begin`](Self::begin), send the record to each place in [`unanswered`](Self::unanswered),
/// report what comes of each. The call that settles the matter returns the answer, no other does.
#[derive(Clone, Debug)]
pub struct Write {
    places: SmallVec<[PlaceInfo; 5]>,
    tally: Tally,
    mode: Mode,
    durable: PlaceSet,
    /// Places where the record may lie although nobody acknowledged it: sent, then lost.
    doubtful: PlaceSet,
    /// Whether a node that fills none of these places may have it: it was sent to others before.
    elsewhere: bool,
    refusal: Option<Refusal>,
    answer: Option<WriteAnswer>,
}

impl Write {
    /// A write to `places`, of which `reachable` can be sent to now. In strict mode a place filled
    /// by a fallback counts as not reachable.
    ///
    /// # Errors
    /// [`WriteError::Failed`] when fewer places can be reached than W. Nothing has been sent yet,
    /// and nothing must be.
    ///
    /// # Panics
    /// If there are more than [`MAX_PLACES`](crate::MAX_PLACES) places.
    pub fn begin(
        places: &[PlaceInfo],
        reachable: PlaceSet,
        asked: &Consistency,
    ) -> Result<Self, WriteError> {
        Self::begin_jointly(places, reachable, &[], asked)
    }

    /// A write to a partition that moves: it needs W places in each of these sets, or all of a set
    /// that is smaller. No sets: all places are one.
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
        asked: &Consistency,
    ) -> Result<Self, WriteError> {
        debug_assert!(
            are_distinct(places),
            "one node fills two places: {places:?}"
        );
        let count = u8::try_from(places.len()).unwrap_or(u8::MAX);
        let mut tally = Tally::new(count, asked.w()).jointly(sets);
        for (place, info) in (0..count).zip(places) {
            if !reachable.contains(place) || !info.may_fill(asked.mode()) {
                tally.fail(place);
            }
        }
        if tally.verdict() == Verdict::Impossible {
            let (needed, got) = tally.needed_and_reachable();
            return Err(WriteError::Failed { needed, got });
        }
        Ok(Self {
            places: SmallVec::from_slice(places),
            tally,
            mode: asked.mode(),
            durable: PlaceSet::EMPTY,
            doubtful: PlaceSet::EMPTY,
            elsewhere: false,
            refusal: None,
            answer: None,
        })
    }

    /// As [`begin_jointly`](Self::begin_jointly), for a write that was begun before, with other places:
    /// the local store or those may keep it, and may spread it. So it never fails, whatever the
    /// new places answer.
    ///
    /// # Errors
    /// [`WriteError::Unknown`] when fewer places can be reached than W.
    ///
    /// # Panics
    /// As [`begin`](Self::begin).
    pub fn begin_again(
        places: &[PlaceInfo],
        reachable: PlaceSet,
        sets: &[PlaceSet],
        asked: &Consistency,
    ) -> Result<Self, WriteError> {
        match Self::begin_jointly(places, reachable, sets, asked) {
            Ok(write) => Ok(Self {
                elsewhere: true,
                ..write
            }),
            // Of the new places nobody has been asked.
            Err(WriteError::Failed { needed, .. } | WriteError::Unknown { needed, .. }) => {
                Err(WriteError::Unknown { needed, got: 0 })
            }
        }
    }

    /// A place keeps the record. In strict mode a fallback's acknowledgement is not counted.
    pub fn acked(&mut self, place: u8, kept: Kept) -> Option<WriteAnswer> {
        if !self.place(place)?.may_fill(self.mode) {
            return None;
        }
        self.tally.ack(place);
        if kept == Kept::Durable {
            self.durable.insert(place);
        }
        self.settle()
    }

    /// A place certainly did not apply the record and will not.
    pub fn refused(&mut self, place: u8, why: Refusal) -> Option<WriteAnswer> {
        self.tally.fail(place);
        self.refusal.get_or_insert(why);
        self.settle()
    }

    /// A place was sent the record and cannot be heard any more (link lost, or its own time-out):
    /// it may have applied it.
    pub fn lost(&mut self, place: u8) -> Option<WriteAnswer> {
        if self.tally.unanswered().contains(place) {
            self.doubtful.insert(place);
        }
        self.tally.fail(place);
        self.settle()
    }

    /// The operation's time is up. Places that have not answered may still do so.
    pub fn deadline(&mut self) -> Option<WriteAnswer> {
        match self.answer {
            Some(_) => None,
            None => self.give(Err(self.shortfall())),
        }
    }

    /// Gives a place without acknowledgement to a fallback, `node`, in the stead of its primary.
    /// The caller then sends it the record. Returns false, and changes nothing, in strict mode,
    /// after the answer, when the place has acknowledged, or when `node` already fills a place.
    pub fn reroute(&mut self, place: u8, node: u16) -> bool {
        let taken = self.places.iter().any(|info| info.node == node);
        let acked = self.tally.acked().contains(place);
        if self.mode == Mode::Strict || self.answer.is_some() || taken || acked {
            return false;
        }
        let sent = self.tally.unanswered().contains(place);
        let Some(info) = self.places.get_mut(usize::from(place)) else {
            return false;
        };
        *info = PlaceInfo::fallback(node, info.owner());
        if sent {
            self.doubtful.insert(place);
        }
        self.tally.reopen(place);
        true
    }

    /// The place that `node` fills now. A node that was rerouted around fills none: its late
    /// acknowledgement changes nothing, and the hint it made needless is harmless.
    pub fn place_of(&self, node: u16) -> Option<u8> {
        self.places
            .iter()
            .position(|info| info.node == node)
            .map(|place| place as u8)
    }

    /// Who fills a place now.
    pub fn place(&self, place: u8) -> Option<PlaceInfo> {
        self.places.get(usize::from(place)).copied()
    }

    /// The places to send to, and later those of which nothing has been heard.
    pub fn unanswered(&self) -> PlaceSet {
        self.tally.unanswered()
    }

    /// The count so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The answer, once given.
    pub fn answer(&self) -> Option<WriteAnswer> {
        self.answer
    }

    /// Why the first place that refused did so: what to tell the client beside the numbers.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Whether it was answered and nothing more can come in: the operation can go.
    pub fn is_settled(&self) -> bool {
        self.answer.is_some() && self.tally.unanswered().is_empty()
    }

    /// The places that lack an acknowledgement although some replica keeps the record: each is owed
    /// a hint. Empty when no replica is known to keep it, above all after *failed*: a failed write
    /// must not spread. (Of one that was begun before, whoever gives the hint keeps the record.) To be
    /// read when the operation ends.
    pub fn owed(&self) -> impl Iterator<Item = Owed> {
        let failed = matches!(self.answer, Some(Err(WriteError::Failed { .. })));
        let kept = self.tally.got() > 0 || self.elsewhere;
        let lacking = match failed || !kept {
            true => PlaceSet::EMPTY,
            false => PlaceSet::first(self.tally.places()).difference(self.tally.acked()),
        };
        lacking.into_iter().map(|place| Owed {
            place,
            target: self.places[usize::from(place)].owner(),
        })
    }

    /// Who keeps it, where and how, as far as is known now.
    pub fn receipt(&self) -> Receipt {
        let places = (0u8..).zip(&self.places);
        Receipt {
            needed: self.tally.need(),
            got: self.tally.got(),
            places: places
                .map(|(place, &info)| PlaceReceipt {
                    info,
                    status: self.status(place),
                })
                .collect(),
        }
    }

    fn status(&self, place: u8) -> PlaceStatus {
        if self.tally.acked().contains(place) {
            match self.durable.contains(place) {
                true => PlaceStatus::Durable,
                false => PlaceStatus::InMemory,
            }
        } else if self.tally.failed().contains(place) {
            PlaceStatus::Failed
        } else {
            PlaceStatus::Pending
        }
    }

    /// Answers if the time has come. See the file's head for why *impossible* alone is not enough.
    fn settle(&mut self) -> Option<WriteAnswer> {
        if self.answer.is_some() {
            return None;
        }
        match self.tally.verdict() {
            Verdict::Met => self.give(Ok(())),
            Verdict::Pending => None,
            Verdict::Impossible if self.may_still_fail() => None,
            Verdict::Impossible => self.give(Err(self.shortfall())),
        }
    }

    fn give(&mut self, answer: WriteAnswer) -> Option<WriteAnswer> {
        self.answer = Some(answer);
        self.answer
    }

    /// Whether the places that are silent decide between *failed* and *unknown*.
    fn may_still_fail(&self) -> bool {
        !self.may_lie_somewhere() && !self.tally.unanswered().is_empty()
    }

    /// Whether anybody has it or may have it, leaving aside the places that are silent.
    fn may_lie_somewhere(&self) -> bool {
        self.tally.got() > 0 || !self.doubtful.is_empty() || self.elsewhere
    }

    fn shortfall(&self) -> WriteError {
        let (needed, got) = self.tally.needed_and_got();
        match self.may_lie_somewhere() || !self.tally.unanswered().is_empty() {
            true => WriteError::Unknown { needed, got },
            false => WriteError::Failed { needed, got },
        }
    }
}

/// Two places on one node, or of one primary, would count one disk twice.
fn are_distinct(places: &[PlaceInfo]) -> bool {
    let differ = |(i, a): (usize, &PlaceInfo)| {
        places[i + 1..]
            .iter()
            .all(|b| a.node != b.node && a.owner() != b.owner())
    };
    places.iter().enumerate().all(differ)
}

#[cfg(test)]
mod tests;

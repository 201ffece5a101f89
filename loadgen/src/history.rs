//! What is known of one key: which writes were acknowledged, and which answers to a read are wrong.
//!
//! Writes of a key are numbered as they begin. A write *supersedes* all writes that had ended before
//! it began; writes that overlapped it may win over it. So once a write is acknowledged, no read that
//! begins later may return a superseded value, unless that value's own outcome was unknown, in which
//! case it may still have taken effect late: that is counted apart, as *overtaken*.
//!
//! Overlapping writes are tracked by two cohorts instead of a set: a write joins the younger cohort
//! while the older is in flight. That can understate what a write supersedes by the length of two
//! requests, never overstate it: no false alarm, and exact where writes do not overlap.

use crate::stamp::Seen;

/// Milliseconds since the run began.
pub(crate) type Millis = u32;

/// Most unknown and failed writes remembered per key. A key with more is given up as evidence.
const MAX_DOUBTS: usize = 256;

/// Tolerance on both sides of an expiry: clocks and scheduling of the machines involved.
const EXPIRY_SLACK: Millis = 1_000;

/// A write under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteMark {
    /// Its number, from 1.
    pub(crate) seq: u32,
    /// Once acknowledged, no older number than this may be seen.
    supersedes: u32,
}

/// What a read must respect, taken when it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadMark {
    floor: u32,
    ended: bool,
    began: Millis,
}

/// What an answer to a read means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Allowed.
    Fine,
    /// Older than the newest write acknowledged before the read began, or absent.
    Stale,
    /// A destroyed or expired session was seen.
    Resurrected,
    /// An older write of unknown outcome took effect after a newer one was acknowledged.
    Overtaken,
    /// A write answered as failed was seen.
    Phantom,
    /// A write that was never made was seen.
    Corrupt,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Open,
    /// A destroy is under way, or its outcome is unknown.
    Ending,
    /// A destroy was acknowledged.
    Ended,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cohort {
    oldest: u32,
    count: u32,
}

#[derive(Clone, Debug, Default)]
struct Doubts {
    unknown: Vec<u32>,
    failed: Vec<u32>,
    overflow: bool,
}

/// The history of one key.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    issued: u32,
    floor: u32,
    older: Cohort,
    younger: Cohort,
    life: Life,
    /// Earliest time at which it may be gone by expiry; 0 while it has no expiry.
    gone_from: Millis,
    /// Time after which it must be gone by expiry; 0 while it has no expiry or that is not known.
    gone_by: Millis,
    doubts: Option<Box<Doubts>>,
}

impl History {
    /// Begins a write.
    pub(crate) fn begin_write(&mut self) -> WriteMark {
        self.issued += 1;
        let seq = self.issued;
        if self.older.count == 0 {
            self.older = Cohort {
                oldest: seq,
                count: 1,
            };
        } else {
            if self.younger.count == 0 {
                self.younger.oldest = seq;
            }
            self.younger.count += 1;
        }
        WriteMark {
            seq,
            supersedes: self.older.oldest,
        }
    }

    /// The write was acknowledged.
    pub(crate) fn acked(&mut self, mark: WriteMark) {
        self.finish(mark.seq);
        self.floor = self.floor.max(mark.supersedes);
    }

    /// The write was answered as failed: it must never be seen.
    pub(crate) fn failed(&mut self, mark: WriteMark) {
        self.finish(mark.seq);
        self.doubt(|doubts| &mut doubts.failed, mark.seq);
    }

    /// Nobody knows whether the write happened: it may be seen from now on at any time.
    pub(crate) fn unknown(&mut self, mark: WriteMark) {
        self.finish(mark.seq);
        self.doubt(|doubts| &mut doubts.unknown, mark.seq);
        self.expiry_unknown();
    }

    /// A write or touch with time to live `ttl` was acknowledged.
    pub(crate) fn lives(&mut self, began: Millis, ended: Millis, ttl: Option<Millis>) {
        if let Some(ttl) = ttl {
            self.gone_from = self.gone_from.max(began.saturating_add(ttl));
            self.gone_by = if self.gone_by == Millis::MAX {
                Millis::MAX
            } else {
                self.gone_by.max(ended.saturating_add(ttl))
            };
        }
    }

    /// A touch or write of unknown outcome may have moved the expiry.
    pub(crate) fn expiry_unknown(&mut self) {
        self.gone_by = Millis::MAX;
    }

    /// Begins to destroy the session.
    pub(crate) fn begin_destroy(&mut self) {
        self.life = Life::Ending;
    }

    /// The destroy was acknowledged (`Some(true)`), failed (`Some(false)`), or nobody knows.
    pub(crate) fn destroyed(&mut self, outcome: Option<bool>) {
        self.life = match outcome {
            Some(true) => Life::Ended,
            Some(false) => Life::Open,
            None => Life::Ending,
        };
    }

    /// Begins a read.
    pub(crate) fn begin_read(&self, now: Millis) -> ReadMark {
        ReadMark {
            floor: self.floor,
            ended: self.life == Life::Ended,
            began: now,
        }
    }

    /// Whether any write was acknowledged, so that an answer can be wrong.
    pub(crate) fn has_acked(&self) -> bool {
        self.floor > 0
    }

    /// Whether a destroy was acknowledged.
    pub(crate) fn is_ended(&self) -> bool {
        self.life == Life::Ended
    }

    /// Judges the answer to a read: `seen` is `None` for absent. `now` is the time of the answer.
    pub(crate) fn judge(&self, mark: ReadMark, seen: Option<Seen>, now: Millis) -> Verdict {
        let Some(seen) = seen else {
            return self.judge_absent(mark, now);
        };
        if mark.ended {
            return Verdict::Resurrected;
        }
        if !seen.own {
            return if mark.floor > 0 {
                Verdict::Stale
            } else {
                Verdict::Fine
            };
        }
        if seen.seq == 0 || seen.seq > self.issued {
            return Verdict::Corrupt;
        }
        let (failed, unknown, overflow) = match &self.doubts {
            Some(d) => (
                d.failed.contains(&seen.seq),
                d.unknown.contains(&seen.seq),
                d.overflow,
            ),
            None => (false, false, false),
        };
        if failed {
            return Verdict::Phantom;
        }
        if self.must_be_gone(mark) {
            return Verdict::Resurrected;
        }
        if seen.seq >= mark.floor {
            return Verdict::Fine;
        }
        if unknown || overflow {
            Verdict::Overtaken
        } else {
            Verdict::Stale
        }
    }

    /// Judges an answer that says only whether the session is there.
    pub(crate) fn judge_presence(&self, mark: ReadMark, present: bool, now: Millis) -> Verdict {
        match present {
            false => self.judge_absent(mark, now),
            true if mark.ended || self.must_be_gone(mark) => Verdict::Resurrected,
            true => Verdict::Fine,
        }
    }

    fn judge_absent(&self, mark: ReadMark, now: Millis) -> Verdict {
        let may_be_gone = self.gone_from > 0 && now.saturating_add(EXPIRY_SLACK) >= self.gone_from;
        if mark.floor == 0 || self.life != Life::Open || may_be_gone {
            Verdict::Fine
        } else {
            Verdict::Stale
        }
    }

    fn must_be_gone(&self, mark: ReadMark) -> bool {
        let known = self.gone_by > 0 && self.older.count == 0;
        known && mark.began > self.gone_by.saturating_add(EXPIRY_SLACK)
    }

    fn finish(&mut self, seq: u32) {
        let young = self.younger.count > 0 && seq >= self.younger.oldest;
        let cohort = if young {
            &mut self.younger
        } else {
            &mut self.older
        };
        cohort.count = cohort.count.saturating_sub(1);
        if self.older.count == 0 {
            self.older = std::mem::take(&mut self.younger);
        }
    }

    fn doubt(&mut self, list: impl Fn(&mut Doubts) -> &mut Vec<u32>, seq: u32) {
        let doubts = self.doubts.get_or_insert_default();
        if list(doubts).len() < MAX_DOUBTS {
            list(doubts).push(seq);
        } else {
            doubts.overflow = true;
        }
    }
}

#[cfg(test)]
mod tests;

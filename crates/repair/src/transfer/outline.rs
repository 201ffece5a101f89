//! What a joiner has already, in a byte or two a record, so that a source sends only what differs.
//!
//! A newcomer has to read several members of the old set, which hold nearly the same. With each
//! question for a page it therefore sends an [`Outline`]: its own records from that page on, in token
//! order, in ranges of [`RANGE_RECORDS`], and of each range one word that is equal for equal records
//! ([`RollUp`]). The source skips the ranges in which it holds exactly the same and sends the others
//! whole: there the joiner lacks something, or has it differently.
//!
//! It takes nothing away from the argument for reading several sources. The comparison is made when
//! the page would have been read, so it is fenced like it, and what is skipped lay in the joiner's
//! store, where records only grow, before the question was asked.
//!
//! Words are keyed with a secret of the cluster: no client can choose records that hide each other.

use serde::{Deserialize, Serialize};

use crate::sketch::{RollUp, SketchKey};

/// Records of one range. Fewer: more bytes for words (16 to 18 a range); more: more records are sent
/// again for one that differs.
pub const RANGE_RECORDS: usize = 16;

/// Some records that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Token of its last record. The first is the one after the range before.
    pub last: u64,
    /// Equal for equal records.
    pub word: u64,
}

/// See the module's text. The order of fields is wire format: append only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// By ascending token.
    pub ranges: Vec<Range>,
    /// Whether there are records behind the last range of which nothing is said.
    pub has_more: bool,
}

/// A record, as outlines know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlined {
    /// Its key's token.
    pub token: u64,
    /// Its digest. Keys of one token differ by it: a record holds the stamp of its write.
    pub digest: u64,
}

/// What a source has to read for a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// First and last token of each part to be sent, ascending.
    pub parts: Vec<(u64, u64)>,
    /// Up to which token the two sides have been compared; `None`: to the end.
    pub until: Option<u64>,
}

impl Outline {
    /// Of these records, which are in token order. `has_more`: others follow.
    pub fn of(key: &SketchKey, records: &[Outlined], has_more: bool) -> Self {
        let mut ranges = Vec::with_capacity(records.len().div_ceil(RANGE_RECORDS));
        let mut rest = records;
        while let Some(last) = rest.get(..RANGE_RECORDS).unwrap_or(rest).last() {
            // Keys of one token stay together.
            let end = rest.partition_point(|it| it.token <= last.token);
            let (range, others) = rest.split_at(end);
            let word = word(key, range);
            let last = last.token;
            ranges.push(Range { last, word });
            rest = others;
        }
        Self { ranges, has_more }
    }

    /// Which parts of a source's records, in token order from where the page begins, the joiner may
    /// lack. `has_more`: the source holds more than these. Each of its records up to
    /// [`until`](Differing::until) is in one of the parts unless the joiner has it.
    ///
    /// Any outline will do, also one that makes no sense: it comes from another node.
    pub fn differing(&self, key: &SketchKey, records: &[Outlined], has_more: bool) -> Differing {
        let mut found = Differing::default();
        let mut rest = records;
        let seen_to = match records.last() {
            Some(last) if has_more => last.token,
            _ => u64::MAX,
        };
        for range in &self.ranges {
            if range.last > seen_to {
                // The source has more here than it looks at for one page, so it is not the same.
                break;
            }
            let end = rest.partition_point(|it| it.token <= range.last);
            let (own, others) = rest.split_at(end);
            if word(key, own) != range.word {
                found.send(own);
            }
            (rest, found.until) = (others, Some(range.last));
        }
        if self.has_more && found.until == self.ranges.last().map(|range| range.last) {
            return found; // of what follows the joiner will tell next time
        }
        let cut_off = has_more && self.ranges.last().is_some_and(|it| it.last > seen_to);
        if cut_off && found.until.is_some() {
            return found; // the range that is cut off comes first next time
        }
        found.send(rest);
        found.until = has_more.then_some(seen_to);
        found
    }
}

impl Differing {
    /// These are to be sent, if they are any.
    fn send(&mut self, records: &[Outlined]) {
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            self.parts.push((first.token, last.token));
        }
    }

    /// Whether a record is to be sent.
    pub fn has(&self, token: u64) -> bool {
        let at = self.parts.partition_point(|(_, last)| *last < token);
        self.parts.get(at).is_some_and(|(first, _)| *first <= token)
    }
}

fn word(key: &SketchKey, records: &[Outlined]) -> u64 {
    let mut sum = RollUp::default();
    for record in records {
        let id = key.id(record.token, record.digest);
        sum.add(id, key.check(id));
    }
    sum.word(key)
}

#[cfg(test)]
mod tests;

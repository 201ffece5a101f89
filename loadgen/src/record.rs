//! Counts and latencies of one thread, and how those of all threads become one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    plan::{Kind, Outcome},
    watched::Sample,
};

const KINDS: usize = Kind::ALL.len();

/// Latencies are kept in tenths of a microsecond, up to ten minutes.
const TENTHS_US_MAX: u64 = 6_000_000_000;

/// Gaps are found to the millisecond in runs up to this length.
const TIMELINE_MS: usize = 24 * 3600 * 1000;

/// Different error texts kept, and characters of each.
const MAX_TEXTS: usize = 20;
const MAX_TEXT: usize = 120;

/// Latencies, in tenths of a microsecond.
pub(crate) type Latencies = Histogram<u64>;

fn latencies(digits: u8) -> Latencies {
    Histogram::new_with_bounds(1, TENTHS_US_MAX, digits).expect("constant bounds are valid")
}

/// Counts of one kind of operation, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.unknown += other.unknown;
    }

    fn note(&mut self, outcome: &Outcome<'_>) {
        match outcome {
            Outcome::Value(_) | Outcome::Done(_) => self.ok += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }
}

/// One second of a run.
#[derive(Clone)]
pub(crate) struct Second {
    /// Which second since the run began.
    pub(crate) index: u64,
    pub(crate) counts: Counts,
    pub(crate) connection_errors: u64,
    pub(crate) latencies: Latencies,
}

impl Second {
    pub(crate) fn new(index: u64) -> Self {
        Self {
            index,
            counts: Counts::default(),
            connection_errors: 0,
            latencies: latencies(2),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.connection_errors += other.connection_errors;
        // Both have the same bounds, so that adding cannot fail.
        let _ = self.latencies.add(&other.latencies);
    }
}

/// One kind of operation over the whole measured window.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) counts: Counts,
    pub(crate) latencies: Latencies,
}

/// What one thread saw, or all of them together.
#[derive(Clone)]
pub(crate) struct Recording {
    pub(crate) rows: [Row; KINDS],
    pub(crate) connection_errors: u64,
    /// Requests due and never sent (fixed rate only).
    pub(crate) unsent: u64,
    /// Words of errors and how often each came.
    pub(crate) error_texts: BTreeMap<String, u64>,
    success: Bits,
    error: Bits,
}

impl Recording {
    pub(crate) fn new() -> Self {
        let row = || Row {
            counts: Counts::default(),
            latencies: latencies(3),
        };
        Self {
            rows: std::array::from_fn(|_| row()),
            connection_errors: 0,
            unsent: 0,
            error_texts: BTreeMap::new(),
            success: Bits::default(),
            error: Bits::default(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (row, more) in self.rows.iter_mut().zip(&other.rows) {
            row.counts.add(&more.counts);
            let _ = row.latencies.add(&more.latencies);
        }
        self.connection_errors += other.connection_errors;
        self.unsent += other.unsent;
        other
            .error_texts
            .iter()
            .for_each(|(text, count)| self.note_text(text, *count));
        self.success.add(&other.success);
        self.error.add(&other.error);
    }

    fn note_text(&mut self, text: &str, count: u64) {
        if let Some(known) = self.error_texts.get_mut(text) {
            *known += count;
        } else if self.error_texts.len() < MAX_TEXTS {
            self.error_texts.insert(text.to_owned(), count);
        } else {
            *self.error_texts.entry("others".to_owned()).or_default() += count;
        }
    }

    /// All kinds together.
    pub(crate) fn total(&self) -> Row {
        let mut total = Row {
            counts: Counts::default(),
            latencies: latencies(3),
        };
        for row in &self.rows {
            total.counts.add(&row.counts);
            let _ = total.latencies.add(&row.latencies);
        }
        total
    }

    /// The longest time without a success, in milliseconds, and when it began.
    pub(crate) fn longest_gap(&self) -> (u64, u64) {
        let mut longest = (0, 0);
        let mut last = None;
        for ms in self.success.iter() {
            let gap = last.map_or(0, |last| ms - last);
            if gap > longest.0 {
                longest = (gap, ms - gap);
            }
            last = Some(ms);
        }
        longest
    }

    /// When the first error came, and how long after it a second without any error began, both in
    /// milliseconds. `None` without errors; no recovery when the run ended first.
    pub(crate) fn recovery(&self, length: Duration) -> Option<(u64, Option<u64>)> {
        let first = self.error.iter().next()?;
        let mut last = first;
        for ms in self.error.iter() {
            if ms - last > 1000 {
                break;
            }
            last = ms;
        }
        let calm = last + 1000 <= length.as_millis() as u64;
        let next = self.success.iter().find(|ms| *ms >= last).filter(|_| calm);
        Some((first, next.map(|next| next - first)))
    }
}

/// A set of milliseconds.
#[derive(Clone, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, ms: usize) {
        let word = ms.min(TIMELINE_MS) / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1024, 0);
        }
        self.0[word] |= 1 << (ms % 64);
    }

    fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let bits = |word: u64| (0..64u64).filter(move |bit| word >> bit & 1 == 1);
        self.0
            .iter()
            .enumerate()
            .flat_map(move |(index, word)| bits(*word).map(move |bit| index as u64 * 64 + bit))
    }
}

/// Where one thread enters what it sees.
pub(crate) struct Recorder {
    began: Instant,
    measured: Instant,
    recording: Recording,
    second: Second,
    /// Each operation by itself, if somebody wants to know.
    samples: Option<Vec<Sample>>,
}

impl Recorder {
    /// Operations that end before `measured` are left out of the totals. `sampled`: each is kept by
    /// itself too.
    pub(crate) fn new(began: Instant, measured: Instant, sampled: bool) -> Self {
        Self {
            began,
            measured,
            recording: Recording::new(),
            second: Second::new(0),
            samples: sampled.then(Vec::new),
        }
    }

    pub(crate) fn operation(
        &mut self,
        kind: Kind,
        outcome: &Outcome<'_>,
        due: Instant,
        now: Instant,
    ) {
        let latency = (now.saturating_duration_since(due).as_nanos() / 100) as u64;
        let good = matches!(outcome, Outcome::Value(_) | Outcome::Done(_));
        if let Some(samples) = &mut self.samples {
            samples.push(Sample {
                due,
                took: now.saturating_duration_since(due),
                outcome: outcome.into(),
                is_write: kind.is_write(),
            });
        }
        self.second.counts.note(outcome);
        if good {
            self.second.latencies.saturating_record(latency);
        }
        if now < self.measured {
            return;
        }
        let ms = self.since_measured(now);
        let row = &mut self.recording.rows[kind as usize];
        row.counts.note(outcome);
        if good {
            row.latencies.saturating_record(latency);
            self.recording.success.set(ms);
        } else {
            self.recording.error.set(ms);
        }
    }

    pub(crate) fn connection_error(&mut self, now: Instant) {
        self.second.connection_errors += 1;
        self.recording.connection_errors += 1;
        if now >= self.measured {
            let ms = self.since_measured(now);
            self.recording.error.set(ms);
        }
    }

    /// Counts an error by its words; long ones are cut.
    pub(crate) fn error_text(&mut self, text: &str) {
        let end = text
            .char_indices()
            .nth(MAX_TEXT)
            .map_or(text.len(), |(at, _)| at);
        self.recording.note_text(&text[..end], 1);
    }

    pub(crate) fn unsent(&mut self, requests: u64) {
        self.recording.unsent += requests;
    }

    /// Ends the current second and begins the one `now` lies in.
    pub(crate) fn take_second(&mut self, now: Instant) -> Second {
        std::mem::replace(&mut self.second, Second::new((now - self.began).as_secs()))
    }

    /// Takes what was kept of each operation.
    pub(crate) fn take_samples(&mut self) -> Vec<Sample> {
        self.samples.take().unwrap_or_default()
    }

    pub(crate) fn finish(self) -> (Recording, Second) {
        (self.recording, self.second)
    }

    fn since_measured(&self, now: Instant) -> usize {
        (now - self.measured).as_millis() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording with successes and errors at the given milliseconds.
    fn recorded(successes: &[u64], errors: &[u64]) -> Recording {
        let began = Instant::now();
        let mut recorder = Recorder::new(began, began, false);
        let at = |ms: &u64| began + Duration::from_millis(*ms);
        successes
            .iter()
            .for_each(|ms| recorder.operation(Kind::Get, &Outcome::Value(None), began, at(ms)));
        errors
            .iter()
            .for_each(|ms| recorder.operation(Kind::Get, &Outcome::Failed, began, at(ms)));
        recorder.finish().0
    }

    #[test]
    fn the_longest_gap_is_found_across_threads() {
        let mut all = recorded(&[0, 100, 400, 450], &[]);
        assert_eq!(all.longest_gap(), (300, 100));
        all.add(&recorded(&[250], &[]));
        assert_eq!(
            all.longest_gap(),
            (150, 100),
            "another thread succeeded meanwhile"
        );
    }

    #[test]
    fn recovery_is_the_first_success_after_which_a_second_is_calm() {
        let length = Duration::from_secs(10);
        assert_eq!(recorded(&[0, 5], &[]).recovery(length), None);
        let all = recorded(&[0, 900, 1500, 3000], &[1000, 1200, 1400]);
        assert_eq!(all.recovery(length), Some((1000, Some(500))));
        let never = recorded(&[0, 9_950], &[9_000, 9_900]);
        assert_eq!(never.recovery(length), Some((9_000, None)));
    }

    #[test]
    fn warm_up_is_left_out_and_kinds_are_kept_apart() {
        let began = Instant::now();
        let mut recorder = Recorder::new(began, began + Duration::from_secs(1), true);
        let at = |ms| began + Duration::from_millis(ms);
        recorder.operation(Kind::Get, &Outcome::Value(None), began, at(500));
        recorder.operation(Kind::Set, &Outcome::Done(true), at(1500), at(1502));
        recorder.operation(Kind::Set, &Outcome::Unknown, at(1500), at(1502));
        assert_eq!(
            recorder.take_samples().len(),
            3,
            "samples are of all operations"
        );
        let (recording, second) = recorder.finish();
        assert_eq!(recording.rows[Kind::Get as usize].counts, Counts::default());
        assert_eq!(
            recording.rows[Kind::Set as usize].counts,
            Counts {
                ok: 1,
                failed: 0,
                unknown: 1
            }
        );
        assert_eq!(
            recording.total().latencies.len(),
            1,
            "latencies are of successes"
        );
        assert!((19_900..=20_100).contains(&recording.total().latencies.max()));
        assert_eq!(second.counts.ok, 2);
    }
}

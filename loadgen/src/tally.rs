//! What verification found, shared by all threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;

use crate::{history::Verdict, stamp::KeySpace};

/// Wrong answers described in words; further ones are only counted.
const MAX_EXAMPLES: usize = 20;

/// Counters of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stale: AtomicU64,
    resurrected: AtomicU64,
    overtaken: AtomicU64,
    phantom: AtomicU64,
    corrupt: AtomicU64,
    examples: Mutex<Vec<String>>,
}

/// The findings of a run. Each count is of answers, except `lost`, which is of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Keys whose last acknowledged write could not be read back after the run.
    pub(crate) lost: u64,
    /// Destroyed or expired sessions seen again.
    pub(crate) resurrected: u64,
    /// Values with a wrong checksum, under a wrong key, or never written.
    pub(crate) corrupt: u64,
    /// Writes answered as failed and yet seen.
    pub(crate) phantom: u64,
    /// Unknown writes that took effect after a newer acknowledged one.
    pub(crate) overtaken: u64,
    /// Reads older than the newest write acknowledged before they began.
    pub(crate) stale: u64,
    /// Keys that read back right only at a second look after the run.
    pub(crate) late: u64,
    /// Keys and destroyed sessions read back after the run.
    pub(crate) read_back: u64,
    /// Keys that could not be read back because no read succeeded.
    pub(crate) unread: u64,
    /// The first wrong answers, in words.
    pub(crate) examples: Vec<String>,
}

impl Findings {
    /// Whether nothing was found that must never happen.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0
            && self.resurrected == 0
            && self.corrupt == 0
            && self.phantom == 0
            && self.unread == 0
    }
}

impl Tally {
    /// Counts a verdict on an answer given during the run.
    pub(crate) fn note(&self, verdict: Verdict, space: &KeySpace, key: u64, what: &str) {
        let counter = match verdict {
            Verdict::Fine => return,
            Verdict::Stale => &self.stale,
            Verdict::Resurrected => &self.resurrected,
            Verdict::Overtaken => &self.overtaken,
            Verdict::Phantom => &self.phantom,
            Verdict::Corrupt => &self.corrupt,
        };
        counter.fetch_add(1, Relaxed);
        self.example(|| format!("{verdict:?}: {} {what}", space.name(key)));
    }

    /// Keeps an example, as long as there is room.
    pub(crate) fn example(&self, describe: impl FnOnce() -> String) {
        let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        if examples.len() < MAX_EXAMPLES {
            examples.push(describe());
        }
    }

    /// The counts so far; those of the read-back are the caller's to fill in.
    pub(crate) fn findings(&self) -> Findings {
        Findings {
            resurrected: self.resurrected.load(Relaxed),
            corrupt: self.corrupt.load(Relaxed),
            phantom: self.phantom.load(Relaxed),
            overtaken: self.overtaken.load(Relaxed),
            stale: self.stale.load(Relaxed),
            examples: self
                .examples
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            ..Findings::default()
        }
    }
}

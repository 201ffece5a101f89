//! The trace of a run: a hash over everything that happened, and the text if somebody wants it.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use crate::history::Micros;

/// Takes down every event. Two runs with equal hashes went the same way.
pub struct Trace {
    hash: XxHash3_64,
    events: u64,
    text: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps its text, or only its hash.
    pub(crate) fn new(keep_text: bool) -> Self {
        Self {
            hash: XxHash3_64::new(),
            events: 0,
            text: keep_text.then(Vec::new),
        }
    }

    /// Something happened at a node. `bytes` goes into the hash; `text` is made only if wanted.
    pub(crate) fn event(
        &mut self,
        at: Micros,
        node: usize,
        what: u8,
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        self.events += 1;
        self.hash.write_u64(at);
        self.hash.write_u64(((node as u64) << 8) | u64::from(what));
        self.hash.write(bytes);
        if let Some(lines) = &mut self.text {
            lines.push(format!(
                "{:>9}.{:03} n{} {}",
                at / 1000,
                at % 1000,
                node + 1,
                text()
            ));
        }
    }

    /// The hash of all events so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The text since the last call; nothing if it is not kept.
    pub(crate) fn take_text(&mut self) -> Vec<String> {
        self.text.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

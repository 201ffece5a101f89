//! Finding the difference from the other side's symbols.

use std::collections::BTreeSet;

use super::{Encoder, SketchKey, Symbol};

/// The other side's symbols fit no set: it changed while it sent them, or makes them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{symbols} coded symbols do not belong together")]
pub struct Inconsistent {
    /// How many had come.
    pub symbols: usize,
}

/// How two sets differ, as ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Elements that only the other side has, ascending.
    pub theirs: Vec<u64>,
    /// Elements that only this side has, ascending.
    pub ours: Vec<u64>,
}

/// Takes in the other side's symbols, some at a time, until the difference is found.
///
/// Laws: fed with enough symbols of a set, it finds exactly the difference; it never says that it
/// has found one while a symbol speaks against it; whatever it is fed, it ends, with work and memory
/// in proportion to the symbols it was fed and this side's elements.
#[derive(Clone, Debug)]
pub struct Decoder {
    key: SketchKey,
    /// This side's ids, ascending.
    own: Vec<u64>,
    own_symbols: Encoder,
    /// What is left of the difference in each symbol.
    left: Vec<Symbol>,
    /// Elements found so far, which later symbols do not show any more.
    found: Encoder,
    theirs: BTreeSet<u64>,
    ours: BTreeSet<u64>,
}

impl Decoder {
    /// For the set with these ids, ascending.
    pub fn new(own: Vec<u64>, key: SketchKey) -> Self {
        debug_assert!(own.is_sorted());
        Self {
            own_symbols: Encoder::new(own.iter().copied(), &key),
            own,
            key,
            left: Vec::new(),
            found: Encoder::default(),
            theirs: BTreeSet::new(),
            ours: BTreeSet::new(),
        }
    }

    /// Takes in the symbols that follow those it has. `Some`: that was enough.
    pub fn add(&mut self, symbols: &[Symbol]) -> Result<Option<Difference>, Inconsistent> {
        let before = self.left.len();
        self.left.extend_from_slice(symbols);
        let own = self.own_symbols.symbols(self.left.len());
        for (left, own) in self.left.iter_mut().zip(own).skip(before) {
            left.toggle(own.ids, own.checks);
        }
        self.found.toggle_all(&mut self.left);
        self.peel((before..self.left.len()).collect())?;
        if self.left.is_empty() || self.left.iter().any(|symbol| !symbol.is_empty()) {
            return Ok(None);
        }
        Ok(Some(Difference {
            theirs: self.theirs.iter().copied().collect(),
            ours: self.ours.iter().copied().collect(),
        }))
    }

    /// How many symbols it has taken in.
    pub fn symbols(&self) -> usize {
        self.left.len()
    }

    /// How many elements this side has.
    pub fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Takes out what can be seen, beginning in these symbols. An element is found once: whoever
    /// shows it again sent symbols of no set. So the work is bounded by what has come.
    fn peel(&mut self, mut look_at: Vec<usize>) -> Result<(), Inconsistent> {
        let inconsistent = Inconsistent {
            symbols: self.left.len(),
        };
        while let Some(index) = look_at.pop() {
            let Some(id) = self.left[index].single(&self.key) else {
                continue;
            };
            let side = if self.own.binary_search(&id).is_ok() {
                &mut self.ours
            } else {
                &mut self.theirs
            };
            if !side.insert(id) || self.theirs.len() + self.ours.len() > self.left.len() {
                return Err(inconsistent);
            }
            let check = self.key.check(id);
            let mut touched = |index| look_at.push(index);
            self.found.push(id, check, &mut self.left, &mut touched);
        }
        Ok(())
    }
}

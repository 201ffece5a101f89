//! Coded symbols of a set, as many as are asked for.

use super::{SketchKey, Symbol, mapping::Mapping};

/// One element with where its walk stands.
#[derive(Clone, Copy, Debug)]
struct Element {
    id: u64,
    check: u64,
    mapping: Mapping,
}

/// The symbols of a growing list of elements: each element is in every symbol that it belongs to
/// and that has been made. 32 bytes for each element, 16 for each symbol.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    elements: Vec<Element>,
    symbols: Vec<Symbol>,
}

impl Encoder {
    /// Of these elements, without symbols yet.
    pub fn new(ids: impl Iterator<Item = u64>, key: &SketchKey) -> Self {
        let element = |id| Element {
            id,
            check: key.check(id),
            mapping: Mapping::new(id),
        };
        Self {
            elements: ids.map(element).collect(),
            symbols: Vec::new(),
        }
    }

    /// The first `count` symbols. Those made before are made no more.
    pub fn symbols(&mut self, count: usize) -> &[Symbol] {
        if count > self.symbols.len() {
            self.symbols.resize(count, Symbol::default());
            for element in &mut self.elements {
                element.toggle_in(&mut self.symbols, &mut |_| {});
            }
        }
        &self.symbols[..count]
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Toggles one element more in `symbols`, telling which it touched, and keeps it for symbols
    /// that come later.
    pub(super) fn push(
        &mut self,
        id: u64,
        check: u64,
        symbols: &mut [Symbol],
        touched: &mut dyn FnMut(usize),
    ) {
        let mut element = Element {
            id,
            check,
            mapping: Mapping::new(id),
        };
        element.toggle_in(symbols, touched);
        self.elements.push(element);
    }

    /// Toggles every element in what has been added to `symbols` since it was last called.
    pub(super) fn toggle_all(&mut self, symbols: &mut [Symbol]) {
        for element in &mut self.elements {
            element.toggle_in(symbols, &mut |_| {});
        }
    }
}

impl Element {
    /// Goes on from where it stands to the end of `symbols`.
    #[inline]
    fn toggle_in(&mut self, symbols: &mut [Symbol], touched: &mut dyn FnMut(usize)) {
        while let Some(symbol) = usize::try_from(self.mapping.index())
            .ok()
            .and_then(|index| symbols.get_mut(index))
        {
            symbol.toggle(self.id, self.check);
            touched(self.mapping.index() as usize);
            self.mapping.advance();
        }
    }
}

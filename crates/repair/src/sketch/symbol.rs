//! One coded symbol.

use super::SketchKey;

/// The exclusive or of some elements' ids, and that of their checks. Of no element: all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    /// Of the ids.
    pub ids: u64,
    /// Of the checks.
    pub checks: u64,
}

impl Symbol {
    /// Bytes of one symbol on the wire.
    pub const LEN: usize = 16;

    /// Puts an element in, or takes it out.
    #[inline]
    pub(super) fn toggle(&mut self, id: u64, check: u64) {
        self.ids ^= id;
        self.checks ^= check;
    }

    /// Whether nothing is left in it.
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The one element in it, if it is one.
    #[inline]
    pub(super) fn single(self, key: &SketchKey) -> Option<u64> {
        (!self.is_empty() && key.check(self.ids) == self.checks).then_some(self.ids)
    }
}

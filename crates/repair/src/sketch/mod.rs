//! Rateless set reconciliation: finding how two sets differ for bytes in proportion to the
//! *difference*, without knowing beforehand how large it is.
//!
//! After Yang, Gilad and Alizadeh, [Practical Rateless Set Reconciliation], SIGCOMM 2024. One side
//! sends *coded symbols*, an endless sequence of which each is the exclusive or of some elements.
//! Element `x` is part of symbol 0 and then of ever sparser ones: of symbol `i` with probability
//! `1 / (1 + i / 2)` ([`mapping`]). The other side makes the same symbols of its own set and takes
//! them away; what both have cancels out. A symbol in which one element alone is left shows it, and
//! taking that one out of its other symbols leaves more of them with one element. With about 1.35
//! symbols for each element of the difference (1.7 for a dozen, 2 or more for a few) all are found.
//!
//! What is ours:
//!
//! * An element is a 64-bit *id*: a keyed hash of a key's token and its record's digest
//!   ([`SketchKey`]). The hash is keyed with a secret of the cluster, so that no client can choose
//!   keys or values whose ids cancel out or collide.
//! * A symbol is 16 bytes: the sum of ids and the sum of their [checks](SketchKey::check). The
//!   paper's third part, a count, is left out. A symbol holds one element if the check of its sum
//!   is the sum of its checks; which side it belongs to is looked up in one's own set.
//! * Sets are kept nowhere. A sketch is made from a scan when it is asked for, so that writes cost
//!   nothing ([`crate::snapshot`]).
//!
//! The arithmetic of [`mapping`] is IEEE 754 multiplication, division and square root, which give
//! the same bits on every machine.
//!
//! [Practical Rateless Set Reconciliation]: https://doi.org/10.1145/3651890.3672219

mod sip;

mod key;
pub use key::{RollUp, SketchKey};

mod mapping;

mod symbol;
pub use symbol::Symbol;

mod encoder;
pub use encoder::Encoder;

mod decoder;
pub use decoder::{Decoder, Difference, Inconsistent};

#[cfg(test)]
mod tests;

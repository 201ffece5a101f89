//! Placement: which nodes hold which keys.
//!
//! A key hashes to a [`Token`]; the token's top bits name its [`Partition`]; a [`Ring`] says which
//! nodes hold each partition, in which order, and who stands in for whom. A ring is a pure function
//! of the membership [`Log`], a grow-only set of [`Event`]s, so that two nodes with the same events
//! have the same ring and concurrent changes merge by union.
//!
//! Nothing here does I/O, reads a clock or draws random numbers; all arithmetic is on integers.

mod token;
pub use token::{PARTITION_BITS, Partition, Token};

mod node_id;
pub use node_id::{NodeId, ParseNodeIdError};

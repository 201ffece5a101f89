//! Anti-entropy as a node lives it: the store as a [`Replica`](henge_repair::reconcile::Replica),
//! and the thread that drives the machine of `henge-repair`.
//!
//! Everything that scans, sketches and compares runs on one thread of its own, so that requests
//! never wait for it: data threads hand peers' questions over and bring the answers back, and lend
//! their links for this node's own questions. What the data threads have to tell (links, hints that
//! were given up) lies on a [`Board`] until that thread looks.

mod replica;
pub use replica::StoreReplica;

mod board;
pub(crate) use board::{Board, Question};

mod driver;
pub(crate) use driver::Driver;

//! Logout wins: one session, three replicas and a stand-in with hints, and everything that may bring a
//! destroyed session back, again and again.
//!
//! ```text
//! cargo run --profile quick -p henge-tests --bin logout -- --seeds 40000 --threads 2
//! ```
//! A user logs in at one node. At others a second tab changes and prolongs the session, and goes on
//! when the user has logged out at a third: before, at the same moment, afterwards. Meanwhile nodes
//! are cut off for up to longer than a session lives and clocks are off by up to the bound. The engines,
//! their hints, their read repair and their sweeping are the real ones, on the [simulator's](crate::sim)
//! network. A [`Policy`] is how tombstones are treated: [`Policy::Kept`] is ours, the others are mistakes
//! that stores make, and have to be seen to bring sessions back, or the run proves nothing.
//!
//! *Back* is: what was written at the login is seen by a read that began after the logout had been
//! acknowledged, or, where the quorums do not promise that, by a read after everything is mended.

mod policy;
mod run;
mod table;

pub use policy::{POLICIES, Policy, QUORUMS};
pub use run::{Resurrection, Told, play};
pub use table::{Row, rows};

//! How Henge is tried: one format for what happened, one checker for whether it was allowed, and a
//! simulator that makes a great deal happen.
//!
//! A run, simulated or real, is recorded as a [`history`]: what each client asked, when, and what it
//! was told. The [`checker`] judges a history against the promises of the design without knowing
//! anything of the code that produced it. Nothing here is used by a binary that is shipped.

pub mod history;
pub mod transcript;

pub mod checker;

pub mod exam;
pub mod fuzz;
pub mod gossip;
pub mod l2;
pub mod l3;
pub mod logout;
pub mod seeds;
pub mod sim;
pub mod transitions;

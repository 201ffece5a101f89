//! The second layer: real nodes, with tokio, tarpc, links, doors and stores, over the simulated
//! network of `turmoil`.
//!
//! Where the [simulator](crate::sim) calls engines by itself, here everything runs that runs in a
//! process: data threads (one per node, on the host's runtime), hellos, tarpc, reconnecting, the
//! Redis protocol, coming back after a loss. It is some ten times slower, and it is what finds
//! mistakes in the glue. A seed decides everything: [`Plan::draw`] makes of it what will happen, and
//! the same seed gives the same trace. Time is virtual: tokio's clock is paused, the nodes' clocks
//! are the simulation's, random bytes come from the seed.
//!
//! Left out: disks, TLS, more than one data thread, and loss of single segments, which a simulated
//! connection does not survive; a short partition stands for it.

mod client;
mod host;
mod network;
mod plan;
mod resp;
mod run;

pub use plan::{Fault, FaultKind, Plan};
pub use run::{Verdict, run};

//! The simulator: real engines over real stores, with simulated time, network, crashes and clients.
//!
//! Everything is decided by a seed. [`Plan::draw`] makes of it what will happen, and prints it;
//! [`run()`] plays it against five nodes and judges the history that comes out. The same seed gives
//! the same trace, event by event, in any process and on any machine: nothing here reads a clock,
//! starts a thread or draws a number of its own.
//!
//! What is real: the engine with everything under it (coordinator, hints, versioning, ring) and the
//! in-memory store. What is not: tarpc, sockets, tokio and disks, which have tests of their own.
//! The network is worse than the real one ([`Weather`]), and links tell the engine what real links
//! would ([`World`]). A store survives its process, as on a disk that syncs; hints do not.

mod ask;
mod clients;
mod clock;
mod describe;
mod invariants;
mod lineage;
mod marks;
mod network;
mod node;
mod plan;
mod planted;
mod principals;
mod queue;
mod rng;
mod run;
mod scenario;
mod sessions;
mod strike;
mod trace;
mod watched;
mod world;
mod wrapped;

pub use ask::{Ask, START_MS, What};
pub(crate) use clients::{Client, Seen, Shared, Step};
pub use marks::{Mark, Marks};
pub use network::Weather;
pub use node::Convergence;
pub use plan::{Change, Fault, FaultKind, Plan, SECOND, Workload};
pub use planted::Planted;
pub use principals::OwnStep;
pub use rng::Rng;
pub use run::{QUIET, Verdict, register_loss, run};
pub use scenario::{ScenarioError, play};
pub(crate) use trace::Trace;
pub use world::{Notice, Setting, World};

//! Which nodes are up: what all nodes agree on, and what this node's own links show; and whose wall
//! clock is wrong.
//!
//! [`Swim`] is failure detection among all nodes: each probes a random other one every second, asks
//! others to probe what does not answer, and spreads what it finds on the messages it sends anyway.
//! [`Peers`] is what *this* node's links report (up, down, a reply after so many microseconds, an
//! error), made into what the coordinator needs to choose replicas. The two answer different
//! questions: a link between two nodes may be broken while everybody else reaches both, and then
//! `Swim` rightly says that both are up. Whoever chooses a replica needs its own link first.
//!
//! [`ClockGuard`] tells a node when to stop stamping because its clock is not what the others' are.
//!
//! **Architecture invariants.** Nothing here does I/O, reads a clock or draws random numbers of its
//! own. Both steer routing and hints; neither ever edits the ring's event log: a node that is down
//! is still a member, and only an operator's event makes it leave, or the policy that the operator set
//! ([`Eviction`]).

mod swim;
pub use swim::{Effect, MAX_FRAME, Swim, SwimError, SwimPolicy};

mod health;
pub use health::{Health, HealthPolicy, PeerStatus, Peers};

mod latency;
pub use latency::Latency;

mod eviction;
pub use eviction::{Eviction, LONGEST_PAUSE_MS, SHORTEST_EVICTION_MS, Sight};

mod clock_guard;
pub use clock_guard::{
    AGAIN_ANNOUNCED_MS, ClockGuard, FIRST_ANNOUNCED_MS, FORGET_MS, PeerOffset, Reading, Standing,
};

//! How this node's own links to its peers are doing.
//!
//! [`Peers`] turns what the links report (up, down, a reply after so many microseconds, an error)
//! into what the coordinator needs to choose replicas: who can be reached, who answers quickest,
//! how long a peer usually takes. It is what *this* node sees and nothing more: two nodes may hold
//! different views of a third, and both are right about their own links.
//!
//! **Architecture invariants.** Nothing here does I/O, reads a clock or draws random numbers.
//! Health steers routing and hints; it never edits the ring's event log: a node that is down is
//! still a member, and only an operator's event makes it leave.
//!
//! What was left out: dissemination. Gossip (who else thinks that a peer is down) joins this crate
//! later; until then a node learns of a peer's failure from its own link to it, within the link's
//! heartbeat time-out.

mod health;
pub use health::{Health, HealthPolicy, PeerStatus, Peers};

mod latency;
pub use latency::Latency;

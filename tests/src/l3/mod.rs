//! Real nodes on real machines, as near as one computer comes to it: `henge serve` processes, each in a
//! network namespace of its own, that are killed, stopped and cut off from each other while the load
//! of `loadgen` runs and keeps account of everything it was promised.
//!
//! A *trial* founds a cluster of five on a [`Lab`], starts the load, looks on for a while, strikes
//! ([`Strike`]), mends, waits until all replicas of all keys are equal again, reads everything back
//! and tells what it saw as a [`Row`]. Who is struck is drawn from a seed ([`Plan`]); what happens
//! then is the machine's doing and does not repeat. Faults need root and what [`Abilities`] probes for;
//! a fault that cannot be made here is *not run*, which is said and fails the whole unless allowed.
//!
//! Left out: disks, since data is in memory; clocks without libfaketime.

mod shell;

mod lab;
pub use lab::Lab;

mod probe;
pub use probe::{Abilities, Need};

mod filter;
pub use filter::Filter;

mod hold;
pub use hold::hold_packets;

pub mod http;

mod server;

mod cluster;
pub use cluster::{Cluster, Setup};

mod herd;

mod filler;

mod fault;
pub use fault::{Blow, Fault};

mod plan;
pub use plan::Plan;

mod strike;
pub use strike::Strike;

mod replicas;
pub use replicas::{Comparison, Share, compare, held_by, missed_by};

mod phases;
pub use phases::{Figures, GRACE, Latency, Timeline, diary};

mod pulse;
pub use pulse::Pulse;

mod options;
pub use options::{Checked, Options, Scenario};

mod trial;
pub use trial::{Row, Trial};

mod criteria;
pub use criteria::{Criteria, Stage};

mod growth;
pub use growth::growth;

mod away;
pub use away::away;

mod expiry;
pub use expiry::expiry;

mod staleness;

mod hedging;

mod tails;
pub use tails::tails;

mod scale;
pub use scale::scale;

mod table;
pub use table::table;

mod run;
pub use run::{Ending, run};

/// Members of the cluster that a trial founds.
pub const MEMBERS: u8 = 5;

/// Machines of a lab at most, numbered from 1.
pub const MOST_MACHINES: u8 = 9;

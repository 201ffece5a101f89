//! Anti-entropy between replicas in memory: that they become equal, and what it costs.

mod copy;
mod cost;
mod expiry;
mod malformed;
mod pair;
mod sessions;
mod snapshots;
mod whole;

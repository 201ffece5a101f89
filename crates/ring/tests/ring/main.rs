//! Placement from outside: what any user of the crate may rely on.

mod assignment;
mod balance;
mod buckets;
mod fold;
mod golden;
mod impact;
mod log;
mod preference;
mod topology;
mod views;

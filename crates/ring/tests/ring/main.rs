//! Placement from outside: what any user of the crate may rely on.

mod assignment;
mod balance;
mod fold;
mod golden;
mod log;
mod preference;
mod topology;
mod views;

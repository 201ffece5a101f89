//! Real processes on this machine: `henge serve`, killed and started again, joined and left, seen
//! only through their doors and the operator's commands.

mod buckets;
mod changes;
mod doors;
mod elastic;
mod failures;
mod large;
mod load;
mod lost_nodes;
mod nodes;
mod operating;
mod principals;
mod programs;
mod wrong_doors;

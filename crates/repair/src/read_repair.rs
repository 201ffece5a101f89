//! Read repair: who gets the merged record after a read found a difference.
//!
//! Free anti-entropy for what is in use: replicas that were read anyway are put right. Three rules
//! keep it from doing harm:
//!
//! * only a *primary* is repaired. A fallback keeps what it was handed for another node until that
//!   node has it; giving it more would leave records where no reader and no sweep looks for them;
//! * a record past its *horizon* is not sent to anybody: no copy of it anywhere can be visible any
//!   more, and each replica drops its own in time. A million expiries cause no repair traffic. (An
//!   expired record before its horizon is sent: a replica that holds an older one, with a later
//!   deadline, would still show it.)
//! * only what a replica *said* counts. A silent one may hold anything; if it missed a write, a
//!   hint says so.

use smallvec::SmallVec;

/// What one replica said in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The node, by its number in the layout.
    pub node: u16,
    /// Whether it answered as a primary of the key.
    pub primary: bool,
    /// The digest of the record it holds; `None` if it holds none.
    pub held: Option<u64>,
}

/// The join of all records that a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its digest.
    pub digest: u64,
    /// When no copy of it can be visible any more, in milliseconds since 1970; `u64::MAX` if never.
    pub horizon_ms: u64,
}

/// The nodes that are owed the merged record, in the order they are given. `wall_ms` is this node's
/// wall clock, `skew_ms` how far it may be wrong: a horizon within it has not passed for certain.
///
/// Laws: no node that holds exactly the merged record is named, so a second read after the repair
/// names nobody; a node is named at most as often as it is given.
pub fn read_repair(
    answered: &[Answered],
    merged: &Merged,
    wall_ms: u64,
    skew_ms: u64,
) -> SmallVec<[u16; 4]> {
    if merged.horizon_ms.saturating_add(skew_ms) < wall_ms {
        return SmallVec::new();
    }
    let behind = |replica: &&Answered| replica.primary && replica.held != Some(merged.digest);
    answered
        .iter()
        .filter(behind)
        .map(|replica| replica.node)
        .collect()
}

#[cfg(test)]
mod tests;

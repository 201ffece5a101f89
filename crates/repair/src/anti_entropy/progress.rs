//! What anti-entropy tells of itself.

use henge_ring::NodeId;

/// How far it has come with one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    /// The peer.
    pub peer: NodeId,
    /// Whether it can be reached.
    pub is_up: bool,
    /// Partitions that the round under way has still to look at; 0 between rounds.
    pub left: u64,
    /// How long ago the last round began in which nothing failed, in milliseconds.
    pub round_age_ms: Option<u64>,
    /// When the next round begins, in milliseconds from now.
    pub next_in_ms: u64,
}

macro_rules! totals {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What it has done since the node's start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Totals {
            /// Adds what another node, or an earlier process, has done.
            pub fn add(&mut self, more: &Self) {
                $(self.$name += more.$name;)*
            }

            /// Every count by name, with what it counts.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),*), self.$name),)*].into_iter()
            }
        }
    };
}

totals! {
    /// Rounds with a peer that have ended.
    rounds,
    /// Roll-ups of partitions compared.
    partitions_compared,
    /// Partitions reconciled record by record.
    sessions,
    /// Exchanges that came to nothing; the next round repeats them.
    aborted,
    /// Records compared one by one.
    keys_compared,
    /// Coded symbols received.
    symbols,
    /// Records that were missing here or older, and came from a peer.
    repaired,
    /// Records sent to a peer that lacked them.
    pushed,
    /// Records that could not be kept, here or at a peer.
    refused,
    /// Bytes of questions and answers received.
    bytes_in,
    /// Bytes of questions and answers sent.
    bytes_out,
}

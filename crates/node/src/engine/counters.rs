//! What the engine counts, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with one writer: a plain add, no locked instruction.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(super) fn add(&self, more: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(more),
            Ordering::Relaxed,
        );
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counters of one engine. All grow only.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: Count,)*
        }

        impl Counters {
            /// Every counter by name, with what it counts.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),*), self.$name.get()),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Reads coordinated.
    reads,
    /// Writes coordinated.
    writes,
    /// Requests passed on to a node that holds the key.
    forwards,
    /// Requests answered as failed.
    failed,
    /// Writes answered as unknown.
    unknown,
    /// Requests refused because too many were in flight.
    busy,
    /// Writes to dead sessions, taken and without effect.
    absorbed,
    /// Reads that found replicas to differ.
    divergent_reads,
    /// Records sent to replicas that had less.
    read_repairs,
    /// Reads that asked one replica more than they needed.
    hedged_reads,
    /// Reads with a bound on staleness that this node answered alone, R replicas having answered one
    /// within the bound.
    bounded_reads,
    /// Touches that an acknowledged one before them covered, but for the slack.
    covered_touches,
    /// Reads whose R replicas did not hold what their client had seen.
    older_reads,
    /// Probes: reads beside which all replicas were asked what they hold.
    probes,
    /// Probes that found a replica without the newest version.
    probes_behind,
    /// Probes that some replica did not answer.
    probes_unanswered,
    /// Messages to peers.
    messages_sent,
    /// Batches to peers not sent, because too much waited for the same peer already.
    batches_dropped,
    /// Messages of peers handled as a replica.
    messages_handled,
    /// Messages of peers that could not be understood.
    bad_messages,
    /// Writes refused as a replica: stamped too far ahead of this node's clock.
    skew_refused,
    /// Writes refused because memory was full.
    full_refused,
    /// Writes not kept as a replica: it had a later life of the session.
    overruled,
    /// Messages of peers refused because their sender or this node did not know of a change of the
    /// ring.
    stale_refused,
    /// Operations that were counted anew because the ring had changed.
    restarts,
    /// Hints stored for replicas that missed a write.
    hints_stored,
    /// Hints delivered and acknowledged.
    hints_delivered,
    /// Hints given up because there were too many.
    hints_dropped,
}

//! What links count, readable from any thread.
//!
//! One [`LinkStats`] belongs to one data thread (or acceptor), which alone adds to it; the metrics
//! page reads it from another thread. Relaxed atomics: every number is exact, but two numbers read
//! together may be a moment apart.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Everything counted about a thread's links. Names are those of the metrics page.
        #[derive(Debug, Default)]
        pub struct LinkStats {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        impl LinkStats {
            /// All counters under their names, in the order of declaration.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)+]
            }
        }
    };
}

counters! {
    /// Frames received.
    frames_in,
    /// Frames put into output buffers.
    frames_out,
    /// Bytes received after hellos.
    bytes_in,
    /// Bytes written after hellos.
    bytes_out,
    /// Write calls on sockets; `frames_out / writes` tells how well frames share a call.
    writes,
    /// Batches applied for peers.
    batches_in,
    /// Batches accepted for sending.
    batches_out,
    /// Batches whose call failed, timed out, or whose link went down.
    batches_lost,
    /// Batches not accepted for sending: too much in flight, too large, or link down.
    batches_unsent,
    /// Messages received. Counted by the owner, who alone looks into batches.
    messages_in,
    /// Messages sent, as given to `Link::try_send`.
    messages_out,
    /// Requests of peers answered with "throttled".
    requests_throttled,
    /// Requests whose deadline was beyond the cap and was cut.
    deadlines_clamped,
    /// Frames refused for their announced or encoded size.
    frames_oversized,
    /// Links closed because a frame could not be decoded.
    frames_malformed,
    /// Panics caught in handlers and link tasks. Anything but 0 is a bug.
    panics,
    /// Hellos that succeeded.
    hellos_accepted,
    /// Hellos refused: not a Henge hello, truncated, or over its size.
    hellos_malformed,
    /// Hellos refused: another wire number.
    hellos_other_wire,
    /// Hellos refused: another cluster.
    hellos_other_cluster,
    /// Hellos refused: the key was not proven (by either side).
    hellos_bad_key,
    /// Hellos refused: a node other than the one expected.
    hellos_other_node,
    /// Hellos refused: we dialled ourselves.
    hellos_self,
    /// Hellos refused: not finished in time, or crowded out by newer ones.
    hellos_slow,
    /// Connections refused after their hello: too many from one peer.
    connections_crowded,
    /// Links that came up.
    links_up,
    /// Links that went down.
    links_down,
    /// Attempts to dial that followed the loss of a link or a failed attempt.
    reconnects,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_names_every_counter_once() {
        let stats = LinkStats::default();
        stats.writes.add(3);
        stats.reconnects.increment();
        let snapshot = stats.snapshot();
        let mut names: Vec<_> = snapshot.iter().map(|(name, _)| *name).collect();
        assert!(snapshot.contains(&("writes", 3)) && snapshot.contains(&("reconnects", 1)));
        assert_eq!(snapshot.iter().map(|(_, n)| n).sum::<u64>(), 4);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), snapshot.len());
    }
}

//! The sweeper: takes expired records and old tombstones out of the store.
//!
//! No timer per key: a thread of its own visits the partitions one after the other, all of them
//! once a minute. A record goes only when nothing that it must still overrule can be live anywhere:
//! its horizon, plus four times the clock skew, plus the longest a message can be under way
//! (expiry itself is checked by every read, so a record that lingers is never seen). While this node's
//! clock is in doubt nothing goes.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use henge_coordinator::MAX_DEADLINE_MS;
use henge_ring::Partition;
use henge_versioning::GRACE_MS;
use tokio::sync::watch;

use crate::{StartError, shared::Shared};

/// One round over all partitions.
const ROUND: Duration = Duration::from_secs(60);

/// What a record's horizon must lie behind.
pub(crate) fn margin_ms(max_skew_ms: u64) -> u64 {
    4 * max_skew_ms + u64::from(MAX_DEADLINE_MS)
}

/// Starts the sweeper.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("henge-sweep".to_owned())
        .spawn(move || {
            let partitions = 1u32 << shared.store.partition_bits();
            for partition in (0..partitions).cycle() {
                if *stopped.borrow() || stopped.has_changed().is_err() {
                    return;
                }
                std::thread::sleep(ROUND / partitions);
                if !shared.clocks.may_forget() {
                    continue;
                }
                let now = shared.clocks.now().wall_ms;
                let before = now.saturating_sub(margin_ms(shared.config.max_skew_ms));
                let partition = Partition(partition as u16);
                let swept = shared.store.sweep(partition, before, GRACE_MS);
                if swept.siblings > 0 {
                    let forgotten = &shared.forgotten_siblings;
                    forgotten.fetch_add(swept.siblings, Ordering::Relaxed);
                }
                if swept.records > 0 {
                    tracing::debug!(
                        partition = partition.0,
                        records = swept.records,
                        bytes = swept.bytes,
                        "swept"
                    );
                }
            }
        })
        .map_err(|error| StartError::Thread(error.to_string()))
}

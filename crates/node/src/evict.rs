//! Drives eviction, where an operator wants it (`--evict-after`): looks every second, and lets go of whom
//! [`Eviction`] names as `henge leave` would.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use henge_membership::{Eviction, Sight};
use henge_ring::NodeId;

use crate::{Change, Handle, shared::Shared};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until the thread ends.
pub(crate) async fn run(shared: Arc<Shared>, handle: Handle, after_ms: u64) {
    let mut eviction = Eviction::new(shared.info.id, after_ms);
    let mut said = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let now_ms = shared.clocks.now().mono_ms;
        let replicas = shared.ring().n();
        let Some((node, since_ms)) = eviction.look(&sights(&shared), replicas, now_ms) else {
            continue;
        };
        let down_s = now_ms.saturating_sub(since_ms) / 1_000;
        match handle.change(&Change::Leave(node), handle.replica_bytes(), true) {
            Ok(plan) => {
                shared.evictions.fetch_add(1, Ordering::Relaxed);
                let moves = plan.impact.moved;
                tracing::warn!(node = %node.short(), down_s, moves, "let go of a member that is down");
            }
            // It is tried again at every look, and said once.
            Err(refused) if said != Some(node) => {
                said = Some(node);
                tracing::warn!(node = %node.short(), down_s, %refused, "a member that is down stays");
            }
            Err(_) => {}
        }
    }
}

/// How this node sees each member: by its own links, and by what the cluster says.
fn sights(shared: &Shared) -> BTreeMap<NodeId, Sight> {
    let (ring, peers) = (shared.ring(), shared.peers());
    let members = ring.members().iter().map(|member| {
        let peer = peers.iter().find(|peer| peer.id == member.id);
        let sight = match peer.map(|peer| (peer.up, peer.declared_down)) {
            _ if member.id == shared.info.id => Sight::Up,
            Some((true, false)) => Sight::Up,
            Some((false, true)) => Sight::Down,
            _ => Sight::Doubtful,
        };
        (member.id, sight)
    });
    members.collect()
}

//! Scans and explanations, as a data thread carries them out.

use futures::future::join_all;
use henge_ring::NodeId;

use crate::{
    Failure, ReplicaView, ScanPage, Shortage,
    scan::{self, Look},
    shard::Shard,
};

impl Shard {
    pub(crate) async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, Failure> {
        if let Some(why) = self.shared().unready() {
            return Err(Failure::NotReady(why));
        }
        let ring = self.shared().ring();
        let from = scan::token_of(cursor);
        let r = usize::from(self.shared().config.defaults.r).min(ring.replicas_per_partition());
        let own = self.shared().info.id;
        let short = |got: usize, why| Failure::Failed {
            needed: r as u8,
            got: got as u8,
            why,
        };
        let transition = &self.shared().transition;
        let moving = |partition| transition.oldest_set(partition);
        let up = |id: &NodeId| *id == own || self.link(id).is_some();
        let asked = scan::plan(&ring, from, r, moving, up)
            .map_err(|got| short(got, Shortage::Unreachable))?;
        let limit = count.clamp(1, scan::MOST_KEYS) as u32;
        let looks = asked.into_iter().map(|(node, partitions)| async move {
            self.look(
                node,
                &Look::Page {
                    from,
                    partitions,
                    limit,
                    whole: false,
                },
            )
            .await
        });
        let pages = join_all(looks)
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>();
        let pages = pages.map_err(|_| short(r - 1, Shortage::Silent))?;
        let (keys, next) = scan::join(pages, self.now().wall_ms);
        Ok(ScanPage {
            next: scan::cursor_of(next),
            keys,
        })
    }

    pub(crate) async fn explain(&self, key: &[u8]) -> Vec<ReplicaView> {
        let ring = self.shared().ring();
        let partition = ring.partition_of(henge_ring::Token::of(key));
        let replicas = ring
            .primaries(partition)
            .iter()
            .map(|&index| ring.member(index).id);
        let look = &Look::Key(serde_bytes::ByteBuf::from(key));
        let views = replicas.enumerate().map(|(place, node)| async move {
            let seen = self.look(node, look).await;
            let record =
                seen.map(|seen| seen.entries.into_iter().next().map(|(_, r)| r.into_vec()));
            ReplicaView {
                node,
                place,
                record,
            }
        });
        join_all(views).await
    }
}

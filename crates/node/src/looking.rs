//! Scans and explanations, as a data thread carries them out.

use futures::future::join_all;
use henge_ring::NodeId;

use crate::{
    Failure, ReplicaView, ScanPage, Shortage,
    scan::{self, Look},
    shard::Shard,
};

impl Shard {
    /// A page of `count` live keys; of fewer only at the end, or where [`scan::LOOKS`] looks in a row
    /// found little but what has ended.
    pub(crate) async fn scan(&self, cursor: u64, count: usize) -> Result<ScanPage, Failure> {
        if let Some(why) = self.shared().unready() {
            return Err(Failure::NotReady(why));
        }
        let wanted = count.clamp(1, scan::MOST_KEYS);
        let (mut limit, mut keys) = (wanted, Vec::new());
        let mut next = Some(scan::token_of(cursor));
        for _ in 0..scan::LOOKS {
            let Some(from) = next else { break };
            if keys.len() >= wanted {
                break;
            }
            let (more, after) = self.scan_from(from, limit).await?;
            keys.extend(more);
            next = after;
            // Mostly what has ended here: look at more at once.
            limit = (limit * 8).min(scan::MOST_KEYS);
        }
        let next = scan::cut(&mut keys, wanted).or(next);
        Ok(ScanPage {
            next: scan::cursor_of(next),
            keys,
        })
    }

    /// Looks at about `limit` records from this token on: the live keys, and where to go on. Where a
    /// replica falls silent another is asked in its place.
    async fn scan_from(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<(scan::LiveKeys, Option<u64>), Failure> {
        let ring = self.shared().ring();
        let r = usize::from(self.shared().config.defaults.r).min(ring.replicas_per_partition());
        let short = |got: usize, why| Failure::Failed {
            needed: r as u8,
            got: got as u8,
            why,
        };
        let own = self.shared().info.id;
        let transition = &self.shared().transition;
        let mut silent: Vec<NodeId> = Vec::new();
        for _ in 0..scan::ATTEMPTS {
            let moving = |partition| transition.oldest_set(partition);
            let up = |id: &NodeId| *id == own || (self.link(id).is_some() && !silent.contains(id));
            let asked = scan::plan(&ring, from, r, moving, up).map_err(|got| {
                let silent = !silent.is_empty();
                short(
                    got,
                    if silent {
                        Shortage::Silent
                    } else {
                        Shortage::Unreachable
                    },
                )
            })?;
            let looks = asked.into_iter().map(|(node, partitions)| async move {
                let look = Look::Page {
                    from,
                    partitions,
                    limit: limit as u32,
                    whole: false,
                };
                self.look(node, &look).await.map_err(|_| node)
            });
            let (mut pages, before) = (Vec::new(), silent.len());
            for answer in join_all(looks).await {
                match answer {
                    Ok(page) => pages.push(page),
                    Err(node) => silent.push(node),
                }
            }
            if silent.len() == before {
                return Ok(scan::join(pages, self.now().wall_ms));
            }
        }
        Err(short(r - 1, Shortage::Silent))
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

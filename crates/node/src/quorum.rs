//! What every choice of R and W costs and risks here: measured, modelled, and checked by probes.
//!
//! Data threads measure (`engine/sampling.rs`, `engine/probing.rs`), the model of
//! `henge-coordinator` computes, and this puts the two side by side. All of it is this node's view:
//! requests that come in here, and its own links.

use std::collections::BTreeMap;

use henge_coordinator::{
    Cluster, Compared, Defaults, Distribution, Gather, Histogram, PeerLegs, Prediction, ReplicaSet,
    Trip,
};
use henge_ring::{NodeId, Ring};

use crate::{Measured, PeerInfo};

/// Trials of a run: shares come out to within one in two hundred, and in steps of one in 10,000.
const TRIALS: usize = 10_000;

/// The same measurements give the same figures.
const SEED: u64 = 0x68656e6765;

/// How long after an acknowledgement, and from which age of a version on, staleness is told, in
/// microseconds.
pub const STALE_AFTER_US: [u64; 5] = [0, 1_000, 5_000, 10_000, 50_000];

/// What this node can say of each R and W.
#[derive(Clone, Debug)]
pub struct QuorumReport {
    /// This node.
    pub node: NodeId,
    /// Replicas of a key, in this cluster.
    pub n: u8,
    /// What requests get that ask for nothing.
    pub defaults: Defaults,
    /// Share of reads that are probed.
    pub probe_share: f64,
    /// Probes that the observed figures rest on.
    pub probes: u64,
    /// Why there are no predicted figures, if there are none.
    pub unmodelled: Option<String>,
    /// The nodes that hold replicas with this one.
    pub peers: Vec<PeerReport>,
    /// Each R and W from 1 to N.
    pub choices: Vec<Choice>,
}

/// Round trips to one peer.
#[derive(Clone, Debug)]
pub struct PeerReport {
    /// The peer.
    pub node: NodeId,
    /// Whether it can be reached.
    pub up: bool,
    /// Whether it is read from only if there are no better ones.
    pub is_asked_last: bool,
    /// Of reads.
    pub reads: Measurement,
    /// Of writes.
    pub writes: Measurement,
}

/// Quantiles of what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// How many samples.
    pub samples: u64,
    /// Their median, in microseconds.
    pub p50_us: u32,
    /// What 99 of 100 do not exceed, in microseconds.
    pub p99_us: u32,
}

/// One R and W.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Replicas that answer a read.
    pub r: u8,
    /// Replicas that keep a write.
    pub w: u8,
    /// How long replicas let a read at this node wait.
    pub read: Option<Latency>,
    /// How long they let a write wait.
    pub write: Option<Latency>,
    /// For each of [`STALE_AFTER_US`].
    pub stale: Vec<Staleness>,
    /// Whether reads go on.
    pub reads: Availability,
    /// Whether writes go on.
    pub writes: Availability,
}

/// Predicted quantiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The median, in microseconds.
    pub p50_us: u64,
    /// What 99 of 100 do not exceed, in microseconds.
    pub p99_us: u64,
}

/// How many reads miss a write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staleness {
    /// A time, in microseconds.
    pub after_us: u64,
    /// Their share, of those that begin exactly that time after the write's acknowledgement.
    pub predicted: Option<f64>,
    /// What probes have observed of versions that were stamped that time ago, or longer until the
    /// next time that is told; and what is predicted for the same probes.
    pub probed: Option<Compared>,
}

/// What becomes of a quorum when nodes are away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Availability {
    /// How many owners of a key may be down, strict.
    pub may_be_down: u8,
    /// In which share of the partitions enough owners can be reached now: what strict needs.
    pub strict: f64,
    /// Whether enough nodes of any kind can be reached: what sloppy needs.
    pub sloppy: bool,
}

impl Choice {
    /// Whether, strict, a read sees every write that was acknowledged before it began.
    pub fn overlaps(&self, n: u8) -> bool {
        self.r + self.w > n
    }

    /// Whether, strict, reads never go back in time.
    pub fn is_monotonic(&self, n: u8) -> bool {
        2 * self.r > n
    }
}

/// What stands fast about a node while it is reported on.
pub(crate) struct About<'a> {
    pub(crate) node: NodeId,
    pub(crate) ring: &'a Ring,
    pub(crate) links: &'a [PeerInfo],
    pub(crate) defaults: Defaults,
    pub(crate) probe_share: f64,
}

/// Runs the model. Takes some 10 ms: not on a data thread.
pub(crate) fn report(about: &About<'_>, measured: &Measured) -> QuorumReport {
    let n = about.ring.replicas_per_partition() as u8;
    let prediction = predict(about, measured);
    let (prediction, unmodelled) = match prediction {
        Ok(prediction) => (Some(prediction), None),
        Err(why) => (None, Some(why)),
    };
    let live = live_owners(about);
    let choices = (1..=n).flat_map(|r| (1..=n).map(move |w| (r, w)));
    let choices = choices.map(|(r, w)| Choice {
        r,
        w,
        read: prediction.as_ref().map(|it| Latency {
            p50_us: it.read_us(r, 500),
            p99_us: it.read_us(r, 990),
        }),
        write: prediction.as_ref().map(|it| Latency {
            p50_us: it.write_us(w, 500),
            p99_us: it.write_us(w, 990),
        }),
        stale: stale(prediction.as_ref(), measured, (r, w)),
        reads: availability(about, &live, n, r),
        writes: availability(about, &live, n, w),
    });
    QuorumReport {
        node: about.node,
        n,
        defaults: about.defaults,
        probe_share: about.probe_share,
        probes: measured.probes.total(),
        unmodelled,
        peers: peers(about, measured),
        choices: choices.collect(),
    }
}

fn stale(prediction: Option<&Prediction>, measured: &Measured, (r, w): (u8, u8)) -> Vec<Staleness> {
    let until = STALE_AFTER_US.iter().skip(1).copied().chain([u64::MAX]);
    let ranges = STALE_AFTER_US.into_iter().zip(until);
    ranges
        .map(|(from, to)| Staleness {
            after_us: from,
            predicted: prediction.map(|it| it.stale_after(r, w, from)),
            probed: prediction.map(|it| measured.probes.compare(it, (r, w), (from, to))),
        })
        .collect()
}

/// The replica sets that this node is in, without itself, and how many partitions have each.
fn sets(about: &About<'_>) -> BTreeMap<Vec<NodeId>, u32> {
    let mut sets = BTreeMap::new();
    for partition in about.ring.partitions() {
        let owners = about.ring.primaries(partition).iter();
        let mut owners: Vec<_> = owners.map(|at| about.ring.member(*at).id).collect();
        if owners.contains(&about.node) {
            owners.retain(|owner| *owner != about.node);
            owners.sort_unstable();
            *sets.entry(owners).or_default() += 1;
        }
    }
    sets
}

pub(crate) fn predict(about: &About<'_>, measured: &Measured) -> Result<Prediction, String> {
    let sets = sets(about);
    let mut ids: Vec<NodeId> = sets.keys().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let legs = ids.iter().map(|id| legs(*id, measured));
    let peers: Option<Vec<PeerLegs>> = legs.collect();
    let Some(peers) = peers else {
        return Err("no peer has answered a request that was measured, lately".to_owned());
    };
    let sets = sets.iter().map(|(others, weight)| ReplicaSet {
        others: others
            .iter()
            .filter_map(|id| ids.binary_search(id).ok())
            .collect(),
        weight: *weight,
    });
    let cluster = Cluster {
        peers,
        sets: sets.collect(),
    };
    let predicted = cluster.predict(TRIALS, split_mix(SEED));
    predicted.map_err(|error| error.to_string())
}

/// A peer's legs. One of which only reads were measured, or only writes, is taken to be as quick at
/// the other; one of which nothing was, to be like the others.
fn legs(id: NodeId, measured: &Measured) -> Option<PeerLegs> {
    let own = measured.peers.get(&id);
    let all = |of: fn(&crate::PeerMeasured) -> &Histogram| {
        let mut all = Histogram::default();
        measured
            .peers
            .values()
            .for_each(|peer| all.gather(of(peer)));
        Distribution::of(&all)
    };
    let reads = || own.and_then(|it| Distribution::of(&it.reads));
    let writes = || own.and_then(|it| Distribution::of(&it.writes));
    let (all_reads, all_writes) = (|| all(|it| &it.reads), || all(|it| &it.writes));
    let read = reads()
        .or_else(writes)
        .or_else(all_reads)
        .or_else(all_writes)?;
    let write = writes()
        .or_else(reads)
        .or_else(all_writes)
        .or_else(all_reads)?;
    Some(PeerLegs {
        write: Trip::Halved(write),
        read: Trip::Halved(read),
        level: own.map_or(0, |it| it.level),
    })
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn split_mix(seed: u64) -> impl FnMut() -> u64 {
    let mut at = seed;
    move || {
        at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (at ^ (at >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn is_up(about: &About<'_>, id: NodeId) -> bool {
    id == about.node || about.links.iter().any(|link| link.id == id && link.up)
}

/// Of each partition, how many owners can be reached now.
fn live_owners(about: &About<'_>) -> Vec<usize> {
    let members = about.ring.members().iter();
    let up: Vec<bool> = members.map(|member| is_up(about, member.id)).collect();
    let live = about.ring.partitions().map(|partition| {
        let owners = about.ring.primaries(partition).iter();
        owners.filter(|owner| up[owner.index()]).count()
    });
    live.collect()
}

fn availability(about: &About<'_>, live: &[usize], n: u8, quorum: u8) -> Availability {
    let enough = |live: &&usize| **live >= usize::from(quorum);
    let members = about.ring.members().iter();
    let nodes = members.filter(|member| is_up(about, member.id)).count();
    Availability {
        may_be_down: n - quorum,
        strict: live.iter().filter(enough).count() as f64 / live.len().max(1) as f64,
        sloppy: nodes >= usize::from(quorum),
    }
}

fn peers(about: &About<'_>, measured: &Measured) -> Vec<PeerReport> {
    let members = about.ring.members().iter().map(|member| member.id);
    let others = members.filter(|id| *id != about.node);
    others
        .map(|node| {
            let found = measured.peers.get(&node);
            PeerReport {
                node,
                up: is_up(about, node),
                is_asked_last: found.is_some_and(|it| it.level > 0),
                reads: measurement(found.map(|it| &it.reads)),
                writes: measurement(found.map(|it| &it.writes)),
            }
        })
        .collect()
}

fn measurement(histogram: Option<&Histogram>) -> Measurement {
    histogram.map_or(Measurement::default(), |it| Measurement {
        samples: it.total(),
        p50_us: it.quantile(500).unwrap_or(0),
        p99_us: it.quantile(990).unwrap_or(0),
    })
}

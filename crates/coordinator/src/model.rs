//! What each choice of R and W costs and risks, computed from measured latencies.
//!
//! The model is WARS of *Probabilistically Bounded Staleness for Practical Partial Quorums* (Bailis,
//! Venkataraman, Franklin, Hellerstein, Stoica; PVLDB 5(8), 2012): a write reaches a replica after
//! *W* and its acknowledgement comes back after *A*; a read reaches a replica after *R* and the
//! answer comes back after *S*. A read that starts `t` after the acknowledgement of a write is
//! *stale* if the write had reached none of the replicas that it counts when it got there:
//! `t < min(W_i − R_i) − acknowledged`, the least over those replicas. Each trial draws all legs
//! once and gives that threshold for every R and W, so that one run answers for all choices and all
//! `t`, and what is certain comes out as certain: with R + W > N no threshold lies above 0.
//!
//! It follows what this crate's machines do, which is not quite what the paper assumes:
//!
//! * the write is coordinated by any of the key's replicas, with equal chance, and that one has it at
//!   once; the read is coordinated by this node, which holds a replica too;
//! * a read counts its coordinator's own replica first, then R − 1 others, those of the better level
//!   first and equals by chance, and asks no more than that. The paper asks all and takes the first R.
//!
//! With equal levels and without propagation (t = 0, A = R = 0) the risk is the paper's equation 1,
//! C(N−W, R) / C(N, R). Who reads where they have written misses nothing.
//!
//! What is left out, and which way it errs:
//!
//! * **Legs are drawn independently of each other.** Real ones are not: a pause, a full queue or a
//!   lost link slows writes and reads together. Observed staleness ([`Probes`](crate::Probes)) goes
//!   before predicted.
//! * A node measures round trips and not legs. [`Trip::Halved`] gives each leg half. Latencies come
//!   out as measured; staleness is too high where answers take longer than requests, and too low
//!   where requests do.
//! * Between two other nodes a leg is taken to be like the one between this node and the slower. A
//!   node that is far from all others so takes them to be far from each other, has them acknowledge
//!   too late, and predicts too little staleness where W > 1.
//! * Hedges, repair and stand-ins are not in it: they only make reads fresher and quicker, except
//!   that a stand-in (sloppy quorums) may be counted that a write has not been sent to.
//!
//! Randomness is an argument: a function that gives 64 random bits at each call.

use crate::{Histogram, MAX_PLACES};

/// Values that can be drawn with the frequency with which they were counted.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// Of each bucket: how many values lie in it and below, its least value, its width.
    buckets: Vec<(u64, u32, u32)>,
    total: u64,
    /// The sum of all values, so far as buckets tell.
    sum: u64,
}

impl Distribution {
    /// `None`: nothing was counted.
    pub fn of(histogram: &Histogram) -> Option<Self> {
        let (mut total, mut sum) = (0, 0);
        let buckets = histogram.filled().map(|(count, low, width)| {
            total += u64::from(count);
            sum += u64::from(count) * u64::from(low + width / 2);
            (total, low, width)
        });
        let buckets = buckets.collect();
        (total > 0).then_some(Self {
            buckets,
            total,
            sum,
        })
    }

    fn mean(&self) -> u64 {
        self.sum / self.total
    }

    /// A value: a bucket by its count, and any value in it.
    fn draw(&self, random: u64) -> u32 {
        let rank = scaled(random, self.total);
        let bucket = self.buckets.partition_point(|(below, ..)| *below <= rank);
        let (_, low, width) = self.buckets[bucket];
        // The bits that chose the bucket, mixed, choose within it.
        low + scaled(random.wrapping_mul(0x9e37_79b9_7f4a_7c15), u64::from(width)) as u32
    }
}

/// A number below `bound`, all with equal chance as far as 64 bits go.
fn scaled(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

/// How long a replica's answer takes, in microseconds.
#[derive(Clone, Debug)]
pub enum Trip {
    /// The round trip is known: half of it is taken for either leg.
    Halved(Distribution),
    /// The legs are known apart, and are drawn apart.
    Legs {
        /// To the replica.
        there: Distribution,
        /// Back from it.
        back: Distribution,
    },
}

impl Trip {
    fn mean(&self) -> u64 {
        match self {
            Self::Halved(trip) => trip.mean(),
            Self::Legs { there, back } => there.mean() + back.mean(),
        }
    }

    /// The leg there and the leg back.
    fn draw(&self, random: &mut impl FnMut() -> u64) -> (i64, i64) {
        match self {
            Self::Halved(trip) => {
                let trip = i64::from(trip.draw(random()));
                (trip / 2, trip - trip / 2)
            }
            Self::Legs { there, back } => {
                let there = there.draw(random());
                (i64::from(there), i64::from(back.draw(random())))
            }
        }
    }
}

/// A replica as this node measures it.
#[derive(Clone, Debug)]
pub struct PeerLegs {
    /// W and A.
    pub write: Trip,
    /// R and S.
    pub read: Trip,
    /// How much worse it is than the best to read from: those of a higher level are asked last.
    pub level: u8,
}

/// The replicas that some partitions have beside this node.
#[derive(Clone, Debug)]
pub struct ReplicaSet {
    /// Positions in [`Cluster::peers`].
    pub others: Vec<usize>,
    /// How many partitions have it.
    pub weight: u32,
}

/// What the model is run on: this node and those that hold replicas with it.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The other nodes.
    pub peers: Vec<PeerLegs>,
    /// The replica sets that this node is in; all have the same size.
    pub sets: Vec<ReplicaSet>,
}

/// A cluster that cannot be modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// This node holds no replica of anything.
    #[error("this node holds no replica, so nothing is coordinated here")]
    NoReplica,
    /// A key has more replicas than the coordinator works with.
    #[error("{n} replicas, but a key has at most {MAX_PLACES}")]
    TooMany {
        /// Replicas of the set.
        n: usize,
    },
    /// Sets differ in size.
    #[error("one set has {one} replicas and another {other}")]
    Uneven {
        /// Replicas of the first set.
        one: usize,
        /// Replicas of another.
        other: usize,
    },
    /// A set names a peer that is not there.
    #[error("a set has peer {peer}, but there are {peers}")]
    Unknown {
        /// The position named.
        peer: usize,
        /// How many peers there are.
        peers: usize,
    },
}

impl Cluster {
    /// Replicas of a key, this node's own included.
    ///
    /// # Errors
    /// If the cluster cannot be modelled.
    fn replicas(&self) -> Result<usize, ModelError> {
        let first = self.sets.first().ok_or(ModelError::NoReplica)?;
        let n = first.others.len() + 1;
        if n > usize::from(MAX_PLACES) {
            return Err(ModelError::TooMany { n });
        }
        for set in &self.sets {
            let other = set.others.len() + 1;
            if other != n {
                return Err(ModelError::Uneven { one: n, other });
            }
            let peers = self.peers.len();
            if let Some(&peer) = set.others.iter().find(|peer| **peer >= peers) {
                return Err(ModelError::Unknown { peer, peers });
            }
        }
        Ok(n)
    }

    /// Runs the model: `trials` times a write through some replica and a read here. Costs about a
    /// microsecond for each choice of R and W and each trial.
    ///
    /// # Errors
    /// If the cluster cannot be modelled.
    pub fn predict(
        &self,
        trials: usize,
        mut random: impl FnMut() -> u64,
    ) -> Result<Prediction, ModelError> {
        let n = self.replicas()?;
        let weight = self.sets.iter().map(|set| u64::from(set.weight.max(1)));
        let weight: u64 = weight.sum();
        let mut prediction = Prediction::new(n, trials);
        for _ in 0..trials {
            let mut left = scaled(random(), weight);
            let drawn = self.sets.iter().find(|set| {
                let weight = u64::from(set.weight.max(1));
                let found = left < weight;
                left = left.saturating_sub(weight);
                found
            });
            if let Some(set) = drawn {
                prediction.add(&self.trial(set, &mut random));
            }
        }
        prediction.sort();
        Ok(prediction)
    }

    /// Draws everything that is left to chance, once.
    fn trial(&self, set: &ReplicaSet, random: &mut impl FnMut() -> u64) -> Trial {
        let peers: Vec<_> = set.others.iter().map(|at| &self.peers[*at]).collect();
        let mut asked = vec![Leg::default()];
        asked.extend(peers.iter().map(|peer| Leg::from(peer.read.draw(random))));
        let writer = scaled(random(), asked.len() as u64) as usize;
        let mut order: Vec<_> = (0..asked.len())
            .map(|at| match at {
                0 => (0, 0, 0),
                at => (1 + u16::from(peers[at - 1].level), random(), at),
            })
            .collect();
        order.sort_unstable();
        Trial {
            asked,
            order: order.into_iter().map(|(.., at)| at).collect(),
            written_here: written(&peers, 0, random),
            written_there: written(&peers, writer, random),
        }
    }
}

/// The legs of one write to each replica. Replica 0 is this node, the others follow.
fn written(peers: &[&PeerLegs], writer: usize, random: &mut impl FnMut() -> u64) -> Vec<Leg> {
    let trip = |replica: usize| replica.checked_sub(1).map(|at| &peers[at].write);
    let between = |replica| match (trip(writer), trip(replica)) {
        _ if replica == writer => None,
        (Some(one), Some(other)) if one.mean() > other.mean() => Some(one),
        (one, other) => other.or(one),
    };
    let replicas = 0..=peers.len();
    replicas
        .map(|replica| between(replica).map_or(Leg::default(), |it| it.draw(random).into()))
        .collect()
}

/// When something arrives at a replica and when its answer is back, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Leg {
    arrived: i64,
    answered: i64,
}

impl From<(i64, i64)> for Leg {
    fn from((there, back): (i64, i64)) -> Self {
        Self {
            arrived: there,
            answered: there + back,
        }
    }
}

/// One trial, by replica; this node is replica 0.
#[derive(Debug)]
struct Trial {
    asked: Vec<Leg>,
    /// In which order a read counts them.
    order: Vec<usize>,
    written_here: Vec<Leg>,
    written_there: Vec<Leg>,
}

impl Trial {
    /// How long a read at this node takes, by R.
    fn reads(&self) -> impl Iterator<Item = i64> {
        let mut longest = 0;
        self.order.iter().map(move |at| {
            longest = self.asked[*at].answered.max(longest);
            longest
        })
    }

    /// How long after the beginning of a write a read here has to begin to see it, by R.
    fn unseen(&self) -> impl Iterator<Item = i64> {
        let mut least = i64::MAX;
        self.order.iter().map(move |&at| {
            least = least.min(self.written_there[at].arrived - self.asked[at].arrived);
            least
        })
    }

    /// At which age of a write a probe here has to begin to find it on W replicas, by W.
    fn held(&self) -> Vec<i64> {
        let replicas = self.written_there.iter().zip(&self.asked);
        let mut held: Vec<_> = replicas
            .map(|(written, asked)| written.arrived - asked.arrived)
            .collect();
        held.sort_unstable();
        held
    }
}

/// How long a write takes, by W.
fn acknowledged(written: &[Leg]) -> Vec<i64> {
    let mut acked: Vec<_> = written.iter().map(|leg| leg.answered).collect();
    acked.sort_unstable();
    acked
}

mod prediction;
pub use prediction::Prediction;

#[cfg(test)]
mod tests;

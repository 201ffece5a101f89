//! What a run of the model says of each R and W.

use super::{Trial, acknowledged};

/// Fewer trials than this say too little.
const FEW: usize = 50;

/// The outcome of a run. R and W count from 1 to N; others are taken as the nearest that there is.
#[derive(Clone, Debug)]
pub struct Prediction {
    n: usize,
    /// By R: how long each read took, ascending, in microseconds.
    reads: Vec<Vec<i64>>,
    /// By W, likewise.
    writes: Vec<Vec<i64>>,
    /// By R and then W: how long after the acknowledgement a read had to begin to see the write.
    unseen: Vec<Vec<i64>>,
    /// By W: at which age of the write a probe had to begin to find it on W replicas.
    held: Vec<Vec<i64>>,
    /// By R and then W: to find that, and a read to see it.
    held_and_seen: Vec<Vec<i64>>,
}

impl Prediction {
    pub(super) fn new(n: usize, trials: usize) -> Self {
        let lists = |count| vec![Vec::with_capacity(trials); count];
        Self {
            n,
            reads: lists(n),
            writes: lists(n),
            unseen: lists(n * n),
            held: lists(n),
            held_and_seen: lists(n * n),
        }
    }

    pub(super) fn add(&mut self, trial: &Trial) {
        let reads = self.reads.iter_mut().zip(trial.reads());
        reads.for_each(|(list, read)| list.push(read));
        let writes = acknowledged(&trial.written_here);
        let writes = self.writes.iter_mut().zip(writes);
        writes.for_each(|(list, write)| list.push(write));
        let acked = acknowledged(&trial.written_there);
        let held = trial.held();
        let lists = self.held.iter_mut().zip(&held);
        lists.for_each(|(list, held)| list.push(*held));
        for (r, unseen) in trial.unseen().enumerate() {
            let of_r = r * self.n..(r + 1) * self.n;
            for (list, acked) in self.unseen[of_r.clone()].iter_mut().zip(&acked) {
                list.push(unseen - acked);
            }
            for (list, held) in self.held_and_seen[of_r].iter_mut().zip(&held) {
                list.push(unseen.max(*held));
            }
        }
    }

    pub(super) fn sort(&mut self) {
        let latencies = self.reads.iter_mut().chain(&mut self.writes);
        let probed = self.held.iter_mut().chain(&mut self.held_and_seen);
        let lists = latencies.chain(&mut self.unseen).chain(probed);
        lists.for_each(|list| list.sort_unstable());
    }

    /// Replicas of a key.
    pub fn n(&self) -> u8 {
        self.n as u8
    }

    /// How long so many of a thousand reads at this node take at most, in microseconds: the answers
    /// of R replicas, without the client's way here.
    pub fn read_us(&self, r: u8, per_mille: u32) -> u64 {
        quantile(&self.reads[self.at(r)], per_mille)
    }

    /// How long so many of a thousand writes at this node take at most, in microseconds.
    pub fn write_us(&self, w: u8, per_mille: u32) -> u64 {
        quantile(&self.writes[self.at(w)], per_mille)
    }

    /// The chance that a read here misses a write, if it starts so many microseconds after the write's
    /// acknowledgement; between 0 and 1.
    pub fn stale_after(&self, r: u8, w: u8, after_us: u64) -> f64 {
        let unseen = &self.unseen[self.at(r) * self.n + self.at(w)];
        let after = i64::try_from(after_us).unwrap_or(i64::MAX);
        let seen = unseen.partition_point(|needed| *needed <= after);
        match unseen.len() {
            0 => 0.0,
            all => (all - seen) as f64 / all as f64,
        }
    }

    /// The chance that a read here misses a write that was begun so many microseconds before it and
    /// that a probe beside it finds on W replicas or more. `None`: hardly any write has come so far
    /// by then, at most [`FEW`] of all trials.
    pub fn missed_at(&self, r: u8, w: u8, age_us: u64) -> Option<f64> {
        let age = i64::try_from(age_us).unwrap_or(i64::MAX);
        let until = |list: &[i64]| list.partition_point(|needed| *needed <= age);
        let held = until(&self.held[self.at(w)]);
        let seen = until(&self.held_and_seen[self.at(r) * self.n + self.at(w)]);
        (held > FEW).then(|| (held - seen) as f64 / held as f64)
    }

    fn at(&self, quorum: u8) -> usize {
        usize::from(quorum).clamp(1, self.n) - 1
    }
}

fn quantile(sorted: &[i64], per_mille: u32) -> u64 {
    let rank = (sorted.len() * per_mille.min(1_000) as usize).div_ceil(1_000);
    let value = sorted.get(rank.saturating_sub(1)).copied();
    u64::try_from(value.unwrap_or(0)).unwrap_or(0)
}

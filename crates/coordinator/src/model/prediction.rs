//! What a run of the model says of each R and W.

use super::{Trial, acknowledged};

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
}

impl Prediction {
    pub(super) fn new(n: usize, trials: usize) -> Self {
        let lists = |count| vec![Vec::with_capacity(trials); count];
        Self {
            n,
            reads: lists(n),
            writes: lists(n),
            unseen: lists(n * n),
        }
    }

    pub(super) fn add(&mut self, trial: &Trial) {
        let reads = self.reads.iter_mut().zip(trial.reads());
        reads.for_each(|(list, read)| list.push(read));
        let writes = acknowledged(&trial.written_here);
        let writes = self.writes.iter_mut().zip(writes);
        writes.for_each(|(list, write)| list.push(write));
        let acked = acknowledged(&trial.written_there);
        for (lists, unseen) in self.unseen.chunks_mut(self.n).zip(trial.unseen()) {
            for (list, acked) in lists.iter_mut().zip(&acked) {
                list.push(unseen - acked);
            }
        }
    }

    pub(super) fn sort(&mut self) {
        let lists = self.reads.iter_mut().chain(&mut self.writes);
        lists
            .chain(&mut self.unseen)
            .for_each(|list| list.sort_unstable());
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

    fn at(&self, quorum: u8) -> usize {
        usize::from(quorum).clamp(1, self.n) - 1
    }
}

fn quantile(sorted: &[i64], per_mille: u32) -> u64 {
    let rank = (sorted.len() * per_mille.min(1_000) as usize).div_ceil(1_000);
    let value = sorted.get(rank.saturating_sub(1)).copied();
    u64::try_from(value.unwrap_or(0)).unwrap_or(0)
}

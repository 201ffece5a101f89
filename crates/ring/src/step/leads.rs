//! Who comes first: the first of a row is the partition's preferred coordinator, so every node
//! should be first in its share of the partitions it holds.
//!
//! A node that holds `l` replicas should lead `l / N'` partitions, rounded down or up. That is
//! always possible (giving each holder 1/N' of each partition is a fractional solution), and paths
//! of swaps reach it: A passes the first place of one partition to B, B that of another to C.

use crate::{NodeIndex, Partition};

/// Reorders rows, with as few swaps as it takes, so that each node leads its share.
pub(super) fn spread(rows: &mut [NodeIndex], width: usize, nodes: usize) {
    let mut loads = vec![0; nodes];
    for node in rows.iter() {
        loads[node.index()] += 1;
    }
    let low: Vec<usize> = loads.iter().map(|load| load / width).collect();
    let high: Vec<usize> = loads
        .iter()
        .map(|load: &usize| load.div_ceil(width))
        .collect();
    let mut leads = Leads::of(rows, width, nodes);
    while leads.shift(|node, led| led > high[node], |node, led| led < high[node]) {}
    while leads.shift(|node, led| led > low[node], |node, led| led < low[node]) {}
}

struct Leads<'r> {
    rows: &'r mut [NodeIndex],
    width: usize,
    /// The partitions each node leads.
    led: Vec<Vec<Partition>>,
}

impl<'r> Leads<'r> {
    fn of(rows: &'r mut [NodeIndex], width: usize, nodes: usize) -> Self {
        let mut led = vec![Vec::new(); nodes];
        // At most 2^14 rows.
        for (partition, row) in (0..).map(Partition).zip(rows.chunks(width)) {
            led[row[0].index()].push(partition);
        }
        Self { rows, width, led }
    }

    /// Takes one lead from a node that gives and passes it on, by the shortest path, to one that
    /// takes; both judged by how many they lead. `false` if there is no such path.
    fn shift(
        &mut self,
        gives: impl Fn(usize, usize) -> bool,
        takes: impl Fn(usize, usize) -> bool,
    ) -> bool {
        let mut via: Vec<Option<Partition>> = vec![None; self.led.len()];
        let mut queue: Vec<usize> = (0..self.led.len())
            .filter(|&node| gives(node, self.led[node].len()))
            .collect();
        let mut reached = vec![false; self.led.len()];
        queue.iter().for_each(|&node| reached[node] = true);
        let Self { rows, width, led } = &*self;
        let mut at = 0;
        while at < queue.len() {
            for &partition in &led[queue[at]] {
                for next in &rows[partition.index() * width..][1..*width] {
                    if std::mem::replace(&mut reached[next.index()], true) {
                        continue;
                    }
                    via[next.index()] = Some(partition);
                    if takes(next.index(), led[next.index()].len()) {
                        self.pass_along(&via, *next);
                        return true;
                    }
                    queue.push(next.index());
                }
            }
            at += 1;
        }
        false
    }

    /// Makes `end` the leader of the partition by which it was reached, then the leader that gave
    /// it that one of the partition by which *it* was reached, and so on to the start.
    fn pass_along(&mut self, via: &[Option<Partition>], end: NodeIndex) {
        let mut taker = end;
        while let Some(partition) = via[taker.index()] {
            let row = &mut self.rows[partition.index() * self.width..][..self.width];
            let giver = row[0];
            if let Some(slot) = row.iter().position(|&node| node == taker) {
                row.swap(0, slot);
            }
            self.led[giver.index()].retain(|&other| other != partition);
            self.led[taker.index()].push(partition);
            taker = giver;
        }
    }
}

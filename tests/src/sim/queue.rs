//! What is going to happen, in order of time; what was planned first comes first in a moment.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use crate::history::Micros;

/// A priority queue of events that never depends on anything but the order of insertion.
#[derive(Debug)]
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    inserted: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Micros,
    seq: u64,
    event: E,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            inserted: 0,
        }
    }
}

impl<E> Queue<E> {
    /// Plans an event.
    pub(super) fn push(&mut self, at: Micros, event: E) {
        self.inserted += 1;
        self.heap.push(Reverse(Planned {
            at,
            seq: self.inserted,
            event,
        }));
    }

    /// The next event, if it is due at `until` or before.
    pub(super) fn pop_until(&mut self, until: Micros) -> Option<(Micros, E)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap
            .pop()
            .map(|Reverse(planned)| (planned.at, planned.event))
    }
}

impl<E> Planned<E> {
    fn rank(&self) -> (Micros, u64) {
        (self.at, self.seq)
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn time_first_then_insertion() {
        let mut queue = Queue::default();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (1, "b"), (9, "e")] {
            queue.push(at, name);
        }
        let due: String = std::iter::from_fn(|| queue.pop_until(5))
            .map(|(_, name)| name)
            .collect();
        assert_eq!(due, "abcd");
        assert_eq!(queue.pop_until(8), None);
        assert_eq!(queue.pop_until(9), Some((9, "e")));
    }
}

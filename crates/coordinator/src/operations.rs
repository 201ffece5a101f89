//! All operations in flight on one data thread, and when each next needs attention.
//!
//! A table of slots holds them, so that after the first moments nothing is allocated; one coarse timer wheel
//! holds their deadlines. An operation is named by an [`OpId`], which travels to replicas and comes
//! back with their answers. The id carries a generation: an answer to an operation that is gone
//! finds nothing, even when its slot holds another one by then.
//!
//! Each operation has at most one deadline set. One that waits for several things (hedge, answer,
//! end of lingering) sets the nearest and, when that comes, the next.

use std::fmt;

use crate::wheel::Wheel;

/// Bounds of an [`Operations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationLimits {
    /// The most operations in flight; more are refused. Protects memory when replicas are slow: a
    /// client then hears *busy* instead of waiting in an endless queue. The default, 65,536, is two
    /// thirds of a second of a data thread's full load (about 100,000 operations per second).
    pub capacity: usize,
    /// The timer's grain in milliseconds (at least 1): a deadline is noticed up to this much late,
    /// never early.
    pub tick_ms: u32,
}

impl Default for OperationLimits {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            tick_ms: 5,
        }
    }
}

/// Names an operation in flight on one data thread. Not reused, except after 2^32 operations in
/// the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

impl OpId {
    fn new(index: usize, generation: u32) -> Self {
        Self((u64::from(generation) << 32) | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// No slot is free: the operation was not taken and is handed back. Nothing was sent.
#[derive(thiserror::Error)]
#[error("busy: {in_flight} operations are in flight, the most this node holds")]
pub struct Busy<T> {
    /// The operation that was refused.
    pub operation: T,
    /// How many are in flight.
    pub in_flight: usize,
}

impl<T> fmt::Debug for Busy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Busy")
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// The operations in flight on one data thread.
///
/// Slots are used again, the last one freed first, so that few operations stay in few cache lines.
/// Not a `Slab`, which can only move an operation out: most end where they lie, and one has some 300
/// bytes.
#[derive(Debug)]
pub struct Operations<T> {
    slots: Vec<Slot<T>>,
    /// Slots without an operation.
    free: Vec<u32>,
    wheel: Wheel,
    capacity: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// Survives the operation that had the slot.
    generation: u32,
    operation: Option<T>,
}

impl<T> Operations<T> {
    /// Holds nothing yet. `now_ms` is the monotonic clock from which all deadlines count.
    pub fn new(limits: OperationLimits, now_ms: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(limits.tick_ms.max(1), now_ms),
            capacity: limits.capacity.min(u32::MAX as usize - 1),
        }
    }

    /// Takes an operation that needs attention at `deadline_ms` at the latest.
    ///
    /// # Errors
    /// [`Busy`], with the operation, when the bound is reached.
    #[inline]
    pub fn insert(&mut self, operation: T, deadline_ms: u64) -> Result<OpId, Busy<T>> {
        let in_flight = self.len();
        if in_flight >= self.capacity {
            return Err(Busy {
                operation,
                in_flight,
            });
        }
        let operation = Some(operation);
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize].operation = operation;
                index as usize
            }
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    operation,
                });
                self.slots.len() - 1
            }
        };
        self.wheel.set(index, deadline_ms);
        Ok(OpId::new(index, self.slots[index].generation))
    }

    /// The operation, if it is still in flight.
    #[inline]
    pub fn get_mut(&mut self, id: OpId) -> Option<&mut T> {
        self.slot_mut(id)?.operation.as_mut()
    }

    /// The operation, if it is still in flight.
    #[inline]
    pub fn get(&self, id: OpId) -> Option<&T> {
        let slot = self.slots.get(id.index())?;
        (slot.generation == id.generation())
            .then_some(slot.operation.as_ref())
            .flatten()
    }

    /// Takes the operation out, with its deadline.
    pub fn remove(&mut self, id: OpId) -> Option<T> {
        let operation = self.slot_mut(id)?.operation.take()?;
        self.release(id);
        Some(operation)
    }

    /// Drops the operation where it lies. Cheaper than [`remove`](Self::remove), which moves it.
    #[inline]
    pub fn discard(&mut self, id: OpId) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.operation.is_some() {
            slot.operation = None;
            self.release(id);
        }
    }

    /// Frees the slot of an operation that is gone.
    #[inline]
    fn release(&mut self, id: OpId) {
        let index = id.index();
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1);
        self.wheel.cancel(index);
        self.free.push(index as u32);
    }

    /// Moves the operation's deadline, or sets it anew after it came. One that is already past
    /// comes with the next tick. Returns false if the operation is not in flight.
    pub fn set_deadline(&mut self, id: OpId, deadline_ms: u64) -> bool {
        let current = self.get(id).is_some();
        if current {
            self.wheel.set(id.index(), deadline_ms);
        }
        current
    }

    /// Appends to `due` the operations whose deadline has come at `now_ms`, each once, by tick and
    /// within a tick in the order the deadlines were set (after a sleep of more than 4,096 ticks,
    /// in another fixed order). They stay in flight, without a deadline.
    pub fn expired(&mut self, now_ms: u64, due: &mut Vec<OpId>) {
        let slots = &self.slots;
        self.wheel.advance(now_ms, |index| {
            due.push(OpId::new(index, slots[index].generation))
        });
    }

    /// When [`expired`](Self::expired) is to be called next: never later than the first deadline's
    /// tick, possibly earlier. `None` when no deadline is set.
    pub fn next_deadline(&self) -> Option<u64> {
        self.wheel.next()
    }

    /// Every operation in flight, by slot. For rare events that concern all, such as a lost link.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (OpId, &mut T)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(index, slot)| {
                let id = OpId::new(index, slot.generation);
                slot.operation.as_mut().map(|operation| (id, operation))
            })
    }

    /// How many are in flight.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn slot_mut(&mut self, id: OpId) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(id.index())?;
        (slot.generation == id.generation()).then_some(slot)
    }
}

#[cfg(test)]
mod tests;

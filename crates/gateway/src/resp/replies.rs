//! The replies that a connection owes, in the order of its commands.
//!
//! Requests of one connection run side by side and end in any order; replies leave in the order of
//! the commands. A finished reply at the head is encoded straight into the output buffer; one that
//! has others before it waits in its slot as it is.

use std::collections::VecDeque;

use bytes::BytesMut;
use henge_node::Outcome;

use super::{
    commands::Footprint,
    encode::{Protocol, Writer},
    reply::Reply,
    shape::Shape,
};

/// What has become of a command.
enum Slot {
    /// A request is under way; its outcome will be told like this.
    Request(Shape),
    /// Steps are under way.
    Steps,
    /// A request has ended.
    Outcome(Shape, Outcome),
    /// The reply is there.
    Reply(Reply),
}

/// How much of the first replies' size is assumed, in bytes: enough to be careful with a client
/// whose values may all be large.
const FIRST_GUESS: usize = 1024 * 1024;

/// Bits of a number that are kept in tokens: far more than replies are ever owed.
pub(crate) const NUMBER_BITS: u32 = 24;
const NUMBERS: u32 = (1 << NUMBER_BITS) - 1;

/// The replies owed, oldest first.
pub(crate) struct ReplyQueue {
    slots: VecDeque<(Slot, Muted)>,
    /// Beside `slots`, so that looking for conflicts reads little memory. Finished commands have
    /// none.
    footprints: VecDeque<Footprint>,
    /// Number of the oldest slot's command.
    oldest: u32,
    /// Commands under way that change keys or are exclusive; without any, reads need not look.
    changing: usize,
    /// Bytes in finished slots.
    held: usize,
    /// Size of replies to expect: falls slowly, rises at once.
    expected: usize,
}

/// Whether the client does not want this reply.
pub(crate) type Muted = bool;

/// Where replies are written.
pub(crate) struct Destination<'a> {
    /// The connection's output.
    pub(crate) output: &'a mut BytesMut,
    /// Its protocol.
    pub(crate) protocol: Protocol,
    /// Milliseconds since 1970.
    pub(crate) now_ms: u64,
}

impl ReplyQueue {
    /// Nothing owed.
    pub(crate) fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            footprints: VecDeque::new(),
            oldest: 0,
            changing: 0,
            held: 0,
            expected: FIRST_GUESS,
        }
    }

    /// Whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many replies are owed.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes that finished replies occupy while they wait.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Bytes that all replies owed will have, going by the last ones.
    pub(crate) fn foreseen(&self) -> usize {
        self.len() * self.expected
    }

    /// Whether a command with this footprint must wait for one that is under way.
    #[inline]
    pub(crate) fn conflicts(&self, footprint: Footprint) -> bool {
        match footprint {
            _ if self.slots.is_empty() => false,
            Footprint::None | Footprint::Read(_) if self.changing == 0 => false,
            _ => self
                .footprints
                .iter()
                .any(|earlier| footprint.waits_for(*earlier)),
        }
    }

    /// A request begins; returns its number.
    #[inline]
    pub(crate) fn begin_request(
        &mut self,
        shape: Shape,
        footprint: Footprint,
        muted: Muted,
    ) -> u32 {
        self.push(Slot::Request(shape), footprint, muted)
    }

    /// Steps begin; returns their number.
    pub(crate) fn begin_steps(&mut self, footprint: Footprint, muted: Muted) -> u32 {
        self.push(Slot::Steps, footprint, muted)
    }

    /// A command is answered already.
    pub(crate) fn answer(&mut self, reply: Reply, muted: Muted, to: &mut Destination<'_>) {
        if self.slots.is_empty() {
            self.tell(&reply, muted, to);
        } else {
            self.held += reply.size();
            self.push(Slot::Reply(reply), Footprint::None, muted);
        }
    }

    fn push(&mut self, slot: Slot, footprint: Footprint, muted: Muted) -> u32 {
        self.changing += usize::from(is_changing(footprint));
        self.slots.push_back((slot, muted));
        self.footprints.push_back(footprint);
        self.oldest.wrapping_add(self.slots.len() as u32 - 1)
    }

    /// A request has ended. Writes its reply if it is the oldest, and those behind it that were
    /// waiting for it. Of two endings the first stands.
    #[inline]
    pub(crate) fn end_request(&mut self, number: u32, outcome: Outcome, to: &mut Destination<'_>) {
        let at = self.position(number);
        let Some((slot, muted)) = self.slots.get_mut(at) else {
            return;
        };
        let Slot::Request(shape) = slot else {
            return;
        };
        let (shape, muted) = (std::mem::replace(shape, Shape::Ok), *muted);
        self.clear_footprint(at);
        if at > 0 {
            let slot = Slot::Outcome(shape, outcome);
            self.held += size(&slot);
            self.slots[at].0 = slot;
            return;
        }
        self.forget_oldest();
        self.tell_outcome(&shape, outcome, muted, to);
        self.drain(to);
    }

    /// Steps have ended: as [`end_request`](Self::end_request).
    pub(crate) fn end_steps(&mut self, number: u32, reply: Reply, to: &mut Destination<'_>) {
        let at = self.position(number);
        let Some((slot @ Slot::Steps, _)) = self.slots.get_mut(at) else {
            return;
        };
        self.held += reply.size();
        *slot = Slot::Reply(reply);
        self.clear_footprint(at);
        if at == 0 {
            self.drain(to);
        }
    }

    #[inline]
    fn position(&self, number: u32) -> usize {
        (number.wrapping_sub(self.oldest) & NUMBERS) as usize
    }

    /// A finished command is in nobody's way.
    #[inline]
    fn clear_footprint(&mut self, at: usize) {
        let footprint = std::mem::replace(&mut self.footprints[at], Footprint::None);
        self.changing -= usize::from(is_changing(footprint));
    }

    #[inline]
    fn forget_oldest(&mut self) {
        self.slots.pop_front();
        self.footprints.pop_front();
        self.oldest = self.oldest.wrapping_add(1);
    }

    /// Writes the finished replies at the head.
    fn drain(&mut self, to: &mut Destination<'_>) {
        while let Some((Slot::Outcome(..) | Slot::Reply(_), _)) = self.slots.front() {
            let Some((slot, muted)) = self.slots.pop_front() else {
                return;
            };
            self.footprints.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
            self.held -= size(&slot);
            match slot {
                Slot::Reply(reply) => self.tell(&reply, muted, to),
                Slot::Outcome(shape, outcome) => self.tell_outcome(&shape, outcome, muted, to),
                Slot::Request(_) | Slot::Steps => {}
            }
        }
    }

    #[inline]
    fn tell_outcome(
        &mut self,
        shape: &Shape,
        outcome: Outcome,
        muted: Muted,
        to: &mut Destination<'_>,
    ) {
        self.measured(muted, to, |writer, now_ms| {
            shape.write(&outcome, now_ms, writer)
        });
        outcome.recycle();
    }

    fn tell(&mut self, reply: &Reply, muted: Muted, to: &mut Destination<'_>) {
        self.measured(muted, to, |writer, _| reply.write(writer));
    }

    #[inline]
    fn measured(
        &mut self,
        muted: Muted,
        to: &mut Destination<'_>,
        write: impl FnOnce(&mut Writer<'_>, u64),
    ) {
        if muted {
            return;
        }
        let before = to.output.len();
        write(&mut Writer::new(to.output, to.protocol), to.now_ms);
        let size = to.output.len() - before;
        self.expected = size.max(self.expected - self.expected / 4);
    }
}

fn is_changing(footprint: Footprint) -> bool {
    matches!(footprint, Footprint::Write(_) | Footprint::Exclusive)
}

/// About how many bytes a finished slot occupies.
fn size(slot: &Slot) -> usize {
    match slot {
        Slot::Request(_) | Slot::Steps => 0,
        Slot::Reply(reply) => reply.size(),
        Slot::Outcome(_, outcome) => {
            let record = outcome
                .result
                .as_ref()
                .ok()
                .and_then(|done| done.record.as_ref());
            64 + record.map_or(0, Vec::len)
        }
    }
}

#[cfg(test)]
mod tests;

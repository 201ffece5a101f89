//! The record: what lies under a key, a join-semilattice element in its canonical encoding.
//!
//! # The lattice
//!
//! ```text
//! record = { epoch, horizon, cap, dead, deadline, body: name → cell }
//! join:    epochs differ → the greater epoch wins entirely
//!          else  horizon  = max
//!                dead     = or
//!                cap      = dead ? never : min
//!                deadline = dead ? unset : the greater (stamp, at), but at most the cap; unset is less
//!                           than any
//!                body     = dead ? empty : name by name the join of the cells
//! cells:   register  the greater (stamp, value) wins; removed is less than any value
//!          counter   the greater reset wins; equal: per actor the greater tallies
//!          set       per element the greater (stamp, present)
//!          siblings  a dotted version vector set
//!          different kinds under one name: siblings > set > counter > register
//! ```
//!
//! It is built from four combinators, each of which makes a semilattice from semilattices: the
//! maximum on a chain, the union of maps with a join per key, the product, and the lexicographic
//! product of a chain with a lattice. So merging is idempotent, commutative and associative, and
//! replicas that received the same deltas in any order, any number of times, hold equal bytes.
//!
//! The forms of a body are encodings of one thing: a [`Form::Value`] is a live register under the
//! empty name and nothing else, [`Form::Siblings`] a sibling set under the empty name. Hence any
//! two records can be merged.
//!
//! # Deadline and horizon
//!
//! The usual session lattice keeps one expiry, merged by maximum. Clients of the Redis protocol
//! shorten lifetimes too, so here the *deadline*, which decides what readers see, is a
//! last-writer-wins register, and the *horizon* is the maximum of every deadline set in the epoch.
//! Replicas keep a record, live, expired or dead, until its horizon (plus a margin for skew).
//! The proof that a tombstone may then go needs only that no copy of this life can be live any
//! more: each copy's deadline was set in the epoch, so it lies at or before the horizon of a
//! replica that has seen it; and a copy unknown to the replica is covered by the horizon given at
//! burial. A record that expired because its lifetime was shortened is kept to the *old* deadline
//! as well, or a stale copy that missed the shortening would bring it back.
//!
//! A record whose deadline is unset is a delta that has not met the beginning of its life. It is
//! not live, whatever its body, for a write that was late by more than the horizon must not make
//! an orphan that lives for ever; and it is kept ([`RecordRef::horizon`] is [`NEVER`]), for the
//! beginning may be on its way. [`crate::delta::life`] makes deltas that cannot be orphaned.
//!
//! # Cap
//!
//! A life that must not last longer than so long since it began, however often it is touched, has a
//! *cap*: the latest that its deadline may be. It is data like the deadline, given by whoever begins
//! the life ([`crate::delta::cap`]), and only ever becomes earlier: of two nodes that begin one life at
//! once the earlier cap holds. Cutting deadlines off at the cap commutes with the join, because the
//! minimum distributes over the maximum, so the laws hold for the records that are cut. The horizon is
//! not cut: a copy that has not heard of the cap may be live past it. Nobody sees that who reads a
//! copy that has, and no horizon is beyond the cap where all deadlines were given with it in mind.
//!
//! # Left out
//!
//! The horizon ends with its epoch: a new life with an earlier horizon does not remember the old
//! one's. Where ids are reused and lifetimes shrink, whoever begins a life over an older one adds
//! [`crate::delta::retain`] with the old horizon.

mod body;
mod cell;
mod header;
mod leading;
mod merge;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use cell::{Cell, Counter, Membership, Register, Set};
pub use merge::{Merge, merge, merge_records};
pub(crate) use state::Record;

use header::{Header, Shape};

use crate::Stamp;

/// A deadline that never comes. The encoding has 48 bits for milliseconds: later than that (the
/// year 10889) is taken as never.
pub const NEVER: u64 = u64::MAX;

/// How long is remembered what has no end of its own, in milliseconds (24 hours): a destroyed life
/// without a deadline, or a shortened one that had none. A replica that was away for longer must come
/// back empty.
pub const GRACE_MS: u64 = 24 * 60 * 60 * 1000;

/// When a record stops being visible: a last-writer-wins register of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Who set it last, and when.
    pub stamp: Stamp,
    /// Milliseconds since 1970, or [`NEVER`].
    pub at: u64,
}

/// What kind of body a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No body: dead, or a delta that only moves the deadline.
    Empty,
    /// One unnamed register: a string value.
    Value,
    /// Named fields.
    Fields,
    /// Opaque concurrent values with their dots.
    Siblings,
}

/// The bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {0}")]
pub struct DecodeError(pub &'static str);

/// A record, borrowed from its encoding. The header is decoded, the body is not.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    bytes: &'a [u8],
    header: Header,
    body_at: usize,
}

impl<'a> RecordRef<'a> {
    /// Checks and wraps an encoded record. Never panics, whatever the bytes, and accepts canonical
    /// encodings only. Does not touch a plain value; reads fields and siblings to the end.
    ///
    /// # Errors
    /// If the bytes are not the canonical encoding of a record.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, body_at) = Header::parse(bytes)?;
        let record = Self {
            bytes,
            header,
            body_at,
        };
        body::check(header.shape, header.epoch, record.body())?;
        Ok(record)
    }

    /// Its encoding.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What kind of body it has.
    #[inline]
    pub fn form(&self) -> Form {
        match self.header.shape {
            Shape::Empty | Shape::Dead => Form::Empty,
            Shape::Value(_) => Form::Value,
            Shape::Fields => Form::Fields,
            Shape::Siblings => Form::Siblings,
        }
    }

    /// The life it belongs to: a greater epoch wins entirely.
    #[inline]
    pub fn epoch(&self) -> Stamp {
        self.header.epoch
    }

    /// Whether it was destroyed. Dead wins over everything in the same epoch.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.header.shape == Shape::Dead
    }

    /// When it stops being visible. Where it was never set (dead records, and deltas that leave it
    /// alone) the stamp is zero and the time [`NEVER`].
    #[inline]
    pub fn deadline(&self) -> Deadline {
        self.header.deadline.unwrap_or(Deadline {
            stamp: Stamp::default(),
            at: NEVER,
        })
    }

    /// The latest that the deadline of this life may be; [`NEVER`] where nothing limits it.
    #[inline]
    pub fn cap(&self) -> u64 {
        self.header.cap
    }

    /// The greatest deadline ever set in this epoch: no copy of it can be live later than this, so
    /// a replica keeps the record (also dead or expired) until then plus a margin. [`NEVER`] for a
    /// delta that has not met the beginning of its life.
    #[inline]
    pub fn horizon(&self) -> u64 {
        if self.header.deadline.is_none() && !self.is_dead() {
            return NEVER;
        }
        self.header.horizon
    }

    /// When a replica may remove it, but for a margin for skew: at the horizon or, where a deadline
    /// was set that lies before it, `grace_ms` after that deadline. [`NEVER`] where neither is set.
    ///
    /// The horizon alone is always safe (see the [module](self)), but it can lie far behind the
    /// deadline, or at [`NEVER`] for a life that began without one. The grace bounds what that may
    /// cost: a stale copy that missed the deadline for that long could come back. So it has to be
    /// longer than copies stay apart. Dead records get none: nothing but the horizon ends them.
    #[inline]
    pub fn removable_at(&self, grace_ms: u64) -> u64 {
        let horizon = self.horizon();
        match self.header.deadline {
            Some(Deadline { at, .. }) if at != NEVER => horizon.min(at.saturating_add(grace_ms)),
            _ => horizon,
        }
    }

    /// Whether a reader at `now_ms` may see it: not dead, not past its deadline, which has been
    /// set, and with something present in its body.
    #[inline]
    pub fn is_live(&self, now_ms: u64) -> bool {
        let in_time = self
            .header
            .deadline
            .is_some_and(|deadline| now_ms < deadline.at);
        in_time
            && match self.header.shape {
                Shape::Empty | Shape::Dead => false,
                Shape::Value(_) => true,
                Shape::Fields | Shape::Siblings => self.cells().any(|(_, it)| it.is_present()),
            }
    }

    /// The unnamed register's value; `None` for other forms.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        matches!(self.header.shape, Shape::Value(_)).then(|| self.body())
    }

    /// One register's value, `None` if there is none. The unnamed register has the empty name.
    pub fn field(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.fields()
            .find_map(|(field, value)| (field == name).then_some(value))
    }

    /// The registers that are present, by ascending name; that of the value form has the empty
    /// name.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.cells().filter_map(|(name, cell)| match cell {
            Cell::Register(Register { value, .. }) => Some((name, value?)),
            _ => None,
        })
    }

    /// One counter's total; `None` if there is none or it was reset.
    pub fn counter(&self, name: &[u8]) -> Option<i128> {
        self.counters()
            .find_map(|(field, total)| (field == name).then_some(total))
    }

    /// The counters that are present with their totals, by ascending name.
    pub fn counters(&self) -> impl Iterator<Item = (&'a [u8], i128)> + use<'a> {
        self.cells().filter_map(|(name, cell)| match cell {
            Cell::Counter(counter) => Some((name, counter.total()?)),
            _ => None,
        })
    }

    /// The present elements of one set, ascending; none if there is no such set.
    pub fn members(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let set = self.sets().find(|(field, _)| *field == name);
        set.into_iter().flat_map(|(_, members)| members)
    }

    /// The sets that are present, by ascending name, each with its present elements.
    pub fn sets(
        &self,
    ) -> impl Iterator<Item = (&'a [u8], impl Iterator<Item = &'a [u8]> + use<'a>)> + use<'a> {
        self.cells().filter_map(|(name, cell)| match cell {
            Cell::Set(set) if set.elements.values().any(|it| it.present) => {
                Some((name, set.into_members()))
            }
            _ => None,
        })
    }

    /// The concurrent values of a sibling set, newest first; one value for the value form.
    pub fn siblings(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let set = match self.cells().next() {
            Some((b"", Cell::Siblings(set))) => Some(set),
            _ => None,
        };
        let newest_first = set.into_iter().flat_map(|set| set.into_newest_first());
        self.value().into_iter().chain(newest_first)
    }

    /// The greatest hybrid time in it: a reader merges it into its clock, so that what it writes
    /// next is stamped later.
    pub fn newest(&self) -> Stamp {
        let header = self.header.epoch.max(self.deadline().stamp);
        match self.header.shape {
            Shape::Value(stamp) => header.max(stamp),
            _ => self
                .cells()
                .map(|(_, cell)| cell.newest())
                .fold(header, Stamp::max),
        }
    }

    /// 64-bit hash of the canonical encoding (xxh3): equal records have equal digests, and
    /// different ones differ but for one chance in 2⁶⁴.
    #[inline]
    pub fn digest(&self) -> u64 {
        twox_hash::XxHash3_64::oneshot(self.bytes)
    }

    /// Appends this record's outline: a record with the same names, stamps and dots, but every
    /// value empty. It shows whether a record is live without shipping it: merged outlines are
    /// live exactly when the merged records are. An outline lies below its record in the lattice,
    /// so one that is merged where it does not belong is undone by the next merge with the record;
    /// until then readers would see empty values, so do not store it.
    pub fn outline(&self, out: &mut Vec<u8>) {
        match self.header.shape {
            Shape::Empty | Shape::Dead | Shape::Value(_) => self.header.write(out),
            Shape::Fields | Shape::Siblings => Record::decode(self).outline().encode(out),
        }
    }

    #[inline]
    fn body(&self) -> &'a [u8] {
        &self.bytes[self.body_at..]
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = (&'a [u8], Cell<'a>)> + use<'a> {
        state::cells(&self.header, self.body())
    }

    /// The header alone, as a record: the life without its body.
    pub(crate) fn write_life(&self, out: &mut Vec<u8>) {
        let shape = if self.is_dead() {
            Shape::Dead
        } else {
            Shape::Empty
        };
        Header {
            shape,
            ..self.header
        }
        .write(out);
    }
}

/// Appends a record with one unnamed value, or with none, without building a map first.
pub(crate) fn write_plain(
    out: &mut Vec<u8>,
    epoch: Stamp,
    deadline: Option<Deadline>,
    value: Option<(Stamp, &[u8])>,
) {
    let shape = value.map_or(Shape::Empty, |(stamp, _)| Shape::Value(stamp));
    let value = value.map_or(&b""[..], |(_, value)| value);
    out.reserve(Header::MAX_LEN + value.len());
    Header::new(epoch, deadline, 0, NEVER, shape).write(out);
    out.extend_from_slice(value);
}

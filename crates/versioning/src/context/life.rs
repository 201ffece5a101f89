//! What a context knows of one life of a key: its number, and the stamp of everything seen in it.
//!
//! ```text
//! life  = flags 1 | epoch | until | stamps: n, 16·n | deadline? | value? | fields: n, (hash 8, which)·n
//! epoch = time, and its actor 8 where there is one          which = number of a stamp in the list
//! ```
//!
//! One write has one stamp, so the list nearly always holds one or two. Fields are named by their
//! hash, which keeps a token short. Numbers are varints; `until` is one more than the milliseconds, or
//! 0 for never.
//!
//! Left out: counters and sets, whose elements have no stamp of their own in a delta, and which no
//! operation of a node writes.

use crate::codec::{Reader, put_stamp, put_varint};
use crate::record::{Cell, Register};
use crate::{ActorId, DecodeError, HlcTime, RecordRef, Stamp};

const THERE: u8 = 1;
const DEAD: u8 = 2;
const ACTOR: u8 = 4;
const DEADLINE: u8 = 8;
const VALUE: u8 = 16;

/// What was seen of one life of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Its name; a greater one is a later life.
    pub epoch: Stamp,
    /// Whether it was destroyed.
    pub dead: bool,
    /// When it ends by itself as far as is known, in milliseconds since 1970, or [`crate::NEVER`]: its
    /// deadline or, destroyed, when that may be forgotten.
    pub until: u64,
    /// Who set the deadline.
    pub deadline: Option<Stamp>,
    /// Who set the one unnamed value.
    pub value: Option<Stamp>,
    /// Who set or removed each field, by the hash of its name, ascending.
    pub fields: Vec<(u64, Stamp)>,
}

impl Life {
    /// The most fields that a context names: what fits into a token, whatever their stamps.
    pub const MOST_FIELDS: usize = 100;

    /// Of a record or a delta, if it can be said.
    pub(super) fn of(record: RecordRef<'_>) -> Option<Self> {
        let dead = record.is_dead();
        let deadline = record.deadline();
        let mut life = Self {
            epoch: record.epoch(),
            dead,
            until: if dead { record.horizon() } else { deadline.at },
            deadline: (deadline.stamp != Stamp::default()).then_some(deadline.stamp),
            value: None,
            fields: Vec::new(),
        };
        for (name, cell) in record.cells() {
            match cell {
                Cell::Register(Register { stamp, .. }) if name.is_empty() => {
                    life.value = Some(stamp);
                }
                Cell::Register(Register { stamp, .. }) => life.fields.push((hash(name), stamp)),
                Cell::Siblings(_) if name.is_empty() => {}
                Cell::Siblings(_) | Cell::Counter(_) | Cell::Set(_) => return None,
            }
        }
        life.fields.sort_unstable();
        (life.fields.len() <= Self::MOST_FIELDS).then_some(life)
    }

    /// Whether the record is of a later life, or of this one and destroyed.
    pub(super) fn is_outlived_by(&self, record: RecordRef<'_>) -> bool {
        record.epoch() > self.epoch || record.epoch() == self.epoch && record.is_dead()
    }

    /// Whether the record, of this very life, holds each value that was seen, or a later one.
    pub(super) fn is_in(&self, record: RecordRef<'_>) -> bool {
        let set = |stamp: Option<Stamp>, by: Stamp| stamp.is_none_or(|seen| by >= seen);
        if record.epoch() != self.epoch || self.dead || !set(self.deadline, record.deadline().stamp)
        {
            return false;
        }
        if self.value.is_none() && self.fields.is_empty() {
            return true;
        }
        // Another kind of value under the same name overrules a register, whatever the stamps.
        let held: Vec<_> = (record.cells())
            .map(|(name, cell)| match cell {
                Cell::Register(Register { stamp, .. }) => (name, Some(stamp)),
                _ => (name, None),
            })
            .collect();
        let value = |seen: Stamp| {
            let mut unnamed = held.iter().filter(|(name, _)| name.is_empty());
            unnamed.any(|(_, stamp)| stamp.is_none_or(|stamp| stamp >= seen))
        };
        let held_by_hash: Vec<_> = (held.iter())
            .map(|(name, stamp)| (hash(name), *stamp))
            .collect();
        let field = |&(name, seen): &(u64, Stamp)| {
            (held_by_hash.iter())
                .any(|(held, stamp)| *held == name && stamp.is_none_or(|stamp| stamp >= seen))
        };
        self.value.is_none_or(value) && self.fields.iter().all(field)
    }

    pub(super) fn put(life: Option<&Self>, out: &mut Vec<u8>) {
        let Some(life) = life else {
            return out.push(0);
        };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            THERE
                | flag(life.dead, DEAD)
                | flag(life.epoch.actor != ActorId(0), ACTOR)
                | flag(life.deadline.is_some(), DEADLINE)
                | flag(life.value.is_some(), VALUE),
        );
        put_varint(out, life.epoch.time.0);
        if life.epoch.actor != ActorId(0) {
            out.extend_from_slice(&life.epoch.actor.0.to_le_bytes());
        }
        put_varint(out, life.until.wrapping_add(1));
        let stamps = life.stamps();
        let which = |stamp: &Stamp| stamps.binary_search(stamp).unwrap_or(0) as u64;
        put_varint(out, stamps.len() as u64);
        stamps.iter().for_each(|stamp| put_stamp(out, *stamp));
        for stamp in life.deadline.iter().chain(&life.value) {
            put_varint(out, which(stamp));
        }
        put_varint(out, life.fields.len() as u64);
        for (name, stamp) in &life.fields {
            out.extend_from_slice(&name.to_le_bytes());
            put_varint(out, which(stamp));
        }
    }

    pub(super) fn read(input: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let flags = input.byte()?;
        if flags == 0 {
            return Ok(None);
        }
        if flags & THERE == 0 || flags >= VALUE << 1 {
            return Err(DecodeError("a context has unknown flags"));
        }
        let time = HlcTime(input.varint()?);
        let actor = match flags & ACTOR {
            0 => ActorId(0),
            _ => ActorId(input.u64()?),
        };
        let until = input.varint()?.wrapping_sub(1);
        let stamps = count(input, Self::MOST_FIELDS + 2)?;
        let stamps = (0..stamps)
            .map(|_| input.stamp())
            .collect::<Result<Vec<_>, _>>()?;
        let which = |input: &mut Reader<'_>| {
            let at = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
            let stamp = stamps.get(at).copied();
            stamp.ok_or(DecodeError("a context lacks a stamp"))
        };
        let optional = |input: &mut Reader<'_>, bit: u8| match flags & bit {
            0 => Ok(None),
            _ => which(input).map(Some),
        };
        let deadline = optional(input, DEADLINE)?;
        let value = optional(input, VALUE)?;
        let fields = count(input, Self::MOST_FIELDS)?;
        let fields = (0..fields)
            .map(|_| Ok((input.u64()?, which(input)?)))
            .collect::<Result<_, _>>()?;
        Ok(Some(Self {
            epoch: Stamp { time, actor },
            dead: flags & DEAD != 0,
            until,
            deadline,
            value,
            fields,
        }))
    }

    /// Every stamp once, ascending.
    fn stamps(&self) -> Vec<Stamp> {
        let fields = self.fields.iter().map(|(_, stamp)| *stamp);
        let own = self.deadline.into_iter().chain(self.value);
        let mut stamps: Vec<_> = own.chain(fields).collect();
        stamps.sort_unstable();
        stamps.dedup();
        stamps
    }
}

/// A number of things that follow, at most `most`.
fn count(input: &mut Reader<'_>, most: usize) -> Result<usize, DecodeError> {
    let count = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
    match count <= most {
        true => Ok(count),
        false => Err(DecodeError("a context names too much")),
    }
}

/// Of two names with one hash either counts; in 2³² fields that is to be expected once.
fn hash(name: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(name)
}

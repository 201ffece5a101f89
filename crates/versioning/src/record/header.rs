//! The header: everything of a record but its body, at offsets that the first byte alone decides.
//!
//! ```text
//! flags 1 | epoch 16 | value stamp 16? | deadline stamp 16? | deadline 6? | (form 1 | cap 6)? | horizon 6? | body
//! ```
//!
//! Integers are little-endian; a stamp is time then actor; times of day are 48-bit milliseconds.
//! A part with `?` is left out where the flags say that it is unset, [`NEVER`], or equal to a part
//! named before it. Each header has one encoding: a part that could be left out must be.
//!
//! ```text
//! bits 0–2  shape           0 empty  1 value stamped with the epoch  2 value  3 fields
//!                           4 siblings  5 dead  (6 and 7: kept for later formats)
//! bits 3–4  deadline stamp  0 deadline unset  1 the epoch  2 the value's stamp  3 spelled out
//! bit  5    deadline        1 never
//! bits 6–7  horizon         0 the deadline (zero if unset)  1 never  2 spelled out
//!                           3 a byte with one of these forms follows, and a cap
//! ```

use super::{Deadline, DecodeError, NEVER};
use crate::Stamp;
use crate::codec::{LAST_MILLI, Reader, put_millis, put_stamp};

/// Which body follows the header, and the part of it that the header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Empty,
    Value(Stamp),
    Fields,
    Siblings,
    Dead,
}

/// Invariants, kept by [`Header::new`] and checked by [`Header::parse`]: times are [`NEVER`] or at
/// most [`LAST_MILLI`]; the horizon is at least the deadline, the cap too; dead records have neither
/// deadline nor cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: Stamp,
    pub(super) deadline: Option<Deadline>,
    pub(super) horizon: u64,
    /// The latest that any deadline of this life may be; [`NEVER`] where nothing says so.
    pub(super) cap: u64,
    pub(super) shape: Shape,
}

const EMPTY: u8 = 0;
const VALUE_OF_EPOCH: u8 = 1;
const VALUE: u8 = 2;
const FIELDS: u8 = 3;
const SIBLINGS: u8 = 4;
const DEAD: u8 = 5;
const SHAPE_BITS: u8 = 0b111;

const STAMP_UNSET: u8 = 0;
const STAMP_OF_EPOCH: u8 = 1;
const STAMP_OF_VALUE: u8 = 2;
const STAMP_SPELLED: u8 = 3;
const STAMP_SHIFT: u8 = 3;

const DEADLINE_NEVER: u8 = 1 << 5;

const HORIZON_IS_DEADLINE: u8 = 0;
const HORIZON_NEVER: u8 = 1;
const HORIZON_SPELLED: u8 = 2;
const CAPPED: u8 = 3;
const HORIZON_SHIFT: u8 = 6;

/// Whether a record that begins with these flags has named fields.
#[inline]
pub(super) fn has_fields(flags: u8) -> bool {
    flags & SHAPE_BITS == FIELDS
}

/// A time that the encoding has room for: beyond the year 10889 is never.
fn representable(at: u64) -> u64 {
    if at > LAST_MILLI { NEVER } else { at }
}

/// A deadline of a life that must not last longer than its cap.
#[inline]
pub(super) fn capped(deadline: Option<Deadline>, cap: u64) -> Option<Deadline> {
    deadline.map(|it| Deadline {
        at: it.at.min(cap),
        ..it
    })
}

impl Header {
    /// The longest encoding, in bytes.
    pub(super) const MAX_LEN: usize = 1 + 3 * 16 + 3 * 6 + 1;

    /// Establishes the invariants, whatever the arguments.
    pub(super) fn new(
        epoch: Stamp,
        deadline: Option<Deadline>,
        horizon: u64,
        cap: u64,
        shape: Shape,
    ) -> Self {
        let deadline = deadline.map(|it| Deadline {
            at: representable(it.at),
            ..it
        });
        let horizon = representable(horizon).max(deadline.map_or(0, |it| it.at));
        let (deadline, cap) = match shape {
            Shape::Dead => (None, NEVER),
            _ => (capped(deadline, cap), representable(cap)),
        };
        Self {
            epoch,
            deadline,
            horizon,
            cap,
            shape,
        }
    }

    /// The join of two headers of the same epoch, for a body of the given shape.
    #[inline]
    pub(super) fn join(&self, other: &Self, shape: Shape) -> Self {
        debug_assert_eq!(self.epoch, other.epoch);
        let (deadline, cap) = match shape {
            Shape::Dead => (None, NEVER),
            _ => {
                let cap = self.cap.min(other.cap);
                (capped(self.deadline.max(other.deadline), cap), cap)
            }
        };
        Self {
            epoch: self.epoch,
            deadline,
            horizon: self.horizon.max(other.horizon),
            cap,
            shape,
        }
    }

    /// Reads a header; also where the body starts. Refuses all but the one right encoding.
    ///
    /// Inlined with all it calls, so that its parts stay in registers: through memory it takes
    /// 20 ns in place of 8 (`examples/record_cost.rs`), and every request parses a few.
    #[inline(always)]
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        let mut input = Reader::new(bytes);
        let flags = input.byte()?;
        let epoch = input.stamp()?;
        let shape = read_shape(flags, epoch, &mut input)?;
        let deadline = read_deadline(flags, epoch, shape, &mut input)?;
        let (horizon, cap) = read_horizon(flags, deadline, &mut input)?;
        let header = Self {
            epoch,
            deadline,
            horizon,
            cap,
            shape,
        };
        let body = input.rest();
        match shape {
            Shape::Dead if deadline.is_some() => Err(DecodeError("dead, with a deadline")),
            Shape::Dead if cap != NEVER => Err(DecodeError("dead, with a cap")),
            Shape::Dead | Shape::Empty if !body.is_empty() => {
                Err(DecodeError("it has a body where none belongs"))
            }
            _ => Ok((header, bytes.len() - body.len())),
        }
    }

    /// Appends the encoding.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let deadline_at = self.deadline.map_or(0, |it| it.at);
        debug_assert!(self.horizon >= deadline_at);
        let (shape, value_stamp) = self.shape_code();
        let (stamp, deadline_stamp) = self.deadline_stamp_code();
        let never = if self.deadline.is_some_and(|it| it.at == NEVER) {
            DEADLINE_NEVER
        } else {
            0
        };
        let horizon = match self.horizon {
            at if at == deadline_at => HORIZON_IS_DEADLINE,
            NEVER => HORIZON_NEVER,
            _ => HORIZON_SPELLED,
        };
        let is_capped = self.cap != NEVER;
        let form = if is_capped { CAPPED } else { horizon };
        out.push(shape | stamp << STAMP_SHIFT | never | form << HORIZON_SHIFT);
        put_stamp(out, self.epoch);
        value_stamp
            .into_iter()
            .chain(deadline_stamp)
            .for_each(|stamp| put_stamp(out, stamp));
        if let Some(Deadline { at, .. }) = self.deadline
            && at != NEVER
        {
            put_millis(out, at);
        }
        if is_capped {
            out.push(horizon);
            put_millis(out, self.cap);
        }
        if horizon == HORIZON_SPELLED {
            put_millis(out, self.horizon);
        }
    }

    fn shape_code(&self) -> (u8, Option<Stamp>) {
        match self.shape {
            Shape::Empty => (EMPTY, None),
            Shape::Value(stamp) if stamp == self.epoch => (VALUE_OF_EPOCH, None),
            Shape::Value(stamp) => (VALUE, Some(stamp)),
            Shape::Fields => (FIELDS, None),
            Shape::Siblings => (SIBLINGS, None),
            Shape::Dead => (DEAD, None),
        }
    }

    fn deadline_stamp_code(&self) -> (u8, Option<Stamp>) {
        match self.deadline {
            None => (STAMP_UNSET, None),
            Some(Deadline { stamp, .. }) if stamp == self.epoch => (STAMP_OF_EPOCH, None),
            Some(Deadline { stamp, .. }) if self.shape == Shape::Value(stamp) => {
                (STAMP_OF_VALUE, None)
            }
            Some(Deadline { stamp, .. }) => (STAMP_SPELLED, Some(stamp)),
        }
    }
}

#[inline(always)]
fn read_shape(flags: u8, epoch: Stamp, input: &mut Reader<'_>) -> Result<Shape, DecodeError> {
    Ok(match flags & SHAPE_BITS {
        EMPTY => Shape::Empty,
        VALUE_OF_EPOCH => Shape::Value(epoch),
        VALUE => {
            let stamp = input.stamp()?;
            if stamp == epoch {
                return Err(DecodeError("the value's stamp repeats the epoch"));
            }
            Shape::Value(stamp)
        }
        FIELDS => Shape::Fields,
        SIBLINGS => Shape::Siblings,
        DEAD => Shape::Dead,
        _ => return Err(DecodeError("its format is unknown")),
    })
}

#[inline(always)]
fn read_deadline(
    flags: u8,
    epoch: Stamp,
    shape: Shape,
    input: &mut Reader<'_>,
) -> Result<Option<Deadline>, DecodeError> {
    let never = flags & DEADLINE_NEVER != 0;
    let stamp = match (flags >> STAMP_SHIFT & 0b11, shape) {
        (STAMP_UNSET, _) if never => return Err(DecodeError("a deadline without a stamp")),
        (STAMP_UNSET, _) => return Ok(None),
        (STAMP_OF_EPOCH, _) => epoch,
        (STAMP_OF_VALUE, Shape::Value(stamp)) if stamp != epoch => stamp,
        (STAMP_OF_VALUE, _) => return Err(DecodeError("a deadline without a stamp")),
        _ => {
            let stamp = input.stamp()?;
            if stamp == epoch || shape == Shape::Value(stamp) {
                return Err(DecodeError("the deadline's stamp repeats another"));
            }
            stamp
        }
    };
    let at = if never { NEVER } else { input.millis()? };
    Ok(Some(Deadline { stamp, at }))
}

#[inline(always)]
fn read_horizon(
    flags: u8,
    deadline: Option<Deadline>,
    input: &mut Reader<'_>,
) -> Result<(u64, u64), DecodeError> {
    let at_least = deadline.map_or(0, |it| it.at);
    let (form, cap) = match flags >> HORIZON_SHIFT {
        CAPPED => read_cap(at_least, input)?,
        form => (form, NEVER),
    };
    let horizon = match form {
        HORIZON_IS_DEADLINE => return Ok((at_least, cap)),
        HORIZON_NEVER => NEVER,
        HORIZON_SPELLED => input.millis()?,
        _ => return Err(DecodeError("its horizon's form is unknown")),
    };
    if horizon <= at_least {
        return Err(DecodeError("the horizon is not after the deadline"));
    }
    Ok((horizon, cap))
}

/// The horizon's form and the cap, of a record that has one. Few do, and those that do not should not
/// pay for it.
#[cold]
fn read_cap(deadline: u64, input: &mut Reader<'_>) -> Result<(u8, u64), DecodeError> {
    let (form, cap) = (input.byte()?, input.millis()?);
    match deadline > cap {
        true => Err(DecodeError("the deadline is after the cap")),
        false => Ok((form, cap)),
    }
}

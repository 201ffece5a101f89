//! The encoding of bodies that are more than one plain value.
//!
//! ```text
//! fields    (name length, name, cell)*                          names strictly ascending
//! cell      tag, stamp?, then by kind
//!   register  present: value length, value      removed: nothing
//!   counter   tallies, (actor 8, up, down)*                     actors strictly ascending
//!   set       elements, (tag, stamp?, length, element)*         elements strictly ascending
//!   siblings  actors, (actor 8, events, values, (time 8, length, value)*)*   newest value first
//! ```
//!
//! Lengths and counts are LEB128 in their shortest form. Stamps repeat much within a body, so the
//! tag says whether one is the epoch, or the one last spelled out before it, or spelled out here.
//! There is one encoding for each body, and no other is accepted.

use std::collections::BTreeMap;

use super::cell::{Cell, Counter, Membership, Register, Set, Tally};
use super::{DecodeError, Shape};
use crate::codec::{Reader, put_chunk, put_stamp, put_varint};
use crate::siblings::{DvvSet, Events, Sibling};
use crate::{ActorId, HlcTime, Stamp};

const REMOVED: u8 = 0;
const REGISTER: u8 = 1;
const COUNTER: u8 = 2;
const SET: u8 = 3;
const SIBLINGS: u8 = 4;
const KIND_BITS: u8 = 0b111;

/// A set element's kind bits.
const OUT: u8 = 0;
const IN: u8 = 1;

const OF_EPOCH: u8 = 0;
const AS_BEFORE: u8 = 1 << 3;
const SPELLED: u8 = 2 << 3;

/// What both sides remember about the stamps of a body, to leave out those that repeat.
#[derive(Clone, Copy, Debug)]
struct Stamps {
    epoch: Stamp,
    spelled: Option<Stamp>,
}

impl Stamps {
    fn new(epoch: Stamp) -> Self {
        Self {
            epoch,
            spelled: None,
        }
    }

    /// Appends the tag and, if it must be spelled out, the stamp.
    fn write(&mut self, out: &mut Vec<u8>, kind: u8, stamp: Stamp) {
        if stamp == self.epoch {
            out.push(kind | OF_EPOCH);
        } else if self.spelled == Some(stamp) {
            out.push(kind | AS_BEFORE);
        } else {
            out.push(kind | SPELLED);
            put_stamp(out, stamp);
            self.spelled = Some(stamp);
        }
    }

    fn read(&mut self, tag: u8, input: &mut Reader<'_>) -> Result<Stamp, DecodeError> {
        match (tag & !KIND_BITS, self.spelled) {
            (OF_EPOCH, _) => Ok(self.epoch),
            (AS_BEFORE, Some(stamp)) => Ok(stamp),
            (SPELLED, before) => {
                let stamp = input.stamp()?;
                if stamp == self.epoch || before == Some(stamp) {
                    return Err(DecodeError("a stamp repeats another"));
                }
                self.spelled = Some(stamp);
                Ok(stamp)
            }
            _ => Err(DecodeError("a cell's tag is unknown")),
        }
    }
}

/// Appends a fields body.
pub(super) fn write_fields(out: &mut Vec<u8>, epoch: Stamp, fields: &BTreeMap<&[u8], Cell<'_>>) {
    let mut stamps = Stamps::new(epoch);
    for (name, cell) in fields {
        put_chunk(out, name);
        write_cell(out, &mut stamps, cell);
    }
}

fn write_cell(out: &mut Vec<u8>, stamps: &mut Stamps, cell: &Cell<'_>) {
    match cell {
        Cell::Register(Register { stamp, value: None }) => stamps.write(out, REMOVED, *stamp),
        Cell::Register(Register {
            stamp,
            value: Some(value),
        }) => {
            stamps.write(out, REGISTER, *stamp);
            put_chunk(out, value);
        }
        Cell::Counter(counter) => {
            stamps.write(out, COUNTER, counter.reset);
            put_varint(out, counter.tallies.len() as u64);
            for (actor, tally) in &counter.tallies {
                out.extend_from_slice(&actor.0.to_le_bytes());
                put_varint(out, tally.up);
                put_varint(out, tally.down);
            }
        }
        Cell::Set(set) => {
            out.push(SET);
            put_varint(out, set.elements.len() as u64);
            for (element, &Membership { stamp, present }) in &set.elements {
                stamps.write(out, if present { IN } else { OUT }, stamp);
                put_chunk(out, element);
            }
        }
        Cell::Siblings(set) => {
            out.push(SIBLINGS);
            write_siblings(out, set);
        }
    }
}

/// Appends a sibling set, as a cell's payload or as a body of its own.
pub(super) fn write_siblings(out: &mut Vec<u8>, set: &DvvSet<'_>) {
    put_varint(out, set.entries().len() as u64);
    for (actor, events) in set.entries() {
        out.extend_from_slice(&actor.0.to_le_bytes());
        put_varint(out, events.count);
        put_varint(out, events.values.len() as u64);
        for Sibling { time, value } in &events.values {
            out.extend_from_slice(&time.0.to_le_bytes());
            put_chunk(out, value);
        }
    }
}

/// Checks a body of the given shape to its last byte.
#[inline]
pub(super) fn check(shape: Shape, epoch: Stamp, body: &[u8]) -> Result<(), DecodeError> {
    match shape {
        Shape::Empty | Shape::Dead | Shape::Value(_) => Ok(()),
        Shape::Siblings => read_siblings_body(body).map(drop),
        Shape::Fields => check_fields(epoch, body),
    }
}

fn check_fields(epoch: Stamp, body: &[u8]) -> Result<(), DecodeError> {
    let (mut last, mut count, mut has_own_shape) = (None, 0_usize, false);
    for field in Fields::new(epoch, body) {
        let (name, cell) = field?;
        if last.is_some_and(|last| last >= name) {
            return Err(DecodeError("its fields are out of order"));
        }
        has_own_shape = name.is_empty() && Shape::alone(&cell) != Shape::Fields;
        (last, count) = (Some(name), count + 1);
    }
    match count {
        0 => Err(DecodeError("fields without a field")),
        1 if has_own_shape => Err(DecodeError("one unnamed value, written as a field")),
        _ => Ok(()),
    }
}

impl Shape {
    /// The shape of a body that has this cell under the empty name and no other.
    pub(super) fn alone(cell: &Cell<'_>) -> Self {
        match cell {
            Cell::Register(Register {
                stamp,
                value: Some(_),
            }) => Self::Value(*stamp),
            Cell::Siblings(_) => Self::Siblings,
            _ => Self::Fields,
        }
    }
}

/// Reads a fields body one by one; ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    input: Reader<'a>,
    stamps: Stamps,
}

impl<'a> Fields<'a> {
    pub(super) fn new(epoch: Stamp, body: &'a [u8]) -> Self {
        Self {
            input: Reader::new(body),
            stamps: Stamps::new(epoch),
        }
    }

    fn read(&mut self) -> Result<(&'a [u8], Cell<'a>), DecodeError> {
        let name = self.input.chunk()?;
        Ok((name, read_cell(&mut self.input, &mut self.stamps)?))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a [u8], Cell<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.input.rest().is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.input = Reader::new(b"");
        }
        Some(field)
    }
}

fn read_cell<'a>(input: &mut Reader<'a>, stamps: &mut Stamps) -> Result<Cell<'a>, DecodeError> {
    let tag = input.byte()?;
    match tag & KIND_BITS {
        REMOVED => Ok(Cell::Register(Register {
            stamp: stamps.read(tag, input)?,
            value: None,
        })),
        REGISTER => {
            let stamp = stamps.read(tag, input)?;
            Ok(Cell::Register(Register {
                stamp,
                value: Some(input.chunk()?),
            }))
        }
        COUNTER => {
            let reset = stamps.read(tag, input)?;
            Ok(Cell::Counter(Counter {
                reset,
                tallies: read_tallies(input)?,
            }))
        }
        SET if tag == SET => read_set(input, stamps).map(Cell::Set),
        SIBLINGS if tag == SIBLINGS => read_siblings(input).map(Cell::Siblings),
        _ => Err(DecodeError("a cell's tag is unknown")),
    }
}

/// Inserts at the end only, so that each map has one encoding.
fn push<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) -> Result<(), DecodeError> {
    if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
        return Err(DecodeError("a cell's entries are out of order"));
    }
    map.insert(key, value);
    Ok(())
}

fn read_tallies(input: &mut Reader<'_>) -> Result<BTreeMap<ActorId, Tally>, DecodeError> {
    let mut tallies = BTreeMap::new();
    for _ in 0..input.varint()? {
        let actor = ActorId(input.u64()?);
        push(
            &mut tallies,
            actor,
            Tally {
                up: input.varint()?,
                down: input.varint()?,
            },
        )?;
    }
    Ok(tallies)
}

fn read_set<'a>(input: &mut Reader<'a>, stamps: &mut Stamps) -> Result<Set<'a>, DecodeError> {
    let mut set = Set::default();
    for _ in 0..input.varint()? {
        let tag = input.byte()?;
        let present = match tag & KIND_BITS {
            OUT => false,
            IN => true,
            _ => return Err(DecodeError("a cell's tag is unknown")),
        };
        let stamp = stamps.read(tag, input)?;
        push(
            &mut set.elements,
            input.chunk()?,
            Membership { stamp, present },
        )?;
    }
    Ok(set)
}

/// Reads a whole body that is one sibling set.
pub(super) fn read_siblings_body(body: &[u8]) -> Result<DvvSet<'_>, DecodeError> {
    let mut input = Reader::new(body);
    let set = read_siblings(&mut input)?;
    if !input.rest().is_empty() {
        return Err(DecodeError("something follows the siblings"));
    }
    Ok(set)
}

fn read_siblings<'a>(input: &mut Reader<'a>) -> Result<DvvSet<'a>, DecodeError> {
    let mut entries = BTreeMap::new();
    for _ in 0..input.varint()? {
        let actor = ActorId(input.u64()?);
        let (count, values) = (input.varint()?, input.varint()?);
        if count == 0 || values > count {
            return Err(DecodeError("more values than events"));
        }
        let mut events = Events {
            count,
            values: Vec::new(),
        };
        for _ in 0..values {
            let time = HlcTime(input.u64()?);
            events.values.push(Sibling {
                time,
                value: input.chunk()?,
            });
        }
        push(&mut entries, actor, events)?;
    }
    Ok(DvvSet::from_entries(entries))
}

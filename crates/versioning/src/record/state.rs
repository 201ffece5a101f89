//! The decoded record: the lattice as it is defined, for everything but the hot path.

use std::collections::BTreeMap;

use super::body::{self, Fields};
use super::cell::{Cell, Register};
use super::header::{Header, Shape, capped};
use super::{Deadline, NEVER, RecordRef};
use crate::Stamp;

/// A record as one map from names to cells. All body forms are such maps, so they can be joined
/// with each other: a plain value is a live register under the empty name, siblings are a sibling
/// set under the empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) epoch: Stamp,
    pub(crate) dead: bool,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) horizon: u64,
    pub(crate) cap: u64,
    pub(crate) body: BTreeMap<&'a [u8], Cell<'a>>,
}

impl<'a> Record<'a> {
    /// A life of which nothing but its epoch is known.
    pub(crate) fn new(epoch: Stamp) -> Self {
        Self {
            epoch,
            dead: false,
            deadline: None,
            horizon: 0,
            cap: NEVER,
            body: BTreeMap::new(),
        }
    }

    pub(crate) fn decode(record: &RecordRef<'a>) -> Self {
        let header = record.header;
        Self {
            epoch: header.epoch,
            dead: header.shape == Shape::Dead,
            deadline: header.deadline,
            horizon: header.horizon,
            cap: header.cap,
            body: record.cells().collect(),
        }
    }

    /// The same, joined with a deadline if there is one.
    pub(crate) fn with_deadline(mut self, stamp: Stamp, at: Option<u64>) -> Self {
        self.deadline = self.deadline.max(at.map(|at| Deadline { stamp, at }));
        self.horizon = self.horizon.max(at.unwrap_or(0));
        self
    }

    /// The least record above both.
    pub(crate) fn join(&self, other: &Self) -> Self {
        match self.epoch.cmp(&other.epoch) {
            std::cmp::Ordering::Less => other.clone(),
            std::cmp::Ordering::Greater => self.clone(),
            std::cmp::Ordering::Equal => self.join_same_life(other),
        }
    }

    fn join_same_life(&self, other: &Self) -> Self {
        let horizon = self.horizon.max(other.horizon);
        if self.dead || other.dead {
            return Self {
                dead: true,
                horizon,
                ..Self::new(self.epoch)
            };
        }
        let mut body = self.body.clone();
        for (&name, theirs) in &other.body {
            body.entry(name)
                .and_modify(|ours| *ours = ours.join(theirs))
                .or_insert_with(|| theirs.clone());
        }
        let cap = self.cap.min(other.cap);
        let deadline = capped(self.deadline.max(other.deadline), cap);
        Self {
            epoch: self.epoch,
            dead: false,
            deadline,
            horizon,
            cap,
            body,
        }
    }

    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let shape = self.shape();
        Header::new(self.epoch, self.deadline, self.horizon, self.cap, shape).write(out);
        match (shape, self.body.get(&b""[..])) {
            (Shape::Empty | Shape::Dead, _) => {}
            (
                Shape::Value(_),
                Some(Cell::Register(Register {
                    value: Some(value), ..
                })),
            ) => {
                out.extend_from_slice(value);
            }
            (Shape::Siblings, Some(Cell::Siblings(set))) => body::write_siblings(out, set),
            _ => body::write_fields(out, self.epoch, &self.body),
        }
    }

    fn shape(&self) -> Shape {
        if self.dead {
            return Shape::Dead;
        }
        match self.body.first_key_value() {
            None => Shape::Empty,
            Some((name, cell)) if name.is_empty() && self.body.len() == 1 => Shape::alone(cell),
            Some(_) => Shape::Fields,
        }
    }

    /// The same with every value empty; see [`RecordRef::outline`].
    pub(super) fn outline(&self) -> Self {
        let body = self
            .body
            .iter()
            .map(|(&name, cell)| (name, cell.outline()))
            .collect();
        Self { body, ..*self }
    }
}

/// The cells of a checked body, whatever its shape.
pub(super) fn cells<'a>(
    header: &Header,
    body: &'a [u8],
) -> impl Iterator<Item = (&'a [u8], Cell<'a>)> + use<'a> {
    let unnamed = match header.shape {
        Shape::Value(stamp) => Some(Cell::Register(Register {
            stamp,
            value: Some(body),
        })),
        Shape::Siblings => body::read_siblings_body(body).ok().map(Cell::Siblings),
        _ => None,
    };
    let fields = if header.shape == Shape::Fields {
        body
    } else {
        b""
    };
    let fields = Fields::new(header.epoch, fields).map_while(Result::ok);
    unnamed
        .map(|cell| (&b""[..], cell))
        .into_iter()
        .chain(fields)
}

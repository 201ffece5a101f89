//! Cells: the lattices that may lie under a field's name.
//!
//! All of them borrow names and values from the encodings they were read from; joining copies no
//! value.

use std::collections::BTreeMap;

use crate::siblings::DvvSet;
use crate::{ActorId, Stamp};

/// What lies under one name. Kinds are a chain, register < counter < set < siblings; under one
/// name the greater kind wins entirely, and equal kinds are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Register(Register<'a>),
    Counter(Counter),
    Set(Set<'a>),
    Siblings(DvvSet<'a>),
}

/// A last-writer-wins register: the greater (stamp, value) wins. `None` is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Register<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) value: Option<&'a [u8]>,
}

/// A PN-counter that can be reset: the greater reset wins entirely; equal resets join actor by
/// actor. Without a tally it is absent, so a reset is a removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) reset: Stamp,
    pub(crate) tallies: BTreeMap<ActorId, Tally>,
}

/// All that one actor has added and taken away since the reset. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

/// A set whose elements are last-writer-wins registers of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set<'a> {
    pub(crate) elements: BTreeMap<&'a [u8], Membership>,
}

/// The greater (stamp, present) wins: of a tie, presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Membership {
    pub(crate) stamp: Stamp,
    pub(crate) present: bool,
}

impl<'a> Cell<'a> {
    pub(crate) fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Register(a), Self::Register(b)) => Self::Register(*a.max(b)),
            (Self::Counter(a), Self::Counter(b)) => Self::Counter(a.join(b)),
            (Self::Set(a), Self::Set(b)) => Self::Set(a.join(b)),
            (Self::Siblings(a), Self::Siblings(b)) => Self::Siblings(a.join(b)),
            _ if self.rank() > other.rank() => self.clone(),
            _ => other.clone(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Register(_) => 0,
            Self::Counter(_) => 1,
            Self::Set(_) => 2,
            Self::Siblings(_) => 3,
        }
    }

    /// Whether a reader finds anything here.
    pub(crate) fn is_present(&self) -> bool {
        match self {
            Self::Register(register) => register.value.is_some(),
            Self::Counter(counter) => !counter.tallies.is_empty(),
            Self::Set(set) => set.elements.values().any(|it| it.present),
            Self::Siblings(set) => set.count() > 0,
        }
    }

    /// The greatest stamp in it.
    pub(crate) fn newest(&self) -> Stamp {
        match self {
            Self::Register(register) => register.stamp,
            Self::Counter(counter) => counter.reset,
            Self::Set(set) => set
                .elements
                .values()
                .map(|it| it.stamp)
                .max()
                .unwrap_or_default(),
            Self::Siblings(set) => set.newest(),
        }
    }

    /// The same cell with all values empty: as present as this one, and below it in the lattice,
    /// because an empty value is less than any other under the same stamp.
    pub(crate) fn outline(&self) -> Self {
        match self {
            Self::Register(Register {
                stamp,
                value: Some(_),
            }) => Self::Register(Register {
                stamp: *stamp,
                value: Some(b""),
            }),
            Self::Siblings(set) => Self::Siblings(set.outline()),
            other => other.clone(),
        }
    }
}

impl Counter {
    fn join(&self, other: &Self) -> Self {
        match self.reset.cmp(&other.reset) {
            std::cmp::Ordering::Less => other.clone(),
            std::cmp::Ordering::Greater => self.clone(),
            std::cmp::Ordering::Equal => {
                let mut joined = self.clone();
                for (&actor, theirs) in &other.tallies {
                    let ours = joined.tallies.entry(actor).or_default();
                    ours.up = ours.up.max(theirs.up);
                    ours.down = ours.down.max(theirs.down);
                }
                joined
            }
        }
    }

    /// `None` if it was reset and nothing has been added since.
    pub(crate) fn total(&self) -> Option<i128> {
        let balance = |tally: &Tally| i128::from(tally.up) - i128::from(tally.down);
        (!self.tallies.is_empty()).then(|| self.tallies.values().map(balance).sum())
    }
}

impl<'a> Set<'a> {
    fn join(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for (&element, &theirs) in &other.elements {
            let ours = joined.elements.entry(element).or_insert(theirs);
            *ours = theirs.max(*ours);
        }
        joined
    }

    /// The elements that are present, in order.
    pub(crate) fn into_members(self) -> impl Iterator<Item = &'a [u8]> {
        self.elements
            .into_iter()
            .filter(|(_, it)| it.present)
            .map(|(element, _)| element)
    }
}

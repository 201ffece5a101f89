//! The dotted version vector set, for values that only their application can merge.
//!
//! After Almeida, Baquero, Gonçalves, Preguiça and Fonte, *Scalable and Accurate Causality
//! Tracking for Eventually Consistent Stores* (DAIS 2014). Each actor has the number of its events
//! (`count`) and the values of the newest of them: `values[i]` was event `count - i`. So all events
//! up to `count - values.len()` (the *floor*) have been overwritten, and the values are those in
//! between: causality is exact, and the size is bounded by actors and siblings.
//!
//! The join takes, per actor, the greater count and the greater floor. That is the paper's `sync`,
//! and it is a lattice for *any* two sets if values of the same event are compared as well: should
//! a broken node ever give two values to one event, all replicas still settle on the same one.

use std::collections::BTreeMap;

use crate::{ActorId, HlcTime, Stamp, VersionVector};

/// Per actor its events; actors without any are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DvvSet<'a> {
    entries: BTreeMap<ActorId, Events<'a>>,
}

/// One actor's events. Never more values than events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events<'a> {
    /// How many there have been.
    pub(crate) count: u64,
    /// The values of the last ones, newest first.
    pub(crate) values: Vec<Sibling<'a>>,
}

/// One value, and when it was written (for showing the newest first; causality is in the dots).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sibling<'a> {
    pub(crate) time: HlcTime,
    pub(crate) value: &'a [u8],
}

impl<'a> DvvSet<'a> {
    pub(crate) fn from_entries(entries: BTreeMap<ActorId, Events<'a>>) -> Self {
        Self { entries }
    }

    pub(crate) fn entries(&self) -> &BTreeMap<ActorId, Events<'a>> {
        &self.entries
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> usize {
        self.entries
            .values()
            .map(|events| events.values.len())
            .sum()
    }

    /// Everything that has happened to this set.
    pub(crate) fn context(&self) -> VersionVector {
        self.entries
            .iter()
            .map(|(&actor, events)| (actor, events.count))
            .collect()
    }

    /// `sync` in the paper.
    pub(crate) fn join(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for (&actor, theirs) in &other.entries {
            let ours = joined.entries.entry(actor).or_default();
            *ours = ours.join(theirs);
        }
        joined
    }

    /// Drops the values that a writer with this context has seen.
    pub(crate) fn discard(&mut self, context: &VersionVector) {
        for (actor, seen) in context.iter() {
            self.entries.entry(actor).or_default().discard(seen);
        }
    }

    /// A write by `actor` of a client that had seen `context`: drops what it had seen and adds the
    /// value under a new event. (No actor lives to see 2⁶⁴ events.)
    pub(crate) fn update(&mut self, context: &VersionVector, actor: ActorId, sibling: Sibling<'a>) {
        self.discard(context);
        let events = self.entries.entry(actor).or_default();
        events.count = events.count.saturating_add(1);
        events.values.insert(0, sibling);
    }

    /// The greatest stamp of its values.
    pub(crate) fn newest(&self) -> Stamp {
        let stamps = self.entries.iter().flat_map(|(&actor, events)| {
            events.values.iter().map(move |it| Stamp {
                time: it.time,
                actor,
            })
        });
        stamps.max().unwrap_or_default()
    }

    /// The values, newest first.
    pub(crate) fn into_newest_first(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut values: Vec<_> = (self.entries.into_iter())
            .flat_map(|(actor, events)| events.values.into_iter().map(move |it| (it, actor)))
            .collect();
        // Stable: values of one actor at one time stay in the order of their events.
        values.sort_by_key(|(it, actor)| std::cmp::Reverse((it.time, *actor)));
        values.into_iter().map(|(it, _)| it.value)
    }

    /// The same dots with empty values.
    pub(crate) fn outline(&self) -> Self {
        let mut outline = self.clone();
        let values = outline
            .entries
            .values_mut()
            .flat_map(|events| &mut events.values);
        values.for_each(|sibling| sibling.value = b"");
        outline
    }
}

impl<'a> Events<'a> {
    /// Up to here every event has been overwritten.
    fn floor(&self) -> u64 {
        self.count - self.values.len() as u64
    }

    /// The value of an event, if it has happened and has not been overwritten.
    fn value_of(&self, event: u64) -> Option<Sibling<'a>> {
        let age = self.count.checked_sub(event)?;
        self.values.get(usize::try_from(age).ok()?).copied()
    }

    fn join(&self, other: &Self) -> Self {
        let count = self.count.max(other.count);
        let floor = self.floor().max(other.floor());
        // Above the greater floor, every side that knows an event has its value.
        let value_of = |age| self.value_of(count - age).max(other.value_of(count - age));
        Self {
            count,
            values: (0..count - floor).filter_map(value_of).collect(),
        }
    }

    fn discard(&mut self, seen: u64) {
        let unseen = usize::try_from(self.count.saturating_sub(seen)).unwrap_or(usize::MAX);
        self.values.truncate(unseen);
        self.count = self.count.max(seen);
    }
}

//! The record of a principal: its entries, and what writes do to it.
//!
//! An entry is a register under a *slot*, a name made of an actor and a number. Only that actor writes
//! to the slot, in the locked step in which it also looks for a free one: so two logins at once never
//! take the same, and a slot whose session is gone is used again. An index is therefore as large as
//! its principal's sessions were many at one time, not as they were many in all. (Registers named
//! after the sessions would each leave a tombstone.)
//!
//! ```text
//! slot    actor 8 | number 4                      big-endian
//! entry   entered, milliseconds since 1970: 8 | session key       little-endian
//! free    nothing
//! ```
//!
//! A session is taken for gone only some time after its entry was made: the entry comes first, and a
//! session that is not there may be on its way.

use std::collections::{BTreeMap, BTreeSet};

use henge_versioning::{ActorId, HlcTime, NEVER, RecordRef, Stamp, delta};

use crate::FieldWrites;

/// Sessions that one principal may have at a time. An index of so many takes 0.7 MB.
pub const MOST_SESSIONS: usize = 10_000;

/// Age from which an entry whose session is not there may go, in milliseconds: both steps of a login
/// have ended by then (60 s each at most), whatever the clocks.
pub(crate) const SETTLED_MS: u64 = 5 * 60 * 1000;

/// What is known of a principal's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// The number of its present, or last, life; 0: it has none.
    pub(crate) life: u64,
    /// Whether that life has ended.
    pub(crate) has_ended: bool,
}

impl Index {
    /// That of a record, or of none.
    pub(crate) fn of(record: Option<&RecordRef<'_>>) -> Self {
        Self {
            life: record.map_or(0, |record| record.epoch().time.0),
            has_ended: record.is_none_or(RecordRef::is_dead),
        }
    }

    /// The life that an entry goes into which is made of this.
    pub(crate) fn next_entry(self) -> u64 {
        self.life + u64::from(self.has_ended)
    }

    /// Whether a session that has its entry in `life` may be shown.
    pub(crate) fn admits(self, life: u64) -> bool {
        self.life == life && !self.has_ended
    }

    /// Whether it is known that a session of `life` was logged out, and not only not known that it
    /// was not.
    pub(crate) fn has_logged_out(self, life: u64) -> bool {
        self.life > life || self.life == life && life > 0 && self.has_ended
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry<'a> {
    /// When it was made, by the clock of who made it.
    pub(crate) entered_ms: u64,
    /// The session's key.
    pub(crate) session: &'a [u8],
}

impl<'a> Entry<'a> {
    fn decode(value: &'a [u8]) -> Option<Self> {
        let (entered, session) = value.split_first_chunk()?;
        let entered_ms = u64::from_le_bytes(*entered);
        Some(Self {
            entered_ms,
            session,
        })
    }

    fn encode(&self) -> Vec<u8> {
        [&self.entered_ms.to_le_bytes(), self.session].concat()
    }

    /// Whether its session can be judged by whether it is there.
    pub(crate) fn is_settled(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.entered_ms) >= SETTLED_MS
    }
}

/// The entries of an index.
pub(crate) fn entries<'a>(index: &RecordRef<'a>) -> impl Iterator<Item = Entry<'a>> + use<'a> {
    index.fields().filter_map(|(_, value)| Entry::decode(value))
}

/// Decides a write of entries and appends its delta: those with a value are made, of those without one
/// the caller knows that the session is gone. `false`: there is nothing to write, or the index is full.
pub(crate) fn decide_entries<'a>(
    fields: &'a FieldWrites<'_>,
    present: Option<RecordRef<'a>>,
    stamp: Stamp,
    now_ms: u64,
    out: &mut Vec<u8>,
) -> bool {
    let index = Index::of(present.as_ref());
    let alive = present.filter(|_| !index.has_ended);
    let mut slots = Slots::of(alive.as_ref(), stamp.actor);
    let gone = fields.iter().filter(|(_, value)| value.is_none());
    slots.free(&gone.map(|(session, _)| *session).collect(), now_ms);
    let mut coming = fields.iter().filter(|(_, value)| value.is_some());
    if !coming.all(|(session, _)| slots.enter(session, now_ms)) {
        return false;
    }
    if slots.writes.is_empty() {
        return false;
    }
    let life = Stamp {
        time: HlcTime(index.next_entry()),
        actor: ActorId(0),
    };
    let writes = slots.writes.iter();
    let writes: Vec<_> = writes
        .map(|(name, value)| (&name[..], Some(&value[..])))
        .collect();
    delta::put_fields(out, life, stamp, Some(NEVER), &writes);
    true
}

/// The slots of one actor.
struct Slots<'a> {
    actor: ActorId,
    /// By number; `None` are free.
    own: BTreeMap<u32, Option<Entry<'a>>>,
    /// Entries in all slots, the other actors' among them.
    used: usize,
    /// What is to be written, by the slot's name.
    writes: BTreeMap<[u8; 12], Vec<u8>>,
}

impl<'a> Slots<'a> {
    fn of(index: Option<&RecordRef<'a>>, actor: ActorId) -> Self {
        let mut slots = Self {
            actor,
            own: BTreeMap::new(),
            used: 0,
            writes: BTreeMap::new(),
        };
        for (name, value) in index.into_iter().flat_map(RecordRef::fields) {
            let entry = Entry::decode(value);
            slots.used += usize::from(entry.is_some());
            let number = name.strip_prefix(&actor.0.to_be_bytes()[..]);
            if let Some(number) = number.and_then(|it| it.try_into().ok()) {
                slots.own.insert(u32::from_be_bytes(number), entry);
            }
        }
        slots
    }

    /// Frees the own slots of sessions that are gone.
    fn free(&mut self, gone: &BTreeSet<&[u8]>, now_ms: u64) {
        let over = |entry: &Entry<'_>| gone.contains(entry.session) && entry.is_settled(now_ms);
        let own = self.own.iter();
        let over = own.filter(|(_, entry)| entry.as_ref().is_some_and(over));
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.write(number, None);
            self.used -= 1;
        }
    }

    /// Makes an entry, in the slot that the session has already or in a free one. `false`: there are
    /// too many.
    fn enter(&mut self, session: &'a [u8], entered_ms: u64) -> bool {
        let mut own = self.own.iter();
        let has = own.find(|(_, it)| it.is_some_and(|it| it.session == session));
        let number = match has {
            Some((number, _)) => Some(*number),
            None if self.used >= MOST_SESSIONS => return false,
            None => {
                self.used += 1;
                (0..).find(|number| !matches!(self.own.get(number), Some(Some(_))))
            }
        };
        let entry = Entry {
            entered_ms,
            session,
        };
        number.is_some_and(|number| {
            self.write(number, Some(entry));
            true
        })
    }

    fn write(&mut self, number: u32, entry: Option<Entry<'a>>) {
        let mut name = [0; 12];
        name[..8].copy_from_slice(&self.actor.0.to_be_bytes());
        name[8..].copy_from_slice(&number.to_be_bytes());
        let value = entry.map_or(Vec::new(), |entry| entry.encode());
        self.writes.insert(name, value);
        self.own.insert(number, entry);
    }
}

//! Places of the preference list, and small sets of them.

use crate::Mode;

/// The most replicas a key can have. Bounded so that a set of places is one machine word and a
/// receipt fits a line; nobody runs N above 7, and the rest is head-room.
pub const MAX_PLACES: u8 = 16;

/// One place of a key's preference list and the node that is asked to fill it.
///
/// A place belongs to one primary for as long as the layout stands. When that primary cannot be
/// reached, a fallback may fill the place for it; the place remains one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceInfo {
    /// The node asked, by its number in the layout.
    pub node: u16,
    /// The primary it stands in for; `None` when it is the primary itself.
    pub stands_for: Option<u16>,
}

impl PlaceInfo {
    /// A place filled by its own primary.
    pub const fn primary(node: u16) -> Self {
        Self {
            node,
            stands_for: None,
        }
    }

    /// A place filled by `node` in the stead of the primary `stands_for`.
    pub const fn fallback(node: u16, stands_for: u16) -> Self {
        Self {
            node,
            stands_for: Some(stands_for),
        }
    }

    /// The primary this place belongs to: where the record has to end up.
    pub fn owner(&self) -> u16 {
        self.stands_for.unwrap_or(self.node)
    }

    /// Whether a fallback fills it.
    pub fn is_fallback(&self) -> bool {
        self.stands_for.is_some()
    }

    /// Whether it counts in this mode: a fallback does only in the sloppy one.
    pub fn may_fill(&self, mode: Mode) -> bool {
        mode == Mode::Sloppy || !self.is_fallback()
    }
}

/// How many bits of a byte are set. A table, since the least x86-64 has no instruction for it, and
/// every answer of a replica counts.
const ONES: [u8; 256] = {
    let mut ones = [0; 256];
    let mut byte = 1;
    while byte < 256 {
        ones[byte] = ones[byte / 2] + (byte % 2) as u8;
        byte += 1;
    }
    ones
};

/// A set of places, by number (`0 .. MAX_PLACES`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceSet(u16);

impl PlaceSet {
    /// No place.
    pub const EMPTY: Self = Self(0);

    /// The first `places` places.
    ///
    /// # Panics
    /// If `places` is above [`MAX_PLACES`].
    pub fn first(places: u8) -> Self {
        assert!(
            places <= MAX_PLACES,
            "{places} places, but a key has at most {MAX_PLACES}"
        );
        Self(((1u32 << places) - 1) as u16)
    }

    /// Adds a place. Numbers from [`MAX_PLACES`] on are ignored: no key has such a place.
    #[inline]
    pub fn insert(&mut self, place: u8) {
        self.0 |= bit(place);
    }

    /// Takes a place out.
    #[inline]
    pub fn remove(&mut self, place: u8) {
        self.0 &= !bit(place);
    }

    /// Whether the place is in it.
    #[inline]
    pub fn contains(self, place: u8) -> bool {
        self.0 & bit(place) != 0
    }

    /// How many places it has.
    #[inline]
    pub fn len(self) -> u8 {
        let [low, high] = self.0.to_le_bytes();
        ONES[usize::from(low)] + ONES[usize::from(high)]
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Places in either.
    #[inline]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Places in both.
    #[inline]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Places in this one and not in the other.
    #[inline]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The least place in it.
    #[inline]
    pub fn lowest(self) -> Option<u8> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as u8)
    }

    /// Its places in ascending order.
    pub fn iter(self) -> Places {
        Places(self)
    }
}

/// The places of a [`PlaceSet`], ascending.
#[derive(Clone, Debug)]
pub struct Places(PlaceSet);

impl Iterator for Places {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let place = self.0.lowest()?;
        self.0.remove(place);
        Some(place)
    }
}

impl IntoIterator for PlaceSet {
    type Item = u8;
    type IntoIter = Places;

    fn into_iter(self) -> Places {
        self.iter()
    }
}

impl FromIterator<u8> for PlaceSet {
    fn from_iter<I: IntoIterator<Item = u8>>(places: I) -> Self {
        let mut set = Self::EMPTY;
        places.into_iter().for_each(|place| set.insert(place));
        set
    }
}

#[inline]
fn bit(place: u8) -> u16 {
    1u16.checked_shl(u32::from(place)).unwrap_or(0)
}

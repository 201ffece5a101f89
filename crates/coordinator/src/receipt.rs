//! What a client can be shown of its write: which replicas keep it, and how.

use std::fmt;

use smallvec::SmallVec;

use crate::PlaceInfo;

/// What is known of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceStatus {
    /// It keeps the record on disk.
    Durable,
    /// It keeps the record in memory.
    InMemory,
    /// It has not answered yet.
    Pending,
    /// It refused, could not be reached or was lost.
    Failed,
}

impl fmt::Display for PlaceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Durable => "durable",
            Self::InMemory => "memory",
            Self::Pending => "pending",
            Self::Failed => "failed",
        })
    }
}

/// One place of a [`Receipt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceReceipt {
    /// Who was asked, and for whom.
    pub info: PlaceInfo,
    /// What came of it.
    pub status: PlaceStatus,
}

/// Which replicas keep a write, as far as its coordinator knows at one moment. A later receipt of
/// the same write never counts fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Places that had to keep it.
    pub needed: u8,
    /// Distinct places that do.
    pub got: u8,
    /// Every place of the preference list, in its order.
    pub places: SmallVec<[PlaceReceipt; 5]>,
}

impl Receipt {
    /// How many places keep it on disk.
    pub fn durable(&self) -> usize {
        self.places
            .iter()
            .filter(|place| place.status == PlaceStatus::Durable)
            .count()
    }

    /// How many places that keep it are filled by fallbacks: what a strict write would not count.
    pub fn on_fallbacks(&self) -> usize {
        let keeps = |status| matches!(status, PlaceStatus::Durable | PlaceStatus::InMemory);
        self.places
            .iter()
            .filter(|place| keeps(place.status) && place.info.is_fallback())
            .count()
    }
}

//! Quorums: from what a request asked to what the cluster can promise.
//!
//! Numbers from outside ([`Asked`]) meet the bucket's [`Defaults`] and the number of places the key
//! really has, and come out as a [`Consistency`], which cannot be wrong any more: both quorums lie
//! between one and the number of places.
//!
//! A request that names a quorum the key cannot have is an error. A *default* that it cannot have,
//! because the cluster has fewer nodes than N, is cut to the number of places. Cutting to the
//! minimum of both keeps what the operator asked for: if R + W > N then R' + W' > N', and a
//! majority stays a majority. (Cutting further would leave more room for failures and fewer copies
//! of acknowledged writes than the cluster could hold.)

use std::fmt;

use crate::MAX_PLACES;

/// The longest deadline a request may ask for, in milliseconds. It bounds how long an operation's
/// slot, and with it a client's connection, can be held by replicas that never answer.
pub const MAX_DEADLINE_MS: u32 = 60_000;

/// Who may fill a place of the preference list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only its primary. Quorums of reads and writes intersect, and operations fail when too few
    /// primaries can be reached.
    Strict,
    /// A fallback may stand in for a primary that cannot be reached. Operations go on, and a read
    /// may miss a write until the fallback has handed its hint over.
    #[default]
    Sloppy,
}

/// A quorum a request can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// Replicas that must answer a read.
    R,
    /// Replicas that must keep a write.
    W,
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::R => "R",
            Self::W => "W",
        })
    }
}

/// A quorum or a deadline that cannot be. Nothing was sent or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// A quorum of nobody.
    #[error("{knob}=0 asked, but at least 1 replica must answer")]
    Zero {
        /// Which quorum.
        knob: Knob,
    },
    /// A quorum above the number of replicas the key has.
    #[error("{knob}={asked} asked, but a key has {places} {}", replicas(.places))]
    TooMany {
        /// Which quorum.
        knob: Knob,
        /// What was asked.
        asked: u64,
        /// How many replicas a key has here and now.
        places: u8,
    },
    /// A deadline of nothing, or beyond [`MAX_DEADLINE_MS`].
    #[error("a deadline of {asked_ms} ms asked, but it lies between 1 and {MAX_DEADLINE_MS} ms")]
    Deadline {
        /// What was asked, in milliseconds.
        asked_ms: u64,
    },
    /// A number of replicas the coordinator cannot work with.
    #[error("N={n}, but a key has between 1 and {MAX_PLACES} replicas")]
    Replicas {
        /// The number of replicas.
        n: u8,
    },
}

fn replicas(places: &u8) -> &'static str {
    if *places == 1 { "replica" } else { "replicas" }
}

/// What a bucket does when the request does not say. As configured: [`Defaults::check`] tells
/// whether it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Replicas of each key.
    pub n: u8,
    /// Replicas that must answer a read.
    pub r: u8,
    /// Replicas that must keep a write.
    pub w: u8,
    /// Who may fill a place.
    pub mode: Mode,
    /// How long an operation may take, in milliseconds.
    pub deadline_ms: u32,
}

impl Default for Defaults {
    /// N=3 R=2 W=2, sloppy, one second.
    fn default() -> Self {
        Self {
            n: 3,
            r: 2,
            w: 2,
            mode: Mode::Sloppy,
            deadline_ms: 1_000,
        }
    }
}

/// What a request asked for itself, unchecked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Replicas that must answer a read.
    pub r: Option<u64>,
    /// Replicas that must keep a write.
    pub w: Option<u64>,
    /// Who may fill a place.
    pub mode: Option<Mode>,
    /// How long the operation may take, in milliseconds.
    pub deadline_ms: Option<u64>,
}

/// What one operation needs. Both quorums lie between one and the number of places it was resolved
/// for, the deadline between 1 and [`MAX_DEADLINE_MS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistency {
    r: u8,
    w: u8,
    mode: Mode,
    deadline_ms: u32,
}

impl Defaults {
    /// Whether these defaults can be met by a cluster of at least N nodes. Called where
    /// configuration is read.
    ///
    /// # Errors
    /// The first of N, R, W and the deadline that is out of range.
    pub fn check(&self) -> Result<(), QuorumError> {
        if !(1..=MAX_PLACES).contains(&self.n) {
            return Err(QuorumError::Replicas { n: self.n });
        }
        explicit(Knob::R, u64::from(self.r), self.n)?;
        explicit(Knob::W, u64::from(self.w), self.n)?;
        deadline(u64::from(self.deadline_ms)).map(drop)
    }

    /// What an operation needs, for a key that has `places` replicas (fewer than N when the cluster
    /// is smaller than N).
    ///
    /// # Errors
    /// A request above `places`, a quorum of zero, a deadline out of range, or defaults that
    /// [`Defaults::check`] refuses.
    pub fn resolve(&self, asked: &Asked, places: u8) -> Result<Consistency, QuorumError> {
        self.check()?;
        if !(1..=MAX_PLACES).contains(&places) {
            return Err(QuorumError::Replicas { n: places });
        }
        let quorum = |knob, asked: Option<u64>, default: u8| match asked {
            Some(asked) => explicit(knob, asked, places),
            None => Ok(default.min(places)),
        };
        Ok(Consistency {
            r: quorum(Knob::R, asked.r, self.r)?,
            w: quorum(Knob::W, asked.w, self.w)?,
            mode: asked.mode.unwrap_or(self.mode),
            deadline_ms: deadline(asked.deadline_ms.unwrap_or(u64::from(self.deadline_ms)))?,
        })
    }
}

impl Consistency {
    /// Replicas that must answer a read.
    pub fn r(&self) -> u8 {
        self.r
    }

    /// Replicas that must keep a write.
    pub fn w(&self) -> u8 {
        self.w
    }

    /// Who may fill a place.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How long the operation may take, in milliseconds.
    pub fn deadline_ms(&self) -> u32 {
        self.deadline_ms
    }

    /// The same, for what is left of the operation's time.
    #[must_use]
    pub fn within(mut self, left_ms: u64) -> Self {
        let left_ms = u32::try_from(left_ms.max(1)).unwrap_or(u32::MAX);
        self.deadline_ms = self.deadline_ms.min(left_ms);
        self
    }

    /// The same for a read that one replica answers.
    #[must_use]
    pub fn of_one(mut self) -> Self {
        self.r = 1;
        self
    }

    /// Whether every read sees every write acknowledged before it, both with these numbers and
    /// `places` replicas: strict, and R + W > N.
    pub fn overlaps(&self, places: u8) -> bool {
        self.mode == Mode::Strict && u16::from(self.r) + u16::from(self.w) > u16::from(places)
    }

    /// Whether reads that repair before they answer never go back in time: strict, and 2R > N, so
    /// that two reads share a replica. With fewer, repairing first buys nothing.
    pub fn can_be_monotonic(&self, places: u8) -> bool {
        self.mode == Mode::Strict && 2 * u16::from(self.r) > u16::from(places)
    }
}

fn explicit(knob: Knob, asked: u64, places: u8) -> Result<u8, QuorumError> {
    match u8::try_from(asked) {
        Ok(0) => Err(QuorumError::Zero { knob }),
        Ok(quorum) if quorum <= places => Ok(quorum),
        _ => Err(QuorumError::TooMany {
            knob,
            asked,
            places,
        }),
    }
}

fn deadline(asked_ms: u64) -> Result<u32, QuorumError> {
    match u32::try_from(asked_ms) {
        Ok(ms) if (1..=MAX_DEADLINE_MS).contains(&ms) => Ok(ms),
        _ => Err(QuorumError::Deadline { asked_ms }),
    }
}

#[cfg(test)]
mod tests;

//! How tombstones are treated, and the quorums that sessions are used with.

use crate::{history::Quorum, sim::Planted};

/// What is done with the tombstone of a session, or left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// As it is: kept until its horizon and the margin for clocks and messages.
    Kept,
    /// The record is deleted as soon as the sweeper sees it.
    DeletedPhysically,
    /// Kept for a fixed time that is shorter than sessions live.
    GraceTooShort,
    /// Kept until every primary has it, whatever hints wait (as Riak does).
    ReapedWhenOwnersHaveIt,
    /// Kept as it should be, but touches are taken by one replica alone that believes what it holds.
    BlindTouches,
}

/// All of them, ours first.
pub const POLICIES: [Policy; 5] = [
    Policy::Kept,
    Policy::DeletedPhysically,
    Policy::GraceTooShort,
    Policy::ReapedWhenOwnersHaveIt,
    Policy::BlindTouches,
];

/// What sessions are used with. The first two are what the promise is made for: strict, R + W > N and
/// W > 1. The others are shown for what they cost.
pub const QUORUMS: [Quorum; 4] = [
    quorum(2, 2, true),
    quorum(1, 3, true),
    quorum(2, 2, false),
    quorum(1, 1, true),
];

const fn quorum(r: u8, w: u8, strict: bool) -> Quorum {
    Quorum { n: 3, r, w, strict }
}

impl Policy {
    /// What it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept until its horizon (ours)",
            Self::DeletedPhysically => "deleted physically",
            Self::GraceTooShort => "grace shorter than the session",
            Self::ReapedWhenOwnersHaveIt => "reaped when all primaries have it",
            Self::BlindTouches => "blind touches",
        }
    }

    /// The mistake that makes the simulator treat tombstones so.
    pub(super) fn planted(self) -> Option<Planted> {
        match self {
            Self::Kept => None,
            Self::BlindTouches => Some(Planted::BlindTouches),
            Self::DeletedPhysically => Some(Planted::TombstoneReaped),
            Self::GraceTooShort => Some(Planted::GraceTooShort),
            Self::ReapedWhenOwnersHaveIt => Some(Planted::ReapedWhenOwnersHaveIt),
        }
    }

    /// The quorum under which it has to be seen to bring sessions back. Under a strict one nobody holds
    /// hints that know less than the primaries.
    pub fn shows_under(self) -> Option<Quorum> {
        match self {
            Self::Kept => None,
            Self::ReapedWhenOwnersHaveIt => Some(quorum(2, 2, false)),
            Self::DeletedPhysically | Self::GraceTooShort | Self::BlindTouches => {
                Some(quorum(2, 2, true))
            }
        }
    }

    /// Whether nobody may be seen to come back under it.
    pub fn promises(self, quorum: Quorum) -> bool {
        self == Self::Kept && quorum.strict && quorum.r + quorum.w > quorum.n && quorum.w > 1
    }
}

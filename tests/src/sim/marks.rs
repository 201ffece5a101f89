//! What must have happened at some time for a series of runs to prove anything.
//!
//! Each mark is a *sometimes* assertion: not hit over a whole series, it fails the series.

/// Something worth having happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Mark {
    /// A write was asked for while a partition lasted.
    WriteDuringPartition,
    /// A node died and came back.
    NodeRestarted,
    /// A node died with a client's request in its hands.
    DiedWithRequest,
    /// A node stood still and went on.
    NodePaused,
    /// A path was cut in one direction.
    OneWayCut,
    /// A node's wall clock jumped.
    ClockJumped,
    /// A message was lost on an open path.
    MessageLost,
    /// A message arrived twice.
    MessageDoubled,
    /// A message was overtaken by later ones.
    MessageOvertaken,
    /// A link went down.
    LinkDown,
    /// A client was told *failed*.
    Failed,
    /// A client was told *unknown*, or nothing.
    Unknown,
    /// An acknowledged write was kept by a fallback.
    FallbackKept,
    /// A read showed two siblings or more.
    SiblingsSeen,
    /// A write replaced two siblings or more.
    SiblingsMerged,
    /// Siblings were deleted.
    SiblingsDeleted,
    /// A session was logged out.
    LoggedOut,
    /// A write to a dead session was absorbed.
    Absorbed,
    /// A session's deadline was moved.
    Touched,
    /// A touch was answered by one before it.
    TouchCovered,
    /// A session expired.
    Expired,
    /// A node coordinated for another.
    Forwarded,
    /// A read found replicas to differ and repaired them.
    ReadRepaired,
    /// A read asked one replica more than it needed.
    Hedged,
    /// A read went on to other replicas, those asked first not holding what its token names.
    AskedOn,
    /// A node kept a hint for another.
    HintKept,
    /// Anti-entropy brought a node a record that it lacked.
    AntiEntropyRepaired,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::WriteDuringPartition,
        Self::NodeRestarted,
        Self::DiedWithRequest,
        Self::NodePaused,
        Self::OneWayCut,
        Self::ClockJumped,
        Self::MessageLost,
        Self::MessageDoubled,
        Self::MessageOvertaken,
        Self::LinkDown,
        Self::Failed,
        Self::Unknown,
        Self::FallbackKept,
        Self::SiblingsSeen,
        Self::SiblingsMerged,
        Self::SiblingsDeleted,
        Self::LoggedOut,
        Self::Absorbed,
        Self::Touched,
        Self::TouchCovered,
        Self::Expired,
        Self::Forwarded,
        Self::ReadRepaired,
        Self::Hedged,
        Self::AskedOn,
        Self::HintKept,
        Self::AntiEntropyRepaired,
    ];
}

/// How often each mark was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Marks {
    /// It happened.
    pub fn hit(&mut self, mark: Mark) {
        self.add(mark, 1);
    }

    /// It happened so many times.
    pub fn add(&mut self, mark: Mark, times: u64) {
        self.0[mark as usize] += times;
    }

    /// How often it happened.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        for mark in Mark::ALL {
            self.add(mark, other.count(mark));
        }
    }

    /// Those that never happened.
    pub fn unhit(&self) -> Vec<Mark> {
        Mark::ALL
            .into_iter()
            .filter(|mark| self.count(*mark) == 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Marks};

    #[test]
    fn all_lists_each_mark_at_its_place() {
        for (at, mark) in Mark::ALL.into_iter().enumerate() {
            assert_eq!(mark as usize, at);
        }
    }

    #[test]
    fn unhit_marks_are_named() {
        let mut marks = Marks::default();
        Mark::ALL
            .into_iter()
            .filter(|mark| *mark != Mark::Expired)
            .for_each(|mark| marks.hit(mark));
        let mut both = marks.clone();
        both.merge(&marks);
        assert_eq!(both.unhit(), [Mark::Expired]);
        assert_eq!(both.count(Mark::Failed), 2);
    }
}

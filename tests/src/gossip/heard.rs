//! What a member has been told of the others, and whether the deaths that it declares agree with it.

use std::collections::BTreeMap;

use foca::{Member, State};
use henge_ring::NodeId;

use super::frame::{Frame, Life};

/// How new a piece of news is: the life that it is of, and that life's incarnation.
pub(super) type Age = (u64, u16);

fn age(member: &Member<Life>) -> Age {
    (member.id().generation, member.incarnation())
}

/// One member's ears, since its process started.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The newest of each other member that has certainly reached the library.
    newest: BTreeMap<NodeId, Age>,
    /// Deaths found by itself, with the newest that it had heard at that moment: what it spreads of
    /// each next tells by which news it was.
    declared: BTreeMap<NodeId, Age>,
    /// How many suspicions were refuted to it.
    pub(super) refuted: u64,
    /// How many later lives it was told of.
    pub(super) reborn: u64,
}

impl Heard {
    /// The newest that it has heard of a member.
    pub(super) fn newest(&self, node: NodeId) -> Option<Age> {
        self.newest.get(&node).copied()
    }

    /// The library has dealt with a frame. It listens only to what is addressed to its present life
    /// (`own`), by a sender that it holds to be up (`is_up`); whatever is in doubt counts as unheard, so
    /// that nobody is accused of having heard it.
    pub(super) fn listen(&mut self, own: Life, frame: &Frame, is_up: bool) {
        let source = frame.header.src;
        let age = (source.generation, frame.header.src_incarnation);
        let late = |known: Age| source.generation < known.0;
        if frame.header.dst != own || !is_up || self.newest(source.node).is_some_and(late) {
            return;
        }
        self.learn(source.node, age);
        for member in frame.news.iter().flatten() {
            if member.id().node != own.node && member.state() != State::Down {
                self.learn(
                    member.id().node,
                    (member.id().generation, member.incarnation()),
                );
            }
        }
    }

    fn learn(&mut self, node: NodeId, age: Age) {
        let known = self.newest.entry(node).or_insert(age);
        self.reborn += u64::from(age.0 > known.0);
        self.refuted += u64::from(age.0 == known.0 && age.1 > known.1);
        *known = age.max(*known);
    }

    /// It holds a member to be down since it was handed this frame, which is as its sender sent it.
    ///
    /// # Errors
    /// In words, if all that the frame says is of an earlier life than is known.
    pub(super) fn death_of_a_later_life_needs_news_of_it(
        &self,
        node: NodeId,
        frame: &Frame,
    ) -> Result<(), String> {
        let Some(known) = self.newest(node) else {
            return Ok(());
        };
        let of_it = frame
            .news
            .iter()
            .flatten()
            .filter(|it| it.id().node == node);
        match of_it.map(age).max() {
            Some(told) if told.0 >= known.0 => Ok(()),
            told => Err(format!(
                "declared down by older news: {} lives its life {}, what was told was {told:?}",
                node.short(),
                known.0
            )),
        }
    }

    /// It holds a member to be down since it had a look at the time.
    pub(super) fn declares(&mut self, node: NodeId) {
        if let Some(known) = self.newest(node) {
            self.declared.insert(node, known);
        }
    }

    /// It spreads news.
    ///
    /// # Errors
    /// In words, if it found a death by a suspicion that had been refuted to it.
    pub(super) fn no_refuted_suspicion_ends_in_death(
        &mut self,
        frame: &Frame,
    ) -> Result<(), String> {
        for member in frame.news.iter().flatten() {
            let node = member.id().node;
            let Some(known) = self.declared.remove(&node) else {
                continue;
            };
            if member.state() == State::Down && age(member) < known {
                return Err(format!(
                    "declared down by older news: {} was suspected as {:?}, and had refuted it as {known:?}",
                    node.short(),
                    age(member)
                ));
            }
        }
        Ok(())
    }
}

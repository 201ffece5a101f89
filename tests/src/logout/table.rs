//! Many runs of each policy under each quorum, counted.

use super::{POLICIES, Policy, QUORUMS, Told, play};
use crate::{
    history::Quorum,
    seeds::{Panicked, Seeds},
};

/// What became of the runs of one policy under one quorum.
#[derive(Clone, Debug)]
pub struct Row {
    /// How tombstones were treated.
    pub policy: Policy,
    /// What sessions were used with.
    pub quorum: Quorum,
    /// Runs in which a logout was acknowledged.
    pub tried: u64,
    /// Seeds in which the session came back, ascending.
    pub back: Vec<u64>,
    /// How many of them stay away if tombstones are treated as they should be.
    pub by_mistake: u64,
}

impl Row {
    /// Plays the seeds.
    ///
    /// # Errors
    /// If a run panicked.
    pub fn of<const COUNT: u64>(
        policy: Policy,
        quorum: Quorum,
        seeds: &Seeds<COUNT>,
    ) -> Result<Self, Panicked> {
        let told = seeds.run(|seed| (seed, play(seed, policy, quorum)))?;
        let came_back = |(seed, told): &(u64, Told)| matches!(told, Told::Back(_)).then_some(*seed);
        let mut back: Vec<u64> = told.iter().filter_map(came_back).collect();
        back.sort_unstable();
        let stays_away = |seed: &&u64| !matches!(play(**seed, Policy::Kept, quorum), Told::Back(_));
        let by_mistake = match policy {
            Policy::Kept => 0,
            _ => back.iter().filter(stays_away).count() as u64,
        };
        let untried = told.iter().filter(|(_, it)| *it == Told::Untried).count();
        Ok(Self {
            policy,
            quorum,
            tried: (told.len() - untried) as u64,
            back,
            by_mistake,
        })
    }

    /// Whether it is as it should be: nobody back where that is promised, and where a mistake has to
    /// show, somebody who had stayed away without it.
    pub fn is_as_expected(&self) -> bool {
        if self.policy.promises(self.quorum) {
            return self.back.is_empty();
        }
        self.policy.shows_under() != Some(self.quorum) || self.by_mistake > 0
    }
}

/// Which rows there are.
pub fn rows() -> impl Iterator<Item = (Policy, Quorum)> {
    POLICIES
        .into_iter()
        .flat_map(|policy| QUORUMS.map(|quorum| (policy, quorum)))
}

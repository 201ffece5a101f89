//! The network between nodes: what becomes of a message, and which pairs can talk.
//!
//! It is worse than TCP: messages on a link that is up may be lost, doubled and overtaken. Whatever
//! survives this survives a real link, which only ever breaks.

use super::rng::Rng;
use crate::history::Micros;

/// How messages fare on a path that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Least and greatest ordinary delay.
    pub delay: (Micros, Micros),
    /// Messages of 1000 that are lost.
    pub loss: u32,
    /// Messages of 1000 that arrive twice.
    pub doubled: u32,
    /// Messages of 1000 that are held up by up to [`HELD_UP`] and overtaken.
    pub held_up: u32,
}

/// The longest that an overtaken message is held up.
pub(super) const HELD_UP: Micros = 300_000;

impl Weather {
    /// A quiet local network.
    pub const FAIR: Self = Self {
        delay: (200, 600),
        loss: 0,
        doubled: 0,
        held_up: 0,
    };

    /// When copies of one message arrive, after this long: none, one, or two.
    pub(super) fn fate(&self, rng: &mut Rng) -> Fate {
        if rng.chance(self.loss) {
            return Fate {
                first: None,
                second: None,
                held_up: false,
            };
        }
        let held_up = rng.chance(self.held_up);
        let extra = if held_up { rng.below(HELD_UP) } else { 0 };
        let mut delay = || rng.between(self.delay.0, self.delay.1);
        let (first, second) = (delay() + extra, delay());
        let second = rng.chance(self.doubled).then_some(second + extra);
        Fate {
            first: Some(first),
            second,
            held_up,
        }
    }
}

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// Delay until it arrives; `None`: it is lost.
    pub first: Option<Micros>,
    /// Delay until it arrives once more.
    pub second: Option<Micros>,
    /// Whether it is overtaken.
    pub held_up: bool,
}

/// Which paths are cut, and how the nodes see their links.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    /// How many faults cut each directed path.
    cuts: Vec<u32>,
    /// Whether the link of a pair is up, as both ends were last told.
    up: Vec<bool>,
    /// How many times it has gone down.
    generation: Vec<u32>,
    /// The nodes whose control plane is cut.
    uninformed: Vec<bool>,
}

impl Network {
    /// All paths open, all links down.
    pub(super) fn new(nodes: usize) -> Self {
        let pairs = nodes * nodes;
        Self {
            nodes,
            cuts: vec![0; pairs],
            up: vec![false; pairs],
            generation: vec![0; pairs],
            uninformed: vec![false; nodes],
        }
    }

    /// Cuts a path in one direction. Cuts add up: each must be mended.
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.cuts[from * self.nodes + to] += 1;
    }

    /// Takes one cut back.
    pub(super) fn mend(&mut self, from: usize, to: usize) {
        let cuts = &mut self.cuts[from * self.nodes + to];
        *cuts = cuts.saturating_sub(1);
    }

    /// Cuts a node's control plane, or mends it.
    pub(super) fn inform(&mut self, node: usize, informed: bool) {
        self.uninformed[node] = !informed;
    }

    /// Whether questions of the control plane pass between the two.
    pub(super) fn informs(&self, a: usize, b: usize) -> bool {
        !self.uninformed[a] && !self.uninformed[b]
    }

    /// Whether messages pass in this direction.
    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.nodes + to] == 0
    }

    /// Whether messages pass both ways, as a connection needs.
    pub(super) fn connects(&self, a: usize, b: usize) -> bool {
        self.passes(a, b) && self.passes(b, a)
    }

    /// Whether the pair's link is up.
    pub(super) fn is_up(&self, a: usize, b: usize) -> bool {
        self.up[self.pair(a, b)]
    }

    /// Which connection of the pair this is: answers do not outlive their connection.
    pub(super) fn generation(&self, a: usize, b: usize) -> u32 {
        self.generation[self.pair(a, b)]
    }

    /// The link comes up or goes down.
    pub(super) fn set_up(&mut self, a: usize, b: usize, up: bool) {
        let pair = self.pair(a, b);
        self.up[pair] = up;
        self.generation[pair] += u32::from(!up);
    }

    fn pair(&self, a: usize, b: usize) -> usize {
        a.min(b) * self.nodes + a.max(b)
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, Rng, Weather};

    #[test]
    fn cuts_add_up() {
        let mut network = Network::new(3);
        network.cut(0, 1);
        network.cut(0, 1);
        network.mend(0, 1);
        assert!(!network.passes(0, 1) && network.passes(1, 0) && !network.connects(1, 0));
        network.mend(0, 1);
        assert!(network.connects(0, 1));
    }

    #[test]
    fn fates_come_as_often_as_they_should() {
        let weather = Weather {
            delay: (10, 20),
            loss: 100,
            doubled: 50,
            held_up: 20,
        };
        let mut rng = Rng::new(3);
        let fates: Vec<_> = (0..10_000).map(|_| weather.fate(&mut rng)).collect();
        let share = |count: usize| count as f64 / 10_000.0;
        let lost = fates.iter().filter(|fate| fate.first.is_none()).count();
        let doubled = fates.iter().filter(|fate| fate.second.is_some()).count();
        let late = fates
            .iter()
            .filter(|fate| fate.first.is_some_and(|delay| delay > 20))
            .count();
        assert!((0.09..0.11).contains(&share(lost)), "{lost}");
        assert!((0.035..0.055).contains(&share(doubled)), "{doubled}");
        assert!((0.013..0.023).contains(&share(late)), "{late}");
    }
}

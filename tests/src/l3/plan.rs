//! What is tried, drawn from a seed before anything is done.

use super::{
    MEMBERS,
    fault::{Blow, Fault},
};
use crate::sim::Rng;

/// One trial: faults that are on at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One, or two of different kinds that strike different machines.
    pub blows: Vec<Blow>,
}

impl Plan {
    /// A trial of one fault, with a victim of its own.
    pub fn alone(fault: Fault, rng: &mut Rng) -> Self {
        let blows = vec![draw(fault, rng)];
        Self { blows }
    }

    /// A trial of two of these faults at once, if two of them may be mixed.
    pub fn mixed(faults: &[Fault], rng: &mut Rng) -> Option<Self> {
        let pairs: Vec<(Fault, Fault)> = faults
            .iter()
            .enumerate()
            .flat_map(|(i, a)| faults[i + 1..].iter().map(move |b| (*a, *b)))
            .filter(|(a, b)| may_mix(*a, *b))
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let (a, b) = *rng.pick(&pairs);
        let first = draw(a, rng);
        loop {
            let second = draw(b, rng);
            if first.victim != second.victim {
                let blows = vec![first, second];
                return Some(Self { blows });
            }
        }
    }

    /// As in the table: `kill 3 + loss`.
    pub fn name(&self) -> String {
        let names: Vec<_> = self.blows.iter().map(Blow::to_string).collect();
        names.join(" + ")
    }

    /// All of it: `kill` for file names.
    pub fn slug(&self) -> String {
        let names: Vec<_> = self.blows.iter().map(|it| it.fault.name()).collect();
        names.join("+")
    }
}

fn may_mix(a: Fault, b: Fault) -> bool {
    !(a.stands_alone() || b.stands_alone() || a.loses_memory() && b.loses_memory())
}

fn draw(fault: Fault, rng: &mut Rng) -> Blow {
    let members = u64::from(MEMBERS);
    let victim = rng.between(1, members) as u8;
    // Any but the victim, each as likely.
    let step = rng.between(1, members - 1) as u8;
    Blow {
        fault,
        victim,
        other: (victim - 1 + step) % MEMBERS + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_plan() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            let alone = Fault::ALL.map(|fault| Plan::alone(fault, &mut rng));
            (alone, Plan::mixed(&Fault::ALL, &mut rng))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn whoever_is_struck_is_a_member_and_the_other_end_is_another() {
        let mut rng = Rng::new(1);
        let mut seen = [false; MEMBERS as usize + 1];
        for _ in 0..500 {
            let blow = draw(Fault::OneWay, &mut rng);
            assert!((1..=MEMBERS).contains(&blow.victim) && (1..=MEMBERS).contains(&blow.other));
            assert_ne!(blow.victim, blow.other);
            seen[usize::from(blow.other)] = true;
        }
        assert!(seen[1..].iter().all(|seen| *seen));
    }

    #[test]
    fn a_mixture_strikes_two_machines_and_stays_within_what_w_covers() {
        let mut rng = Rng::new(2);
        for _ in 0..500 {
            let plan = Plan::mixed(&Fault::ALL, &mut rng).unwrap();
            let [a, b] = plan.blows[..] else {
                panic!("two blows")
            };
            assert_ne!(a.victim, b.victim);
            assert_ne!(a.fault, b.fault);
            assert!(!(a.fault.loses_memory() && b.fault.loses_memory()));
            assert!(!a.fault.stands_alone() && !b.fault.stands_alone());
        }
        assert_eq!(Plan::mixed(&[Fault::Kill, Fault::Replace], &mut rng), None);
        assert_eq!(Plan::mixed(&[Fault::Kill], &mut rng), None);
    }
}

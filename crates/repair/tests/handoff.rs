//! Hinted handoff under random faults, seen from outside: a node that takes writes, two targets
//! that come and go, messages that are lost on the way there or back, answered late or never.

use std::collections::{BTreeMap, BTreeSet};

use henge_repair::{Acked, Added, HintLimits, Hints, ToSend};
use henge_ring::{NodeId, Token};
use proptest::prelude::*;

const TARGETS: [NodeId; 2] = [NodeId([1; 16]), NodeId([2; 16])];
const KEYS: usize = 6;
const BITS: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A write that this target misses.
    Write {
        key: usize,
        target: usize,
    },
    /// A batch leaves; `arrives` and `answered` say what the network does to it.
    Send {
        target: usize,
        max: usize,
        arrives: bool,
        answered: Answer,
    },
    /// An acknowledgement that was kept back comes in after all.
    Deliver {
        which: prop::sample::Index,
    },
    Up {
        target: usize,
    },
    Down {
        target: usize,
    },
    Wait {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Now,
    Late,
    FirstOnly,
    EachSecond,
    Never,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let target = 0usize..2;
    let answer = prop_oneof![
        Just(Answer::Now),
        Just(Answer::Late),
        Just(Answer::FirstOnly),
        Just(Answer::EachSecond),
        Just(Answer::Never)
    ];
    let step = prop_oneof![
        5 => (0..KEYS, target.clone()).prop_map(|(key, target)| Step::Write { key, target }),
        4 => (target.clone(), 0usize..4, any::<bool>(), answer).prop_map(
            |(target, max, arrives, answered)| Step::Send { target, max, arrives, answered }
        ),
        3 => any::<prop::sample::Index>().prop_map(|which| Step::Deliver { which }),
        1 => target.clone().prop_map(|target| Step::Up { target }),
        1 => target.prop_map(|target| Step::Down { target }),
        3 => (0u64..3_000).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 0..120)
}

/// A key and, for it, a number that each write raises: enough of a store, because records only
/// grow.
type Store = BTreeMap<Vec<u8>, u64>;

struct World {
    hints: Hints,
    limits: HintLimits,
    now: u64,
    random: u64,
    local: Store,
    remote: [Store; 2],
    /// The newest write each target missed, by key.
    missed: [Store; 2],
    /// Acknowledgements under way: target, hint.
    late: Vec<(usize, ToSend)>,
    given_up: BTreeSet<(usize, Vec<u8>)>,
}

impl World {
    fn new(limits: HintLimits) -> Self {
        Self {
            hints: Hints::new(limits),
            limits,
            now: 0,
            random: 1,
            local: Store::new(),
            remote: Default::default(),
            missed: Default::default(),
            late: Vec::new(),
            given_up: BTreeSet::new(),
        }
    }

    fn random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        self.random
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { key, target } => self.write(key, target),
            Step::Send {
                target,
                max,
                arrives,
                answered,
            } => {
                self.send(target, max, arrives, answered);
            }
            Step::Deliver { which } if !self.late.is_empty() => {
                let (target, hint) = self.late.swap_remove(which.index(self.late.len()));
                self.ack(target, &hint);
            }
            Step::Deliver { .. } => {}
            Step::Up { target } => self.hints.target_up(TARGETS[target]),
            Step::Down { target } => self.hints.target_down(TARGETS[target], self.now),
            Step::Wait { ms } => self.wait(ms),
        }
    }

    fn write(&mut self, key: usize, target: usize) {
        let key = format!("key {key}").into_bytes();
        let written = self.local.entry(key.clone()).or_default();
        *written += 1;
        self.missed[target].insert(key.clone(), *written);
        let had = self.hints.generation(TARGETS[target], &key).is_some();
        let added = self.hints.add(TARGETS[target], &key, self.now);
        assert_eq!(added == Added::Merged, had);
        if added == Added::Overflow {
            let partition = Token::of(&key).partition(BITS);
            assert!(
                self.hints
                    .owed_anti_entropy()
                    .contains(&(TARGETS[target], partition))
            );
            self.given_up.insert((target, key));
        }
    }

    fn send(&mut self, target: usize, max: usize, arrives: bool, answered: Answer) {
        let due = self.hints.due(self.now).any(|due| due == TARGETS[target]);
        let batch = self.hints.next_batch(TARGETS[target], self.now, max);
        assert!(batch.len() <= max && (due || batch.is_empty()));
        if arrives {
            for hint in &batch {
                let record = self.local[&*hint.key];
                let kept = self.remote[target].entry(hint.key.to_vec()).or_default();
                *kept = record.max(*kept);
            }
        }
        match (arrives, answered) {
            (true, Answer::Now) => batch.iter().for_each(|hint| self.ack(target, hint)),
            (true, Answer::Late) => self
                .late
                .extend(batch.into_iter().map(|hint| (target, hint))),
            (true, Answer::FirstOnly) => {
                batch.iter().take(1).for_each(|hint| self.ack(target, hint));
                let random = self.random();
                self.hints.failed(TARGETS[target], self.now, random);
            }
            (true, Answer::EachSecond) => {
                for (number, hint) in batch.iter().enumerate() {
                    let random = self.random();
                    let (id, now) = (TARGETS[target], self.now);
                    match number % 2 {
                        0 => self
                            .hints
                            .failed_one(id, &hint.key, hint.generation, now, random),
                        _ => self.ack(target, hint),
                    }
                }
            }
            (_, Answer::Never) => {}
            (false, _) => {
                let random = self.random();
                self.hints.failed(TARGETS[target], self.now, random);
            }
        }
    }

    fn ack(&mut self, target: usize, hint: &ToSend) {
        let before = self.hints.generation(TARGETS[target], &hint.key);
        let expected = match before {
            None => Acked::Unknown,
            Some(generation) if generation == hint.generation => Acked::Removed,
            Some(_) => Acked::Newer,
        };
        assert_eq!(
            self.hints
                .acked(TARGETS[target], &hint.key, hint.generation),
            expected
        );
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        let random = self.random();
        for dropped in self.hints.handle_timeout(self.now, random) {
            let target = TARGETS.iter().position(|&id| id == dropped.target).unwrap();
            let partition = Token::of(&dropped.key).partition(BITS);
            assert!(
                self.hints
                    .owed_anti_entropy()
                    .contains(&(dropped.target, partition))
            );
            self.given_up.insert((target, dropped.key.to_vec()));
        }
    }

    /// After every step.
    fn check(&self) {
        for (target, missed) in self.missed.iter().enumerate() {
            for (key, write) in missed {
                let has_it = self.remote[target]
                    .get(key)
                    .is_some_and(|kept| kept >= write);
                let hinted = self.hints.generation(TARGETS[target], key).is_some();
                let given_up = self.given_up.contains(&(target, key.clone()));
                assert!(
                    has_it || hinted || given_up,
                    "a hint was lost: {target} {key:?}"
                );
            }
        }
        assert!(self.hints.len() <= self.limits.max_hints);
        assert!(self.hints.bytes() <= self.limits.max_bytes);
        let counts = self.hints.counts();
        let gone = counts.delivered + counts.expired + counts.forgotten;
        assert_eq!(counts.stored, gone + self.hints.len() as u64);
        let per_target: usize = self.hints.per_target().map(|(_, hints)| hints).sum();
        assert_eq!(per_target, self.hints.len());
    }

    /// Everybody is up and every message arrives: only by the machine's own deadlines, how long
    /// until nothing is owed?
    fn drain(&mut self) {
        (0..2).for_each(|target| self.hints.target_up(TARGETS[target]));
        for _ in 0..1_000 {
            let Some(deadline) = self.hints.deadline() else {
                return;
            };
            self.wait(deadline.saturating_sub(self.now));
            (0..2).for_each(|target| self.send(target, 3, true, Answer::Now));
            self.check();
        }
        panic!("never drained: {} hints are left", self.hints.len());
    }
}

fn limits(max_hints: usize, max_age_ms: u64) -> HintLimits {
    HintLimits {
        max_hints,
        max_age_ms,
        partition_bits: BITS,
        ..HintLimits::default()
    }
}

proptest! {
    /// Never lost except by counted overflow or expiry, and the bounds hold, after every step.
    #[test]
    fn a_hint_is_delivered_or_given_up_with_notice(
        steps in steps(),
        max_hints in 1usize..14,
        max_age_ms in prop_oneof![Just(5_000u64), Just(1_000_000)],
    ) {
        let mut world = World::new(limits(max_hints, max_age_ms));
        for step in steps {
            world.step(step);
            world.check();
        }
    }

    /// With room and time enough, targets that come back end with everything they missed: by hints
    /// alone, without a second write, and driven by nothing but the machine's deadlines.
    #[test]
    fn after_the_faults_every_target_has_what_it_missed(steps in steps()) {
        let mut world = World::new(limits(2 * KEYS, u64::MAX / 2));
        steps.into_iter().for_each(|step| world.step(step));
        world.drain();
        prop_assert!(world.given_up.is_empty());
        for (missed, remote) in world.missed.iter().zip(&world.remote) {
            for (key, write) in missed {
                prop_assert!(remote[key] >= *write);
            }
        }
    }
}

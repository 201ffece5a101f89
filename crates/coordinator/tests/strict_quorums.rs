//! Writes and reads together, over replicas that lose, refuse, delay and double messages.
//!
//! The promises of strict mode are tested where they are made, one level above single machines:
//! a read sees every write acknowledged before it when R + W > N; reads that repair first never go
//! back in time; a failed write is never seen; an acknowledged one is on W replicas. A record is a
//! set of writes (one bit each) and merging is union, so that a digest tells what was seen.

use henge_coordinator::{
    Asked, Consistency, Defaults, Held, Kept, Mode, PlaceInfo, PlaceSet, Read, ReadStep, Refusal,
    Write, WriteAnswer, WriteError,
};
use proptest::prelude::*;

/// What the network and the replica do to one message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Acked,
    AckLost,
    Refused,
    Dropped,
    /// Applied at some later step; the acknowledgement finds the operation gone.
    Delayed,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Acked),
        1 => Just(Fate::AckLost),
        2 => Just(Fate::Refused),
        2 => Just(Fate::Dropped),
        2 => Just(Fate::Delayed),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        fates: Vec<Fate>,
    },
    Read {
        first: usize,
        asks: Vec<bool>,
        repairs: Vec<Fate>,
    },
    Arrive {
        which: prop::sample::Index,
    },
}

const N: usize = 5;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop::collection::vec(fate(), N).prop_map(|fates| Step::Write { fates }),
        4 => (
            0..N,
            prop::collection::vec(prop::bool::weighted(0.8), N),
            prop::collection::vec(fate(), N),
        ).prop_map(|(first, asks, repairs)| Step::Read { first, asks, repairs }),
        2 => any::<prop::sample::Index>().prop_map(|which| Step::Arrive { which }),
    ];
    prop::collection::vec(step, 1..50)
}

struct World {
    consistency: Consistency,
    repair_first: bool,
    replicas: [u64; N],
    delayed: Vec<(usize, u64)>,
    written: u32,
    acknowledged: u64,
    failed: u64,
    read_before: u64,
    went_back: bool,
}

impl World {
    fn new(r: u64, w: u64, repair_first: bool) -> Self {
        let defaults = Defaults {
            n: N as u8,
            ..Defaults::default()
        };
        let mode = Some(Mode::Strict);
        let asked = Asked {
            r: Some(r),
            w: Some(w),
            mode,
            deadline_ms: None,
        };
        Self {
            consistency: defaults.resolve(&asked, N as u8).unwrap(),
            repair_first,
            replicas: [0; N],
            delayed: Vec::new(),
            written: 0,
            acknowledged: 0,
            failed: 0,
            read_before: 0,
            went_back: false,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { fates } => self.write(fates),
            Step::Read {
                first,
                asks,
                repairs,
            } => self.read(*first, asks, repairs),
            Step::Arrive { which } if !self.delayed.is_empty() => {
                // Kept, too: a message may come twice.
                let (replica, record) = self.delayed[which.index(self.delayed.len())];
                self.replicas[replica] |= record;
            }
            Step::Arrive { .. } => {}
        }
        for &replica in &self.replicas {
            assert_eq!(
                replica & self.failed,
                0,
                "a write that failed is on a replica"
            );
        }
    }

    /// Whether an acknowledgement comes back.
    fn deliver(&mut self, replica: usize, record: u64, fate: Fate) -> bool {
        match fate {
            Fate::Acked | Fate::AckLost => self.replicas[replica] |= record,
            Fate::Delayed => self.delayed.push((replica, record)),
            Fate::Refused | Fate::Dropped => {}
        }
        matches!(fate, Fate::Acked)
    }

    fn write(&mut self, fates: &[Fate]) {
        let places: Vec<_> = (0..N as u16).map(PlaceInfo::primary).collect();
        let all = PlaceSet::first(N as u8);
        let mut write = Write::begin(&places, all, &self.consistency).unwrap();
        let record = 1u64 << self.written;
        self.written += 1;
        let mut answers: Vec<WriteAnswer> = Vec::new();
        for place in all {
            let fate = fates[usize::from(place)];
            let acked = self.deliver(usize::from(place), record, fate);
            answers.extend(match fate {
                Fate::Refused => write.refused(place, Refusal::Busy),
                Fate::AckLost | Fate::Dropped => write.lost(place),
                _ if acked => write.acked(place, Kept::InMemory),
                _ => None,
            });
        }
        answers.extend(write.deadline());
        assert_eq!(answers.len(), 1);
        match answers[0] {
            Ok(()) => {
                let copies = self
                    .replicas
                    .iter()
                    .filter(|&&held| held & record != 0)
                    .count();
                assert!(copies >= usize::from(self.consistency.w()));
                self.acknowledged |= record;
            }
            Err(WriteError::Failed { .. }) => self.failed |= record,
            Err(WriteError::Unknown { .. }) => {}
        }
    }

    fn read(&mut self, first: usize, asks: &[bool], repairs: &[Fate]) {
        let order: Vec<_> = (0..N).map(|place| (first + place) % N).collect();
        let places: Vec<_> = order
            .iter()
            .map(|&node| PlaceInfo::primary(node as u16))
            .collect();
        let held = |world: &Self, place: u8| -> Held {
            let record = world.replicas[order[usize::from(place)]];
            (record != 0).then_some(record)
        };
        let base = held(self, 0);
        let all = PlaceSet::first(N as u8);
        let mut read =
            Read::begin(&places, all, base, self.repair_first, &self.consistency).unwrap();
        let mut step = ReadStep::Wait;
        let mut merged = 0;
        while let (ReadStep::Wait, Some(place)) = (step, read.next_to_ask()) {
            step = match asks[usize::from(place)] {
                true => {
                    merged |= held(self, place).unwrap_or(0);
                    read.replied(place, held(self, place))
                }
                false => read.failed(place),
            };
        }
        if step == ReadStep::Merge {
            step = read.merged((merged != 0).then_some(merged));
        }
        while let (ReadStep::Wait, Some(place)) = (step, read.next_to_repair()) {
            let replica = order[usize::from(place)];
            step = match self.deliver(replica, merged, repairs[usize::from(place)]) {
                true => read.repaired(place),
                false => read.failed(place),
            };
        }
        if step == ReadStep::Wait {
            step = read.deadline();
        }
        match step {
            ReadStep::Answer => self.saw(merged),
            ReadStep::Fail(_) => {}
            ReadStep::Wait | ReadStep::Merge => panic!("the read never ended"),
        }
    }

    fn saw(&mut self, seen: u64) {
        assert_eq!(seen & self.failed, 0, "a failed write was seen");
        if self.consistency.overlaps(N as u8) {
            assert_eq!(
                self.acknowledged & !seen,
                0,
                "an acknowledged write was missed"
            );
        }
        self.went_back |= self.read_before & !seen != 0;
        self.read_before = seen;
    }
}

proptest! {
    /// For every R and W of five: acknowledged is on W, failed is nowhere, and if R + W > N every
    /// read sees every acknowledged write.
    #[test]
    fn answers_keep_their_promises(
        steps in steps(),
        r in 1u64..=5,
        w in 1u64..=5,
        repair_first: bool,
    ) {
        let mut world = World::new(r, w, repair_first);
        steps.iter().for_each(|step| world.step(step));
    }

    /// Two reads that share a replica, each repairing before it answers, never go back in time,
    /// whatever becomes of the writes.
    #[test]
    fn reads_that_repair_first_are_monotonic(steps in steps(), r in 3u64..=5, w in 1u64..=5) {
        let mut world = World::new(r, w, true);
        prop_assert!(world.consistency.can_be_monotonic(N as u8));
        steps.iter().for_each(|step| world.step(step));
        prop_assert!(!world.went_back);
    }
}

/// The control: without repair before the answer the same world does go back in time, although
/// R + W > N. If this fails, the test above proves nothing.
#[test]
fn reads_that_do_not_repair_first_go_back_in_time() {
    let only_the_first = [
        Fate::Acked,
        Fate::Dropped,
        Fate::Dropped,
        Fate::Dropped,
        Fate::Dropped,
    ];
    let read = |first| Step::Read {
        first,
        asks: vec![true; N],
        repairs: vec![Fate::Acked; N],
    };
    let steps = [
        Step::Write {
            fates: only_the_first.into(),
        },
        read(0),
        read(1),
    ];
    for (repair_first, goes_back) in [(false, true), (true, false)] {
        let mut world = World::new(3, 3, repair_first);
        steps.iter().for_each(|step| world.step(step));
        assert_eq!(world.went_back, goes_back, "repair first: {repair_first}");
    }
}

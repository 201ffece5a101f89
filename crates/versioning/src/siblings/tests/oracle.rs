//! Sibling sets equal causal histories: sets of events in which every write lists what it replaces.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What a replica would hold if it could afford to remember every event.
#[derive(Clone, Debug, Default)]
struct History {
    known: BTreeSet<u64>,
    live: BTreeSet<u64>,
}

impl History {
    fn overwrite(&mut self, seen: &BTreeSet<u64>, new: Option<u64>) {
        self.live = &self.live - seen;
        self.known.extend(seen);
        self.known.extend(new);
        self.live.extend(new);
    }

    fn join(&mut self, other: &Self) {
        let kept = |live: &BTreeSet<u64>, by: &Self| -> BTreeSet<u64> {
            live.iter()
                .filter(|it| by.live.contains(it) || !by.known.contains(it))
                .copied()
                .collect()
        };
        self.live = &kept(&self.live, other) | &kept(&other.live, self);
        self.known.extend(&other.known);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client reads at a replica and keeps the context.
    Read {
        client: usize,
        at: usize,
    },
    /// A client writes, or deletes, with what it read last (at first: blindly).
    Put {
        client: usize,
        at: usize,
    },
    Delete {
        client: usize,
        at: usize,
    },
    /// One replica's record reaches another.
    Send {
        from: usize,
        to: usize,
    },
}

const REPLICAS: usize = 3;

fn any_step() -> impl Strategy<Value = Step> {
    (0..7_u8, 0..REPLICAS, 0..REPLICAS).prop_map(|(kind, a, b)| match kind {
        0 | 1 => Step::Read { client: a, at: b },
        2..=4 => Step::Put { client: a, at: b },
        5 => Step::Delete { client: a, at: b },
        _ => Step::Send { from: a, to: b },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_replica_has_the_values_that_history_says(
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let mut replicas = vec![(Replica::default(), History::default()); REPLICAS];
        let mut clients = vec![(VersionVector::new(), BTreeSet::new()); REPLICAS];
        for (event, step) in (1..).zip(steps) {
            match step {
                Step::Read { client, at } => {
                    let (replica, history) = &replicas[at];
                    clients[client] = (replica.context(), history.known.clone());
                }
                Step::Put { client, at } => {
                    let ((replica, history), (seen, known)) = (&mut replicas[at], &clients[client]);
                    replica.put(seen, ActorId(at as u64), event);
                    history.overwrite(known, Some(event));
                }
                Step::Delete { client, at } => {
                    let ((replica, history), (seen, known)) = (&mut replicas[at], &clients[client]);
                    replica.delete(seen);
                    history.overwrite(known, None);
                }
                Step::Send { from, to } => {
                    let (record, history) = replicas[from].clone();
                    if record.record().is_some() {
                        replicas[to].0.receive(&record.0);
                    }
                    replicas[to].1.join(&history);
                }
            }
            for (replica, history) in &replicas {
                let live: Vec<_> = history.live.iter().copied().collect();
                prop_assert_eq!(replica.values(), live);
                prop_assert!(replica.context().len() <= REPLICAS);
            }
        }
    }
}

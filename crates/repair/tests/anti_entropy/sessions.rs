//! Single sessions: whatever two copies hold, and however a session begins, they end equal.

use std::collections::BTreeSet;

use henge_repair::{
    reconcile::{
        Abort, Answer, Answering, Ask, Begin, Findings, Local, Mark, Next, Replica, Session, answer,
    },
    sketch::SketchKey,
    snapshot::{DigestRule, Snapshots},
};
use henge_ring::Partition;
use henge_versioning::NEVER;
use proptest::prelude::*;

use crate::copy::{Copy, partition_of, record};

pub(crate) fn snapshots() -> Snapshots {
    Snapshots::new(SketchKey::new(&[3; 32]), DigestRule { margin_ms: 0 }, 1_000)
}

/// Runs a session to its end; tells what it found and how many bytes went each way.
pub(crate) fn reconcile(
    asker: &mut Copy,
    answerer: &mut Copy,
    partition: Partition,
    how: Begin,
) -> Result<(Findings, usize), Abort> {
    let (mut near, mut far) = (snapshots(), snapshots());
    let mut local = Local {
        replica: asker,
        snapshots: &mut near,
    };
    let (mut session, mut ask) = Session::begin(partition, 1, how, &mut local);
    let mut bytes = 0;
    loop {
        let question = ask.encode();
        let mut from = Answering {
            replica: answerer,
            snapshots: &mut far,
        };
        let reply = answer(Ask::decode(&question).expect("it is one"), &mut from).encode();
        bytes += question.len() + reply.len();
        let reply = Answer::decode(&reply).expect("it is one");
        match session.handle(reply, &mut local)? {
            Next::Ask(next) => ask = next,
            Next::Done(findings) => return Ok((findings, bytes)),
        }
    }
}

/// Keys of one partition.
pub(crate) fn keys(count: usize) -> Vec<Vec<u8>> {
    let all = (0..).map(|n| format!("key{n}").into_bytes());
    all.filter(|key| partition_of(key) == Partition(5))
        .take(count)
        .collect()
}

const PARTITION: Partition = Partition(5);

/// Which of two copies have a write: (key, time, actor, where).
type Writes = Vec<(usize, u64, u64, u8)>;

fn writes(most: usize) -> impl Strategy<Value = Writes> {
    prop::collection::vec((0..60usize, 1..6u64, 1..3u64, 0..3u8), 0..most)
}

fn copies(writes: &Writes) -> (Copy, Copy) {
    let (mut a, mut b) = (Copy::new(1), Copy::new(2));
    let keys = keys(60);
    for (key, time, actor, place) in writes {
        let record = record(*time, *actor, NEVER, &[*time as u8; 40]);
        if *place != 1 {
            a.write(&keys[*key], &record);
        }
        if *place != 0 {
            b.write(&keys[*key], &record);
        }
    }
    (a, b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_sketch_makes_copies_equal(writes in writes(150)) {
        let (mut a, mut b) = copies(&writes);
        let (found, _) = reconcile(&mut a, &mut b, PARTITION, Begin::Sketch).expect("it ends");
        prop_assert_eq!(a.content(), b.content());
        prop_assert!(found.level.is_some());
        // The second time there is nothing to do.
        let (again, _) = reconcile(&mut b, &mut a, PARTITION, Begin::Sketch).expect("it ends");
        prop_assert_eq!((again.pulled, again.pushed), (0, 0));
    }

    #[test]
    fn after_a_gap_it_goes_on_without_the_log(writes in writes(150), life in 1u64..3) {
        let (mut a, mut b) = copies(&writes);
        b.trim();
        let mark = Mark { life, position: 0 };
        reconcile(&mut a, &mut b, PARTITION, Begin::Log(mark)).expect("it ends");
        if b.log_end(PARTITION) > 0 || life != b.life {
            prop_assert_eq!(a.content(), b.content());
        }
    }

    /// From where it was level, the log alone tells everything, and moves nothing else.
    #[test]
    fn the_log_tells_what_was_missed(before in writes(60), after in writes(60)) {
        let (mut a, mut b) = copies(&before);
        let (found, _) = reconcile(&mut a, &mut b, PARTITION, Begin::Sketch).expect("it ends");
        let level = found.level.expect("all was kept");
        let (more, _) = copies(&after);
        for (key, record) in more.content() {
            b.write(key, record);
        }
        let behind: BTreeSet<_> = b.content().into_iter().filter(|it| !a.content().contains(it))
            .map(|(key, _)| key.to_vec()).collect();
        let (found, _) = reconcile(&mut a, &mut b, PARTITION, Begin::Log(level)).expect("it ends");
        prop_assert_eq!(a.content(), b.content());
        prop_assert_eq!(found.pulled, behind.len() as u64);
        prop_assert_eq!(found.symbols, 0);
        let upto = Mark { life: b.life, position: b.log_end(PARTITION) };
        prop_assert_eq!(found.level, Some(upto));
    }
}

#[test]
fn a_copy_that_lost_everything_is_filled_from_a_list() {
    let (mut empty, mut full) = (Copy::new(1), Copy::new(2));
    for key in keys(3_000) {
        full.write(&key, &record(1, 1, NEVER, &[9; 600]));
    }
    let (found, bytes) = reconcile(&mut empty, &mut full, PARTITION, Begin::Sketch).expect("ends");
    assert_eq!(empty.content(), full.content());
    assert_eq!((found.pulled, found.pushed), (3_000, 0));
    let content: usize = full.content().iter().map(|(k, r)| k.len() + r.len()).sum();
    assert!(bytes < content * 6 / 5, "{bytes} bytes for {content}");
    // The other way about: the full one asks, and pushes.
    let mut empty = Copy::new(3);
    reconcile(&mut full, &mut empty, PARTITION, Begin::Sketch).expect("it ends");
    assert_eq!(empty.content(), full.content());
}

#[test]
fn a_copy_without_room_is_not_level() {
    let (mut a, mut b) = copies(&vec![(1, 1, 1, 1), (2, 1, 1, 0)]);
    a.full = true;
    let (found, _) = reconcile(&mut a, &mut b, PARTITION, Begin::Sketch).expect("it ends");
    assert_eq!((found.level, found.refused), (None, 1));
    assert_eq!(b.content().len(), 2, "what it has it gives all the same");
}

#[test]
fn answers_that_lead_nowhere_end_the_session() {
    let (mut a, _) = copies(&vec![(1, 1, 1, 0)]);
    let mut near = snapshots();
    let mut local = Local {
        replica: &mut a,
        snapshots: &mut near,
    };
    let head = Mark {
        life: 2,
        position: 9,
    };
    let nowhere = Answer::Listed {
        head,
        entries: Default::default(),
        next: Some(3),
    };
    let how = Begin::Log(Mark {
        life: 2,
        position: 3,
    });
    let (mut session, _) = Session::begin(PARTITION, 1, how, &mut local);
    assert_eq!(session.handle(nowhere, &mut local), Err(Abort::Unexpected));
    let (mut session, _) = Session::begin(PARTITION, 1, how, &mut local);
    let nothing = Answer::Taken {
        kept: 0,
        refused: 0,
    };
    assert_eq!(session.handle(nothing, &mut local), Err(Abort::Unexpected));
    let (mut session, _) = Session::begin(PARTITION, 1, how, &mut local);
    assert_eq!(session.handle(Answer::Stale, &mut local), Err(Abort::Stale));
}

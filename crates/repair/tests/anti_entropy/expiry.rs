//! Expiry: what replicas remove in their own time is no difference, and is not brought back.

use henge_repair::anti_entropy::Settings;
use proptest::prelude::*;

use crate::{
    copy::{BITS, Copy, record},
    pair::Cluster,
    sessions::reconcile,
};

/// How long a replica keeps a record that may go, by its own clock: more than clocks may differ.
const KEPT_MS: u64 = 62_000;

fn settings() -> Settings {
    Settings {
        interval_ms: 1_000,
        pause_ms: 0,
        ..Settings::default()
    }
}

fn key(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Thousands of records expire while rounds go on, and each replica removes them by another clock.
#[test]
fn expiries_cause_no_repair() {
    let copies = vec![Copy::new(1), Copy::new(2)];
    let mut cluster = Cluster::new(copies, 2, BITS, settings());
    let start = cluster.now.wall_ms;
    for number in 0..5_000 {
        let record = record(1, 1, start + number * 10, b"session");
        cluster.write_all(&key(number), &record);
    }
    cluster.link_all();
    for second in 0..140 {
        cluster.run(1_000, |_, _| true);
        for (node, skew) in [(0, 0), (1, 20_000)] {
            let clock = cluster.now.wall_ms + skew;
            // One sweeps every second, the other every half minute.
            if node == 0 || second % 30 == 0 {
                cluster.replicas[node].sweep(clock - KEPT_MS);
            }
        }
    }
    assert!(cluster.replicas[0].content().is_empty());
    assert_eq!(cluster.record_bytes, 0);
    for machine in &cluster.machines {
        let totals = machine.totals();
        assert_eq!((totals.repaired, totals.pushed, totals.sessions), (0, 0, 0));
        assert!(totals.rounds > 100);
    }
}

/// A copy with a later deadline, which others have shortened since, is put right.
#[test]
fn a_stale_copy_learns_that_its_record_ends_sooner() {
    let (mut behind, mut ahead) = (Copy::new(1), Copy::new(2));
    behind.write(b"k", &record(1, 1, 1_000_000, b"old"));
    ahead.write(b"k", &record(2, 1, 0, b"gone"));
    let partition = crate::copy::partition_of(b"k");
    let begin = henge_repair::reconcile::Begin::Sketch;
    for (asker, answerer) in [
        (&mut behind.clone(), &mut ahead.clone()),
        (&mut ahead, &mut behind),
    ] {
        // The session's instant is 1: the shortened record does not count any more.
        reconcile(asker, answerer, partition, begin).expect("it ends");
        reconcile(answerer, asker, partition, begin).expect("it ends");
        assert_eq!(asker.content(), answerer.content());
    }
}

proptest! {
    /// Two replicas that got the same writes and have swept by clocks up to 30 s apart never find a
    /// difference, at whatever instant they look.
    #[test]
    fn sweeping_makes_no_difference(
        deadlines in prop::collection::vec(0u64..400_000, 1..60),
        now in 0u64..400_000,
        skews in (0u64..15_000, 0u64..15_000),
    ) {
        let copies = vec![Copy::new(1), Copy::new(2)];
        let mut cluster = Cluster::new(copies, 2, BITS, settings());
        cluster.now.wall_ms = 1_000_000 + now;
        for (number, deadline) in deadlines.iter().enumerate() {
            let record = record(1, 1, 900_000 + deadline, b"v");
            cluster.write_all(&key(number as u64), &record);
        }
        cluster.replicas[0].sweep(cluster.now.wall_ms + skews.0 - KEPT_MS);
        cluster.replicas[1].sweep(cluster.now.wall_ms - skews.1 - KEPT_MS);
        cluster.link_all();
        cluster.run(1_000, |_, _| true);
        prop_assert_eq!(cluster.record_bytes, 0);
    }
}

//! Whole nodes: rounds, returns, offers, and everything that may go wrong in between.

use henge_repair::anti_entropy::Settings;
use henge_ring::{Partition, Token};
use henge_versioning::NEVER;
use proptest::prelude::*;

use crate::{
    copy::{BITS, Copy, partition_of, record},
    pair::{Cluster, id},
};

fn settings() -> Settings {
    Settings {
        interval_ms: 2_000,
        pause_ms: 100,
        patience_ms: 500,
        margin_ms: 0,
        ..Settings::default()
    }
}

fn cluster(nodes: usize, n: u8) -> Cluster<Copy> {
    let copies = (1..=nodes as u64).map(Copy::new).collect();
    Cluster::new(copies, n, BITS, settings())
}

fn key(number: usize) -> Vec<u8> {
    format!("key{number}").into_bytes()
}

/// The nodes that own a key.
fn owners(cluster: &Cluster<Copy>, key: &[u8]) -> Vec<usize> {
    let primaries = cluster.ring.primaries(partition_of(key)).iter();
    let ids = primaries.map(|&index| cluster.ring.member(index).id);
    ids.map(|id| usize::from(id.0[0]) - 1).collect()
}

/// Whether every owner of every key that anybody holds holds the same.
fn is_converged(cluster: &Cluster<Copy>) -> bool {
    let mut all = Copy::new(0);
    for copy in &cluster.replicas {
        for (key, record) in copy.content() {
            all.write(key, record);
        }
    }
    all.content().into_iter().all(|(key, record)| {
        owners(cluster, key).into_iter().all(|owner| {
            let keys = cluster.replicas[owner].records.get(&Token::of(key).0);
            keys.and_then(|keys| keys.get(key)).map(Vec::as_slice) == Some(record)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Writes that reach any nodes, owners or not, with questions lost, links flapping and logs
    /// trimmed: once all is well, two rounds make all owners equal.
    #[test]
    fn owners_become_equal_whatever_happened(
        steps in prop::collection::vec((0..40usize, 1..8u64, 0..5usize, 0..20u8), 1..120),
        losses in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut cluster = cluster(5, 3);
        cluster.link_all();
        let mut losses = losses.into_iter().cycle();
        for (number, time, node, what) in steps {
            let record = record(time, node as u64, NEVER, &[time as u8; 30]);
            cluster.replicas[node].write(&key(number), &record);
            match what {
                0 => cluster.link(node, (node + 1) % 5, false),
                1 => cluster.link(node, (node + 1) % 5, true),
                2 => cluster.replicas[node].trim(),
                3..8 => cluster.run(300, |_, _| losses.next().unwrap_or(true)),
                _ => {}
            }
        }
        cluster.link_all();
        cluster.run(6_000, |_, _| true);
        prop_assert!(is_converged(&cluster));
        let (bytes, records) = (cluster.bytes, cluster.record_bytes);
        cluster.run(6_000, |_, _| true);
        prop_assert_eq!(cluster.record_bytes, records, "nothing is repaired twice");
        prop_assert!(cluster.bytes > bytes, "rounds go on");
        for machine in &cluster.machines {
            let progress = machine.progress(cluster.now);
            let fresh = |age: u64| age < 6_000;
            let done = progress.iter().all(|it| it.left == 0 && it.round_age_ms.is_some_and(fresh));
            prop_assert!(done);
        }
    }
}

/// A node away for a while receives what it missed, once, and not three times that in bytes.
#[test]
fn a_node_that_was_away_receives_what_it_missed() {
    let mut cluster = cluster(3, 3);
    for number in 0..4_000 {
        let record = record(1, 1, NEVER, &[1; 64]);
        cluster.write_all(&key(number), &record);
    }
    cluster.link_all();
    cluster.run(3_000, |_, _| true);
    cluster.link(2, 0, false);
    cluster.link(2, 1, false);
    let mut missed = 0;
    for turn in 0..3 {
        for number in 0..2_500 {
            let record = record(2 + turn, 1, NEVER, &[turn as u8; 64]);
            cluster.replicas[0].write(&key(number), &record);
            cluster.replicas[1].write(&key(number), &record);
            missed += usize::from(turn == 0) * (key(number).len() + record.len());
        }
        cluster.run(500, |_, _| true);
    }
    let before = cluster.machines[2].totals();
    cluster.link(2, 0, true);
    cluster.link(2, 1, true);
    cluster.run(1_500, |_, _| true);
    assert!(is_converged(&cluster));
    let after = cluster.machines[2].totals();
    assert_eq!(after.repaired - before.repaired, 2_500, "each once");
    assert_eq!(after.symbols, before.symbols, "the logs were enough");
    let received = (after.bytes_in - before.bytes_in) as usize;
    assert!(
        received <= 3 * missed,
        "{received} bytes for {missed} missed"
    );
}

#[test]
fn a_fallback_offers_what_it_keeps_until_every_owner_has_it() {
    let mut cluster = cluster(5, 3);
    let stray = (0..5).find(|node| !owners(&cluster, b"k").contains(node));
    let stray = stray.expect("three of five own it");
    cluster.replicas[stray].write(b"k", &record(1, 1, NEVER, b"v"));
    cluster.link_all();
    cluster.run(3_000, |_, _| true);
    assert!(is_converged(&cluster));
    let pushed = cluster.machines[stray].totals().pushed;
    assert!((1..=3).contains(&pushed), "{pushed}");
    cluster.run(6_000, |_, _| true);
    assert_eq!(cluster.machines[stray].totals().pushed, pushed, "not again");
}

#[test]
fn marked_partitions_are_compared_as_soon_as_the_peer_is_there() {
    let copies = (1..=2).map(Copy::new).collect();
    let slow = Settings {
        interval_ms: 3_600_000,
        ..settings()
    };
    let mut cluster = Cluster::new(copies, 2, BITS, slow);
    cluster.link_all();
    cluster.run(3_000, |_, _| true);
    cluster.replicas[0].write(b"k", &record(1, 1, NEVER, b"v"));
    cluster.run(1_000, |_, _| true);
    assert!(!is_converged(&cluster), "no round is due");
    cluster.machines[0].compare_soon(id(1), partition_of(b"k"));
    cluster.run(200, |_, _| true);
    assert!(is_converged(&cluster));
    cluster.replicas[0].write(b"l", &record(1, 1, NEVER, b"v"));
    let now = cluster.now;
    cluster.machines[1].start_round(now);
    cluster.run(200, |_, _| true);
    assert!(is_converged(&cluster), "a round was asked for");
}

#[test]
fn strangers_and_wrong_clocks_are_refused() {
    use henge_repair::reconcile::{Answer, Ask, Refusal};
    let mut cluster = cluster(5, 3);
    let partition = Partition(3);
    let ask = |at_ms| Ask::List {
        partition: partition.0,
        at_ms,
        after: None,
    };
    let primaries = cluster.ring.primaries(partition);
    let owner = cluster.ring.member(primaries[0]).id;
    let node = usize::from(owner.0[0]) - 1;
    let others = (0..5).map(id).filter(|id| *id != owner);
    let outsider = others
        .clone()
        .find(|id| !primaries.iter().any(|&p| cluster.ring.member(p).id == *id));
    let insider = cluster.ring.member(primaries[1]).id;
    let now = cluster.now;
    let mut answer = |from, ask: Ask| {
        let replica = &mut cluster.replicas[node];
        let reply = cluster.machines[node].answer(now, &cluster.ring, replica, from, &ask.encode());
        Answer::decode(&reply).expect("an answer")
    };
    let at = now.wall_ms;
    assert!(matches!(answer(insider, ask(at)), Answer::Listed { .. }));
    let refused = Answer::Refused(Refusal::NotShared);
    assert_eq!(answer(outsider.expect("two of five"), ask(at)), refused);
    let refused = Answer::Refused(Refusal::Clocks);
    assert_eq!(answer(insider, ask(at + 30_001)), refused);
    let beyond = Ask::List {
        partition: 16,
        at_ms: at,
        after: None,
    };
    assert_eq!(answer(insider, beyond), Answer::Refused(Refusal::NotShared));
}

/// A newcomer that compares what is being brought to it receives it twice.
#[test]
fn what_moves_is_left_alone_and_compared_when_all_is_at_rest() {
    let copies = (1..=2).map(Copy::new).collect();
    let mut cluster = Cluster::new(copies, 2, BITS, settings());
    cluster.replicas[0].write(b"k", &record(1, 1, NEVER, b"v"));
    let moving = std::collections::BTreeSet::from([partition_of(b"k")]);
    cluster.machines[0].set_moving(moving.clone());
    cluster.link_all();
    cluster.run(6_000, |_, _| true);
    assert!(
        !is_converged(&cluster),
        "who knows that it moves does not answer"
    );
    cluster.machines[1].set_moving(moving);
    cluster.run(6_000, |_, _| true);
    assert!(!is_converged(&cluster), "nor is it compared");
    assert!(
        cluster.machines[1].totals().partitions_compared > 0,
        "others are"
    );
    cluster.machines[0].set_moving(Default::default());
    cluster.machines[1].set_moving(Default::default());
    cluster.run(200, |_, _| true);
    assert!(is_converged(&cluster), "not only in the next round");
}

//! Failure detection in a cluster: how soon, how quietly, and that everybody agrees.

mod cluster;

use cluster::Cluster;

/// A probe a second, its answer, and what others ask of a node.
const IDLE_BYTES_PER_NODE_AND_SECOND: u64 = 2_000;

fn settled(count: usize) -> Cluster {
    let mut cluster = Cluster::new(count);
    assert!(cluster.until(10_000, Cluster::agrees).is_some(), "all meet");
    cluster.run(30_000);
    assert!(cluster.agrees(), "and stay");
    cluster
}

#[test]
fn fifty_nodes_are_quiet_when_nothing_happens() {
    let mut cluster = settled(50);
    cluster.sent = (0, 0);
    cluster.run(60_000);
    let per_second = cluster.sent.1 / 60 / 50;
    assert!(
        per_second < IDLE_BYTES_PER_NODE_AND_SECOND,
        "{per_second} B/s per node"
    );
    assert!(cluster.agrees());
}

#[test]
fn a_dead_node_is_known_to_all_within_seconds_and_nobody_else_is_blamed() {
    let mut cluster = settled(50);
    cluster.kill(17);
    let took = cluster.until(8_000, Cluster::agrees);
    assert!(took.is_some_and(|ms| ms <= 7_000), "{took:?}");
    cluster.run(60_000);
    assert!(cluster.agrees());
}

#[test]
fn a_healed_split_is_seen_within_ten_seconds() {
    let mut cluster = settled(50);
    cluster.split(25);
    assert!(
        cluster.until(20_000, Cluster::agrees).is_some(),
        "each side holds the other to be down"
    );
    cluster.run(30_000);
    cluster.heal();
    let took = cluster.until(10_000, Cluster::agrees);
    assert!(took.is_some(), "not within 10 s");
}

#[test]
fn one_broken_link_is_nobodys_death() {
    let mut cluster = settled(5);
    cluster.notice_broken_link(1, 2);
    for _ in 0..100 {
        cluster.run(100);
        assert!(cluster.agrees(), "at {} ms", cluster.now_ms);
    }
}

#[test]
fn a_node_whose_log_differs_is_found_and_found_again() {
    let mut cluster = settled(5);
    assert_eq!(cluster.pulls, []);
    cluster.set_digest(3, 77);
    cluster.run(5_000);
    assert!(cluster.pulls.iter().all(|(a, b)| *a == 3 || *b == 3));
    assert!(
        cluster.pulls.iter().any(|(a, _)| *a == 3),
        "it hears of others"
    );
    assert!(
        cluster.pulls.iter().any(|(_, b)| *b == 3),
        "others hear of it"
    );
    let most = 2 * 4 * 5; // both ends of four pairs, once a second
    assert!(cluster.pulls.len() <= most, "{}", cluster.pulls.len());
    (0..5).for_each(|node| cluster.set_digest(node, 77));
    cluster.run(100);
    cluster.pulls.clear();
    cluster.run(5_000);
    assert_eq!(cluster.pulls, []);
}

#[test]
fn the_same_seeds_go_the_same_way() {
    let once = || {
        let mut cluster = Cluster::new(10);
        cluster.run(5_000);
        cluster.kill(3);
        cluster.run(20_000);
        cluster.sent
    };
    assert_eq!(once(), once());
}

#[test]
fn frames_that_make_no_sense_are_refused() {
    use henge_membership::{MAX_FRAME, Swim, SwimError, SwimPolicy};
    use henge_ring::NodeId;
    let mut swim = Swim::new(NodeId([1; 16]), 1, SwimPolicy::default(), 1);
    let mut effects = Vec::new();
    let from = NodeId([2; 16]);
    let mut receive = |frame: &[u8]| swim.receive(from, frame, 1, &mut effects);
    assert_eq!(receive(&[]), Err(SwimError::Length(0)));
    assert_eq!(receive(&[9; 20]), Err(SwimError::Version(9)));
    assert_eq!(
        receive(&[1; MAX_FRAME + 1]),
        Err(SwimError::Length(MAX_FRAME + 1))
    );
    // Any bytes after a right header: an error or a message, never a panic.
    let mut bits = 1u64;
    for length in 9..600 {
        let mut frame = vec![1; 9];
        frame.resize_with(length, || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (bits >> 56) as u8
        });
        let _ = receive(&frame);
    }
}

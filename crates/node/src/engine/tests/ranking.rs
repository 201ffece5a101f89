//! Which replica a read asks.

use super::*;

/// Reads of 400 keys at node 1, each wanting one answer beside its own; how many went to each peer.
/// None of them is delivered.
fn asked(cluster: &mut Cluster) -> BTreeMap<NodeId, usize> {
    let now = cluster.now;
    let mut asked = BTreeMap::new();
    for number in 0..400 {
        let key = format!("k{number}");
        let request = Request {
            key: key.as_bytes(),
            operation: Operation::Get,
            options: Options::default(),
        };
        let ticket = Ticket {
            sink: 1,
            token: number,
        };
        cluster.engine(id(1)).submit(now, &request, ticket);
        cluster
            .engine(id(1))
            .take_batches(&mut |peer, _| *asked.entry(peer).or_default() += 1);
    }
    asked
}

fn measure(cluster: &mut Cluster, round_trips: [(u8, u32); 2]) {
    for _ in 0..40 {
        let now = cluster.now;
        for (peer, us) in round_trips {
            cluster.engine(id(1)).peer_measured(now, id(peer), us, 0);
        }
        cluster.pass(500);
    }
}

#[test]
fn replicas_that_are_about_equally_quick_share_the_reads() {
    let mut cluster = Cluster::new(3);
    cluster.pass(1_000);
    for round_trips in [[(2, 300), (3, 300)], [(2, 200), (3, 500)]] {
        let asked = asked(&mut cluster);
        assert!(asked[&id(2)] > 100 && asked[&id(3)] > 100, "{asked:?}");
        measure(&mut cluster, round_trips);
    }
}

#[test]
fn a_slow_replica_is_spared_until_it_is_quick_again() {
    let mut cluster = Cluster::new(3);
    measure(&mut cluster, [(2, 20_000), (3, 200)]);
    assert_eq!(asked(&mut cluster), BTreeMap::from([(id(3), 400)]));
    measure(&mut cluster, [(2, 200), (3, 20_000)]);
    assert_eq!(asked(&mut cluster), BTreeMap::from([(id(2), 400)]));
    (0..3).for_each(|_| measure(&mut cluster, [(2, 200), (3, 200)]));
    let asked = asked(&mut cluster);
    assert!(asked[&id(2)] > 100 && asked[&id(3)] > 100, "{asked:?}");
}

#[test]
fn a_peer_that_is_declared_down_is_asked_last_and_one_without_a_link_not_at_all() {
    let mut cluster = Cluster::new(3);
    measure(&mut cluster, [(2, 20_000), (3, 200)]);
    cluster.engine(id(1)).peer_declared(id(3), true);
    cluster.pass(1_000);
    assert_eq!(asked(&mut cluster), BTreeMap::from([(id(2), 400)]));
    // It is taken back, but this node's own link to the other one breaks: gossip does not matter.
    cluster.engine(id(1)).peer_declared(id(3), false);
    let now = cluster.now;
    cluster.engine(id(1)).peer_down(now, id(2));
    assert_eq!(asked(&mut cluster), BTreeMap::from([(id(3), 400)]));
}

#[test]
fn a_read_is_hedged_when_the_good_replicas_are_usually_quicker() {
    let mut cluster = Cluster::new(3);
    let hedge_ms = |cluster: &mut Cluster| cluster.engine(id(1)).ranking.hedge_ms;
    assert_eq!(
        hedge_ms(&mut cluster),
        50,
        "the cap, while nothing is known"
    );
    measure(&mut cluster, [(2, 8_000), (3, 8_000)]);
    let usual = hedge_ms(&mut cluster);
    assert!((8..20).contains(&usual), "{usual} ms");
    measure(&mut cluster, [(2, 900_000), (3, 900_000)]);
    assert_eq!(hedge_ms(&mut cluster), 50, "the cap, however slow they are");
}

#[test]
fn reads_themselves_say_when_to_hedge_once_enough_were_sampled() {
    let mut cluster = Cluster::new(3);
    // The first ping of a link came at a bad time, and its percentile takes minutes to forget it.
    measure(&mut cluster, [(2, 8_000), (3, 8_000)]);
    let sampled = |cluster: &mut Cluster, peer: u8, us: u64, times: usize| {
        let now = cluster.now;
        let engine = cluster.engine(id(1));
        let slot = engine.peers.slot(&id(peer)).expect("known");
        (0..times).for_each(|_| engine.sampling.read_took(now, slot, us));
        cluster.pass(500);
        cluster.engine(id(1)).ranking.hedge_ms
    };
    assert!(sampled(&mut cluster, 2, 1_500, 19) >= 8, "too few");
    assert_eq!(sampled(&mut cluster, 2, 1_500, 1), 2);
    // The other one stands still for 50 ms in one case of ten, which is one of twenty reads of both.
    assert_eq!(sampled(&mut cluster, 3, 1_500, 18), 2);
    assert_eq!(sampled(&mut cluster, 3, 50_000, 2), 2);
    assert_eq!(
        sampled(&mut cluster, 3, 50_000, 4),
        50,
        "not seldom any more"
    );
}

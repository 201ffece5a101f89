//! A coordinator whose memory is full.
//!
//! A conditional write reads at quorum and then decides by the record that lies here. Where the
//! memory was full, what the read had found could not be kept, and the write was decided by the
//! older record: a lock that two nodes held was taken a third time.

use super::*;

#[test]
fn what_cannot_be_kept_is_not_decided_by_an_older_record() {
    let mut cluster = Cluster::new(3);
    let ring = ring_of(3);
    let empty = MemoryStore::new(Limits::default()).usage().bytes;
    let limits = Limits {
        bytes: empty + 2_000,
        ..Limits::default()
    };
    let (mut engine, store) = node_within(limits, 1, &ring, cluster.now);
    for peer in [2, 3] {
        engine.peer_up(cluster.now, id(peer));
    }
    cluster.nodes.insert(id(1), (engine, store));
    // The node decides conditional writes of the keys whose first place it has.
    let first = |key: &String| {
        let engine = &cluster.nodes[&id(1)].0;
        let partition = engine.partition(Key::new(key.as_bytes()));
        engine.place(partition, true).places[0].node == engine.me
    };
    let key = (0..).map(|n| format!("lock:{n}")).find(first);
    let key = key.expect("a third of all keys");
    cluster.kill(1);
    let lock = "x".repeat(4_000);
    let taken = cluster.run(2, &key, put_if(&lock, Condition::Absent));
    assert!(taken.expect("two replicas are up").applied);
    cluster.pass(10);
    cluster.down.clear();
    let now = cluster.now;
    for number in 1..=3 {
        for peer in (1..=3).filter(|peer| *peer != number) {
            cluster.engine(id(number)).peer_up(now, id(peer));
        }
    }
    let again = cluster.with(1, &key, put_if("y", Condition::Absent), quorum(3, 2));
    let again = again.map(|done| done.applied);
    assert!(matches!(again, Err(Failure::Full(_))), "{again:?}");
    assert_eq!(cluster.get(2, &key).as_deref(), Some(lock.as_bytes()));
}

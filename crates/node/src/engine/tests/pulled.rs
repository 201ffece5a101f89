//! What a newcomer fetches: every record once, though it reads two members of each old set.

use super::{
    handing_over::{founded, joined},
    *,
};

/// Large enough for the words of a partition, which has one or two of them, not to count.
const VALUE: usize = 2_000;

impl Cluster {
    fn move_in(&mut self) {
        self.engine(id(4)).parts.transition.learn(&joined());
        let transition = Arc::clone(&self.engine(id(4)).parts.transition);
        let settled = (0..2_000).any(|_| {
            self.pass(20);
            transition.status().in_motion == 0
        });
        assert!(settled, "{:?}", transition.status());
    }

    fn pulled_and_held(&mut self) -> (u64, u64) {
        let pulled = self.engine(id(4)).parts.transition.status().bytes_pulled;
        let (store, mut held) = (&self.nodes[&id(4)].1, 0);
        for partition in ring_of(3).partitions() {
            store.scan(partition, None, usize::MAX, &mut |key, stored| {
                held += (key.len() + stored.bytes.len()) as u64;
            });
        }
        (pulled, held)
    }
}

#[test]
fn a_second_source_costs_what_differs() {
    let mut cluster = founded();
    let value = "v".repeat(VALUE);
    for number in 0..1_000 {
        let key = format!("k{number}");
        cluster.run(1, &key, put(&value)).expect("written");
    }
    cluster.move_in();
    let (pulled, held) = cluster.pulled_and_held();
    assert!(held > 700 * VALUE as u64, "{held}");
    assert!(pulled < held * 6 / 5, "{pulled} bytes for {held}");
}

#[test]
fn what_one_source_lacks_is_read_from_the_other() {
    for lacking in 1..=3 {
        let mut cluster = founded();
        for number in 0..200 {
            let key = format!("k{number}");
            cluster.run(1, &key, put("v")).expect("written");
            if number % 2 == 0 {
                let store = &cluster.nodes[&id(lacking)].1;
                let key = Key::new(key.as_bytes());
                let digest = store.digest(key).expect("there");
                store.remove(key, digest);
            }
        }
        cluster.move_in();
        let ring = Arc::new(Ring::fold(&joined()));
        for number in 0..200 {
            let key = format!("k{number}");
            let partition = ring.partition_of(Key::new(key.as_bytes()).token);
            if ring.replica_ids(partition).any(|it| it == id(4)) {
                assert!(cluster.record(4, &key).is_some(), "{key} without {lacking}");
            }
        }
    }
}

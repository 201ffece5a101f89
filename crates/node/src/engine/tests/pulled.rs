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

#[test]
fn what_requests_wait_for_slows_transfers() {
    let mut cluster = founded();
    for number in 1..=4 {
        let transition = Arc::clone(&cluster.engine(id(number)).parts.transition);
        transition.learn(&joined());
    }
    cluster.only_calls = true;
    cluster.pass(1);
    let now_ms = cluster.now.mono_ms;
    let transition = Arc::clone(&cluster.engine(id(1)).parts.transition);
    let rate = |now_ms: u64| {
        let rate = transition.with(|transfer| {
            transfer.pace().is_open(now_ms);
            transfer.pace().rate()
        });
        rate.expect("it exists")
    };
    transition.with(|transfer| transfer.pace().begin(Some(1_000), now_ms));
    let begun = rate(now_ms);
    for number in 0..8 {
        let key = format!("k{number}");
        let request = Request {
            key: key.as_bytes(),
            operation: put("v"),
            options: Options::default(),
        };
        let (now, ticket) = (cluster.now, Ticket { sink: 1, token: 0 });
        cluster.engine(id(1)).submit(now, &request, ticket);
    }
    // Nobody answers: after two seconds that is how long it took.
    cluster.pass(2_001);
    let now_ms = cluster.now.mono_ms;
    assert!(rate(now_ms) < begun, "{} after {begun}", rate(now_ms));
}

#[test]
fn a_source_that_moves_enough_is_left_alone_for_a_while() {
    let mut cluster = founded();
    cluster.run(1, "k", put("v")).expect("written");
    for number in 1..=3 {
        let transition = Arc::clone(&cluster.engine(id(number)).parts.transition);
        transition.with(|transfer| transfer.pace().take(8 << 20));
    }
    cluster.engine(id(4)).parts.transition.learn(&joined());
    cluster.pass(1);
    // Beginning to move, they go slowly, and still owe what they have moved.
    let transition = Arc::clone(&cluster.engine(id(4)).parts.transition);
    cluster.pass(100);
    let status = transition.status();
    assert!(status.bytes_pulled == 0 && status.to_pull > 0, "{status:?}");
    let settled = (0..2_000).any(|_| {
        cluster.pass(20);
        transition.status().in_motion == 0
    });
    assert!(settled, "{:?}", transition.status());
}

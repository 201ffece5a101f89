//! Writes that start anew because the ring has changed under them.
//!
//! Found by reading: such a write forgot that this node, and perhaps others, held it already. It was
//! called failed when those who own the key now refused it, though the hand-over spread it afterwards.

use henge_coordinator::OpId;

use super::{
    super::InFlight,
    handing_over::{LEAVER, founded, joined},
    *,
};

/// The first key whose partition gets node 4, in the stead of the leaver or of another.
fn key_that_moves(leaver_stays: bool) -> String {
    let ring = Ring::fold(&joined());
    let moves = |key: &String| {
        let owners: Vec<_> = ring
            .replica_ids(ring.partition_of(henge_ring::Token::of(key.as_bytes())))
            .collect();
        owners.contains(&id(4)) && owners.contains(&id(LEAVER)) == leaver_stays
    };
    let key = (0..).map(|number| format!("k{number}")).find(moves);
    key.expect("some of many")
}

impl Cluster {
    /// Node 4 joins, and everybody but the leaver moves what there is to move; the leaver has noticed
    /// nothing, not even that nobody hears it.
    fn join_fourth_unnoticed(&mut self) {
        let now = self.now;
        for number in (1..=4).filter(|number| *number != LEAVER) {
            self.engine(id(number)).peer_down(now, id(LEAVER));
        }
        self.engine(id(4)).parts.transition.learn(&joined());
        let transition = Arc::clone(&self.engine(id(4)).parts.transition);
        let moved = (0..200).any(|_| {
            self.pass(100);
            let status = transition.status();
            (status.in_motion, status.to_pull) == (0, 0)
        });
        assert!(moved, "two members of the old set are enough");
        self.down.clear();
        let now = self.now;
        for number in (1..=4).filter(|number| *number != LEAVER) {
            self.engine(id(number)).peer_up(now, id(LEAVER));
        }
    }

    /// A write of the leaver, in flight with the time that the longest may take: what it sent at first
    /// reaches nobody.
    fn write_into_silence(&mut self, key: &str, stamped_late_ms: u64) {
        self.down = vec![id(LEAVER)];
        let request = Request {
            key: key.as_bytes(),
            operation: put("v"),
            options: Options {
                timeout_ms: Some(60_000),
                ..quorum(2, 2)
            },
        };
        let ticket = Ticket { sink: 1, token: 7 };
        let mut now = self.now;
        now.wall_ms += stamped_late_ms;
        self.engine(id(LEAVER)).submit(now, &request, ticket);
        self.deliver();
        assert!(self.answer().is_none(), "nobody has heard of it");
    }

    fn answer(&mut self) -> Option<Result<Done, Failure>> {
        let mut completions = Vec::new();
        self.engine(id(LEAVER)).take_completions(&mut completions);
        completions.pop().map(|(_, outcome)| outcome.result)
    }

    fn write_in_flight(&mut self) -> OpId {
        let mut operations = self.engine(id(LEAVER)).operations.iter_mut();
        let write = operations.find(|(_, it)| matches!(it, InFlight::Write(_)));
        write.expect("one write").0
    }
}

#[test]
fn a_write_whose_new_places_refuse_it_is_unknown_because_its_coordinator_holds_it() {
    for leaver_stays in [false, true] {
        let mut cluster = founded();
        let key = key_that_moves(leaver_stays);
        // The others refuse what is stamped an hour ahead of their clocks.
        cluster.write_into_silence(&key, 3_600_000);
        cluster.join_fourth_unnoticed();
        (0..40).for_each(|_| cluster.pass(100));
        let answer = cluster.answer().expect("all have refused");
        assert!(
            matches!(answer, Err(Failure::Unknown { needed: 2, .. })),
            "{answer:?}"
        );
    }
}

#[test]
fn a_write_whose_record_is_gone_from_its_coordinator_is_unknown() {
    for leaver_stays in [false, true] {
        let mut cluster = founded();
        let key = key_that_moves(leaver_stays);
        cluster.write_into_silence(&key, 0);
        let record = cluster.record(LEAVER, &key).expect("held here");
        let digest = RecordRef::parse(&record).expect("a record").digest();
        let store = &cluster.nodes[&id(LEAVER)].1;
        assert!(store.remove(Key::new(key.as_bytes()), digest));
        cluster.join_fourth_unnoticed();
        (0..40).for_each(|_| cluster.pass(100));
        let answer = cluster
            .answer()
            .expect("nothing to send, nothing to wait for");
        assert!(
            matches!(answer, Err(Failure::Unknown { needed: 2, got: 0 })),
            "{answer:?}"
        );
        assert_eq!(cluster.copies(&key), 0, "and nothing was sent");
    }
}

/// The write is among what this node has given away. What lies here under its key by now is another
/// record, and replicas that acknowledge that one have not acknowledged the write.
#[test]
fn a_write_that_was_handed_over_is_not_counted_anew_with_another_record() {
    let mut cluster = founded();
    let key = key_that_moves(false);
    cluster.run(1, "pattern", put("other")).expect("written");
    let other = cluster.record(1, "pattern").expect("just written");
    cluster.write_into_silence(&key, 0);
    cluster.join_fourth_unnoticed();
    // It hears of the ring and starts anew, but none of its batches arrives.
    cluster.only_calls = true;
    (0..20).for_each(|_| cluster.pass(100));
    cluster.only_calls = false;
    assert!(cluster.engine(id(LEAVER)).parts.counters.restarts.get() > 0);
    cluster.hands_over(&key);
    assert!(cluster.answer().is_none(), "it is still in flight");
    cluster.put_aside(&key, &other);
    let (now, write) = (cluster.now, cluster.write_in_flight());
    let engine = cluster.engine(id(LEAVER));
    let refusing = engine.peers.slot(&id(1)).expect("a peer");
    engine.refused_as_stale(now, write, refusing);
    engine.restart_refused_by(now, id(1));
    cluster.deliver();
    let answer = cluster.answer().expect("answered at once");
    assert!(matches!(answer, Err(Failure::Unknown { .. })), "{answer:?}");
}

/// Who stands in for a replica that went silent is sent what lies here under the key, and nothing if
/// nothing does: an acknowledgement of another record, or of none, is none of the write.
#[test]
fn nobody_stands_in_for_a_write_whose_record_is_gone_from_its_coordinator() {
    for gone in [false, true] {
        let mut cluster = Cluster::new(5);
        let place = henge_ring::Token::of(b"k");
        let ring = ring_of(5);
        let owners: Vec<NodeId> = ring.replica_ids(ring.partition_of(place)).collect();
        let (coordinator, lost) = (owners[0], owners[1]);
        cluster.down = vec![coordinator];
        let request = Request {
            key: b"k",
            operation: put("v"),
            options: Options {
                strict: Some(false),
                ..quorum(1, 3)
            },
        };
        let ticket = Ticket { sink: 1, token: 7 };
        let now = cluster.now;
        cluster.engine(coordinator).submit(now, &request, ticket);
        cluster.deliver();
        if gone {
            let store = &cluster.nodes[&coordinator].1;
            let digest = store.digest(Key::new(b"k")).expect("held here");
            assert!(store.remove(Key::new(b"k"), digest));
        }
        cluster.engine(coordinator).peer_down(now, lost);
        let mut sent = 0;
        let engine = cluster.engine(coordinator);
        engine.take_batches(&mut |_, batch| {
            let writes = henge_rpc::Messages::new(batch).flatten();
            sent += writes
                .filter(|it| matches!(it, henge_rpc::Message::Write { .. }))
                .count();
        });
        assert_eq!(sent, usize::from(!gone));
    }
}

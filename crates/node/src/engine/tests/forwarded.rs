//! Answers to requests that another node coordinates.

use henge_coordinator::OpId;
use henge_rpc::Message;

use super::{
    super::{InFlight, Slot, forward::encode_outcome, operation::failed},
    *,
};
use crate::Unready;

/// A node that holds no replica of the key, of five.
fn outsider(key: &str) -> u8 {
    let ring = ring_of(5);
    let partition = ring.partition_of(henge_ring::Token::of(key.as_bytes()));
    let is_owner = |node: &u8| ring.replica_ids(partition).any(|owner| owner == id(*node));
    (1..=5).find(|node| !is_owner(node)).expect("two of five")
}

/// A request that has just been passed on: its number, and whom it was passed on to.
fn pass_on(cluster: &mut Cluster, at: u8, request: &Request<'_>) -> (OpId, Slot) {
    let (now, ticket) = (cluster.now, Ticket { sink: 1, token: 1 });
    cluster.engine(id(at)).submit(now, request, ticket);
    let mut operations = cluster.engine(id(at)).operations.iter_mut();
    match operations.next() {
        Some((op, InFlight::Forward(forwarding))) => (op, forwarding.target),
        other => panic!("not passed on: {other:?}"),
    }
}

/// Found by reading: an answer was taken for that of the node asked last, whoever sent it.
#[test]
fn an_answer_of_a_node_that_was_not_asked_is_not_taken() {
    let at = outsider("k");
    for operation in [Operation::Get, put("new")] {
        let mut cluster = Cluster::new(5);
        cluster.run(at, "k", put("old")).expect("written");
        let request = Request {
            key: b"k",
            operation,
            options: Options::default(),
        };
        let (op, target) = pass_on(&mut cluster, at, &request);
        let target = cluster.engine(id(at)).peers.id(target);
        let unready = encode_outcome(failed(Failure::NotReady(Unready::Filling)));
        let message = Message::Forwarded {
            op: op.0,
            outcome: &unready,
        };
        let mut batch = Vec::new();
        message.encode(&mut batch).expect("short");
        let now = cluster.now;
        for from in (1..=5).map(id).filter(|from| *from != target) {
            let engine = cluster.engine(id(at));
            engine.receive_batch(now, from, &batch, &mut Vec::new());
        }
        let mut completions = Vec::new();
        cluster.engine(id(at)).take_completions(&mut completions);
        assert!(completions.is_empty(), "{completions:?}");
        let forwards = cluster.engine(id(at)).operations.iter_mut();
        assert!(
            matches!(forwards.last(), Some((_, InFlight::Forward(it))) if it.attempts == 1),
            "and nobody else is asked"
        );
        cluster.deliver();
        cluster.engine(id(at)).take_completions(&mut completions);
        let (_, outcome) = completions
            .pop()
            .expect("answered by the one that was asked");
        assert!(outcome.result.expect("done").applied);
    }
}

/// What others answer is judged by the clock of whoever passes it on: by one that was an hour behind, a
/// node showed a session that had long expired, and a client wrote into it. (Found by the simulator.)
#[test]
fn a_node_that_cannot_tell_the_time_passes_nothing_on() {
    let mut cluster = Cluster::new(3);
    cluster.run(2, "k", put("v")).expect("written");
    let stamps = Arc::clone(&cluster.engine(id(1)).parts.clock);
    stamps.set_astray(Some(9));
    assert!(cluster.get(1, "k").is_some(), "by the time it was told");
    stamps.set_timeless(true);
    for operation in [Operation::Get, put("new")] {
        let refused = cluster.run(1, "k", operation);
        let wrong_clock = Failure::NotReady(Unready::Clock {
            offset_ms: 9,
            bound_ms: 500,
        });
        assert_eq!(refused.expect_err("not answered"), wrong_clock);
    }
}

//! Reads that must show what their client has seen: at R=1, from replicas that missed it.

use henge_versioning::{Context, HlcTime, Life, Stamp};

use super::{
    super::forward::{decode_outcome, decode_request, encode_outcome, encode_request},
    *,
};
use crate::{Receipt, Shortage};

const MINUTE: u64 = 60_000;

impl Cluster {
    /// A write with a receipt: what it wrote.
    fn write(&mut self, at: u8, operation: Operation<'static>, w: u64) -> Box<Context> {
        let options = Options {
            receipt: true,
            ..quorum(2, w)
        };
        let key = KEY.as_bytes();
        let outcome = self.ask(
            at,
            &Request {
                key,
                operation,
                options,
            },
        );
        outcome.result.expect("written");
        let receipt = outcome.receipt.expect("asked for");
        receipt.written.expect("a context")
    }

    /// As `write`, while this node hears nothing of it; and nobody remembers that it should.
    fn write_without(&mut self, not: u8, at: u8, operation: Operation<'static>) -> Box<Context> {
        let held = self.held(not);
        let context = self.write(at, operation, 2);
        let (key, store) = (Key::new(KEY.as_bytes()), &self.nodes[&id(not)].1);
        let known = store.digest(key).expect("replicated");
        assert!(store.remove(key, known));
        if let Some(held) = held {
            let held = RecordRef::parse(&held).expect("a record");
            store.merge(key, held).expect("room");
        }
        context
    }

    fn held(&self, node: u8) -> Option<Vec<u8>> {
        let mut held = None;
        self.nodes[&id(node)]
            .1
            .read(Key::new(KEY.as_bytes()), &mut |stored| {
                held = stored.map(|stored| stored.bytes.to_vec());
            });
        held
    }

    fn read_after(&mut self, at: u8, context: &Context) -> Result<Option<Vec<u8>>, Failure> {
        let context = Box::new(context.clone());
        let read = self.with(at, KEY, Operation::GetAfter { context }, quorum(1, 1))?;
        let wall_ms = self.now.wall_ms;
        Ok(read.record.and_then(|record| {
            let record = RecordRef::parse(&record).expect("a record");
            let live = record.is_live(wall_ms);
            live.then(|| record.value().expect("a value").to_vec())
        }))
    }
}

const KEY: &str = "sess:k";

fn login(cluster: &Cluster, value: &'static str) -> Operation<'static> {
    Operation::Put {
        value: value.as_bytes(),
        expiry: Expiry::At(cluster.now.wall_ms + 30 * MINUTE),
        condition: Condition::Always,
    }
}

fn older(needed: u8, got: u8) -> Failure {
    Failure::Failed {
        needed,
        got,
        why: Shortage::Older,
    }
}

#[test]
fn a_replica_that_missed_the_login_asks_the_others_and_is_repaired() {
    let mut cluster = Cluster::new(3);
    let login = login(&cluster, "alice");
    let token = cluster.write_without(3, 1, login);
    let plain = cluster.with(3, KEY, Operation::Get, quorum(1, 1));
    assert_eq!(plain.expect("answered").record, None, "without the token");
    let shown = cluster.read_after(3, &token).expect("answered");
    assert_eq!(shown.as_deref(), Some(&b"alice"[..]));
    assert_eq!(cluster.held(3), cluster.held(1), "repaired");
    let before = cluster.carried;
    let again = cluster.read_after(3, &token).expect("answered");
    assert_eq!(again.as_deref(), Some(&b"alice"[..]));
    assert_eq!(cluster.carried, before, "now nobody else is asked");
}

#[test]
fn a_replica_that_missed_a_later_write_does_not_show_the_one_before() {
    let mut cluster = Cluster::new(3);
    let first = login(&cluster, "cart: none");
    let first = cluster.write(1, first, 3);
    let second = login(&cluster, "cart: book");
    let second = cluster.write_without(3, 2, second);
    let shown = cluster.read_after(3, &first).expect("answered");
    assert_eq!(shown.as_deref(), Some(&b"cart: none"[..]), "new enough");
    let shown = cluster.read_after(3, &second).expect("answered");
    assert_eq!(shown.as_deref(), Some(&b"cart: book"[..]));
    let shown = cluster.read_after(3, &first).expect("answered");
    assert_eq!(
        shown.as_deref(),
        Some(&b"cart: book"[..]),
        "and later is fine"
    );
}

#[test]
fn where_nobody_else_answers_the_read_fails_with_its_numbers() {
    let mut cluster = Cluster::new(3);
    let login = login(&cluster, "alice");
    let token = cluster.write_without(3, 1, login);
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(cluster.read_after(3, &token), Err(older(3, 1)));
    cluster.revive(2);
    let shown = cluster.read_after(3, &token).expect("answered");
    assert_eq!(shown.as_deref(), Some(&b"alice"[..]));
}

#[test]
fn what_every_replica_has_lost_fails_too() {
    let mut cluster = Cluster::new(3);
    let login = login(&cluster, "alice");
    let token = cluster.write(1, login, 3);
    let mut lost = Cluster::new(3);
    assert_eq!(lost.read_after(2, &token), Err(older(3, 3)));
}

#[test]
fn a_destroyed_session_is_absent_whoever_missed_the_logout() {
    let mut cluster = Cluster::new(3);
    let login = login(&cluster, "alice");
    let before = cluster.write(1, login, 3);
    let gone = cluster.write_without(3, 1, DELETE);
    let stale = cluster.with(3, KEY, Operation::Get, quorum(1, 1));
    assert!(stale.expect("answered").record.is_some(), "without a token");
    assert_eq!(cluster.read_after(3, &gone), Ok(None));
    assert_eq!(cluster.read_after(2, &before), Ok(None), "dead holds all");
    assert_eq!(cluster.read_after(1, &gone), Ok(None));
}

#[test]
fn what_has_expired_and_is_forgotten_is_absent_and_no_failure() {
    let mut cluster = Cluster::new(3);
    let login = login(&cluster, "alice");
    let token = cluster.write(1, login, 3);
    cluster.pass(30 * MINUTE);
    assert_eq!(cluster.read_after(2, &token), Ok(None), "expired");
    let mut forgotten = Cluster::new(3);
    forgotten.pass(30 * MINUTE);
    assert_eq!(forgotten.read_after(2, &token), Ok(None));
    forgotten.kill(1);
    assert_eq!(forgotten.read_after(2, &token), Ok(None), "a majority");
    forgotten.kill(3);
    assert_eq!(forgotten.read_after(2, &token), Err(older(3, 1)));
}

#[test]
fn a_node_without_a_replica_passes_the_token_on_and_the_receipt_back() {
    let ring = ring_of(5);
    let partition = ring.partition_of(henge_ring::Token::of(KEY.as_bytes()));
    let owners: Vec<_> = ring.replica_ids(partition).map(|id| id.0[0]).collect();
    let outsider = (1..=5)
        .find(|it| !owners.contains(it))
        .expect("two of five");
    let mut cluster = Cluster::new(5);
    let first = login(&cluster, "alice");
    let first = cluster.write(outsider, first, 3);
    for missed in &owners {
        let second = login(&cluster, "bob");
        let second = cluster.write_without(*missed, outsider, second);
        for owner in owners.iter().filter(|owner| *owner != missed) {
            cluster.kill(*owner);
        }
        let shown = cluster.read_after(outsider, &first).expect("answered");
        assert!(shown.is_some());
        assert_eq!(cluster.read_after(outsider, &second), Err(older(3, 1)));
        for owner in owners.iter().filter(|owner| *owner != missed) {
            cluster.revive(*owner);
        }
        let shown = cluster.read_after(*missed, &second).expect("answered");
        assert_eq!(shown.as_deref(), Some(&b"bob"[..]));
    }
}

fn golden_context() -> Context {
    let by = Stamp {
        time: HlcTime(3),
        actor: henge_versioning::ActorId(4),
    };
    Context {
        vector: VersionVector::new(),
        life: Some(Life {
            until: 9,
            value: Some(by),
            deadline: Some(by),
            ..Life::default()
        }),
    }
}

const GOLDEN_LIFE: [u8; 23] = [
    25, 0, 10, 1, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

#[test]
fn the_wire_carries_contexts_behind_what_it_carried_before() {
    let context = Box::new(golden_context());
    let request = |operation| {
        encode_request(&Request {
            key: b"k",
            operation,
            options: Options::default(),
        })
    };
    // Key, operation, options.
    assert_eq!(request(Operation::Get), [1, b'k', 0, 0, 0, 0, 0, 0]);
    let after = request(Operation::GetAfter { context });
    let wanted = [&[1, b'k', 7, 23][..], &GOLDEN_LIFE, &[0, 0, 0, 0, 0]].concat();
    assert_eq!(after, wanted);
    let operation = decode_request(&after).expect("ours").operation;
    assert!(matches!(operation, Operation::GetAfter { context } if *context == golden_context()));

    let outcome = |written: Option<Context>| Outcome {
        result: Ok(Done::default()),
        receipt: Some(Box::new(Receipt {
            needed: 2,
            places: Vec::new(),
            written: written.map(Box::new),
        })),
    };
    let before = encode_outcome(outcome(None));
    assert_eq!(before, [0, 0, 0, 0, 1, 2, 0]);
    let behind = encode_outcome(outcome(Some(golden_context())));
    assert_eq!(behind, [&before[..], &GOLDEN_LIFE].concat());
    let written = |bytes| decode_outcome(bytes).and_then(|it| it.receipt?.written);
    assert_eq!(written(&before), None);
    assert_eq!(written(&behind).as_deref(), Some(&golden_context()));
}

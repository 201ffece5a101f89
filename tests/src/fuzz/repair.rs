//! Anti-entropy with a peer that has proven its key and then asks and answers anything.

use std::sync::Arc;

use henge_node::StoreReplica;
use henge_repair::{
    reconcile::{Answer, Answering, Ask, Begin, Local, Mark, Next, Session, Wanted, Words, answer},
    sketch::SketchKey,
    snapshot::{DigestRule, Snapshots},
};
use henge_ring::{Partition, Token};
use henge_store::{Key, Limits, MemoryStore, Store};
use henge_versioning::{ActorId, Clock, HlcTime, NEVER, RecordRef, Stamp, delta};

use super::{Behaviour, Signature, Target, join, kind, parts};

pub(super) const QUESTION: Target = Target {
    name: "question",
    about: "questions of a reconciliation: answered within the limits, or refused",
    longest: 4096,
    seeds: questions,
    tokens: &[&[0], &[1], &[0xff; 8], b"key3"],
    make: || Box::new(|input, _| question(input)),
};

pub(super) const ANSWERS: Target = Target {
    name: "answers",
    about: "answers to a session: it ends, and keeps nothing that is no record",
    longest: 4096,
    seeds: answers,
    tokens: &[&[0], &[1], &[0xff; 8], b"key3"],
    make: || Box::new(|input, _| session(input)),
};

const PARTITION: Partition = Partition(3);

fn replica() -> (StoreReplica, Arc<MemoryStore>) {
    let limits = Limits {
        partition_bits: 4,
        ..Limits::default()
    };
    let store = Arc::new(MemoryStore::new(limits));
    for number in 0..60 {
        let record = record(number);
        let record = RecordRef::parse(&record).expect("just made");
        let key = format!("key{number}");
        let key = Key::new(key.as_bytes());
        store.merge(key, record).expect("there is room");
    }
    let clock = Arc::new(Clock::new(500));
    let mut replica = StoreReplica::new(Arc::clone(&store) as Arc<dyn Store>, clock, 1);
    replica.set_wall_ms(1_000);
    (replica, store)
}

fn record(number: u64) -> Vec<u8> {
    let stamp = Stamp {
        time: HlcTime::new(number + 1, 0),
        actor: ActorId(1),
    };
    let mut record = Vec::new();
    delta::begin(&mut record, stamp, NEVER, b"value");
    record
}

fn snapshots() -> Snapshots {
    let rule = DigestRule { margin_ms: 0 };
    Snapshots::new(SketchKey::new(&[1; 32]), rule, 1_000)
}

fn questions() -> Vec<Vec<u8>> {
    let (partition, at_ms) = (PARTITION.0, 5);
    let words = || Words(vec![1, 2]);
    let records = vec![(b"key3".to_vec().into(), record(9).into())];
    let asks = [
        Ask::RollUps {
            at_ms,
            partitions: vec![partition, 4],
            words: words(),
        },
        Ask::Symbols {
            partition,
            at_ms,
            snapshot: None,
            from: 0,
            count: 12,
        },
        Ask::Changes {
            partition,
            at_ms,
            life: 1,
            since: 0,
        },
        Ask::List {
            partition,
            at_ms,
            after: None,
        },
        Ask::Records {
            partition,
            at_ms,
            wanted: Wanted::Listed(words()),
        },
        Ask::Records {
            partition,
            at_ms,
            wanted: Wanted::Ids(7, words()),
        },
        Ask::Offer {
            partition,
            at_ms,
            entries: words(),
        },
        Ask::Take {
            partition,
            at_ms,
            records,
        },
    ];
    asks.iter().map(Ask::encode).collect()
}

fn question(input: &[u8]) -> Behaviour {
    let mut signature = Signature::default();
    let ask = match Ask::decode(input) {
        Err(error) => return signature.note(kind(&error)).behaviour(),
        Ok(ask) => ask,
    };
    assert_eq!(Ask::decode(&ask.encode()), Ok(ask.clone()));
    let ((mut replica, store), mut snapshots) = (replica(), snapshots());
    let mut from = Answering {
        replica: &mut replica,
        snapshots: &mut snapshots,
    };
    let reply = answer(ask, &mut from);
    let bytes = reply.encode();
    assert_eq!(Answer::decode(&bytes).as_ref(), Ok(&reply), "within limits");
    all_are_records(&store);
    signature.note([bytes[0]]).size(bytes.len());
    signature.behaviour()
}

fn answers() -> Vec<Vec<u8>> {
    let head = Mark {
        life: 1,
        position: 9,
    };
    let listed = Answer::Listed {
        head,
        entries: Words(vec![Token::of(b"key3").0, 1]),
        next: None,
    };
    let records = Answer::Records {
        records: vec![(b"key3".to_vec().into(), record(9).into())],
        done: 1,
    };
    let symbols = Answer::Symbols {
        head,
        snapshot: 1,
        members: 3,
        symbols: Words(vec![5; 24]),
    };
    let taken = Answer::Taken {
        kept: 1,
        refused: 0,
    };
    let plain = [&Answer::Gap, &Answer::Stale, &symbols, &listed].map(Answer::encode);
    let mut seeds: Vec<_> = plain.iter().map(|one| join(&[one])).collect();
    seeds.push(join(&[listed.encode(), records.encode(), taken.encode()]));
    seeds.push(join(&[symbols.encode(), listed.encode(), records.encode()]));
    seeds.push(join(&[Answer::Gap.encode(), symbols.encode()]));
    seeds
}

fn session(input: &[u8]) -> Behaviour {
    let mut signature = Signature::default();
    let ((mut replica, store), mut snapshots) = (replica(), snapshots());
    let mut local = Local {
        replica: &mut replica,
        snapshots: &mut snapshots,
    };
    let mark = Mark {
        life: 1,
        position: 0,
    };
    let how = if input.first().is_some_and(|byte| byte % 2 == 0) {
        Begin::Log(mark)
    } else {
        Begin::Sketch
    };
    let (mut session, _) = Session::begin(PARTITION, 5, how, &mut local);
    for reply in parts(input) {
        let reply = match Answer::decode(reply) {
            Err(error) => {
                signature.note(kind(&error));
                continue;
            }
            Ok(reply) => reply,
        };
        match session.handle(reply, &mut local) {
            Ok(Next::Ask(ask)) => {
                assert_eq!(Ask::decode(&ask.encode()), Ok(ask.clone()), "within limits");
                signature.note([ask.encode()[0]]);
            }
            Ok(Next::Done(_)) => {
                signature.note("done");
                break;
            }
            Err(error) => {
                signature.note(kind(&error));
                break;
            }
        }
    }
    all_are_records(&store);
    signature.behaviour()
}

/// What came in is a record, under a key of a length that is allowed.
fn all_are_records(store: &MemoryStore) {
    for partition in 0..16 {
        store.scan(
            Partition(partition),
            None,
            usize::MAX,
            &mut |key, stored| {
                assert!(RecordRef::parse(stored.bytes).is_ok() && key.len() <= 1_024);
            },
        );
    }
}

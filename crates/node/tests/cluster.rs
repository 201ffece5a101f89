//! Real nodes in one process: data threads, tarpc over loopback, founding, failure, coming back.

mod rig;

use std::sync::atomic::{AtomicBool, Ordering};

use henge_node::{Condition, Expiry, Failure, Handle, Node, Operation, Options, Request};
use henge_versioning::RecordRef;
use rig::{free_addresses, start, wait_until};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

fn request<'a>(key: &'a str, operation: Operation<'a>, options: Options) -> Request<'a> {
    Request {
        key: key.as_bytes(),
        operation,
        options,
    }
}

fn put(handle: &Handle, key: &str, value: &str, options: Options) -> Result<bool, Failure> {
    let value = value.as_bytes();
    let operation = Operation::Put {
        value,
        expiry: Expiry::Clear,
        condition: Condition::Always,
    };
    let outcome = block_on(handle.call(&request(key, operation, options)));
    outcome.result.map(|done| done.applied)
}

fn get(handle: &Handle, key: &str, options: Options) -> Result<Option<Vec<u8>>, Failure> {
    let outcome = block_on(handle.call(&request(key, Operation::Get, options)));
    let record = outcome.result?.record;
    Ok(record.map(|r| {
        RecordRef::parse(&r)
            .expect("a record")
            .value()
            .expect("a value")
            .to_vec()
    }))
}

fn w(w: u64) -> Options {
    Options {
        w: Some(w),
        r: Some(w),
        ..Options::default()
    }
}

#[test]
fn three_nodes_found_a_cluster_and_survive_the_loss_of_one() {
    let all = free_addresses(3);
    let mut nodes: Vec<_> = all.iter().map(|at| start(*at, &all, 2)).collect();
    wait_until("all ready", || {
        nodes.iter().all(|node| node.handle().is_ready())
    });
    for number in 0..100 {
        let (key, writer) = (format!("sess:{number}"), number % 3);
        assert_eq!(put(nodes[writer].handle(), &key, "v", w(3)), Ok(true));
        let reader = nodes[(number + 1) % 3].handle();
        assert_eq!(get(reader, &key, w(1)), Ok(Some(b"v".to_vec())));
    }
    let page = block_on(nodes[0].handle().scan(0, 1_000)).expect("scanned");
    assert_eq!((page.keys.len(), page.next), (100, 0));

    drop(nodes.pop());
    let handle = nodes[0].handle();
    wait_until("the loss is noticed", || {
        matches!(
            put(handle, "k", "v", w(3)),
            Err(Failure::Failed {
                needed: 3,
                got: 2,
                ..
            })
        )
    });
    assert_eq!(put(handle, "k", "v", w(2)), Ok(true));
    assert_eq!(get(nodes[1].handle(), "k", w(2)), Ok(Some(b"v".to_vec())));

    // The same address, a new identity, an empty memory: it takes the lost node's places, serves,
    // and pulls what it owns from the others.
    nodes.push(start(all[2], &all, 1));
    wait_until("the newcomer serves", || nodes[2].handle().is_ready());
    assert_eq!(nodes[2].handle().ring().members().len(), 3);
    wait_until("its data is here", || {
        nodes[2].handle().usage().records == 101
    });
    wait_until("all three replicas answer", || {
        put(nodes[1].handle(), "k", "w", w(3)) == Ok(true)
    });
    nodes.into_iter().for_each(Node::stop);
}

/// A ready node knows its whole cluster, on every thread: one that still worked with the ring of a moment
/// before, when two of three founders were in it, said that a key has 2 replicas, and found no third.
#[test]
fn who_is_ready_asks_every_replica_from_its_first_request() {
    for round in 0..8 {
        let all = free_addresses(3);
        let nodes: Vec<_> = all.iter().map(|at| start(*at, &all, 4)).collect();
        std::thread::scope(|scope| {
            for (number, node) in nodes.iter().enumerate() {
                scope.spawn(move || {
                    let handle = node.handle();
                    wait_until("ready", || handle.is_ready());
                    for thread in 0..4 {
                        let key = format!("sess:{number}:{thread}");
                        let written = put(handle, &key, "v", w(3));
                        let refused = matches!(written, Err(Failure::Invalid(_)));
                        assert!(!refused, "round {round}: {written:?}");
                    }
                });
            }
        });
        nodes.into_iter().for_each(Node::stop);
    }
}

/// A scan asks R replicas of every partition. One that vanished meanwhile failed the whole scan, although
/// others had the same keys.
#[test]
fn scans_go_on_while_a_node_vanishes() {
    let all = free_addresses(3);
    let mut nodes: Vec<_> = all.iter().map(|at| start(*at, &all, 1)).collect();
    wait_until("all ready", || {
        nodes.iter().all(|node| node.handle().is_ready())
    });
    for number in 0..50 {
        assert_eq!(
            put(nodes[0].handle(), &format!("k{number}"), "v", w(3)),
            Ok(true)
        );
    }
    let gone = AtomicBool::new(false);
    let (lost, left) = (nodes.pop(), &nodes);
    std::thread::scope(|scope| {
        for node in left {
            let gone = &gone;
            scope.spawn(move || {
                let mut more = 20;
                while more > 0 {
                    let page =
                        block_on(node.handle().scan(0, 1_000)).expect("two replicas are left");
                    assert_eq!((page.keys.len(), page.next), (50, 0));
                    more -= i32::from(gone.load(Ordering::Relaxed));
                }
            });
        }
        drop(lost);
        gone.store(true, Ordering::Relaxed);
    });
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_node_alone_serves_at_once() {
    let all = free_addresses(1);
    let node = start(all[0], &all, 1);
    wait_until("ready", || node.handle().is_ready());
    assert_eq!(put(node.handle(), "k", "v", Options::default()), Ok(true));
    assert_eq!(
        get(node.handle(), "k", Options::default()),
        Ok(Some(b"v".to_vec()))
    );
    assert!(node.handle().metrics().contains("henge_writes_total 1"));
    node.stop();
}

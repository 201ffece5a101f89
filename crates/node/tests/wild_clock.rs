//! Real nodes, one of which has a wall clock that jumps by an hour, ahead or behind, and back.

mod rig;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use henge_node::{
    Clocks, Condition, Done, Expiry, Failure, Handle, Node, Now, Operation, Options, Request,
    SystemClocks, Unready,
};
use henge_versioning::RecordRef;
use rig::{builder, free_addresses, start, wait_until};

const HOUR_MS: i64 = 3_600_000;

/// The machine's clocks, the wall clock off by so much.
#[derive(Default)]
struct Wild {
    machine: SystemClocks,
    off_ms: AtomicI64,
}

impl Clocks for Wild {
    fn now(&self) -> Now {
        let now = self.machine.now();
        let off_ms = self.off_ms.load(Ordering::Relaxed);
        Now {
            wall_ms: now.wall_ms.saturating_add_signed(off_ms),
            ..now
        }
    }
}

fn ask<'a>(handle: &Handle, key: &'a str, operation: Operation<'a>) -> Result<Done, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let request = Request {
        key: key.as_bytes(),
        operation,
        options: Options {
            r: Some(2),
            w: Some(3),
            ..Options::default()
        },
    };
    let outcome = runtime.expect("a runtime").block_on(handle.call(&request));
    outcome.result
}

fn put(value: &[u8], lives_ms: u64) -> Operation<'_> {
    Operation::Put {
        value,
        expiry: Expiry::At(SystemClocks::default().now().wall_ms + lives_ms),
        condition: Condition::Always,
    }
}

fn lives(handle: &Handle, key: &str) -> bool {
    let found = ask(handle, key, Operation::Get).expect("answered").record;
    let now_ms = SystemClocks::default().now().wall_ms;
    found.is_some_and(|it| RecordRef::parse(&it).is_ok_and(|it| it.is_live(now_ms)))
}

fn logout<'a>() -> Operation<'a> {
    Operation::Delete {
        condition: Condition::Always,
    }
}

fn all_ready(nodes: &[Node]) {
    wait_until("all ready", || {
        nodes.iter().all(|node| node.handle().is_ready())
    });
}

#[test]
fn a_node_with_a_wild_clock_serves_through_the_others_and_brings_no_session_back() {
    let (all, clock) = (free_addresses(3), Arc::new(Wild::default()));
    let wild = builder(all[0], &all, 2).clocks(clock.clone());
    let mut nodes = vec![wild.start().expect("starts")];
    nodes.extend(all[1..].iter().map(|at| start(*at, &all, 2)));
    all_ready(&nodes);
    let (wild, right) = (nodes[0].handle(), nodes[1].handle());
    for (round, off_ms) in [HOUR_MS, -HOUR_MS].into_iter().enumerate() {
        let key = |number: usize| format!("sess:{round}:{number}");
        for number in 0..20 {
            ask(right, &key(number), put(b"v", 60_000)).expect("written");
        }
        clock.off_ms.store(off_ms, Ordering::Relaxed);
        wait_until("it knows", || {
            matches!(wild.unready(), Some(Unready::Clock { .. }))
        });
        for number in 0..20 {
            assert!(lives(wild, &key(number)), "it takes nothing for expired");
            let written = ask(wild, &key(number), put(b"w", 60_000)).expect("passed on");
            assert!(written.applied && !written.absorbed);
            ask(right, &key(number), logout()).expect("destroyed");
            let late = ask(wild, &key(number), put(b"x", 60_000)).expect("passed on");
            assert!(late.absorbed, "a logout beats a late write");
        }
        // Links at rest ping seldom: once is enough to wait for.
        wait_until("a peer knows", || {
            let seen = right.clocks().peers;
            let wrong = seen.iter().find(|it| it.peer == wild.info().id);
            let off = |ms: i64| ms.abs_diff(off_ms) < 10_000;
            round > 0 || wrong.is_some_and(|it| it.beyond && off(it.offset_ms))
        });
        assert!(wild.metrics().contains("\nhenge_clock_right 0\n"));
        assert!(right.metrics().contains("\nhenge_clock_right 1\n"));
        clock.off_ms.store(0, Ordering::Relaxed);
        all_ready(&nodes);
        for number in 0..20 {
            let again = ask(wild, &key(number), put(b"y", 60_000)).expect("decided here again");
            assert!(again.absorbed);
            assert!(nodes.iter().all(|it| !lives(it.handle(), &key(number))));
        }
        // What it stamps is refused by nobody: W is 3.
        ask(wild, &format!("after:{round}"), put(b"v", 60_000)).expect("stamped and kept");
    }
}

#[test]
fn a_node_that_starts_with_a_wrong_clock_never_stamps_by_it() {
    let (all, clock) = (free_addresses(3), Arc::new(Wild::default()));
    clock.off_ms.store(HOUR_MS, Ordering::Relaxed);
    let wild = builder(all[0], &all, 1).clocks(clock.clone());
    let mut nodes = vec![wild.start().expect("starts")];
    nodes.extend(all[1..].iter().map(|at| start(*at, &all, 1)));
    let wild = nodes[0].handle();
    wait_until("the others are ready", || {
        nodes[1..].iter().all(|node| node.handle().is_ready())
    });
    wait_until(
        "it has heard them",
        || matches!(wild.unready(), Some(Unready::Clock { offset_ms, .. }) if offset_ms > HOUR_MS / 2),
    );
    for number in 0..20 {
        let key = format!("sess:{number}");
        ask(wild, &key, put(b"v", 60_000)).expect("passed on");
        assert!(lives(wild, &key));
    }
    clock.off_ms.store(0, Ordering::Relaxed);
    all_ready(&nodes);
}

//! Logins, logouts everywhere and reads in random order, with nodes that fall silent and nodes that are
//! known to be away, over many seeds: what a logout has ended is never shown again, and what began after
//! it is. A login that writes its session before its entry is seen to break that.

use super::*;
use crate::principals::{Login, OWNER_FIELD, Owner, index_key};

/// In which order a login writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    EntryFirst,
    /// The mistake: acknowledged when the session is written, and entered at some later time.
    SessionFirst,
}

/// A session whose login was acknowledged, and when, counted in requests.
struct Known {
    key: String,
    begun: u64,
    acked: u64,
}

struct Run {
    cluster: Cluster,
    random: u64,
    order: Order,
    turn: u64,
    sessions: Vec<Known>,
    /// The beginnings of acknowledged logouts.
    logouts: Vec<u64>,
    /// The latest time at which a logout, acknowledged or not, may still have been under way.
    attempted: u64,
    late_entries: Vec<String>,
    shown: u64,
    violations: Vec<String>,
}

impl Run {
    fn new(seed: u64, order: Order) -> Self {
        Self {
            cluster: Cluster::new(5),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            order,
            turn: 0,
            sessions: Vec::new(),
            logouts: Vec::new(),
            attempted: 0,
            late_entries: Vec::new(),
            shown: 0,
            violations: Vec::new(),
        }
    }

    /// xorshift64.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn ask<'a>(&mut self, key: &'a [u8], operation: Operation<'a>) -> Result<Done, Failure> {
        self.turn += 1;
        let at = loop {
            let at = 1 + self.below(5) as u8;
            if !self.cluster.down.contains(&id(at)) {
                break at;
            }
        };
        let request = Request {
            key,
            operation,
            options: Options::default(),
        };
        self.cluster.ask_own(at, &request).result
    }

    fn step(&mut self) {
        match self.below(20) {
            0..6 => self.log_in(),
            6..8 => self.log_out(),
            8..10 => self.change_nodes(),
            10 => self.enter_late(),
            _ => self.read(),
        }
    }

    fn change_nodes(&mut self) {
        let number = 1 + self.below(5) as u8;
        if self.cluster.down.contains(&id(number)) {
            self.cluster.revive(number);
        } else if self.cluster.down.len() < 2 {
            match self.below(2) {
                0 => self.cluster.kill(number),
                // Nobody knows of it: what is sent to it is lost.
                _ => self.cluster.down.push(id(number)),
            }
        }
    }

    fn log_in(&mut self) {
        let (key, begun) = (format!("sess:{}", self.turn), self.turn);
        let done = match self.order {
            Order::EntryFirst => self.log_in_right(&key),
            Order::SessionFirst => self.log_in_wrong(&key),
        };
        if done {
            let acked = self.turn;
            self.sessions.push(Known { key, begun, acked });
        }
    }

    fn log_in_right(&mut self, key: &str) -> bool {
        let request = Request {
            key: key.as_bytes(),
            operation: put("secret"),
            options: Options::default(),
        };
        let mut login = Login::new(&request, b"alice").expect("a login");
        loop {
            let result = {
                let next = login.request();
                self.ask(next.key, next.operation.clone())
            };
            let receipt = None;
            if let Some(ended) = login.answered(Outcome { result, receipt }) {
                return ended.result.is_ok_and(|done| done.applied);
            }
        }
    }

    fn log_in_wrong(&mut self, key: &str) -> bool {
        let index = index_key(b"alice").expect("short");
        let Ok(read) = self.ask(&index, Operation::Get) else {
            return false;
        };
        let read = read.record.map(|it| {
            let record = RecordRef::parse(&it).expect("a record");
            record.epoch().time.0 + u64::from(record.is_dead())
        });
        let owner = Owner {
            life: read.unwrap_or(1),
            principal: b"alice",
        };
        let owner = owner.encode();
        let fields = [
            (&b""[..], Some(&b"secret"[..])),
            (OWNER_FIELD, Some(&owner[..])),
        ];
        let operation = Operation::PutFields {
            fields: fields.into_iter().collect(),
            expiry: Expiry::Clear,
        };
        self.late_entries.push(key.to_owned());
        self.ask(key.as_bytes(), operation)
            .is_ok_and(|it| it.applied)
    }

    fn enter_late(&mut self) {
        for key in std::mem::take(&mut self.late_entries) {
            let index = index_key(b"alice").expect("short");
            let fields = [(key.as_bytes(), Some(&b""[..]))];
            let operation = Operation::PutFields {
                fields: fields.into_iter().collect(),
                expiry: Expiry::Keep,
            };
            let _ = self.ask(&index, operation);
        }
    }

    fn log_out(&mut self) {
        let (index, begun) = (index_key(b"alice").expect("short"), self.turn);
        let operation = Operation::Delete {
            condition: Condition::Always,
        };
        match self.ask(&index, operation) {
            Ok(_) => self.logouts.push(begun),
            // It may be carried out at any later time.
            Err(_) => self.attempted = u64::MAX,
        }
        self.attempted = self.attempted.max(self.turn);
    }

    fn read(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let chosen = self.below(self.sessions.len() as u64) as usize;
        let Known { key, begun, acked } = &self.sessions[chosen];
        let (key, begun, acked) = (key.clone(), *begun, *acked);
        let Ok(done) = self.ask(key.as_bytes(), Operation::Get) else {
            return;
        };
        let record = done.record.as_deref().map(RecordRef::parse);
        let now_ms = self.cluster.now.wall_ms;
        let is_shown = record.is_some_and(|it| it.expect("a record").is_live(now_ms));
        self.shown += u64::from(is_shown);
        if is_shown && self.logouts.iter().any(|logout| *logout >= acked) {
            self.violations
                .push(format!("{key} was logged out and is shown"));
        }
        if !is_shown && begun >= self.attempted {
            self.violations.push(format!("{key} is not shown"));
        }
    }
}

fn run(seed: u64, order: Order) -> Run {
    let mut run = Run::new(seed, order);
    (0..120).for_each(|_| run.step());
    run
}

#[test]
fn what_was_logged_out_is_never_shown_and_what_was_not_is() {
    let (mut shown, mut logouts) = (0, 0);
    for seed in 1..=150 {
        let run = run(seed, Order::EntryFirst);
        assert!(
            run.violations.is_empty(),
            "seed {seed}: {:?}",
            run.violations
        );
        shown += run.shown;
        logouts += run.logouts.len();
    }
    assert!(
        shown > 1_000 && logouts > 500,
        "{shown} shown, {logouts} logouts"
    );
}

#[test]
fn a_login_that_enters_its_session_last_is_caught() {
    let caught = (1..=20).any(|seed| !run(seed, Order::SessionFirst).violations.is_empty());
    assert!(caught);
}

//! A simulated client: asks over the Redis protocol, and says in the history's terms what it heard.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use tokio::time::sleep;

use super::{
    host::resp_address,
    network::now,
    resp::{Connection, Reply},
    run::Bench,
};
use crate::{
    history::{Element, Op, OpId, Outcome, Quorum},
    sim::{Client, Rng, Seen, Step, What},
};

/// How long a node may take to answer, in milliseconds, and how long a client waits for it.
const TIMEOUT_MS: u64 = 800;
const PATIENCE: Duration = Duration::from_millis(TIMEOUT_MS + 500);

/// How often a last read is tried.
const LAST_TRIES: usize = 8;

/// The connections of one client, and what it has read.
pub(super) struct Caller {
    number: usize,
    bench: Rc<Bench>,
    connections: BTreeMap<usize, Connection>,
    /// The causal context of the last read, by the read's number.
    token: Option<(OpId, String)>,
}

/// What an answer means, and what a read has shown.
struct Heard {
    outcome: Outcome,
    values: Vec<Element>,
    token: Option<String>,
}

impl Caller {
    pub(super) fn new(number: usize, bench: Rc<Bench>) -> Self {
        Self {
            number,
            bench,
            connections: BTreeMap::new(),
            token: None,
        }
    }

    /// Asks, thinks and asks again, until the faults are over.
    pub(super) async fn run(mut self, mut rng: Rng) -> turmoil::Result {
        let bench = Rc::clone(&self.bench);
        let plan = &bench.plan.workings;
        let mut client = Client::new(rng.below(plan.nodes as u64) as usize);
        while bench.is_asking() {
            let at = now();
            let step = client.step(plan, at, &mut bench.shared.borrow_mut(), &mut rng);
            let session = step.key.starts_with("sess:");
            let quorum = if session {
                plan.session_quorum
            } else {
                plan.quorum
            };
            let (op, outcome, seen) = self.ask(client.node, &step, quorum).await;
            let ok = matches!(outcome, Outcome::Ok { .. });
            if !ok {
                client.node = rng.below(plan.nodes as u64) as usize;
            }
            learn(&mut client, &bench, op, &step, ok, seen);
            sleep(Duration::from_micros(1 + rng.wait(plan.think))).await;
        }
        Ok(())
    }

    /// Reads every key from all its replicas, wherever one is asked. A connection that a fault has
    /// spoilt may show only now, so each read has a few tries.
    pub(super) async fn read_all(mut self) -> turmoil::Result {
        let n = self.bench.plan.workings.quorum.n;
        let quorum = Quorum {
            n,
            r: n,
            w: n,
            strict: true,
        };
        let keys: Vec<String> = self.bench.keys.borrow().iter().cloned().collect();
        for key in keys {
            let step = Step::read(key);
            for _ in 0..LAST_TRIES {
                let (_, outcome, _) = self.ask(0, &step, quorum).await;
                if matches!(outcome, Outcome::Ok { .. }) {
                    break;
                }
                sleep(PATIENCE).await;
            }
        }
        Ok(())
    }

    /// One operation, recorded.
    async fn ask(
        &mut self,
        node: usize,
        step: &Step,
        quorum: Quorum,
    ) -> (OpId, Outcome, Option<(Vec<Element>, OpId)>) {
        let id = self.bench.begin(step);
        let invoked = now();
        let heard = self.call(node, step, quorum).await;
        let returned = now();
        if let Some(token) = &heard.token {
            self.token = Some((id, token.clone()));
        }
        let seen = heard
            .outcome_is_ok()
            .then(|| (heard.values.clone(), id))
            .filter(|_| matches!(step.what, What::Get));
        self.bench.end(Op {
            id,
            session: self.number as u32,
            node: node as u32,
            key: step.key.clone(),
            action: step.action,
            quorum,
            invoked,
            returned,
            outcome: heard.outcome.clone(),
        });
        (id, heard.outcome, seen)
    }

    async fn call(&mut self, node: usize, step: &Step, quorum: Quorum) -> Heard {
        let reads = matches!(step.what, What::Get);
        let Some(mut connection) = self.connection(node).await else {
            return Heard::failed("cannot connect".to_owned());
        };
        // A touch with an absolute deadline is a command of Redis: it takes the connection's quorum.
        let prepared = match connection.call(&defaults(quorum), PATIENCE).await {
            Ok(reply) => reply == Reply::Text("OK".to_owned()),
            Err(_) => {
                return Heard::failed("the connection broke before anything was asked".into());
            }
        };
        assert!(prepared, "quorums are set");
        let words = self.words(step);
        match connection.call(&words, PATIENCE).await {
            Ok(reply) => {
                self.connections.insert(node, connection);
                self.understand(step, &words, &reply)
            }
            Err(error) if reads => Heard::failed(error.to_string()),
            Err(_) => Heard::of(Outcome::Unknown),
        }
    }

    async fn connection(&mut self, node: usize) -> Option<Connection> {
        match self.connections.remove(&node) {
            Some(connection) => Some(connection),
            None => Connection::open(&resp_address(node), PATIENCE).await.ok(),
        }
    }

    /// The command.
    fn words(&self, step: &Step) -> Vec<String> {
        let key = step.key.as_str();
        match &step.what {
            What::Get => vec!["HENGE.GET".into(), key.into(), "CONTEXT".into()],
            What::PutSibling(element, _) => {
                let mut words = vec!["HENGE.SET".into(), key.into(), element.to_string()];
                words.extend(self.context(step));
                words
            }
            What::DeleteSiblings(_) => {
                let mut words = vec!["HENGE.DEL".into(), key.into()];
                words.extend(self.context(step));
                words
            }
            What::PutRegister(element) => {
                vec!["HENGE.SET".into(), key.into(), element.to_string()]
            }
            What::PutField(element, deadline) => {
                let mut words: Vec<String> = vec!["HENGE.FSET".into(), key.into()];
                if let Some(deadline) = deadline {
                    words.extend(["PXAT".into(), deadline.to_string()]);
                }
                let name = format!("f{element}");
                words.extend(["FIELDS".into(), name, element.to_string()]);
                words
            }
            What::Touch(at) => vec!["PEXPIREAT".into(), key.into(), at.to_string()],
            What::Logout => vec!["HENGE.DEL".into(), key.into()],
        }
    }

    /// The context that a write over a read carries.
    fn context(&self, step: &Step) -> Vec<String> {
        use crate::history::Action::{Delete, Put};
        let read = match step.action {
            Put { context, .. } | Delete { context } => context,
            _ => None,
        };
        match (&self.token, read) {
            (Some((of, token)), Some(read)) if *of == read => {
                vec!["CONTEXT".to_owned(), token.clone()]
            }
            _ => Vec::new(),
        }
    }

    fn understand(&self, step: &Step, words: &[String], reply: &Reply) -> Heard {
        if let Reply::Error(line) = reply {
            return match line.split(' ').next() {
                Some("UNKNOWN") if !matches!(step.what, What::Get) => Heard::of(Outcome::Unknown),
                Some("FAILED" | "UNKNOWN" | "NOTREADY" | "BUSY" | "OOM") => {
                    Heard::failed(line.clone())
                }
                _ => {
                    self.bench.broke(format!("{words:?} was answered {line}"));
                    Heard::failed(line.clone())
                }
            };
        }
        match &step.what {
            What::Get => Heard::read(&step.key, reply),
            What::Touch(_) if *reply == Reply::Integer(1) => Heard::done(),
            What::Touch(_) if *reply == Reply::Integer(0) => Heard::nothing_to_change(),
            _ => match (reply.get("applied"), reply.get("absorbed")) {
                (Some(Reply::Integer(1)), Some(Reply::Integer(0))) => Heard::done(),
                (Some(_), Some(_)) => Heard::nothing_to_change(),
                _ => {
                    self.bench
                        .broke(format!("{words:?} was answered {reply:?}"));
                    Heard::of(Outcome::Unknown)
                }
            },
        }
    }
}

/// What the client makes of an answer.
fn learn(
    client: &mut Client,
    bench: &Bench,
    op: OpId,
    step: &Step,
    ok: bool,
    seen: Option<(Vec<Element>, OpId)>,
) {
    let (key, at) = (&step.key, now());
    let sessions = &mut bench.shared.borrow_mut().sessions;
    match &step.what {
        What::Get if key.starts_with("sess:") => {
            let gone = seen.is_some_and(|(elements, _)| elements.is_empty());
            client.gone.extend(gone.then(|| key.clone()));
        }
        What::Get => {
            client.seen = seen.map(|(elements, _)| Seen {
                key: key.clone(),
                read: op,
                elements,
                // The context itself stays sealed: the caller keeps the token.
                context: henge_versioning::VersionVector::new(),
            });
        }
        What::PutField(_, Some(_)) if ok => sessions.opened(key),
        What::PutField(_, Some(_)) => sessions.closed(key, 0),
        What::Logout if ok => {
            client.gone.insert(key.clone());
            sessions.closed(key, at);
        }
        _ => {}
    }
}

impl Heard {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            values: Vec::new(),
            token: None,
        }
    }

    fn done() -> Self {
        Self::of(Outcome::Ok { values: Vec::new() })
    }

    fn failed(reason: String) -> Self {
        Self::of(Outcome::Failed { reason })
    }

    /// The session is dead, or there was nothing to delete or to touch: nothing was done.
    fn nothing_to_change() -> Self {
        Self::failed("there was nothing to change".to_owned())
    }

    fn read(key: &str, reply: &Reply) -> Self {
        let texts: Vec<&Reply> = if key.starts_with("sess:") {
            let fields = reply.get("fields").map_or(&[][..], Reply::items);
            fields.chunks_exact(2).map(|pair| &pair[1]).collect()
        } else {
            let values = reply.get("values").map_or(&[][..], Reply::items);
            values.iter().collect()
        };
        let numbers = texts.iter().filter_map(|it| it.text()?.parse().ok());
        let values: Vec<Element> = numbers.collect();
        Self {
            outcome: Outcome::Ok {
                values: values.clone(),
            },
            values,
            token: reply
                .get("context")
                .and_then(Reply::text)
                .map(str::to_owned),
        }
    }

    fn outcome_is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok { .. })
    }
}

/// The command that makes these the connection's quorums.
fn defaults(quorum: Quorum) -> Vec<String> {
    let Quorum { r, w, strict, .. } = quorum;
    let mode = if strict { "STRICT" } else { "SLOPPY" };
    format!("HENGE.QUORUM R {r} W {w} {mode} TIMEOUT {TIMEOUT_MS}")
        .split(' ')
        .map(str::to_owned)
        .collect()
}

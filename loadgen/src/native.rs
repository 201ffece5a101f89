//! The path through the Rust client: straight to a primary of each key, with retries that are safe.

use std::{cell::RefCell, rc::Rc, time::Instant};

use henge_client::{Client, Done, Error, Got, Mode, Options, Read, Write};

use crate::{
    pace::DueQueue,
    plan::{Kind, Op, Outcome, Plan},
    settings::{Settings, Workload},
    worker::{Worker, due_before_end},
};

/// The field that the session workload keeps its value in.
const FIELD: &str = "data";

/// Options of the client for this run.
pub(crate) fn options(settings: &Settings) -> Options {
    let options = Options::default().request_timeout(settings.patience());
    match &settings.password {
        Some(password) => options.password(password),
        None => options,
    }
}

/// One request after another until the phase or the plan is over.
pub(crate) async fn slot(
    worker: Rc<Worker>,
    client: Client,
    plan: Rc<RefCell<Box<dyn Plan>>>,
    due: Option<Rc<DueQueue>>,
) {
    let mut buffers = Buffers::default();
    loop {
        let due_at = match &due {
            None => Instant::now(),
            Some(queue) => match due_before_end(queue, worker.phase.end).await {
                Some(at) => at,
                None => return,
            },
        };
        let op = worker.take(&mut **plan.borrow_mut(), Instant::now());
        let Some(op) = op else { return };
        let answer = buffers.ask(&worker, &client, &op).await;
        let outcome = match &answer {
            Ok(Answer::Value(value)) => Outcome::Value(value.as_deref()),
            Ok(Answer::Done(applied)) => Outcome::Done(*applied),
            Err(error) => {
                worker.error_text(&error.to_string());
                outcome_of(error, op.kind)
            }
        };
        worker.settle(
            &mut **plan.borrow_mut(),
            &op,
            outcome,
            due_at,
            Instant::now(),
        );
    }
}

fn outcome_of(error: &Error, kind: Kind) -> Outcome<'static> {
    match error {
        Error::Unknown(_) | Error::Protocol(_) | Error::TimedOut(_) => Worker::without_answer(kind),
        Error::Failed { .. }
        | Error::Busy(_)
        | Error::Full(_)
        | Error::Refused(_)
        | Error::Unreachable { .. } => Outcome::Failed,
    }
}

enum Answer {
    Value(Option<Vec<u8>>),
    Done(bool),
}

/// Reused from request to request.
#[derive(Default)]
struct Buffers {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Buffers {
    async fn ask(&mut self, worker: &Worker, client: &Client, op: &Op) -> Result<Answer, Error> {
        let common = &worker.common;
        self.key.clear();
        common.space.push_key(op.key, &mut self.key);
        if matches!(op.kind, Kind::Set | Kind::Login | Kind::Change) {
            self.value.clear();
            common
                .stamper
                .push_value(&common.space, op.key, op.write.seq, &mut self.value);
        }
        let write = match op.kind {
            Kind::Get | Kind::Ghost => {
                let got = knobs_of_read(client.get(&self.key), &worker.settings).await?;
                return Ok(Answer::Value(newest(worker, op, got)));
            }
            Kind::Touch => client.touch(&self.key, ttl(worker)),
            Kind::Logout => client.delete(&self.key),
            Kind::Set => self.set(worker, client),
            // Plain Redis cannot set fields and expiry in one command.
            Kind::Login | Kind::Change if client.is_plain() => self.set(worker, client),
            Kind::Login | Kind::Change => client
                .set_fields(&self.key, [(FIELD, &self.value)])
                .ttl(ttl(worker)),
        };
        let done: Done = knobs_of_write(write, &worker.settings).await?;
        Ok(Answer::Done(done.applied))
    }

    fn set<'c>(&self, worker: &Worker, client: &'c Client) -> Write<'c> {
        let write = client.set(&self.key, &self.value);
        if worker.common.ttl.is_some() {
            write.ttl(ttl(worker))
        } else {
            write
        }
    }
}

fn ttl(worker: &Worker) -> std::time::Duration {
    // Only sessions are touched, and theirs is never absent.
    std::time::Duration::from_millis(u64::from(worker.common.ttl.unwrap_or(u32::MAX)))
}

fn mode(settings: &Settings) -> Option<Mode> {
    settings
        .quorum
        .strict
        .map(|strict| if strict { Mode::Strict } else { Mode::Sloppy })
}

fn knobs_of_read<'c>(mut read: Read<'c>, settings: &Settings) -> Read<'c> {
    let quorum = &settings.quorum;
    if let Some(r) = quorum.r {
        read = read.r(r);
    }
    if let Some(mode) = mode(settings) {
        read = read.mode(mode);
    }
    match quorum.timeout {
        Some(timeout) => read.timeout(timeout),
        None => read,
    }
}

fn knobs_of_write<'c>(mut write: Write<'c>, settings: &Settings) -> Write<'c> {
    let quorum = &settings.quorum;
    if let Some(w) = quorum.w {
        write = write.w(w);
    }
    // A new session id is looked up at R replicas before it is made.
    if let (Some(r), Workload::Session) = (quorum.r, settings.load.workload) {
        write = write.r(r);
    }
    if let Some(mode) = mode(settings) {
        write = write.mode(mode);
    }
    match quorum.timeout {
        Some(timeout) => write.timeout(timeout),
        None => write,
    }
}

/// The value to judge: a corrupt one if there is any, else the newest of the siblings.
fn newest(worker: &Worker, op: &Op, got: Got) -> Option<Vec<u8>> {
    let fields = got
        .fields
        .iter()
        .filter(|(field, _)| field == FIELD)
        .map(|(_, value)| value);
    let common = &worker.common;
    let rank = |value: &[u8]| {
        common
            .stamper
            .read(&common.space, op.key, value)
            .map_or(u32::MAX, |seen| seen.seq)
    };
    got.values
        .iter()
        .chain(fields)
        .max_by_key(|value| rank(value))
        .map(|value| value.to_vec())
}

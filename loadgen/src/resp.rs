//! The raw path: one connection that speaks plain Redis commands, at as little cost as can be.
//!
//! No allocation, channel, task or timer per operation: requests are copied from templates into one
//! buffer, replies are scanned in place, and one timer per connection is moved only when it fires.
//! With a pipeline, the next batch goes out when the last one is answered, as benchmarks of Redis do.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::{Sleep, sleep, sleep_until, timeout},
};

use crate::{
    pace::DueQueue,
    plan::{Kind, Op, Outcome, Plan},
    rng::{Rng, fresh_seed},
    scan::{Malformed, Reply, scan},
    settings::Settings,
    wire::{Encoder, command, quorum_command},
    worker::{Worker, due_before_end},
};

/// First and longest pause before a new connection.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Longest wait for a connection and its handshake.
const CONNECT: Duration = Duration::from_secs(1);

/// Keeps one connection going, from target to target, until the phase or the plan is over.
pub(crate) async fn connection(
    worker: Rc<Worker>,
    mut plan: Box<dyn Plan>,
    index: usize,
    due: Option<Rc<DueQueue>>,
) -> Box<dyn Plan> {
    let targets = &worker.settings.target;
    let encoder = Encoder::new(worker.common.clone(), &worker.settings);
    let mut rng = Rng::new(fresh_seed() ^ index as u64);
    let mut backoff = BACKOFF.0;
    for turn in index.. {
        let target = &targets[turn % targets.len()];
        let opened = timeout(CONNECT, open(target, &worker.settings)).await;
        let error = match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(mut stream) => {
                backoff = BACKOFF.0;
                match converse(&mut stream, &worker, &encoder, &mut *plan, due.as_deref()).await {
                    Ok(()) => return plan,
                    Err(error) => error,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                worker.refuse(format!("{target}: {error}"));
                return plan;
            }
            Err(error) => error,
        };
        worker.connection_error(&format!("connection: {error}"));
        if worker.is_over(Instant::now()) {
            break;
        }
        sleep(backoff.mul_f64(0.5 + rng.unit() / 2.0)).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
    plan
}

/// Connects, and sets password and quorum. A refusal is told as `PermissionDenied`.
async fn open(target: &str, settings: &Settings) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    if let Some(password) = &settings.password {
        ask(
            &mut stream,
            &command(&["AUTH".to_owned(), password.clone()]),
        )
        .await?;
    }
    if let Some(quorum) = quorum_command(settings) {
        ask(&mut stream, &quorum).await?;
    }
    Ok(stream)
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    let mut buf = Vec::new();
    loop {
        if stream.read_buf(&mut buf).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match scan(&buf).map_err(malformed)? {
            Some((Reply::Error(text), _)) => {
                let text = String::from_utf8_lossy(text).into_owned();
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            Some(_) => return Ok(()),
            None => {}
        }
    }
}

fn malformed(_: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed reply")
}

/// Runs an open connection to the end of the phase (`Ok`) or until it breaks; then everything under
/// way has got its outcome.
async fn converse(
    stream: &mut TcpStream,
    worker: &Worker,
    encoder: &Encoder,
    plan: &mut dyn Plan,
    due: Option<&DueQueue>,
) -> io::Result<()> {
    let (reader, writer) = stream.split();
    let mut talk = Talk {
        reader,
        writer,
        worker,
        encoder,
        plan,
        under_way: VecDeque::with_capacity(worker.phase.pipeline),
        held: None,
        output: Vec::new(),
        written: 0,
        input: vec![0; 16 << 10],
        filled: 0,
        patience: Box::pin(sleep(worker.settings.patience())),
    };
    let ended = match due {
        None => talk.in_lockstep().await,
        Some(due) => talk.as_due(due).await,
    };
    talk.abandon();
    ended
}

/// A conversation over one connection.
struct Talk<'a> {
    reader: ReadHalf<'a>,
    writer: WriteHalf<'a>,
    worker: &'a Worker,
    encoder: &'a Encoder,
    plan: &'a mut dyn Plan,
    /// Requests without an answer, oldest first, with the time each was due.
    under_way: VecDeque<(Op, Instant)>,
    /// A write's own answer while that of its WAIT is outstanding.
    held: Option<Outcome<'static>>,
    output: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    filled: usize,
    /// Fires now and then to see whether the oldest request has waited too long.
    patience: Pin<Box<Sleep>>,
}

impl Talk<'_> {
    /// As fast as the answers come.
    async fn in_lockstep(&mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            while self.has_room() && self.request(now, now) {}
            if self.under_way.is_empty() {
                return Ok(());
            }
            self.flush()?;
            while !self.under_way.is_empty() {
                self.exchange().await?;
            }
        }
    }

    /// As requests fall due.
    async fn as_due(&mut self, due: &DueQueue) -> io::Result<()> {
        let end = self.worker.phase.end;
        loop {
            while self.has_room()
                && let Some(at) = due.try_next()
                && self.request(at, Instant::now())
            {}
            self.flush()?;
            if self.worker.is_over(Instant::now()) && self.under_way.is_empty() {
                return Ok(());
            }
            if self.under_way.is_empty() {
                let Some(at) = due_before_end(due, end).await else {
                    return Ok(());
                };
                self.request(at, Instant::now());
                continue;
            }
            let room = self.has_room() && !self.worker.is_over(Instant::now());
            tokio::select! {
                biased;
                at = due.next(), if room => {
                    self.request(at, Instant::now());
                }
                done = self.exchange() => done?,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.worker.phase.pipeline
    }

    /// Puts the next request into the buffer; false when there is none.
    fn request(&mut self, due: Instant, now: Instant) -> bool {
        let Some(op) = self.worker.take(self.plan, now) else {
            return false;
        };
        self.encoder.push(&op, &mut self.output);
        self.under_way.push_back((op, due));
        true
    }

    /// Writes what the socket takes at once.
    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.writer.try_write(&self.output[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Waits for answers, writing on where the socket was full. Safe to cancel.
    async fn exchange(&mut self) -> io::Result<()> {
        tokio::select! {
            biased;
            read = self.reader.read(&mut self.input[self.filled..]) => {
                match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    bytes => self.filled += bytes,
                }
                return self.settle();
            }
            ready = self.writer.writable(), if self.written < self.output.len() => ready?,
            () = &mut self.patience => return self.check_patience(),
        }
        self.flush()
    }

    fn check_patience(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let limit = self.worker.settings.patience();
        // Counted from the due time; at a fixed rate that includes the wait for the connection.
        let oldest = self.under_way.front().map_or(now, |(_, due)| *due);
        if now.saturating_duration_since(oldest) >= limit {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.patience.set(sleep_until((oldest + limit).into()));
        Ok(())
    }

    /// Scans all complete replies and settles their operations.
    fn settle(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.under_way.iter().for_each(|(op, _)| self.plan.warm(op));
        let mut from = 0;
        while let Some((reply, used)) = scan(&self.input[from..self.filled]).map_err(malformed)? {
            from += used;
            let Some((op, due)) = self.under_way.front().copied() else {
                return Err(malformed(Malformed));
            };
            if let Reply::Error(text) = reply {
                self.worker.error_text(&String::from_utf8_lossy(text));
            }
            let outcome = match (self.held.take(), self.worker.settings.wait_n) {
                (None, Some(_)) if op.kind.is_write() => {
                    self.held = Some(without_value(outcome(op.kind, reply)));
                    continue;
                }
                (Some(held), Some(replicas)) => after_wait(held, reply, replicas),
                _ => outcome(op.kind, reply),
            };
            self.under_way.pop_front();
            self.worker.settle(self.plan, &op, outcome, due, now);
        }
        self.input.copy_within(from..self.filled, 0);
        self.filled -= from;
        if self.filled == self.input.len() {
            self.input.resize(self.filled * 2, 0);
        }
        Ok(())
    }

    /// The connection is done for: what is under way gets no answer.
    fn abandon(&mut self) {
        let now = Instant::now();
        for (op, due) in self.under_way.drain(..) {
            self.worker
                .settle(self.plan, &op, Worker::without_answer(op.kind), due, now);
        }
    }
}

fn outcome<'a>(kind: Kind, reply: Reply<'a>) -> Outcome<'a> {
    match (kind, reply) {
        (_, Reply::Error(text)) if text.starts_with(b"UNKNOWN ") => Worker::without_answer(kind),
        (_, Reply::Error(_)) => Outcome::Failed,
        (Kind::Get | Kind::Ghost, Reply::Bulk(value)) => Outcome::Value(Some(value)),
        (Kind::Get | Kind::Ghost, Reply::Null) => Outcome::Value(None),
        (_, Reply::Integer(count)) if kind.is_write() => Outcome::Done(count > 0),
        (_, Reply::Simple(_)) if kind.is_write() => Outcome::Done(true),
        (_, Reply::Null) if kind.is_write() => Outcome::Done(false),
        // An answer of the wrong kind says nothing about what happened.
        _ => Worker::without_answer(kind),
    }
}

fn without_value(outcome: Outcome<'_>) -> Outcome<'static> {
    match outcome {
        Outcome::Done(applied) => Outcome::Done(applied),
        Outcome::Failed => Outcome::Failed,
        Outcome::Unknown | Outcome::Value(_) => Outcome::Unknown,
    }
}

/// Fewer replicas than asked for: the write is on the primary and may yet be lost.
fn after_wait(held: Outcome<'static>, reply: Reply<'_>, replicas: u32) -> Outcome<'static> {
    match (held, reply) {
        (Outcome::Done(applied), Reply::Integer(n)) if n >= i64::from(replicas) => {
            Outcome::Done(applied)
        }
        (Outcome::Done(_), _) => Outcome::Unknown,
        (other, _) => other,
    }
}

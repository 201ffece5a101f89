//! One pipelined connection to one node, shared by all tasks.
//!
//! A single task owns the socket. Requests wait in a bounded queue; each wake-up drains what is
//! there into one write, and replies are handed out in the order of the requests. When the
//! connection breaks, requests that were put into the write buffer are *lost* (they may have
//! happened), requests still in the queue are *not sent* (they did not). While the node is away
//! requests are refused at once, so that the caller can turn to another node.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{DecodeError, Options, Value, decode, request::Args};

/// Requests that may wait in a link's queue before callers wait themselves.
const QUEUE: usize = 1024;

/// Bytes gathered into one write at most: beyond it larger writes gain nothing.
const BATCH_BYTES: usize = 256 << 10;

/// What nearly always led to a port that does not speak the Redis protocol.
const WRONG_PORT: &str = "the address of the Redis protocol is wanted (a node's --listen-resp)";

/// First and longest pause between attempts to connect; each pause is drawn from its upper half.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What became of a request without a reply.
#[derive(Clone, Debug)]
pub(crate) enum LinkError {
    /// It never left this process.
    NotSent(String),
    /// It may have reached the node.
    Lost(String),
}

struct Pending {
    request: Bytes,
    reply: oneshot::Sender<Result<Value, LinkError>>,
}

#[derive(Debug)]
struct Health {
    up: AtomicBool,
    /// Since when an answer is owed and nothing was heard, in microseconds after `born`; 0: nothing
    /// is owed.
    waiting_since: AtomicU64,
    /// Zero of the times here.
    born: Instant,
    /// How long a node may owe an answer and say nothing.
    silence: Duration,
    /// Whether the first attempt to connect is over, well or not.
    tried: AtomicBool,
    /// Moving average of the time from request to reply, in microseconds.
    latency_us: AtomicU64,
}

impl Health {
    fn new(silence: Duration) -> Self {
        Self {
            up: AtomicBool::new(false),
            waiting_since: AtomicU64::new(0),
            born: Instant::now(),
            silence,
            tried: AtomicBool::new(false),
            latency_us: AtomicU64::new(0),
        }
    }

    /// From now on an answer is waited for, or, with `None`, none is.
    fn waits(&self, since: Option<Instant>) {
        let micros = |at: Instant| at.saturating_duration_since(self.born).as_micros() as u64;
        let since = since.map_or(0, |at| micros(at).max(1));
        self.waiting_since.store(since, Relaxed);
    }

    fn is_silent(&self) -> bool {
        let since = self.waiting_since.load(Relaxed);
        since != 0 && self.born.elapsed() > Duration::from_micros(since) + self.silence
    }
}

/// Handle of the connection's task; the task ends when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: String,
    queue: mpsc::Sender<Pending>,
    health: Arc<Health>,
}

impl Link {
    /// Starts the task. `broken` is notified whenever the connection breaks.
    pub(crate) fn start(address: &str, options: &Options, broken: Arc<Notify>) -> Arc<Self> {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let health = Arc::new(Health::new(options.silence));
        let task = Task {
            address: address.to_owned(),
            options: options.clone(),
            inbox,
            health: health.clone(),
            broken,
            sent: VecDeque::new(),
            progress: Instant::now(),
        };
        tokio::spawn(task.run());
        Arc::new(Self {
            address: address.to_owned(),
            queue,
            health,
        })
    }

    /// Whether a request has a chance: connected to a node that does not keep others waiting, or still
    /// at the first attempt.
    pub(crate) fn is_live(&self) -> bool {
        let health = &self.health;
        health.up.load(Relaxed) && !health.is_silent() || !health.tried.load(Relaxed)
    }

    pub(crate) fn latency_us(&self) -> u64 {
        self.health.latency_us.load(Relaxed)
    }

    /// Sends one encoded command and waits for its reply.
    pub(crate) async fn call(&self, request: Bytes) -> Result<Value, LinkError> {
        let (reply, answer) = oneshot::channel();
        let gone = || LinkError::NotSent("client closed".to_owned());
        self.queue
            .send(Pending { request, reply })
            .await
            .map_err(|_| gone())?;
        answer
            .await
            .unwrap_or_else(|_| Err(LinkError::Lost("connection task ended".to_owned())))
    }
}

struct Task {
    address: String,
    options: Options,
    inbox: mpsc::Receiver<Pending>,
    health: Arc<Health>,
    broken: Arc<Notify>,
    /// Requests in the write buffer or on the wire, oldest first.
    sent: VecDeque<(oneshot::Sender<Result<Value, LinkError>>, Instant)>,
    /// When the oldest of `sent` began to be waited for.
    progress: Instant,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = BACKOFF.0;
        loop {
            let attempt = timeout(
                self.options.connect_timeout,
                connect(&self.address, &self.options),
            );
            let outcome = attempt
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            self.health.up.store(outcome.is_ok(), Relaxed);
            self.health.tried.store(true, Relaxed);
            let reason = match outcome {
                Ok(stream) => {
                    backoff = BACKOFF.0;
                    match self.serve(stream).await {
                        Ok(()) => return,
                        Err(error) => self.lost(&error),
                    }
                }
                Err(error) => error.to_string(),
            };
            tracing::debug!(node = self.address, reason, "connection down");
            if self.refuse_for(jittered(backoff), &reason).await.is_none() {
                return;
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// Runs the connection until all handles are gone (`Ok`) or it breaks.
    async fn serve(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let (mut from_node, mut to_node) = stream.split();
        let (mut input, mut output) = (
            BytesMut::with_capacity(16 << 10),
            BytesMut::with_capacity(16 << 10),
        );
        let mut stall = interval(self.options.request_timeout);
        stall.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.sent.is_empty() {
            let room =
                open && self.sent.len() < self.options.in_flight && output.len() < BATCH_BYTES;
            tokio::select! {
                biased;
                read = from_node.read_buf(&mut input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.hand_out(&mut input)?;
                }
                pending = self.inbox.recv(), if room => match pending {
                    Some(pending) => self.gather(pending, &mut output),
                    None => open = false,
                },
                written = to_node.write_buf(&mut output), if !output.is_empty() => {
                    written?;
                }
                _ = stall.tick() => self.check_stall()?,
            }
        }
        Ok(())
    }

    /// Moves a request, and all that wait behind it, into the write buffer.
    fn gather(&mut self, first: Pending, output: &mut BytesMut) {
        let now = Instant::now();
        if self.sent.is_empty() {
            self.progress = now;
            self.health.waits(Some(now));
        }
        let mut next = Some(first);
        while let Some(Pending { request, reply }) = next {
            // A caller that gave up while the request was queued: not sending it is the best answer.
            if !reply.is_closed() {
                output.extend_from_slice(&request);
                self.sent.push_back((reply, now));
            }
            let room = self.sent.len() < self.options.in_flight && output.len() < BATCH_BYTES;
            next = if room {
                self.inbox.try_recv().ok()
            } else {
                None
            };
        }
    }

    fn hand_out(&mut self, input: &mut BytesMut) -> io::Result<()> {
        let now = Instant::now();
        while let Some((value, used)) = decode(input, self.options.max_reply).map_err(invalid)? {
            input.advance(used);
            let (reply, since) = self
                .sent
                .pop_front()
                .ok_or_else(|| invalid("a reply to no request".to_owned()))?;
            self.progress = now;
            self.note_latency(now - since);
            // The caller may have given up; the reply is then nobody's.
            let _ = reply.send(Ok(value));
        }
        if self.progress == now {
            self.health.waits((!self.sent.is_empty()).then_some(now));
        }
        Ok(())
    }

    fn note_latency(&self, latency: Duration) {
        let sample = latency.as_micros() as u64;
        let before = self.health.latency_us.load(Relaxed);
        let after = if before == 0 {
            sample
        } else {
            (before * 7 + sample) / 8
        };
        self.health.latency_us.store(after, Relaxed);
    }

    /// A connection on which nothing moves is as good as broken.
    fn check_stall(&self) -> io::Result<()> {
        let stalled =
            !self.sent.is_empty() && self.progress.elapsed() > self.options.request_timeout;
        if stalled {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(())
        }
    }

    fn lost(&mut self, error: &io::Error) -> String {
        self.health.up.store(false, Relaxed);
        self.health.waits(None);
        let reason = error.to_string();
        for (reply, _) in self.sent.drain(..) {
            let _ = reply.send(Err(LinkError::Lost(reason.clone())));
        }
        self.broken.notify_one();
        reason
    }

    /// Refuses requests for a while; `None` when all handles are gone.
    async fn refuse_for(&mut self, pause: Duration, reason: &str) -> Option<()> {
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return Some(()),
                pending = self.inbox.recv() => {
                    let _ = pending?.reply.send(Err(LinkError::NotSent(reason.to_owned())));
                }
            }
        }
    }
}

async fn connect(address: &str, options: &Options) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    greet(&mut stream, options).await.map_err(wrong_port)?;
    Ok(stream)
}

/// A node's peer door closes the connection on words it does not understand.
fn wrong_port(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => invalid(format!(
            "it closed the connection instead of greeting; {WRONG_PORT}"
        )),
        _ => error,
    }
}

/// Says HELLO and waits for its answer.
async fn greet(stream: &mut TcpStream, options: &Options) -> io::Result<()> {
    let mut hello = Args::of("HELLO");
    hello.word("3");
    if let Some(password) = &options.password {
        hello.word("AUTH").word("default").word(password);
    }
    stream.write_all(&hello.finish()).await?;
    let mut input = BytesMut::new();
    loop {
        if stream.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let reply = decode(&input, options.max_reply);
        match reply.map_err(|error| no_reply(&input, &error))? {
            // A server too old for HELLO speaks RESP2, which the decoder reads as well.
            Some((Value::Error(text), _))
                if options.password.is_some() || !is_unknown_command(&text) =>
            {
                return Err(invalid(String::from_utf8_lossy(&text)));
            }
            Some(_) => return Ok(()),
            None => {}
        }
    }
}

/// What these first bytes are, if they are no reply.
fn no_reply(input: &[u8], error: &DecodeError) -> io::Error {
    if input.starts_with(b"HTTP/") {
        return invalid(format!("it speaks HTTP; {WRONG_PORT}"));
    }
    invalid(error)
}

fn is_unknown_command(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("unknown command")
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// A pause from the upper half of `limit`, so that clients do not come back all at once.
fn jittered(limit: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1024;
    limit / 2 + (limit / 2).mul_f64(random as f64 / 1024.0)
}

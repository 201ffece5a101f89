//! One connection: read once, execute everything that has arrived, write once.
//!
//! ```text
//!            read                    execute                         write
//!   socket ───────► input ─► decoder ───────► owed replies ─► output ──────► socket
//!                              │                    ▲
//!                              └──► node ───────────┘   (outcomes, by the thread's sink)
//! ```
//!
//! The connection's task runs [`Connection::poll`]. The single commands that it reads are executed together
//! with those of other connections in the same tick, by the sink ([`begin`](Connection::begin)): then the
//! waits for their keys overlap, and the code that executes stays in the processor's caches. Between its
//! turns the sink fills the output and [`flush`](Connection::flush)es it. Execution stops (and with it
//! reading, so that the client feels it) when a command must wait for an earlier one, when too many replies
//! are owed, or when the client does not take its replies; the next flush wakes the task to go on.

use std::{
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use henge_node::Outcome;
use henge_rpc::Io;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::{
    client::{Client, Replies},
    commands::{self, Access, Call, Command, Footprint, Plan},
    decode::{Args, DecodeLimits, Decoder, OwnedArgs},
    door::{Address, Shard},
    peek::Ahead,
    replies::{Destination, ReplyQueue},
    reply::Reply,
};
use crate::{limits::Limits, metrics::ThreadCounters, shared::Shared};

/// Least and most bytes asked for in one read: grows while reads fill it, and shrinks while they fill less
/// than a quarter. In between it stays, so that pipelines of one length take one read each.
const READ: (usize, usize) = (4 * 1024, 256 * 1024);
/// Buffers larger than this are given back when they are empty.
const KEEP: usize = 64 * 1024;
/// Rounds of read and execute before other connections get a turn.
const ROUNDS: usize = 8;
/// Seconds without progress after which a client with a full output is cut.
const STUCK_FULL_S: u32 = 5;
/// A client that takes nothing is cut at once when this many times the output limit waits for it:
/// replies were larger than those before let expect.
const MOST_UNREAD: usize = 4;
/// A command that arrives slower than this many bytes per second is cut.
const SLOWEST: usize = 1024;

/// One client's connection.
pub(crate) struct Connection {
    io: Box<dyn Io>,
    address: Address,
    limits: Limits,
    input: BytesMut,
    decoder: Decoder,
    /// Bytes to ask for in the next read.
    read_size: usize,
    client: Client,
    replies: ReplyQueue,
    output: BytesMut,
    /// The task, to be woken when it can go on.
    waker: Option<Waker>,
    /// Whether it is on the thread's list for the next flush.
    pub(crate) dirty: bool,
    /// Whether it is on the thread's list of those that have something to execute in this tick.
    arrived: bool,
    /// Execution waits for a reply, or for the client to take some.
    stalled: bool,
    /// The client sends no more.
    finished: bool,
    /// The connection is to end at once.
    cut: bool,
    quiet: Quiet,
}

/// Seconds that passed without something happening.
#[derive(Default)]
struct Quiet {
    /// Without a byte from the client.
    idle_s: u32,
    /// Since an unfinished command began.
    within_s: u32,
    /// Without a byte taken by the client, while there are some for it.
    stuck_s: u32,
    /// Before it has authenticated.
    strange_s: u32,
}

/// Whether execution can go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

/// Most bytes of input that wait for those of other connections: a command, or a few. A pipeline has
/// keys enough to look ahead at, and its values would leave the processor's caches meanwhile.
const GATHERED: usize = 1024;

/// Bytes of input from which on it may hold several commands: a GET of a session has about 70.
const LOOK_AHEAD_FROM: usize = 128;

impl Connection {
    pub(crate) fn new(
        io: Box<dyn Io>,
        from: String,
        address: Address,
        shared: &Arc<Shared>,
        now_ms: u64,
    ) -> Self {
        let authenticated = !shared.auth.is_required();
        let client = Client::new(shared.clients.next_id(), from, now_ms, authenticated);
        shared.clients.note(&client);
        Self {
            io,
            address,
            limits: shared.limits,
            input: BytesMut::new(),
            decoder: Decoder::new(decode_limits(&shared.limits, authenticated)),
            read_size: READ.0,
            client,
            replies: ReplyQueue::new(),
            output: BytesMut::new(),
            waker: None,
            dirty: false,
            arrived: false,
            stalled: false,
            finished: false,
            cut: false,
            quiet: Quiet::default(),
        }
    }

    /// The client's number.
    pub(crate) fn id(&self) -> u64 {
        self.client.id
    }

    /// A turn of the connection's task. Ready: it has ended.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, shard: &Rc<Shard>) -> Poll<()> {
        if !self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            self.waker = Some(context.waker().clone());
        }
        for _ in 0..ROUNDS {
            if !self.arrived {
                self.execute(shard);
            }
            self.write(context, &shard.counters);
            if self.is_over() {
                return Poll::Ready(());
            }
            if self.stalled || self.finished || self.client.leaving {
                return Poll::Pending;
            }
            if self.read(context, &shard.counters).is_pending() {
                return Poll::Pending;
            }
            let gathers = self.input.len() <= GATHERED && !self.finished;
            if gathers && !self.arrived {
                shard.arrived(self.address);
            }
            self.arrived = gathers;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_over(&self) -> bool {
        let done = (self.client.leaving || self.finished && !self.stalled)
            && !self.arrived
            && self.replies.is_empty()
            && self.output.is_empty();
        self.cut || done
    }

    /// Looks at what is to be executed in this tick.
    pub(crate) fn look_ahead(&self, ahead: &mut Ahead) {
        ahead.look(&self.input);
    }

    /// Executes what has arrived in this tick, its keys looked ahead at. Tells whether to flush, whatever
    /// becomes of that.
    pub(crate) fn begin(&mut self, shard: &Rc<Shard>) -> bool {
        if std::mem::take(&mut self.arrived) {
            self.execute_known(shard);
        }
        !self.output.is_empty() || self.needs_task()
    }

    /// Executes all commands that have arrived.
    fn execute(&mut self, shard: &Rc<Shard>) {
        if self.input.len() >= LOOK_AHEAD_FROM {
            let mut ahead = Ahead::default();
            ahead.look(&self.input);
            if ahead.keys().len() > 1 {
                shard.node.warm(ahead.keys(), ahead.wanted());
            }
        }
        self.execute_known(shard);
    }

    fn execute_known(&mut self, shard: &Rc<Shard>) {
        self.stalled = false;
        while !self.client.leaving && !self.cut {
            if self.is_crowded() {
                self.stalled = true;
                return;
            }
            match self.decoder.advance(&self.input) {
                Ok(true) => {
                    if self.command(shard) == Flow::Stop {
                        self.stalled = true;
                        return;
                    }
                    let used = self.decoder.release();
                    self.input.advance(used);
                    self.quiet.within_s = 0;
                    let authenticated = self.client.authenticated;
                    if self.decoder.limits().before_auth == authenticated {
                        let limits = decode_limits(&self.limits, authenticated);
                        self.decoder.set_limits(limits);
                    }
                }
                Ok(false) => {
                    let skipped = self.decoder.skip();
                    self.input.advance(skipped);
                    if self.input.len() >= self.limits.buffered {
                        self.refuse(shard, "too_big", "Protocol error: too big request");
                    }
                    return;
                }
                Err(error) => self.refuse(shard, error.kind(), &error.to_string()),
            }
        }
    }

    /// Whether more replies are owed than the client should be allowed.
    fn is_crowded(&self) -> bool {
        self.replies.len() >= self.limits.pipeline
            || self.replies.foreseen() >= self.limits.buffered
            || self.is_full()
    }

    /// Whether what is unwritten, with what is foreseen to join it before the client may take any,
    /// reaches the output limit.
    fn is_full(&self) -> bool {
        let unwritten = self.output.len() + self.replies.held();
        unwritten + self.replies.foreseen() >= self.limits.output
    }

    /// Tells the client what is wrong with its bytes, and ends once that is written.
    fn refuse(&mut self, shard: &Shard, kind: &'static str, text: &str) {
        shard.shared.metrics.protocol_error(kind);
        tracing::debug!(client = %self.client.address, kind, "a client broke the protocol");
        self.answer(Reply::error(format!("ERR {text}")), shard.node.wall_ms());
        self.client.leaving = true;
    }

    /// Executes the complete command, unless it must wait.
    fn command(&mut self, shard: &Rc<Shard>) -> Flow {
        let Self {
            decoder,
            input,
            client,
            replies,
            output,
            ..
        } = self;
        let args = decoder.args(input);
        let index = commands::index(args.at(0));
        let command = index.map(|at| &commands::COMMANDS[at]);
        if command.is_none() && is_web_browser(args.at(0)) {
            shard.shared.metrics.cut("http");
            self.cut = true;
            return Flow::Go;
        }
        let checked = check(client, command, args);
        let renamed = match &checked {
            Ok(command) if client.database.renames(command, args) => {
                Some(client.database.rename(command, args))
            }
            _ => None,
        };
        let args = renamed.as_ref().map_or(args, OwnedArgs::borrow);
        let footprint = match &checked {
            Ok(command) if client.transaction.is_none() || command.access == Access::Connection => {
                command.footprint(args)
            }
            _ => Footprint::None,
        };
        if replies.conflicts(footprint) {
            return Flow::Stop;
        }
        shard.counters.command(index);
        let skipped = client.replies == Replies::SkipNext;
        if skipped {
            client.replies = Replies::On;
        }
        let queued = commands::enqueue(client, self.limits.transaction, command, args);
        let planned = match (queued, checked) {
            (Some(reply), _) => Ok(Plan::Reply(reply)),
            (None, Err(refused)) => Err(refused),
            (None, Ok(command)) => {
                let (node, shared) = (&shard.node, &shard.shared);
                (command.run)(
                    &mut Call {
                        client,
                        node,
                        shared,
                        command,
                    },
                    args,
                )
            }
        };
        let muted = skipped || client.replies != Replies::On;
        match planned {
            Ok(Plan::One(request, shape)) => {
                let number = replies.begin_request(shape, footprint, muted);
                shard.submit(&request, self.address, number);
            }
            Ok(Plan::Steps(steps)) => {
                let number = replies.begin_steps(footprint, muted);
                shard.start(steps, self.address, number);
            }
            Ok(Plan::Reply(reply)) | Err(reply) => {
                let (protocol, now_ms) = (client.protocol, shard.node.wall_ms());
                replies.answer(
                    reply,
                    muted,
                    &mut Destination {
                        output,
                        protocol,
                        now_ms,
                    },
                );
            }
        }
        Flow::Go
    }

    fn answer(&mut self, reply: Reply, now_ms: u64) {
        let protocol = self.client.protocol;
        let to = &mut Destination {
            output: &mut self.output,
            protocol,
            now_ms,
        };
        self.replies.answer(reply, false, to);
    }

    /// A request has ended. `number` may lack its high bits.
    #[inline]
    pub(crate) fn end_request(&mut self, number: u32, outcome: Outcome, now_ms: u64) {
        let protocol = self.client.protocol;
        let to = &mut Destination {
            output: &mut self.output,
            protocol,
            now_ms,
        };
        self.replies.end_request(number, outcome, to);
    }

    /// Steps have ended. `number` may lack its high bits.
    pub(crate) fn end_steps(&mut self, number: u32, reply: Reply, now_ms: u64) {
        let protocol = self.client.protocol;
        let to = &mut Destination {
            output: &mut self.output,
            protocol,
            now_ms,
        };
        self.replies.end_steps(number, reply, to);
    }

    /// Writes what has gathered, and wakes the task if there is more for it to do.
    pub(crate) fn flush(&mut self, counters: &ThreadCounters, shared: &Shared) {
        self.dirty = false;
        let context = &mut Context::from_waker(Waker::noop());
        self.write(context, counters);
        let unwritten = self.output.len() + self.replies.held();
        let deaf = self.quiet.stuck_s > 0 && unwritten > MOST_UNREAD * self.limits.output;
        if deaf && !self.cut {
            shared.metrics.cut("output");
            self.cut = true;
        }
        if (self.needs_task() || !self.output.is_empty())
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Whether there is something that only its task does.
    fn needs_task(&self) -> bool {
        self.stalled || self.finished || self.cut || self.client.leaving
    }

    /// Writes as much as the socket takes.
    fn write(&mut self, context: &mut Context<'_>, counters: &ThreadCounters) {
        while !self.output.is_empty() && !self.cut {
            match Pin::new(&mut self.io).poll_write(context, &self.output) {
                Poll::Pending => return,
                Poll::Ready(Ok(written)) if written > 0 => {
                    if written == self.output.len() {
                        // Unlike `advance`, this keeps the whole buffer for the next replies.
                        self.output.clear();
                    } else {
                        self.output.advance(written);
                    }
                    self.quiet.stuck_s = 0;
                    counters.written(written);
                }
                Poll::Ready(_) => self.cut = true,
            }
        }
        if self.output.capacity() > KEEP {
            self.output = BytesMut::new();
        }
    }

    /// One read. Ready: there may be more to execute, or the client has finished.
    fn read(&mut self, context: &mut Context<'_>, counters: &ThreadCounters) -> Poll<()> {
        if self.input.is_empty() && self.input.capacity() > KEEP {
            self.input = BytesMut::new();
        }
        self.input.reserve(self.read_size);
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.io.read_buf(&mut self.input)).poll(context);
        match read {
            Poll::Pending => return Poll::Pending,
            // After an error, too, what has arrived before is executed; writing will fail.
            Poll::Ready(Ok(0) | Err(_)) => self.finished = true,
            Poll::Ready(Ok(bytes)) => {
                counters.read(bytes);
                self.quiet.idle_s = 0;
                if bytes == room {
                    self.read_size = (self.read_size * 2).min(READ.1);
                } else if bytes < self.read_size / 4 {
                    self.read_size = (self.read_size / 2).max(READ.0);
                }
            }
        }
        Poll::Ready(())
    }

    /// Called once a second: cuts a client that has been silent, slow or deaf for too long.
    pub(crate) fn look(&mut self, shared: &Shared) {
        let limits = &self.limits;
        let within = !self.stalled && self.decoder.is_within(self.input.len());
        let passed = |seconds: &mut u32, goes_on: bool| {
            *seconds = if goes_on { *seconds + 1 } else { 0 };
            *seconds
        };
        let idle_s = passed(&mut self.quiet.idle_s, self.replies.is_empty());
        let within_s = passed(&mut self.quiet.within_s, within);
        let stuck_s = passed(&mut self.quiet.stuck_s, !self.output.is_empty());
        let strange_s = passed(&mut self.quiet.strange_s, !self.client.authenticated);
        let slow = within_s >= limits.slow_s && self.input.len() < within_s as usize * SLOWEST;
        let reason = match () {
            () if stuck_s >= limits.stuck_s => "stuck",
            () if stuck_s >= STUCK_FULL_S && self.is_full() => "output",
            () if slow => "slow",
            () if strange_s >= limits.slow_s => "unauthenticated",
            // Who is subscribed waits without asking.
            () if self.client.subscriptions.count() > 0 => return,
            () if limits.idle_s > 0 && idle_s >= limits.idle_s => "idle",
            () => return,
        };
        tracing::debug!(client = %self.client.address, reason, "a client was cut");
        shared.metrics.cut(reason);
        self.cut = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

fn decode_limits(limits: &Limits, authenticated: bool) -> DecodeLimits {
    if authenticated {
        limits.decode
    } else {
        DecodeLimits::BEFORE_AUTH
    }
}

/// Whether a client may run a command with these arguments.
fn check(
    client: &Client,
    command: Option<&'static Command>,
    args: Args<'_>,
) -> Result<&'static Command, Reply> {
    const BEFORE_AUTH: [&str; 4] = ["auth", "hello", "quit", "reset"];
    let command = command.ok_or_else(|| commands::unknown_command(args))?;
    if !command.accepts(args.len()) {
        return Err(commands::wrong_arity(command.name));
    }
    if !client.authenticated && !BEFORE_AUTH.contains(&command.name) {
        return Err(Reply::error("NOAUTH Authentication required."));
    }
    if !commands::allows(client, command.name) {
        return Err(Reply::error(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
             allowed in this context",
            command.name
        )));
    }
    Ok(command)
}

/// Whether the "command" is a line of an HTTP request: someone's browser was made to send it, and
/// what follows is the attacker's.
fn is_web_browser(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"POST") || name.eq_ignore_ascii_case(b"Host:")
}

//! One socket, both directions: the transport that tarpc's client and server halves share.
//!
//! ```text
//!  socket ──► input ──► requests ──► ServerHalf ──► tarpc server ──┐
//!                └────► responses ─► ClientHalf ──► tarpc client ──┤
//!  socket ◄── output ◄── frames, encoded in place  ◄───────────────┘
//! ```
//! Whoever polls the [`ServerHalf`] reads the socket; responses met on the way are put aside and
//! wake the client. Whoever polls [`Mux::poll_write`] writes. Flushing a half does nothing: the
//! first frame that enters an empty output wakes the writer's task, which therefore runs after
//! everything that was runnable before it, and all that is encoded until then shares one write.
//!
//! Bounds: input holds one frame (≤ the frame cap) and one read; responses put aside are at most
//! what one poll may read; output beyond its soft cap makes the server throttle and `try_send`
//! refuse, beyond the hard cap closes the link.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use futures::{Sink, Stream};
use tarpc::{ClientMessage, Response, context};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::{
    FrameError, Io, LinkDown, LinkStats,
    codec::{self, Inbound, Tag},
    service::{PeerRequest, PeerResponse},
};

/// Bytes asked of the socket at a time: a full batch of small messages.
const READ_CHUNK: usize = 64 * 1024;

/// Room left in the input below which it is made larger (or its consumed part given back).
const LEAST_ROOM: usize = 8 * 1024;

/// Reads per poll before other tasks get their turn; also bounds the responses put aside.
const READS_PER_POLL: usize = 16;

/// Buffers above this size are given back once empty.
const KEEP_CAPACITY: usize = 1 << 20;

/// A place for the waker of the one task that waits for something.
#[derive(Default)]
pub(crate) struct Waiting(RefCell<Option<Waker>>);

impl Waiting {
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut slot = self.0.borrow_mut();
        match &mut *slot {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *slot = Some(cx.waker().clone()),
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// What has been read. Payloads are slices of it, and a response may wait for its caller while more
/// is read; so there are two buffers, of which one is free again by the time the other is full.
/// Large buffers that come and go make the kernel clear memory for each.
#[derive(Default)]
struct Input {
    bytes: BytesMut,
    other: BytesMut,
}

impl Input {
    /// Makes room for a read, in a new buffer only while both are held by payloads. Room grows with
    /// what has arrived, never with what a header announces.
    fn make_room(&mut self) {
        let room = self.bytes.capacity() - self.bytes.len();
        if room >= LEAST_ROOM || self.bytes.try_reclaim(READ_CHUNK / 2) {
            return;
        }
        let begun = self.bytes.split();
        std::mem::swap(&mut self.bytes, &mut self.other);
        self.bytes.clear();
        let wanted = begun.len() + begun.len().max(READ_CHUNK);
        // Whole steps, so that the buffer will do the next time too.
        self.bytes.reserve(wanted.next_multiple_of(2 * READ_CHUNK));
        self.bytes.extend_from_slice(&begun);
    }

    /// Gives large buffers back once nothing is in them.
    fn shrink(&mut self) {
        for buffer in [&mut self.bytes, &mut self.other] {
            if buffer.is_empty() && buffer.capacity() > KEEP_CAPACITY {
                *buffer = BytesMut::new();
            }
        }
    }
}

#[derive(Default)]
struct Output {
    frames: Vec<u8>,
    written: usize,
    unflushed: bool,
}

impl Output {
    fn queued(&self) -> usize {
        self.frames.len() - self.written
    }
}

/// The shared transport of one link.
pub(crate) struct Mux {
    /// `None` once the link is down, so that the socket closes even if someone keeps the link.
    io: RefCell<Option<Box<dyn Io>>>,
    input: RefCell<Input>,
    output: RefCell<Output>,
    responses: RefCell<VecDeque<Response<PeerResponse>>>,
    down: RefCell<Option<LinkDown>>,
    reads: Cell<u64>,
    reader: Waiting,
    client: Waiting,
    writer: Waiting,
    /// The task that drives the calls of the link's owner.
    pub(crate) calls: Waiting,
    frame_cap: usize,
    output_cap: usize,
    context: context::Context,
    stats: Arc<LinkStats>,
}

impl Mux {
    pub(crate) fn new(
        io: Box<dyn Io>,
        frame_cap: usize,
        output_cap: usize,
        stats: Arc<LinkStats>,
    ) -> Rc<Self> {
        Rc::new(Self {
            io: RefCell::new(Some(io)),
            input: RefCell::default(),
            output: RefCell::default(),
            responses: RefCell::default(),
            down: RefCell::new(None),
            reads: Cell::new(0),
            reader: Waiting::default(),
            client: Waiting::default(),
            writer: Waiting::default(),
            calls: Waiting::default(),
            frame_cap,
            output_cap,
            context: context::current(),
            stats,
        })
    }

    /// Ends the link; the first reason stays.
    pub(crate) fn close(&self, reason: LinkDown) {
        self.down.borrow_mut().get_or_insert(reason);
        for waiting in [&self.reader, &self.client, &self.writer, &self.calls] {
            waiting.wake();
        }
    }

    /// Lets go of the socket and the buffers. After [`Self::close`].
    pub(crate) fn release(&self) {
        self.io.take();
        self.input.take();
        self.output.take();
        self.responses.take();
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.borrow().is_some()
    }

    pub(crate) fn down(&self) -> Option<LinkDown> {
        self.down.borrow().clone()
    }

    /// How often the socket has given bytes. Grows as long as the peer is alive.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Bytes encoded and not yet written.
    pub(crate) fn queued(&self) -> usize {
        self.output.borrow().queued()
    }

    /// Whether the peer reads too slowly to be given long answers.
    pub(crate) fn is_congested(&self) -> bool {
        self.queued() > self.output_cap
    }

    fn send<T: serde::Serialize>(&self, tag: Tag, message: &T) -> Result<(), FrameError> {
        let mut output = self.output.borrow_mut();
        let (queued, cap) = (output.queued(), self.output_cap + self.frame_cap);
        if queued > cap {
            drop(output);
            let error = FrameError::NotRead { queued, cap };
            self.close(LinkDown::Frame(error.clone()));
            return Err(error);
        }
        codec::encode(tag, message, self.frame_cap, &mut output.frames)
            .inspect_err(|error| self.count(error))?;
        self.stats.frames_out.increment();
        if queued == 0 {
            self.writer.wake();
        }
        Ok(())
    }

    fn count(&self, error: &FrameError) {
        match error {
            FrameError::TooLarge { .. } => self.stats.frames_oversized.increment(),
            _ => self.stats.frames_malformed.increment(),
        }
    }

    /// The next request; `None` when the link is down.
    fn poll_request(&self, cx: &mut Context<'_>) -> Poll<Option<ClientMessage<PeerRequest>>> {
        self.reader.register(cx);
        for _ in 0..READS_PER_POLL {
            if self.is_down() {
                return Poll::Ready(None);
            }
            match self.next_request() {
                Ok(Some(request)) => return Poll::Ready(Some(request)),
                Ok(None) => {}
                Err(error) => {
                    self.count(&error);
                    self.close(LinkDown::Frame(error));
                    return Poll::Ready(None);
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => self.close(LinkDown::Ended),
                Ok(bytes) => {
                    self.reads.set(self.reads.get() + 1);
                    self.stats.bytes_in.add(bytes as u64);
                }
                Err(error) => self.close(error.into()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes frames out of the input up to the next request; responses are put aside.
    fn next_request(&self) -> Result<Option<ClientMessage<PeerRequest>>, FrameError> {
        let mut input = self.input.borrow_mut();
        while let Some(len) = codec::frame_len(&input.bytes, self.frame_cap)? {
            if input.bytes.len() < len {
                break;
            }
            let frame = input.bytes.split_to(len).freeze();
            self.stats.frames_in.increment();
            match codec::decode(&frame, self.context, &self.stats.deadlines_clamped)? {
                Inbound::Request(request) => return Ok(Some(request)),
                Inbound::Response(response) => {
                    self.responses.borrow_mut().push_back(response);
                    self.client.wake();
                }
            }
        }
        input.shrink();
        Ok(None)
    }

    /// Reads once.
    fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (mut io, mut input) = (self.io.borrow_mut(), self.input.borrow_mut());
        let Some(io) = io.as_mut() else {
            return Poll::Ready(Ok(0));
        };
        input.make_room();
        pin!(io.read_buf(&mut input.bytes)).poll(cx)
    }

    /// Writes whatever there is, for as long as the link is up.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.register(cx);
        loop {
            if self.is_down() {
                return Poll::Ready(());
            }
            match ready!(self.poll_write_once(cx)) {
                Ok(_) => {}
                Err(error) => self.close(error.into()),
            }
        }
    }

    fn poll_write_once(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut io, mut output) = (self.io.borrow_mut(), self.output.borrow_mut());
        let Some(io) = io.as_mut() else {
            return Poll::Pending;
        };
        if output.queued() == 0 {
            if output.unflushed {
                ready!(Pin::new(io).poll_flush(cx))?;
                output.unflushed = false;
            }
            return Poll::Pending;
        }
        let bytes = ready!(Pin::new(io).poll_write(cx, &output.frames[output.written..]))?;
        if bytes == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.stats.writes.increment();
        self.stats.bytes_out.add(bytes as u64);
        output.wrote(bytes);
        Poll::Ready(Ok(()))
    }
}

impl Output {
    /// Forgets what was written. The rest moves to the front only once it is the smaller part, so
    /// that a slow peer costs no more than one copy per byte.
    fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        self.unflushed = true;
        if self.written == self.frames.len() {
            self.frames.clear();
            self.frames.shrink_to(KEEP_CAPACITY);
            self.written = 0;
        } else if self.written > self.queued() {
            self.frames.drain(..self.written);
            self.written = 0;
        }
    }
}

/// What tarpc's server sees: requests in, responses out.
pub(crate) struct ServerHalf(pub(crate) Rc<Mux>);

impl Stream for ServerHalf {
    type Item = Result<ClientMessage<PeerRequest>, FrameError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_request(cx).map(|request| request.map(Ok))
    }
}

/// What tarpc's client sees: responses in, requests out.
pub(crate) struct ClientHalf(pub(crate) Rc<Mux>);

impl Stream for ClientHalf {
    type Item = Result<Response<PeerResponse>, FrameError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mux = &self.0;
        mux.client.register(cx);
        match mux.responses.borrow_mut().pop_front() {
            Some(response) => Poll::Ready(Some(Ok(response))),
            None if mux.is_down() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Frames go straight into the output; there is nothing to wait for.
macro_rules! sink_into_output {
    ($half:ty, $message:ty, $tag:expr) => {
        impl Sink<$message> for $half {
            type Error = FrameError;

            fn poll_ready(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Result<(), FrameError>> {
                Poll::Ready(Ok(()))
            }

            fn start_send(self: Pin<&mut Self>, message: $message) -> Result<(), FrameError> {
                self.0.send($tag, &message)
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Result<(), FrameError>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Result<(), FrameError>> {
                Poll::Ready(Ok(()))
            }
        }
    };
}

sink_into_output!(ServerHalf, Response<PeerResponse>, Tag::Response);
sink_into_output!(ClientHalf, ClientMessage<PeerRequest>, Tag::Request);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::{BufMut, Bytes};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Reads and frames of any length, each frame held until some later ones have come.
        #[test]
        fn frames_are_what_was_read_however_long_others_are_held(
            frames in prop::collection::vec((1..200_000_usize, 0..4_usize), 1..40),
            read in 1_000..70_000_usize,
        ) {
            let lengths = frames.iter().map(|(len, _)| *len);
            let stream: Vec<u8> = lengths.zip(0_u8..).flat_map(|(len, nth)| vec![nth; len]).collect();
            let (mut input, mut held) = (Input::default(), VecDeque::<Bytes>::new());
            let mut unread = &stream[..];
            for (nth, (len, hold)) in (0_u8..).zip(frames) {
                while input.bytes.len() < len {
                    input.make_room();
                    let room = input.bytes.capacity() - input.bytes.len();
                    prop_assert!(room >= LEAST_ROOM);
                    let (now, later) = unread.split_at(read.min(room).min(unread.len()));
                    input.bytes.put_slice(now);
                    unread = later;
                }
                held.push_back(input.bytes.split_to(len).freeze());
                prop_assert!(held.iter().rev().zip((0..=nth).rev())
                    .all(|(frame, nth)| frame.iter().all(|byte| *byte == nth)));
                held.drain(..held.len().saturating_sub(hold));
                input.shrink();
            }
        }
    }
}

//! Frames: `length: u32 LE, tag: u8, postcard of tarpc's own message`; the length counts the tag.
//!
//! Encoding writes straight into the link's output buffer. Decoding slices payloads out of the
//! frame without copying them, through mirrors of tarpc's types that borrow.
//!
//! What stands between a peer and tarpc here: frames over the cap are refused by their header,
//! before any memory is reserved; deadlines are cut to [`DEADLINE_CAP`] while they are still plain
//! durations, because tarpc adds them to the clock unchecked and panics on what does not fit
//! (anything from about 2.2 years).

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tarpc::{ClientMessage, Request, Response, ServerError, context::Context, trace};

use crate::{
    Counter,
    service::{PeerRequest, PeerResponse},
};

/// The longest frame, in bytes of tag and body. A scan's page or a membership log must fit.
pub const FRAME_CAP: usize = 16 << 20;

/// The longest a request may ask to be worked on; longer deadlines are cut to this.
pub const DEADLINE_CAP: Duration = Duration::from_secs(60);

/// Length and tag.
pub(crate) const HEADER: usize = 5;

/// What an `apply` or its answer adds to the batch, at most: header, ids, deadline, trace.
pub(crate) const ENVELOPE: usize = 128;

/// A frame that cannot be sent, or one received that closes the link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than the cap. Received: nothing of it was kept. Sent: nothing was.
    #[error("frame of {len} bytes, at most {cap} allowed")]
    TooLarge {
        /// Bytes announced or encoded.
        len: usize,
        /// The most allowed.
        cap: usize,
    },
    /// The output buffer is beyond its hard cap: the peer asks but does not read.
    #[error("{queued} bytes wait for a peer that does not read, at most {cap} allowed")]
    NotRead {
        /// Bytes waiting.
        queued: usize,
        /// The most allowed.
        cap: usize,
    },
    /// A frame without a tag, or with one that nobody sends.
    #[error("frame with unknown tag {0:?}")]
    Tag(Option<u8>),
    /// The body is not what its tag says.
    #[error("frame body malformed: {0}")]
    Body(String),
}

/// Which way a message goes: each side of a link is client and server at once.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Tag {
    Request = 1,
    Response = 2,
}

/// A decoded frame.
#[derive(Debug)]
pub(crate) enum Inbound {
    Request(ClientMessage<PeerRequest>),
    Response(Response<PeerResponse>),
}

/// Appends a frame; on an error `out` is as it was.
pub(crate) fn encode<T: Serialize>(
    tag: Tag,
    message: &T,
    cap: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, tag as u8]);
    let written = postcard::to_io(message, &mut *out).map(drop);
    let len = out.len() - start - 4;
    let checked = match (written, u32::try_from(len)) {
        (Err(error), _) => Err(FrameError::Body(error.to_string())),
        (Ok(()), Ok(header)) if len <= cap => Ok(header),
        (Ok(()), _) => Err(FrameError::TooLarge { len, cap }),
    };
    match checked {
        Ok(header) => out[start..start + 4].copy_from_slice(&header.to_le_bytes()),
        Err(_) => out.truncate(start),
    }
    checked.map(drop)
}

/// The whole length of the frame at the start of `buffer`, once its header is there.
pub(crate) fn frame_len(buffer: &[u8], cap: usize) -> Result<Option<usize>, FrameError> {
    let Some(header) = buffer.first_chunk() else {
        return Ok(None);
    };
    let len = u32::from_le_bytes(*header) as usize;
    if len > cap {
        return Err(FrameError::TooLarge { len, cap });
    }
    Ok(Some(len + 4))
}

/// Decodes a whole frame. `context` is a template: tarpc offers no other way to make one.
pub(crate) fn decode(
    frame: &Bytes,
    context: Context,
    clamped: &Counter,
) -> Result<Inbound, FrameError> {
    let tag = frame.get(HEADER - 1).copied();
    let body = frame.get(HEADER..).unwrap_or_default();
    match tag {
        Some(1) => {
            let message = parse::<WireMessage<'_>>(body)?;
            Ok(Inbound::Request(
                message.into_tarpc(frame, context, clamped),
            ))
        }
        Some(2) => {
            let response = parse::<WireResponse<'_>>(body)?;
            let message = match response.message {
                Ok(reply) => Ok(reply.into_tarpc(frame)),
                Err(error) => Err(error.into_tarpc()),
            };
            Ok(Inbound::Response(Response {
                request_id: response.request_id,
                message,
            }))
        }
        _ => Err(FrameError::Tag(tag)),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, FrameError> {
    postcard::from_bytes(body).map_err(|error| FrameError::Body(error.to_string()))
}

/// Mirrors [`ClientMessage`].
#[derive(Deserialize)]
enum WireMessage<'a> {
    #[serde(borrow)]
    Request(WireRequest<'a>),
    Cancel {
        trace_context: trace::Context,
        request_id: u64,
    },
}

/// Mirrors [`Request`].
#[derive(Deserialize)]
struct WireRequest<'a> {
    context: WireContext,
    id: u64,
    #[serde(borrow)]
    message: WireCall<'a>,
}

/// Mirrors [`Context`], whose deadline travels as the time left.
#[derive(Deserialize)]
struct WireContext {
    time_left: Duration,
    trace_context: trace::Context,
}

/// Mirrors [`PeerRequest`].
#[derive(Deserialize)]
enum WireCall<'a> {
    Apply { batch: &'a [u8] },
    ExchangeLog { log: &'a [u8] },
    Scan { request: &'a [u8] },
    Status {},
    Ping { number: u64 },
    Reconcile { question: &'a [u8] },
    Gossip { frame: &'a [u8] },
}

/// Mirrors [`Response`].
#[derive(Deserialize)]
struct WireResponse<'a> {
    request_id: u64,
    #[serde(borrow)]
    message: Result<WireReply<'a>, WireServerError<'a>>,
}

/// Mirrors [`ServerError`]. tarpc writes the kind's number as an i32 and would read it as a u32,
/// which are different bytes in postcard (zigzag).
#[derive(Deserialize)]
struct WireServerError<'a> {
    kind: i32,
    detail: &'a str,
}

/// Mirrors [`PeerResponse`].
#[derive(Deserialize)]
enum WireReply<'a> {
    Apply(&'a [u8]),
    ExchangeLog(&'a [u8]),
    Scan(&'a [u8]),
    Status(&'a [u8]),
    Ping(u64),
    Reconcile(&'a [u8]),
    Gossip(()),
}

impl WireMessage<'_> {
    fn into_tarpc(
        self,
        frame: &Bytes,
        context: Context,
        clamped: &Counter,
    ) -> ClientMessage<PeerRequest> {
        match self {
            Self::Request(request) => ClientMessage::Request(Request {
                context: request.context.into_tarpc(context, clamped),
                id: request.id,
                message: request.message.into_tarpc(frame),
            }),
            Self::Cancel {
                trace_context,
                request_id,
            } => ClientMessage::Cancel {
                trace_context,
                request_id,
            },
        }
    }
}

impl WireContext {
    fn into_tarpc(self, mut context: Context, clamped: &Counter) -> Context {
        if self.time_left > DEADLINE_CAP {
            clamped.increment();
        }
        context.deadline = Instant::now() + self.time_left.min(DEADLINE_CAP);
        context.trace_context = self.trace_context;
        context
    }
}

impl WireCall<'_> {
    fn into_tarpc(self, frame: &Bytes) -> PeerRequest {
        match self {
            Self::Apply { batch } => PeerRequest::Apply {
                batch: frame.slice_ref(batch),
            },
            Self::ExchangeLog { log } => PeerRequest::ExchangeLog {
                log: frame.slice_ref(log),
            },
            Self::Scan { request } => PeerRequest::Scan {
                request: frame.slice_ref(request),
            },
            Self::Status {} => PeerRequest::Status {},
            Self::Ping { number } => PeerRequest::Ping { number },
            Self::Reconcile { question } => PeerRequest::Reconcile {
                question: frame.slice_ref(question),
            },
            Self::Gossip { frame: gossip } => PeerRequest::Gossip {
                frame: frame.slice_ref(gossip),
            },
        }
    }
}

impl WireServerError<'_> {
    /// The kinds that our own server gives, by tarpc's numbers.
    fn into_tarpc(self) -> ServerError {
        let kind = match self.kind {
            10 => io::ErrorKind::WouldBlock,
            12 => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        ServerError::new(kind, self.detail.to_owned())
    }
}

impl WireReply<'_> {
    fn into_tarpc(self, frame: &Bytes) -> PeerResponse {
        match self {
            Self::Apply(replies) => PeerResponse::Apply(frame.slice_ref(replies)),
            Self::ExchangeLog(log) => PeerResponse::ExchangeLog(frame.slice_ref(log)),
            Self::Scan(page) => PeerResponse::Scan(frame.slice_ref(page)),
            Self::Status(status) => PeerResponse::Status(frame.slice_ref(status)),
            Self::Ping(number) => PeerResponse::Ping(number),
            Self::Reconcile(answer) => PeerResponse::Reconcile(frame.slice_ref(answer)),
            Self::Gossip(()) => PeerResponse::Gossip(()),
        }
    }
}

#[cfg(test)]
mod tests;

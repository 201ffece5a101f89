//! The frames of a hello: `length: u16 LE, kind: u8, body`.

use henge_ring::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{ClusterId, HelloError, Identity, MAX_LANES};
use crate::Entropy;

/// The longest frame of a hello, in bytes. Ours are shorter; later wire numbers have room.
pub const HELLO_FRAME_CAP: usize = 1024;

const MAGIC: [u8; 4] = *b"HNGE";
const OPENING: u8 = 1;
const PROOF: u8 = 2;
const REFUSAL: u8 = 3;

/// magic 4, wire 2, cluster 16, node 16, nonce 32, lane 2, lanes 2
const OPENING_BYTES: usize = 74;

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) wire: u16,
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    pub(super) nonce: [u8; 32],
    pub(super) lane: u16,
    pub(super) lanes: u16,
}

impl Opening {
    pub(super) fn new(me: &Identity, lane: u16, entropy: &Entropy) -> Result<Self, HelloError> {
        Ok(Self {
            wire: me.wire,
            cluster: me.cluster,
            node: me.node,
            nonce: entropy.bytes()?,
            lane,
            lanes: me.lanes,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.wire.to_le_bytes());
        out.extend_from_slice(&self.cluster.0);
        out.extend_from_slice(&self.node.0);
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.lane.to_le_bytes());
        out.extend_from_slice(&self.lanes.to_le_bytes());
    }

    /// The magic and the wire number come first and stay where they are in every wire number; what
    /// follows is looked at only if the numbers agree.
    fn decode(body: &[u8], wire: u16) -> Result<Self, HelloError> {
        let mut rest = Fields(body);
        let found = rest.take()?;
        if found != MAGIC {
            return Err(HelloError::NotHenge { found });
        }
        let theirs = u16::from_le_bytes(rest.take()?);
        if theirs != wire {
            return Err(HelloError::WireNumber { ours: wire, theirs });
        }
        let opening = Self {
            wire,
            cluster: ClusterId(rest.take()?),
            node: NodeId(rest.take()?),
            nonce: rest.take()?,
            lane: u16::from_le_bytes(rest.take()?),
            lanes: u16::from_le_bytes(rest.take()?),
        };
        if !rest.0.is_empty() {
            return Err(HelloError::Malformed {
                what: "bytes after the opening",
            });
        }
        if opening.lanes == 0 || opening.lanes > MAX_LANES || opening.lane >= MAX_LANES {
            return Err(HelloError::Malformed {
                what: "lane out of range",
            });
        }
        Ok(opening)
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HelloError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(HelloError::Malformed {
            what: "opening too short",
        })?;
        self.0 = rest;
        Ok(*field)
    }
}

pub(super) async fn send_opening<S>(io: &mut S, opening: &Opening) -> Result<(), HelloError>
where
    S: AsyncWrite + Unpin + ?Sized,
{
    let mut body = Vec::with_capacity(OPENING_BYTES);
    opening.encode(&mut body);
    send(io, OPENING, &body).await
}

pub(super) async fn send_proof<S>(io: &mut S, proof: &[u8; 32]) -> Result<(), HelloError>
where
    S: AsyncWrite + Unpin + ?Sized,
{
    send(io, PROOF, proof).await
}

/// Says that the proof was not accepted; nothing more, since a stranger may be listening.
pub(super) async fn send_refusal<S>(io: &mut S) -> Result<(), HelloError>
where
    S: AsyncWrite + Unpin + ?Sized,
{
    send(io, REFUSAL, &[]).await
}

pub(super) async fn read_opening<S>(io: &mut S, me: &Identity) -> Result<Opening, HelloError>
where
    S: AsyncRead + Unpin + ?Sized,
{
    match read(io).await? {
        (OPENING, body) => Opening::decode(&body, me.wire),
        _ => Err(HelloError::Malformed {
            what: "not an opening",
        }),
    }
}

pub(super) async fn read_proof<S>(io: &mut S, peer: NodeId) -> Result<[u8; 32], HelloError>
where
    S: AsyncRead + Unpin + ?Sized,
{
    match read(io).await? {
        (PROOF, body) => body.try_into().map_err(|_| HelloError::Malformed {
            what: "proof not of 32 bytes",
        }),
        (REFUSAL, _) => Err(HelloError::KeyRefused { peer }),
        _ => Err(HelloError::Malformed {
            what: "not a proof",
        }),
    }
}

async fn send<S>(io: &mut S, kind: u8, body: &[u8]) -> Result<(), HelloError>
where
    S: AsyncWrite + Unpin + ?Sized,
{
    let len = u16::try_from(body.len() + 1).map_err(|_| HelloError::Malformed { what: "frame" })?;
    let mut frame = len.to_le_bytes().to_vec();
    frame.push(kind);
    frame.extend_from_slice(body);
    io.write_all(&frame).await?;
    io.flush().await?;
    Ok(())
}

/// Reads one frame and not a byte more: what follows may belong to tarpc, on another thread.
async fn read<S>(io: &mut S) -> Result<(u8, Vec<u8>), HelloError>
where
    S: AsyncRead + Unpin + ?Sized,
{
    let len = usize::from(io.read_u16_le().await?);
    if len > HELLO_FRAME_CAP {
        return Err(HelloError::FrameTooLarge {
            len,
            cap: HELLO_FRAME_CAP,
        });
    }
    let mut frame = vec![0; len];
    io.read_exact(&mut frame).await?;
    match frame.split_first() {
        Some((kind, body)) => Ok((*kind, body.to_vec())),
        None => Err(HelloError::Malformed {
            what: "empty frame",
        }),
    }
}

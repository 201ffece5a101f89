//! The hello: before tarpc sees a byte, both ends prove that they hold the cluster's key.
//!
//! ```text
//! dialler                                             acceptor
//!   opening: wire number, cluster, node, nonce, lane  ─────►
//!   ◄─────  opening: the same of the acceptor
//!   proof: HMAC(key, "dialler"  + everything above)   ─────►   checked first: strangers learn
//!   ◄─────  proof: HMAC(key, "acceptor" + everything above)    no MAC to guess keys against
//! ```
//!
//! Fresh nonces from both sides stop replay; the role inside the MAC stops reflection; both node
//! ids, the cluster, the wire number and the lane inside it stop a proof from being carried over to
//! another conversation. Either side ends the conversation by closing; an acceptor that does not
//! accept the proof says so first, so that an operator reads "key", not "end of file".
//!
//! Bounds: a frame has at most 1 KiB (refused before anything is reserved), four frames are
//! exchanged, and the whole takes at most the time given.

use std::time::Duration;

use henge_ring::NodeId;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::Entropy;

mod error;
pub use error::HelloError;

mod frames;
pub use frames::HELLO_FRAME_CAP;
use frames::{Opening, read_opening, read_proof, send_opening, send_proof, send_refusal};

mod key;
pub use key::{ClusterId, ClusterKey, KeyTooShort};
use key::{Role, Transcript};

/// The number of this wire format. Nodes talk only to nodes with the same number; it changes when a
/// frame, a message or a method changes its meaning.
pub const WIRE_NUMBER: u16 = 2;

/// The time a hello should be given: long for a network, short for a slow-loris.
pub const HELLO_TIME: Duration = Duration::from_secs(5);

/// More data threads than any node has; bounds what a peer can make us prepare for.
pub const MAX_LANES: u16 = 256;

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its own id.
    pub node: NodeId,
    /// The cluster's key.
    pub key: ClusterKey,
    /// [`WIRE_NUMBER`], but for tests.
    pub wire: u16,
    /// Its data threads, each of which wants a link of its own: `1..=MAX_LANES`.
    pub lanes: u16,
}

/// What a proven peer said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHello {
    /// The peer's id.
    pub node: NodeId,
    /// Which of the lanes between the two nodes this connection is; chosen by the dialler.
    pub lane: u16,
    /// How many lanes the peer wants.
    pub lanes: u16,
    /// Whether this side dialled.
    pub dialled: bool,
}

/// The dialler's side. `expected` is the node that should answer, if it is known already.
///
/// After an error the connection is to be dropped; the peer has taken no notice of us.
pub async fn dial_hello<S>(
    io: &mut S,
    me: &Identity,
    lane: u16,
    expected: Option<NodeId>,
    entropy: &Entropy,
    limit: Duration,
) -> Result<PeerHello, HelloError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let talk = async {
        let ours = Opening::new(me, lane, entropy)?;
        send_opening(io, &ours).await?;
        let theirs = read_opening(io, me).await?;
        check(me, &theirs)?;
        if let Some(expected) = expected.filter(|expected| *expected != theirs.node) {
            return Err(HelloError::UnexpectedNode {
                expected,
                found: theirs.node,
            });
        }
        let transcript = Transcript::new(&ours, &theirs);
        send_proof(io, &transcript.proof(&me.key, Role::Dialler)).await?;
        let proof = read_proof(io, theirs.node).await?;
        transcript.check(&me.key, Role::Acceptor, &proof, theirs.node)?;
        Ok(PeerHello {
            node: theirs.node,
            lane,
            lanes: theirs.lanes,
            dialled: true,
        })
    };
    timeout(limit, talk)
        .await
        .unwrap_or(Err(HelloError::TimedOut { limit }))
}

/// The acceptor's side.
pub async fn accept_hello<S>(
    io: &mut S,
    me: &Identity,
    entropy: &Entropy,
    limit: Duration,
) -> Result<PeerHello, HelloError>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let talk = async {
        // The dialler is told who we are even if we do not like its opening: its operator should
        // read "other cluster: ours, theirs", not "end of file". What is no Henge at all gets nothing.
        let theirs = match read_opening(io, me).await {
            Err(error) if error.is_other_wire() => {
                send_opening(io, &Opening::new(me, 0, entropy)?).await?;
                return Err(error);
            }
            theirs => theirs?,
        };
        let lane = theirs.lane;
        let ours = Opening::new(me, lane, entropy)?;
        send_opening(io, &ours).await?;
        check(me, &theirs)?;
        let transcript = Transcript::new(&theirs, &ours);
        let proof = read_proof(io, theirs.node).await?;
        if let Err(error) = transcript.check(&me.key, Role::Dialler, &proof, theirs.node) {
            send_refusal(io).await?;
            return Err(error);
        }
        send_proof(io, &transcript.proof(&me.key, Role::Acceptor)).await?;
        Ok(PeerHello {
            node: theirs.node,
            lane,
            lanes: theirs.lanes,
            dialled: false,
        })
    };
    timeout(limit, talk)
        .await
        .unwrap_or(Err(HelloError::TimedOut { limit }))
}

/// What both sides refuse before any proof.
fn check(me: &Identity, theirs: &Opening) -> Result<(), HelloError> {
    if theirs.cluster != me.cluster {
        return Err(HelloError::OtherCluster {
            ours: me.cluster,
            theirs: theirs.cluster,
        });
    }
    if theirs.node == me.node {
        return Err(HelloError::SelfConnection { node: me.node });
    }
    Ok(())
}

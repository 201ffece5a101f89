//! Peers: authenticated links between nodes, tarpc over one socket per link, adaptive batches.
//!
//! Two nodes meet over a [`Transport`], prove to each other that they hold the cluster's key (the
//! [hello](Identity)), and from then on one socket carries both directions of a [`Link`]: each side
//! is tarpc client and tarpc server at once. The data plane is one tarpc method, `apply`, whose
//! argument and result are opaque batches of hand-encoded [`Message`]s and [`Reply`]s; the control
//! plane is a handful of ordinary methods of the same [service](service::Peer). [`Peers`] keeps the
//! links up; the owner hears about everything through one object, a [`PeerHandler`].
//!
//! A link lives on one current-thread runtime inside a `LocalSet`. Work is paid for per batch, never
//! per operation: no task, timer, channel or allocation stands for a single message.
//!
//! What is not here: what messages mean (the engine of `henge-node`), who the members are
//! (`henge-membership`), and encryption. The hello authenticates both ends of a connection; the
//! bytes after it are neither encrypted nor authenticated one by one, so a network on which others
//! can rewrite packets needs a [`Transport`] that adds TLS.

mod stats;
pub use stats::{Counter, LinkStats};

mod entropy;
pub use entropy::{Entropy, EntropyError};

mod transport;
pub use transport::{
    AnyThread, Connection, Detached, InProcess, Io, Listener, TcpTransport, Transport,
};

mod hello;
pub use hello::{
    ClusterId, ClusterKey, HELLO_FRAME_CAP, HELLO_TIME, HelloError, Identity, KeyTooShort,
    MAX_LANES, PeerHello, WIRE_NUMBER, accept_hello, dial_hello,
};

mod wire;
pub use wire::{
    Condition, Limits, MAX_SETS, Message, Messages, OverLimit, Refusal, Replies, Reply, WireError,
    WriteStatus,
};

pub mod service;

mod codec;
pub use codec::{DEADLINE_CAP, FRAME_CAP, FrameError};

mod mux;

mod link;
pub use link::{
    BatchLost, CallError, Established, Link, LinkConfig, LinkDown, PeerHandler, SendRefusal, Unsent,
};

mod peers;
pub use peers::{
    Accepted, Acceptor, AcceptorLimits, Backoff, ConnectionPermit, DialTask, Peers, PeersConfig,
    Target,
};

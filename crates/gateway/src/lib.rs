//! The doors through which clients reach a node: the Redis protocol and HTTP.
//!
//! Both doors turn what a client says into [`henge_node::Request`]s and tell their outcomes; neither
//! knows of replicas or quorums. [`Doors`] is what they share (password, limits, counters, context
//! secret) and is the Redis door itself, a [`henge_node::ConnectionDoor`].
//!
//! Whatever a client sends has a bound ([`Limits`]), is answered in Redis' words, and is never
//! trusted: the decoder never panics, never waits for more than it accepts and never reserves
//! memory for what was only announced.
//!
//! What Redis has and these doors have not: messages to subscribers, Lua (the
//! scripts of common session stores are known), lists, sorted sets, streams, blocking commands,
//! cluster mode.

mod auth;
mod bucket_view;
mod error;
pub use error::{ErrorBody, Refusal, refusal};

mod limits;
pub use limits::Limits;

mod metrics;
mod operating;
mod quorum_view;
mod replica_state;
mod ring_view;
mod shared;

mod http;
pub use http::{http_routes, serve_http};

mod resp;
pub use resp::{Args, DecodeLimits, Decoder, Doors, ProtocolError};

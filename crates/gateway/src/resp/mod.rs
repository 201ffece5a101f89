//! The Redis protocol: decoder, encoder, connections, commands.

mod decode;
pub use decode::{Args, DecodeLimits, Decoder, ProtocolError};

mod encode;
mod peek;
mod reply;

mod client;
pub(crate) use client::{Card, Client};

mod commands;
mod database;
pub(crate) use commands::COMMANDS;
pub(crate) use commands::Scripts;
#[cfg(test)]
pub(crate) use commands::index as command_index;

mod connection;
mod deadline;
mod glob;
mod names;
mod replies;
mod shape;
pub(crate) use shape::live;

mod telling;
pub(crate) use telling::{answer_name, seal, seal_written};

mod door;
pub use door::Doors;

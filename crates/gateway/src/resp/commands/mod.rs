//! The commands: one table, one small file per family.
//!
//! Executing a command has two parts. *Planning* ([`Command::run`]) reads the arguments and says
//! what is to be done: a reply at once, one request on one key, or several steps. *Carrying out* is
//! the connection's business, so that planning does no I/O, and so that a single-key command costs
//! neither a task nor an allocation.

use std::{future::Future, pin::Pin, sync::Arc};

use henge_node::{Done, LocalNode, Operation, Options, Request};
use henge_ring::Token;

use super::{client::Client, database::Database, decode::Args, reply::Reply, shape::Shape};
use crate::shared::Shared;

mod catalogue;
mod change;
mod channels;
mod connection;
mod expiry;
mod flush;
mod hashes;
mod henge;
mod info;
mod keys;
mod many;
mod numbers;
mod operating;
mod parse;
mod principals;
mod quorum;
mod rotation;
mod scan;
mod scripts;
mod server;
mod set_options;
mod sets;
mod strings;
mod table;
mod topology;
mod transaction;

pub(crate) use channels::{Subscriptions, allows};
pub(crate) use parse::{unknown_command, wrong_arity};
pub(crate) use scripts::Scripts;
pub(crate) use table::{COMMANDS, index, lookup};
pub(crate) use transaction::enqueue;

/// Several steps, carried out beside the connection; they end with one reply.
pub(crate) type Steps = Pin<Box<dyn Future<Output = Reply>>>;

/// What planning a command came to; an error is a reply too.
pub(crate) type Planned<'a> = Result<Plan<'a>, Reply>;

/// What is to be done for a command.
#[expect(
    clippy::large_enum_variant,
    reason = "the largest is the hot one: no allocation for it"
)]
pub(crate) enum Plan<'a> {
    /// Nothing more: this is the reply.
    Reply(Reply),
    /// One request; its outcome is told in this shape.
    One(Request<'a>, Shape),
    /// Several steps.
    Steps(Steps),
}

/// What a command may see and change while it is planned.
pub(crate) struct Call<'c> {
    /// The client.
    pub(crate) client: &'c mut Client,
    /// The node on this thread.
    pub(crate) node: &'c LocalNode,
    /// What all connections share.
    pub(crate) shared: &'c Arc<Shared>,
    /// The command.
    pub(crate) command: &'static Command,
}

impl Call<'_> {
    /// A plan of one request with the client's consistency.
    fn one<'a>(&self, key: &'a [u8], operation: Operation<'a>, shape: Shape) -> Planned<'a> {
        Ok(Plan::One(
            Request {
                key,
                operation,
                options: self.client.defaults,
            },
            shape,
        ))
    }

    /// What steps need.
    fn stepper(&self) -> Stepper {
        Stepper {
            node: self.node.clone(),
            shared: self.shared.clone(),
            options: self.client.defaults,
            database: self.client.database,
        }
    }
}

/// What the steps of a command hold on to.
#[derive(Clone)]
pub(crate) struct Stepper {
    node: LocalNode,
    shared: Arc<Shared>,
    options: Options,
    database: Database,
}

impl Stepper {
    /// One request; a failure is already told as a reply.
    async fn call<'r>(&self, key: &'r [u8], operation: Operation<'r>) -> Result<Done, Reply> {
        let request = Request {
            key,
            operation,
            options: self.options,
        };
        self.node
            .call(&request)
            .await
            .result
            .map_err(|failure| failed(&failure))
    }
}

/// A failure as a reply.
pub(crate) fn failed(failure: &henge_node::Failure) -> Reply {
    Reply::error(crate::error::refusal(failure).line())
}

/// The function that plans a command.
pub(crate) type Run = for<'a> fn(&mut Call<'_>, Args<'a>) -> Planned<'a>;

/// What a command does, as far as the door must know before it runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Touches no key.
    None,
    /// Reads its keys.
    Read,
    /// Changes its keys.
    Write,
    /// Reads keys that its arguments do not name.
    ReadAll,
    /// Changes the connection: waits until everything before it is answered, and everything after
    /// it waits for it.
    Connection,
}

/// Where a command's keys stand among its arguments, as `COMMAND` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Position of the first; 0: it has none.
    pub(crate) first: usize,
    /// Position of the last; below 0: from the end.
    pub(crate) last: isize,
    /// Distance between two.
    pub(crate) step: usize,
}

impl Keys {
    /// Positions of all keys in a command of `length` arguments.
    pub(crate) fn positions(self, length: usize) -> impl Iterator<Item = usize> {
        let last = match self.last {
            last if last >= 0 => last as usize,
            back => length.saturating_sub(back.unsigned_abs()),
        };
        let none = self.first == 0 || self.first >= length;
        let range = if none {
            1..1
        } else {
            self.first..last.min(length - 1) + 1
        };
        range.step_by(self.step.max(1))
    }
}

/// One command of the table.
pub(crate) struct Command {
    /// Its name in small letters.
    pub(crate) name: &'static str,
    /// Arguments with the name; below 0: at least so many.
    pub(crate) arity: i16,
    /// What it does to keys.
    pub(crate) access: Access,
    /// Where its keys stand.
    pub(crate) keys: Keys,
    /// Group in `COMMAND DOCS`, and family of the implementation.
    pub(crate) group: &'static str,
    /// Plans it.
    pub(crate) run: Run,
}

impl Command {
    /// Whether it accepts so many arguments, its name included.
    pub(crate) fn accepts(&self, length: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            length >= wanted
        } else {
            length == wanted
        }
    }

    /// Which other commands of its connection it must not overtake, nor be overtaken by.
    pub(crate) fn footprint(&self, args: Args<'_>) -> Footprint {
        let one = (self.keys.first == 1 && (self.keys.last == 1 || args.len() == 2))
            .then(|| Token::of(args.at(1)).0 | 1);
        match self.access {
            Access::None => Footprint::None,
            Access::Connection => Footprint::Exclusive,
            Access::ReadAll => Footprint::Read(ALL_KEYS),
            Access::Read => Footprint::Read(one.unwrap_or(ALL_KEYS)),
            Access::Write => Footprint::Write(one.unwrap_or(ALL_KEYS)),
        }
    }
}

/// In a footprint: not one key but any.
const ALL_KEYS: u64 = 0;

/// Which keys a command touches, as a hash of the one key (equal hashes only make one wait for the
/// other in vain) or as [`ALL_KEYS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Footprint {
    /// None.
    None,
    /// Reads.
    Read(u64),
    /// Changes.
    Write(u64),
    /// Nothing may be under way beside it.
    Exclusive,
}

impl Footprint {
    /// Whether a command with this footprint must wait until one with `earlier` is answered. A
    /// client that pipelines `SET k`, `GET k` must read what it wrote, though requests on
    /// different keys run side by side.
    pub(crate) fn waits_for(self, earlier: Self) -> bool {
        match (self, earlier) {
            (Self::Exclusive, _) | (_, Self::Exclusive) => true,
            (Self::None, _) | (_, Self::None) | (Self::Read(_), Self::Read(_)) => false,
            (Self::Read(a) | Self::Write(a), Self::Read(b) | Self::Write(b)) => {
                a == b || a == ALL_KEYS || b == ALL_KEYS
            }
        }
    }
}

#[cfg(test)]
mod tests;

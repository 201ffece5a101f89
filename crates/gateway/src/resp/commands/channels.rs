//! `SUBSCRIBE` and its kin: taken, and nothing is ever published.
//!
//! Libraries subscribe to what they can do without: StackExchange.Redis to a channel of its own, Spring's
//! repository of indexed sessions to keys that expire. A node that refused would keep them from
//! starting. `PUBLISH` says truthfully that nobody received it.

use std::collections::BTreeSet;

use bytes::BytesMut;

use super::{
    Call, Plan, Planned,
    parse::{is, unknown_subcommand},
};
use crate::resp::{client::Client, decode::Args, encode::Writer, reply::Reply};

/// Channels and patterns of one client.
const MOST: usize = 1024;

/// What a client has subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
}

/// Which of them a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Channels,
    Patterns,
}

impl Subscriptions {
    /// How many channels and how many patterns.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    fn of(&mut self, kind: Kind) -> &mut BTreeSet<Vec<u8>> {
        match kind {
            Kind::Channels => &mut self.channels,
            Kind::Patterns => &mut self.patterns,
        }
    }
}

/// Whether a client may send this command while it is subscribed to something: in RESP2, where replies
/// cannot be told from messages, few.
#[inline]
pub(crate) fn allows(client: &Client, command: &str) -> bool {
    const ALLOWED: [&str; 7] = [
        "ping",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
        "subscribe",
        "unsubscribe",
    ];
    !client.is_listening() || ALLOWED.contains(&command)
}

/// One confirmation for each name, counting as they come.
fn confirm(
    client: &mut Client,
    word: &str,
    names: Vec<Option<Vec<u8>>>,
    change: impl Fn(&mut Subscriptions, Option<Vec<u8>>),
) -> Reply {
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out, client.protocol);
    for name in names {
        writer.push(3);
        writer.bulk(word.as_bytes());
        match &name {
            Some(name) => writer.bulk(name),
            None => writer.null(),
        }
        change(&mut client.subscriptions, name);
        writer.integer(client.subscriptions.count() as i64);
    }
    Reply::Encoded(out.freeze())
}

fn enter<'a>(call: &mut Call<'_>, args: Args<'a>, kind: Kind) -> Planned<'a> {
    if call.client.subscriptions.count() + args.len() - 1 > MOST {
        return Err(Reply::error(format!(
            "ERR a client can subscribe to at most {MOST} channels and patterns"
        )));
    }
    let names = args.from(1).map(|name| Some(name.to_vec())).collect();
    let word = call.command.name;
    let reply = confirm(call.client, word, names, |all, name| {
        all.of(kind).extend(name);
    });
    call.shared.clients.note(call.client);
    Ok(Plan::Reply(reply))
}

fn leave<'a>(call: &mut Call<'_>, args: Args<'a>, kind: Kind) -> Planned<'a> {
    let mut names: Vec<_> = args.from(1).map(|name| Some(name.to_vec())).collect();
    if names.is_empty() {
        let all = call.client.subscriptions.of(kind).iter();
        names = all.cloned().map(Some).collect();
    }
    if names.is_empty() {
        names.push(None);
    }
    let word = call.command.name;
    let reply = confirm(call.client, word, names, |all, name| {
        if let Some(name) = name {
            all.of(kind).remove(&name);
        }
    });
    call.shared.clients.note(call.client);
    Ok(Plan::Reply(reply))
}

pub(super) fn subscribe<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    enter(call, args, Kind::Channels)
}

pub(super) fn psubscribe<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    enter(call, args, Kind::Patterns)
}

pub(super) fn unsubscribe<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    leave(call, args, Kind::Channels)
}

pub(super) fn punsubscribe<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    leave(call, args, Kind::Patterns)
}

/// Nobody receives it.
pub(super) fn publish<'a>(_: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    Ok(Plan::Reply(Reply::Integer(0)))
}

/// Nobody would receive anything: that is what there is to tell of any channel.
pub(super) fn pubsub<'a>(_: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let word = args.at(1);
    let reply = match () {
        () if is(word, "CHANNELS") => Reply::Array(Vec::new()),
        () if is(word, "NUMPAT") => Reply::Integer(0),
        () if is(word, "NUMSUB") => {
            let counted = |name| [Reply::text(name), Reply::Integer(0)];
            Reply::Array(args.from(2).flat_map(counted).collect())
        }
        () => return Err(unknown_subcommand("pubsub", word)),
    };
    Ok(Plan::Reply(reply))
}

//! Commands about the connection itself.

use std::time::Duration;

use super::{
    Call, Plan, Planned,
    parse::{integer, is, shown, syntax, unknown_subcommand, wrong_arity},
};
use crate::resp::{
    client::Replies,
    database::Database,
    decode::{Args, decimal},
    encode::Protocol,
    reply::Reply,
};

/// The Redis version whose answers these are.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn ping<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    match args.len() {
        1 | 2 if call.client.is_listening() => {
            Ok(Plan::Reply(Reply::texts([&b"pong"[..], args.at(1)])))
        }
        1 => Ok(Plan::Reply(Reply::Simple("PONG"))),
        2 => Ok(Plan::Reply(Reply::text(args.at(1)))),
        _ => Err(wrong_arity("ping")),
    }
}

pub(super) fn echo<'a>(_: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    Ok(Plan::Reply(Reply::text(args.at(1))))
}

pub(super) fn quit<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    call.client.leaving = true;
    Ok(Plan::Reply(Reply::OK))
}

pub(super) fn reset<'a>(call: &mut Call<'_>, _: Args<'a>) -> Planned<'a> {
    call.client.reset(!call.shared.auth.is_required());
    Ok(Plan::Reply(Reply::Simple("RESET")))
}

pub(super) fn select<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let database = Database::numbered(integer(args.at(1))?);
    call.client.database = database.ok_or_else(|| Reply::error("ERR DB index is out of range"))?;
    Ok(Plan::Reply(Reply::OK))
}

pub(super) fn auth<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (user, password) = match args.len() {
        2 => (b"default".as_slice(), args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(syntax()),
    };
    if args.len() == 2 && !call.shared.auth.is_required() {
        return Err(Reply::error(
            "ERR AUTH <password> called without any password configured for the default user. Are \
             you sure your configuration is correct?",
        ));
    }
    let (right, delay) = authenticate(call, user, password);
    Ok(after(
        delay,
        if right { Reply::OK } else { wrong_password() },
    ))
}

fn wrong_password() -> Reply {
    Reply::error("WRONGPASS invalid username-password pair or user is disabled.")
}

/// Checks a password. A right one lets the client in at once; only the answer may be delayed, and
/// nothing else of this connection runs before it.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> (bool, Option<Duration>) {
    let verdict = call.shared.auth.check(&call.client.address, user, password);
    let right = verdict.right && (call.shared.auth.is_required() || user == b"default");
    if right {
        call.client.authenticated = true;
    } else {
        call.shared.metrics.wrong_password();
    }
    (right, verdict.delay)
}

fn after<'a>(delay: Option<Duration>, reply: Reply) -> Plan<'a> {
    match delay {
        None => Plan::Reply(reply),
        Some(delay) => Plan::Steps(Box::pin(async move {
            tokio::time::sleep(delay).await;
            reply
        })),
    }
}

/// `HELLO [2 | 3] [AUTH user password] [SETNAME name]`.
pub(super) fn hello<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let protocol = match args.get(1).map(decimal) {
        None => call.client.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(Reply::error("NOPROTO unsupported protocol version")),
        Some(None) => {
            return Err(Reply::error(
                "ERR Protocol version is not an integer or out of range",
            ));
        }
    };
    let (mut at, mut name, mut delay) = (2, None, None);
    while let Some(word) = args.get(at) {
        match (args.get(at + 1), args.get(at + 2)) {
            (Some(user), Some(password)) if is(word, "AUTH") => {
                let (right, wait) = authenticate(call, user, password);
                if !right {
                    return Ok(after(wait, wrong_password()));
                }
                delay = wait;
                at += 3;
            }
            (Some(given), _) if is(word, "SETNAME") => {
                name = Some(valid_name(given)?);
                at += 2;
            }
            _ => {
                let option = shown(word);
                return Err(Reply::error(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        }
    }
    if !call.client.authenticated {
        return Err(Reply::error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    call.client.protocol = protocol;
    call.client.name = name.unwrap_or_else(|| std::mem::take(&mut call.client.name));
    Ok(after(delay, greeting(call)))
}

fn greeting(call: &Call<'_>) -> Reply {
    let pair = |name: &str, value: Reply| (Reply::text(name), value);
    Reply::Map(vec![
        pair("server", Reply::text("redis")),
        pair("version", Reply::text(REDIS_VERSION)),
        pair("proto", Reply::Integer(call.client.protocol.number())),
        pair("id", Reply::Integer(call.client.id as i64)),
        pair("mode", Reply::text("standalone")),
        pair("role", Reply::text("master")),
        pair("modules", Reply::Array(Vec::new())),
    ])
}

fn valid_name(name: &[u8]) -> Result<Vec<u8>, Reply> {
    const LONGEST: usize = 256;
    if name.len() > LONGEST || name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
        return Err(Reply::error(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ));
    }
    Ok(name.to_vec())
}

/// `CLIENT …`.
pub(super) fn client<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let word = args.at(1).to_ascii_lowercase();
    let exactly = |length: usize| {
        let name = format!("client|{}", shown(&word));
        if args.len() == length {
            Ok(())
        } else {
            Err(wrong_arity(&name))
        }
    };
    let reply = match word.as_slice() {
        b"id" => exactly(2).map(|()| Reply::Integer(call.client.id as i64))?,
        b"getname" => exactly(2).map(|()| match call.client.name.as_slice() {
            b"" => Reply::Null,
            name => Reply::text(name),
        })?,
        b"setname" => {
            exactly(3)?;
            call.client.name = valid_name(args.at(2))?;
            Reply::OK
        }
        b"setinfo" => exactly(4).and_then(|()| set_info(call, args.at(2), args.at(3)))?,
        b"info" => {
            exactly(2)?;
            Reply::Verbatim(call.client.card().line(call.node.wall_ms()) + "\n")
        }
        b"list" => list(call, args)?,
        b"no-evict" | b"no-touch" => exactly(3).and_then(|()| on_or_off(args.at(2)))?,
        b"reply" => return exactly(3).and_then(|()| set_replies(call, args.at(2))),
        b"tracking" => Reply::error("ERR client-side caching is not supported"),
        b"kill" => Reply::error("ERR CLIENT KILL is not supported"),
        _ => return Err(unknown_subcommand("client", args.at(1))),
    };
    call.shared.clients.note(call.client);
    Ok(Plan::Reply(reply))
}

/// `CLIENT LIST [TYPE type] [ID id …]`
fn list(call: &Call<'_>, args: Args<'_>) -> Result<Reply, Reply> {
    let (mut listening, mut ids) = (None, None);
    let mut rest = args.from(2);
    match rest.next() {
        None => {}
        Some(word) if is(word, "TYPE") && args.len() == 4 => {
            listening = Some(type_of_client(args.at(3))?);
        }
        Some(word) if is(word, "ID") && args.len() > 3 => {
            let invalid = || Reply::error("ERR Invalid client ID");
            let id = |id| integer(id).ok().and_then(|id| u64::try_from(id).ok());
            ids = Some(
                rest.map(|text| id(text).ok_or_else(invalid))
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        Some(_) => return Err(syntax()),
    }
    call.shared.clients.note(call.client);
    let lines = call.shared.clients.list(call.node.wall_ms(), |card| {
        listening.is_none_or(|wanted| wanted == Some(card.is_listening()))
            && ids.as_ref().is_none_or(|ids| ids.contains(&card.id))
    });
    Ok(Reply::Verbatim(lines))
}

/// Whether clients of this type listen to channels; `None`: a type of which there are none.
fn type_of_client(word: &[u8]) -> Result<Option<bool>, Reply> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Some(false)),
        b"pubsub" => Ok(Some(true)),
        b"master" | b"replica" | b"slave" => Ok(None),
        _ => Err(Reply::error(format!(
            "ERR Unknown client type '{}'",
            shown(word)
        ))),
    }
}

fn set_info(call: &mut Call<'_>, attribute: &[u8], value: &[u8]) -> Result<Reply, Reply> {
    let library = &mut call.client.library;
    let field = match () {
        () if is(attribute, "LIB-NAME") => &mut library.0,
        () if is(attribute, "LIB-VER") => &mut library.1,
        () => {
            let option = shown(attribute);
            return Err(Reply::error(format!("ERR Unrecognized option '{option}'")));
        }
    };
    *field = valid_name(value).map_err(|_| {
        Reply::error(format!(
            "ERR {} cannot contain spaces, newlines or special characters.",
            shown(attribute).to_lowercase()
        ))
    })?;
    Ok(Reply::OK)
}

fn on_or_off(word: &[u8]) -> Result<Reply, Reply> {
    if is(word, "ON") || is(word, "OFF") {
        Ok(Reply::OK)
    } else {
        Err(syntax())
    }
}

/// The connection leaves out the reply to `OFF` and `SKIP` themselves.
fn set_replies<'a>(call: &mut Call<'_>, word: &[u8]) -> Planned<'a> {
    call.client.replies = match () {
        () if is(word, "ON") => Replies::On,
        () if is(word, "OFF") => Replies::Off,
        () if is(word, "SKIP") => Replies::SkipNext,
        () => return Err(syntax()),
    };
    Ok(Plan::Reply(Reply::OK))
}

//! `COMMAND`: the table of commands, told to clients.

use super::{
    Access, COMMANDS, Call, Command, Plan, Planned, lookup,
    parse::{unknown_subcommand, wrong_arity},
};
use crate::resp::{decode::Args, reply::Reply};

pub(super) fn command<'a>(_: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let Some(word) = args.get(1) else {
        return Ok(Plan::Reply(Reply::Array(
            COMMANDS.iter().map(entry).collect(),
        )));
    };
    let reply = match word.to_ascii_lowercase().as_slice() {
        b"count" if args.len() == 2 => Reply::Integer(COMMANDS.len() as i64),
        b"count" => return Err(wrong_arity("command|count")),
        b"list" => Reply::texts(COMMANDS.iter().map(|command| command.name)),
        b"info" if args.len() == 2 => Reply::Array(COMMANDS.iter().map(entry).collect()),
        b"info" => Reply::Array(
            args.from(2)
                .map(|name| lookup(name).map_or(Reply::NullArray, entry))
                .collect(),
        ),
        b"docs" if args.len() == 2 => Reply::Map(COMMANDS.iter().map(docs).collect()),
        b"docs" => Reply::Map(args.from(2).filter_map(lookup).map(docs).collect()),
        b"getkeys" if args.len() < 3 => return Err(wrong_arity("command|getkeys")),
        b"getkeys" => get_keys(args)?,
        _ => return Err(unknown_subcommand("command", word)),
    };
    Ok(Plan::Reply(reply))
}

/// Name, arity, flags, key positions, categories; the newer parts stay empty.
fn entry(command: &Command) -> Reply {
    let flags = match command.access {
        Access::Read | Access::ReadAll => vec!["readonly"],
        Access::Write => vec!["write", "denyoom"],
        Access::None | Access::Connection => vec!["noscript", "loading", "fast"],
    };
    let none = || Reply::Array(Vec::new());
    Reply::Array(vec![
        Reply::text(command.name),
        Reply::Integer(i64::from(command.arity)),
        Reply::Set(flags.into_iter().map(Reply::Simple).collect()),
        Reply::Integer(command.keys.first as i64),
        Reply::Integer(command.keys.last as i64),
        Reply::Integer(if command.keys.first == 0 {
            0
        } else {
            command.keys.step as i64
        }),
        Reply::Set(Vec::new()),
        none(),
        none(),
        none(),
    ])
}

fn docs(command: &'static Command) -> (Reply, Reply) {
    let details = vec![
        (
            Reply::text("summary"),
            Reply::text(format!("The {} command", command.name.to_uppercase())),
        ),
        (Reply::text("group"), Reply::text(command.group)),
    ];
    (Reply::text(command.name), Reply::Map(details))
}

fn get_keys(args: Args<'_>) -> Result<Reply, Reply> {
    let command =
        lookup(args.at(2)).ok_or_else(|| Reply::error("ERR Invalid command specified"))?;
    let length = args.len() - 2;
    if !command.accepts(length) {
        return Err(Reply::error(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    if command.keys.first == 0 {
        return Err(Reply::error("ERR The command has no key arguments"));
    }
    let keys = command.keys.positions(length);
    Ok(Reply::texts(keys.map(|position| args.at(position + 2))))
}

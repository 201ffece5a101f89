//! `COMMAND`: the table of commands, told to clients.

use super::{
    Access, COMMANDS, Call, Command, Plan, Planned, lookup,
    parse::{integer, is, syntax, unknown_subcommand, wrong_arity},
    server::asks_for,
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
        b"list" => list(args)?,
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

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`: there are no modules.
fn list(args: Args<'_>) -> Result<Reply, Reply> {
    let filter = match args.len() {
        2 => None,
        5 if is(args.at(2), "FILTERBY") => Some((args.at(3), args.at(4))),
        _ => return Err(syntax()),
    };
    let keep: &dyn Fn(&Command) -> bool = match filter {
        None => &|_| true,
        Some((by, _)) if is(by, "MODULE") => &|_| false,
        Some((by, name)) if is(by, "ACLCAT") => &|command| is_of_category(command, name),
        Some((by, name)) if is(by, "PATTERN") => &|command| asks_for(name, command.name),
        Some(_) => return Err(syntax()),
    };
    let kept = COMMANDS.iter().filter(|command| keep(command));
    Ok(Reply::texts(kept.map(|command| command.name)))
}

/// Whether it belongs to one of Redis' categories, as far as they divide what is here.
fn is_of_category(command: &Command, category: &[u8]) -> bool {
    match category.to_ascii_lowercase().as_slice() {
        b"read" => matches!(command.access, Access::Read | Access::ReadAll),
        b"write" => command.access == Access::Write,
        b"keyspace" => command.group == "generic",
        b"transaction" => command.group == "transactions",
        group => command.group.as_bytes() == group,
    }
}

/// `EVAL` and `EVALSHA`, whose keys are counted by an argument.
fn counts_its_keys(command: &Command) -> bool {
    command.name.starts_with("eval")
}

/// Name, arity, flags, key positions, categories; the newer parts stay empty.
fn entry(command: &Command) -> Reply {
    let mut flags = match command.access {
        Access::Read | Access::ReadAll => vec!["readonly"],
        Access::Write => vec!["write", "denyoom"],
        Access::None | Access::Connection => vec!["noscript", "loading", "fast"],
    };
    flags.extend(counts_its_keys(command).then_some("movablekeys"));
    flags.extend((command.group == "pubsub").then_some("pubsub"));
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
    if counts_its_keys(command) {
        let keys = integer(args.at(4)).and_then(|count| {
            let most = length - command.arity.unsigned_abs() as usize;
            usize::try_from(count)
                .ok()
                .filter(|count| *count <= most)
                .ok_or_else(|| Reply::error("ERR Invalid arguments specified for command"))
        })?;
        return Ok(Reply::texts(args.from(5).take(keys)));
    }
    if command.keys.first == 0 {
        return Err(Reply::error("ERR The command has no key arguments"));
    }
    let keys = command.keys.positions(length);
    Ok(Reply::texts(keys.map(|position| args.at(position + 2))))
}

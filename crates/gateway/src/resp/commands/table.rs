//! The table of commands, sorted by name.

use std::sync::LazyLock;

use super::{
    Access, Command, Keys, Run, catalogue, channels, connection, expiry, flush, hashes, henge,
    keys, many, numbers, operating, principals, quorum, rotation, scan, scripts, server, sets,
    strings, topology, transaction,
};

const fn entry(
    name: &'static str,
    arity: i16,
    access: Access,
    keys: (usize, isize, usize),
    group: &'static str,
    run: Run,
) -> Command {
    let keys = Keys {
        first: keys.0,
        last: keys.1,
        step: keys.2,
    };
    Command {
        name,
        arity,
        access,
        keys,
        group,
        run,
    }
}

/// A command that reads one key.
const fn read(name: &'static str, arity: i16, group: &'static str, run: Run) -> Command {
    entry(name, arity, Access::Read, (1, 1, 1), group, run)
}

/// A command that changes one key.
const fn write(name: &'static str, arity: i16, group: &'static str, run: Run) -> Command {
    entry(name, arity, Access::Write, (1, 1, 1), group, run)
}

/// A command without keys that may overtake others.
const fn plain(name: &'static str, arity: i16, group: &'static str, run: Run) -> Command {
    entry(name, arity, Access::None, (0, 0, 0), group, run)
}

/// A command that changes the connection.
const fn own(name: &'static str, arity: i16, group: &'static str, run: Run) -> Command {
    entry(name, arity, Access::Connection, (0, 0, 0), group, run)
}

/// Every command there is.
#[rustfmt::skip]
pub(crate) static COMMANDS: [Command; 110] = [
    write("append", 3, "string", strings::append),
    own("auth", -2, "connection", connection::auth),
    own("client", -2, "connection", connection::client),
    plain("cluster", -2, "cluster", server::no_cluster),
    plain("command", -1, "server", catalogue::command),
    plain("config", -2, "server", server::config),
    entry("dbsize", 1, Access::ReadAll, (0, 0, 0), "server", keys::dbsize),
    write("decr", 2, "string", numbers::decr),
    write("decrby", 3, "string", numbers::decrby),
    entry("del", -2, Access::Write, (1, -1, 1), "generic", many::del),
    own("discard", 1, "transactions", transaction::discard),
    plain("echo", 2, "connection", connection::echo),
    entry("eval", -3, Access::Write, (0, 0, 0), "scripting", scripts::eval),
    entry("evalsha", -3, Access::Write, (0, 0, 0), "scripting", scripts::evalsha),
    own("exec", 1, "transactions", transaction::exec),
    entry("exists", -2, Access::Read, (1, -1, 1), "generic", many::exists),
    write("expire", -3, "generic", expiry::expire),
    write("expireat", -3, "generic", expiry::expireat),
    read("expiretime", 2, "generic", expiry::expiretime),
    entry("flushall", -1, Access::Write, (0, 0, 0), "server", flush::flush),
    entry("flushdb", -1, Access::Write, (0, 0, 0), "server", flush::flush),
    read("get", 2, "string", strings::get),
    write("getdel", 2, "string", strings::getdel),
    write("getex", -2, "string", strings::getex),
    read("getrange", 4, "string", strings::getrange),
    write("getset", 3, "string", strings::getset),
    write("hdel", -3, "hash", hashes::hdel),
    own("hello", -1, "connection", connection::hello),
    write("henge.del", -2, "henge", henge::del),
    read("henge.explain", 2, "henge", topology::explain),
    plain("henge.export", -1, "henge", operating::export),
    write("henge.fset", -5, "henge", henge::fset),
    read("henge.get", -2, "henge", henge::get),
    entry("henge.logoutall", -2, Access::Write, (0, 0, 0), "henge", principals::logout_all),
    plain("henge.model", 1, "henge", operating::model),
    own("henge.quorum", -1, "henge", quorum::quorum),
    plain("henge.repair", -1, "henge", operating::repair),
    plain("henge.ring", 1, "henge", topology::ring),
    entry("henge.rotate", -3, Access::Write, (1, 2, 1), "henge", rotation::rotate),
    entry("henge.sessions", -2, Access::ReadAll, (0, 0, 0), "henge", principals::sessions),
    write("henge.set", -3, "henge", henge::set),
    write("henge.touch", -3, "henge", henge::touch),
    read("hexists", 3, "hash", hashes::hexists),
    read("hget", 3, "hash", hashes::hget),
    read("hgetall", 2, "hash", hashes::hgetall),
    write("hincrby", 4, "hash", hashes::hincrby),
    write("hincrbyfloat", 4, "hash", hashes::hincrbyfloat),
    read("hkeys", 2, "hash", hashes::hkeys),
    read("hlen", 2, "hash", hashes::hlen),
    read("hmget", -3, "hash", hashes::hmget),
    write("hmset", -4, "hash", hashes::hmset),
    read("hscan", -3, "hash", hashes::hscan),
    write("hset", -4, "hash", hashes::hset),
    write("hsetnx", 4, "hash", hashes::hsetnx),
    read("hstrlen", 3, "hash", hashes::hstrlen),
    read("hvals", 2, "hash", hashes::hvals),
    write("incr", 2, "string", numbers::incr),
    write("incrby", 3, "string", numbers::incrby),
    write("incrbyfloat", 3, "string", numbers::incrbyfloat),
    plain("info", -1, "server", server::info),
    entry("keys", 2, Access::ReadAll, (0, 0, 0), "generic", scan::keys),
    entry("mget", -2, Access::Read, (1, -1, 1), "string", many::mget),
    entry("mset", -3, Access::Write, (1, -1, 2), "string", many::mset),
    entry("msetnx", -3, Access::Write, (1, -1, 2), "string", many::msetnx),
    own("multi", 1, "transactions", transaction::multi),
    write("persist", 2, "generic", expiry::persist),
    write("pexpire", -3, "generic", expiry::pexpire),
    write("pexpireat", -3, "generic", expiry::pexpireat),
    read("pexpiretime", 2, "generic", expiry::pexpiretime),
    plain("ping", -1, "connection", connection::ping),
    write("psetex", 4, "string", strings::psetex),
    own("psubscribe", -2, "pubsub", channels::psubscribe),
    read("pttl", 2, "generic", expiry::pttl),
    plain("publish", 3, "pubsub", channels::publish),
    plain("pubsub", -2, "pubsub", channels::pubsub),
    own("punsubscribe", -1, "pubsub", channels::punsubscribe),
    own("quit", -1, "connection", connection::quit),
    entry("randomkey", 1, Access::ReadAll, (0, 0, 0), "generic", keys::randomkey),
    plain("readonly", 1, "cluster", server::no_cluster),
    plain("readwrite", 1, "cluster", server::no_cluster),
    entry("rename", 3, Access::Write, (1, 2, 1), "generic", keys::rename),
    entry("renamenx", 3, Access::Write, (1, 2, 1), "generic", keys::renamenx),
    own("reset", 1, "connection", connection::reset),
    plain("role", 1, "server", server::role),
    write("sadd", -3, "set", sets::sadd),
    entry("scan", -2, Access::ReadAll, (0, 0, 0), "generic", scan::scan),
    read("scard", 2, "set", sets::scard),
    plain("script", -2, "scripting", scripts::script),
    plain("select", 2, "connection", connection::select),
    write("set", -3, "string", strings::set),
    write("setex", 4, "string", strings::setex),
    write("setnx", 3, "string", strings::setnx),
    write("setrange", 4, "string", strings::setrange),
    read("sismember", 3, "set", sets::sismember),
    read("smembers", 2, "set", sets::smembers),
    read("smismember", -3, "set", sets::smismember),
    write("srem", -3, "set", sets::srem),
    read("sscan", -3, "set", sets::sscan),
    read("strlen", 2, "string", strings::strlen),
    own("subscribe", -2, "pubsub", channels::subscribe),
    read("substr", 4, "string", strings::getrange),
    plain("time", 1, "server", server::time),
    entry("touch", -2, Access::Read, (1, -1, 1), "generic", many::exists),
    read("ttl", 2, "generic", expiry::ttl),
    read("type", 2, "generic", keys::type_name),
    entry("unlink", -2, Access::Write, (1, -1, 1), "generic", many::del),
    own("unsubscribe", -1, "pubsub", channels::unsubscribe),
    own("unwatch", 1, "transactions", transaction::unwatch),
    entry("wait", 3, Access::Connection, (0, 0, 0), "generic", server::wait),
    entry("watch", -2, Access::Connection, (1, -1, 1), "transactions", transaction::watch),
];

/// The longest name, and room to spare.
const LONGEST: usize = 16;

/// A command by its name, in capitals or not.
#[inline]
pub(crate) fn lookup(name: &[u8]) -> Option<&'static Command> {
    index(name).map(|at| &COMMANDS[at])
}

/// A command's position in the table. A client says the same few commands over and over, so those
/// that sessions live on are looked for first.
pub(crate) fn index(name: &[u8]) -> Option<usize> {
    const USUAL: [&str; 4] = ["get", "set", "expire", "del"];
    static PLACES: LazyLock<[Option<usize>; 4]> =
        LazyLock::new(|| USUAL.map(|name| search(name.as_bytes())));
    match USUAL
        .iter()
        .position(|usual| name.eq_ignore_ascii_case(usual.as_bytes()))
    {
        Some(at) => PLACES[at],
        None => search(name),
    }
}

fn search(name: &[u8]) -> Option<usize> {
    let mut small = [0; LONGEST];
    let small = small.get_mut(..name.len())?;
    small.copy_from_slice(name);
    small.make_ascii_lowercase();
    COMMANDS
        .binary_search_by(|command| command.name.as_bytes().cmp(small))
        .ok()
}

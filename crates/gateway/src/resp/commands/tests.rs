//! The table is sorted, complete and truthful; footprints keep the order that clients rely on.

use super::*;
use crate::resp::decode::{DecodeLimits, Decoder};

fn with_args<T>(line: &str, act: impl FnOnce(Args<'_>) -> T) -> T {
    let mut decoder = Decoder::new(DecodeLimits::default());
    let bytes = format!("{line}\r\n").into_bytes();
    assert_eq!(decoder.advance(&bytes), Ok(true));
    act(decoder.args(&bytes))
}

fn footprint(line: &str) -> Footprint {
    with_args(line, |args| {
        lookup(args.at(0)).expect("a command").footprint(args)
    })
}

#[test]
fn the_table_is_sorted_so_that_every_command_is_found() {
    assert!(COMMANDS.windows(2).all(|pair| pair[0].name < pair[1].name));
    for command in &COMMANDS {
        assert_eq!(lookup(command.name.as_bytes()).unwrap().name, command.name);
        assert_eq!(
            lookup(command.name.to_uppercase().as_bytes()).unwrap().name,
            command.name
        );
    }
    assert!(
        lookup(b"nothing").is_none() && lookup(b"").is_none() && lookup(&[b'x'; 500]).is_none()
    );
}

#[test]
fn arities_are_exact_or_minimal() {
    let accepts = |name: &str, length| lookup(name.as_bytes()).unwrap().accepts(length);
    assert!(accepts("get", 2) && !accepts("get", 1) && !accepts("get", 3));
    assert!(accepts("set", 3) && accepts("set", 9) && !accepts("set", 2));
}

#[test]
fn keys_stand_where_the_table_says() {
    let positions = |name: &str, length| -> Vec<usize> {
        lookup(name.as_bytes())
            .unwrap()
            .keys
            .positions(length)
            .collect()
    };
    assert_eq!(positions("get", 2), [1]);
    assert_eq!(positions("mset", 5), [1, 3]);
    assert_eq!(positions("del", 4), [1, 2, 3]);
    assert_eq!(positions("rename", 3), [1, 2]);
    assert!(positions("ping", 1).is_empty());
    assert!(positions("mget", 1).is_empty());
}

#[test]
fn commands_on_one_key_wait_for_each_other_unless_both_read() {
    let waits = |later: &str, earlier: &str| footprint(later).waits_for(footprint(earlier));
    assert!(waits("GET k", "SET k v") && waits("SET k v", "GET k") && waits("SET k v", "SET k v"));
    assert!(
        !waits("GET k", "GET k") && !waits("GET k", "SET other v") && !waits("PING", "SET k v")
    );
    assert!(
        waits("MGET a k", "SET k v") && waits("SET k v", "SCAN 0") && !waits("KEYS *", "GET k")
    );
    assert!(waits("DEL k", "EXPIRE k 1") && !waits("DEL k", "DEL other"));
    assert!(
        waits("DEL a b", "GET c"),
        "of several keys any may be meant"
    );
}

#[test]
fn commands_on_the_connection_wait_for_everything_and_everything_for_them() {
    for line in [
        "HELLO 3",
        "EXEC",
        "AUTH x",
        "CLIENT REPLY OFF",
        "QUIT",
        "WAIT 0 0",
        "HENGE.QUORUM R 1",
    ] {
        assert_eq!(footprint(line), Footprint::Exclusive, "{line}");
        assert!(footprint(line).waits_for(footprint("PING")));
        assert!(footprint("PING").waits_for(footprint(line)));
    }
}

#[test]
fn unknown_commands_are_told_in_redis_words() {
    let text = |line: &str| with_args(line, |args| format!("{:?}", unknown_command(args)));
    assert!(
        text("FOO a b").contains("ERR unknown command 'FOO', with args beginning with: 'a' 'b' ")
    );
    assert!(text("FOO").contains("ERR unknown command 'FOO', with args beginning with: \""));
    let long = format!("FOO {} tail", "x".repeat(5000));
    assert!(
        text(&long).len() < 400,
        "what a client sent is not sent back whole"
    );
}

#[test]
fn no_command_of_the_recorded_session_stores_is_missing() {
    let needed = "get set setex psetex setnx getset getdel getex del unlink exists touch expire pexpire \
        expireat pexpireat ttl pttl expiretime pexpiretime persist scan keys mget mset incr incrby decr \
        decrby incrbyfloat append strlen getrange substr setrange type rename renamenx hset hmset hget \
        hmget hgetall hdel hlen hexists hkeys hvals hincrby hincrbyfloat hsetnx hscan sadd srem smembers \
        sismember smismember scard sscan multi exec discard watch unwatch ping echo hello auth select \
        client command config info time dbsize quit reset role wait cluster readonly flushdb flushall";
    for name in needed.split_whitespace() {
        assert!(lookup(name.as_bytes()).is_some(), "{name}");
    }
}

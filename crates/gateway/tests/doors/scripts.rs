//! The scripts of session stores and locks, sent as they are sent to Redis. Replies were compared with
//! redis-server 7.0.15; it differs for unknown scripts and for sums of scripts that nobody has sent.

use henge_gateway::Limits;

use crate::one_node::{Client, serve};

const RELEASE: &str = r#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#;
const RELEASE_SUM: &str = "b70c2384248f88e6b75b9f89241a180f856ad852";
const PROLONG: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end";
const EXTEND: &str = "local token = redis.call('get', KEYS[1]) if not token or token ~= ARGV[1] then return 0 end local expiration = redis.call('pttl', KEYS[1]) if not expiration then expiration = 0 end if expiration < 0 then return 0 end local newttl = ARGV[2] if ARGV[3] == \"0\" then newttl = ARGV[2] + expiration end redis.call('pexpire', KEYS[1], newttl) return 1";
const RENEW: &str = "local key = KEYS[1] local renew = tonumber(ARGV[1]) local data = redis.call('GET', key) local ttl = redis.call('TTL', key) if ttl > 0 then redis.call('EXPIRE', key, renew) end return data";
const TAKE: &str =
    "local v = redis.call('get', KEYS[1]) if v then redis.call('del', KEYS[1]) end return v";
const INCREMENT: &str = "local exists = redis.call('EXISTS', KEYS[1]) if (exists == 1) then return redis.call('INCRBY', KEYS[1], ARGV[1]) else return false end";
const COUNT: &str = "local c = redis.call('INCR', KEYS[1]) if c == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return c";
const ADD: &str =
    "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])";
const CACHE: &str = "redis.call('HSET', KEYS[1], 'absexp', ARGV[1], 'sldexp', ARGV[2], 'data', ARGV[4]) if ARGV[3] ~= '-1' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end return 1";
const SWEEP: &str = "local cursor = 0 repeat local result = redis.call('SCAN', cursor, 'MATCH', ARGV[1]) for _,key in ipairs(result[2]) do redis.call('UNLINK', key) end cursor = tonumber(result[1]) until cursor == 0";

fn eval(client: &mut Client, script: &str, keys: &str, args: &str) -> String {
    let keys: Vec<&str> = keys.split_whitespace().collect();
    let count = keys.len().to_string();
    let mut all = vec!["EVAL", script, &count];
    all.extend(keys);
    all.extend(args.split_whitespace());
    client.send_args(&all);
    client.reply()
}

#[test]
fn a_lock_is_released_and_prolonged_by_its_holder_alone() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    assert_eq!(client.ask("SET lock mine PX 5000 NX"), "+OK");
    assert_eq!(eval(client, RELEASE, "lock", "others"), ":0");
    assert_eq!(eval(client, PROLONG, "lock", "others 90000"), ":0");
    assert_eq!(eval(client, PROLONG, "lock", "mine 90000"), ":1");
    assert_eq!(client.ask("TTL lock"), ":90");
    assert_eq!(eval(client, EXTEND, "lock", "mine 10000 0"), ":1");
    assert_eq!(client.ask("TTL lock"), ":100");
    assert_eq!(eval(client, EXTEND, "lock", "mine 10000 1"), ":1");
    assert_eq!(client.ask("TTL lock"), ":10");
    assert_eq!(eval(client, EXTEND, "lock", "others 10000 1"), ":0");
    assert_eq!(client.ask("PERSIST lock"), ":1");
    let forever = eval(client, EXTEND, "lock", "mine 10000 0");
    assert_eq!(forever, ":0", "without a lifetime nothing is added");
    assert_eq!(eval(client, RELEASE, "lock", "mine"), ":1");
    assert_eq!(eval(client, RELEASE, "lock", "mine"), ":0");
    assert_eq!(client.ask("EXISTS lock"), ":0");
}

#[test]
fn one_of_many_takes_a_value_once() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    assert_eq!(eval(client, TAKE, "k", ""), "nil");
    client.ask("SET k once");
    let mut others: Vec<_> = (0..16).map(|_| served.client()).collect();
    for other in &mut others {
        other.send_args(&["EVAL", TAKE, "1", "k"]);
    }
    let taken: Vec<_> = others.iter_mut().map(Client::reply).collect();
    let winners = taken.iter().filter(|it| *it == "\"once\"").count();
    let losers = taken.iter().filter(|it| *it == "nil").count();
    assert_eq!((winners, losers), (1, 15), "{taken:?}");
}

#[test]
fn counters_and_caches() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    assert_eq!(eval(client, INCREMENT, "n", "5"), "nil");
    client.ask("SET n 2 EX 60");
    assert_eq!(eval(client, INCREMENT, "n", "5"), ":7");
    assert_eq!(client.ask("TTL n"), ":60");
    assert_eq!(eval(client, COUNT, "c", "30"), ":1");
    assert_eq!(client.ask("TTL c"), ":30");
    assert_eq!(eval(client, COUNT, "c", "90"), ":2");
    assert_eq!(client.ask("TTL c"), ":30");
    assert_eq!(eval(client, ADD, "a", "v 40"), "+OK");
    assert_eq!(eval(client, ADD, "a", "w 40"), "nil");
    assert_eq!(client.ask("GET a"), "\"v\"");
    assert_eq!(client.ask("TTL a"), ":40");
    assert_eq!(eval(client, RENEW, "a", "77"), "\"v\"");
    assert_eq!(client.ask("TTL a"), ":77");
    assert_eq!(eval(client, RENEW, "none", "77"), "nil");
    assert_eq!(eval(client, CACHE, "h", "111 222 33 data"), ":1");
    assert_eq!(client.ask("TTL h"), ":33");
    assert_eq!(eval(client, CACHE, "h", "-1 222 -1 other"), ":1");
    assert_eq!(client.ask("TTL h"), ":33");
    let fields = client.ask("HMGET h absexp sldexp data");
    assert_eq!(fields, "[\"-1\", \"222\", \"other\"]");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    client.ask("HSET h f v");
    client.ask("SET s v");
    for (script, key, args) in [
        (RELEASE, "h", "x"),
        (TAKE, "h", ""),
        (INCREMENT, "h", "1"),
        (CACHE, "s", "1 2 -1 d"),
    ] {
        let refused = eval(client, script, key, args);
        assert!(refused.starts_with("-WRONGTYPE"), "{refused}");
    }
    assert_eq!(client.ask("HGET h f"), "\"v\"");
    let text = eval(client, COUNT, "s", "9");
    assert!(text.starts_with("-ERR value is not an integer"), "{text}");
}

#[test]
fn all_that_match_are_deleted() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    for number in 0..50 {
        client.ask(&format!("SET a:{number} v"));
        client.ask(&format!("SET b:{number} v"));
    }
    assert_eq!(eval(client, SWEEP, "", "a:*"), "nil");
    assert_eq!(client.ask("KEYS a:*"), "[]");
    assert_eq!(client.ask("DBSIZE"), ":50");
}

#[test]
fn scripts_are_named_by_their_sums() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    client.ask("SET lock mine");
    let by_sum = client.ask(&format!("EVALSHA {RELEASE_SUM} 1 lock mine"));
    assert_eq!(by_sum, ":1", "known without having been sent");
    client.send_args(&["SCRIPT", "LOAD", COUNT]);
    let sum = client.reply().trim_matches('"').to_owned();
    assert_eq!(sum.len(), 40);
    let absent = "0".repeat(40);
    let exists = client.ask(&format!("SCRIPT EXISTS {sum} {absent}"));
    assert_eq!(exists, "[:1, :0]");
    assert_eq!(client.ask(&format!("EVALSHA {sum} 1 c 30")), ":1");
    assert_eq!(client.ask("SCRIPT FLUSH"), "+OK");
    let gone = "-NOSCRIPT No matching script. Please use EVAL.";
    assert_eq!(client.ask(&format!("EVALSHA {sum} 1 c 30")), gone);
    assert_eq!(client.ask(&format!("EVALSHA {absent} 0")), gone);
    // In a batch, as a command like any other.
    client.ask("SET lock mine");
    assert_eq!(client.ask("MULTI"), "+OK");
    let queued = client.ask(&format!("EVALSHA {RELEASE_SUM} 1 lock mine"));
    assert_eq!(queued, "+QUEUED");
    assert_eq!(client.ask("EXEC"), "[:1]");
}

#[test]
fn what_is_not_known_or_not_right_is_refused_in_words() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    let unknown = eval(client, "return 1", "", "");
    assert!(unknown.starts_with("-ERR unknown script"), "{unknown}");
    client.send_args(&["SCRIPT", "LOAD", "return 1"]);
    assert!(client.reply().starts_with("-ERR unknown script"));
    for (keys, words) in [
        ("x", "-ERR value is not an integer or out of range"),
        ("-1", "-ERR Number of keys can't be negative"),
        (
            "3",
            "-ERR Number of keys can't be greater than number of args",
        ),
    ] {
        client.send_args(&["EVAL", RELEASE, keys, "lock", "mine"]);
        assert_eq!(client.reply(), words);
    }
    let few = eval(client, RELEASE, "lock", "");
    assert_eq!(
        few,
        "-ERR this script needs 1 keys and 1 arguments, got 1 and 0"
    );
}

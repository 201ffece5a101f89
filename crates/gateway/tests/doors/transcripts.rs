//! Transcripts: commands and the exact replies of a one-node cluster. All of them were compared
//! with redis-server 7.0.15, except those under `HENGE`.

use henge_gateway::Limits;

use crate::one_node::{Client, serve};

/// Runs `command ⇒ reply` lines, in which `*` at the end of a reply stands for anything.
fn run(client: &mut Client, transcript: &str) {
    for line in transcript
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (command, wanted) = line.split_once(" ⇒ ").expect("command ⇒ reply");
        let got = client.ask(command);
        match wanted.strip_suffix('*') {
            Some(head) => assert!(got.starts_with(head), "{command}: {got}, wanted {wanted}"),
            None => assert_eq!(got, wanted, "{command}"),
        }
    }
}

fn transcript(text: &str) {
    let served = serve(None, Limits::default());
    run(&mut served.client(), text);
}

#[test]
fn strings() {
    transcript(
        r#"
        GET k ⇒ nil
        SET k v ⇒ +OK
        GET k ⇒ "v"
        SET k w NX ⇒ nil
        SET k w XX ⇒ +OK
        SET none w XX ⇒ nil
        SETNX k x ⇒ :0
        SETNX fresh x ⇒ :1
        SET k 2 GET ⇒ "w"
        SET k 3 NX GET ⇒ "2"
        GETSET k 4 ⇒ "2"
        GETSET other 1 ⇒ nil
        STRLEN k ⇒ :1
        APPEND k 56 ⇒ :3
        GETRANGE k 1 -1 ⇒ "56"
        SETRANGE k 1 xy ⇒ :3
        GET k ⇒ "4xy"
        SETRANGE none2 0  ⇒ :0
        GETDEL k ⇒ "4xy"
        GETDEL k ⇒ nil
        MSET a 1 b 2 a 3 ⇒ +OK
        MGET a b none a ⇒ ["3", "2", nil, "3"]
        MSETNX a 1 fresh2 2 ⇒ :0
        EXISTS fresh2 ⇒ :0
        MSETNX m1 1 m2 2 m1 3 ⇒ :1
        MGET m1 m2 ⇒ ["3", "2"]
        MSETNX m1 ⇒ -ERR wrong number of arguments for 'msetnx' command
        EXISTS a a b none ⇒ :3
        EXISTS a ⇒ :1
        DEL a a none b ⇒ :2
        DEL a ⇒ :0
        TYPE fresh ⇒ +string
        TYPE none ⇒ +none
        RENAME fresh moved ⇒ +OK
        RENAME fresh moved ⇒ -ERR no such key
        GET moved ⇒ "x"
        TOUCH moved none ⇒ :1
        UNLINK moved ⇒ :1
        "#,
    );
}

#[test]
fn numbers() {
    transcript(
        r#"
        INCR n ⇒ :1
        INCRBY n 41 ⇒ :42
        DECR n ⇒ :41
        DECRBY n 1 ⇒ :40
        DECRBY n -9223372036854775808 ⇒ -ERR decrement would overflow
        INCRBY n x ⇒ -ERR value is not an integer or out of range
        INCRBY n 9223372036854775807 ⇒ -ERR increment or decrement would overflow
        INCRBYFLOAT n 0.5 ⇒ "40.5"
        INCR n ⇒ -ERR value is not an integer or out of range
        SET text abc ⇒ +OK
        INCR text ⇒ -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn lifetimes() {
    transcript(
        r#"
        SET k v EX 120 ⇒ +OK
        TTL k ⇒ :120
        SET k v KEEPTTL ⇒ +OK
        TTL k ⇒ :120
        APPEND k v ⇒ :2
        TTL k ⇒ :120
        SET k v ⇒ +OK
        TTL k ⇒ :-1
        TTL none ⇒ :-2
        EXPIRE k 100 ⇒ :1
        EXPIRE k 50 GT ⇒ :0
        EXPIRE k 50 LT ⇒ :1
        EXPIRE k 70 NX ⇒ :0
        EXPIRE k 70 XX ⇒ :1
        TTL k ⇒ :70
        EXPIRE k 10 XX LT ⇒ :1
        PERSIST k ⇒ :1
        PERSIST k ⇒ :0
        EXPIRE k 10 XX LT ⇒ :0
        EXPIRE none 10 ⇒ :0
        GETEX k EX 30 ⇒ "v"
        TTL k ⇒ :30
        GETEX k PERSIST ⇒ "v"
        TTL k ⇒ :-1
        PEXPIREAT k 4102444800000 ⇒ :1
        PEXPIRETIME k ⇒ :4102444800000
        EXPIRETIME k ⇒ :4102444800
        EXPIRE k -1 ⇒ :1
        GET k ⇒ nil
        SETEX s 10 v ⇒ +OK
        PSETEX s 1500 v ⇒ +OK
        SET s v EX 0 ⇒ -ERR invalid expire time in 'set' command
        SETEX s 0 v ⇒ -ERR invalid expire time in 'setex' command
        EXPIRE s 9223372036854775807 ⇒ -ERR invalid expire time in 'expire' command
        EXPIRE s 10 NX XX ⇒ -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE s 10 FOO ⇒ -ERR Unsupported option FOO
        SET s v EXAT 1 ⇒ +OK
        EXISTS s ⇒ :0
        "#,
    );
}

#[test]
fn hashes_and_sets() {
    transcript(
        r#"
        HSET h a 1 b 2 a 3 ⇒ :2
        HSET h a 4 c 5 ⇒ :1
        HGET h a ⇒ "4"
        HMGET h a none ⇒ ["4", nil]
        HGETALL h ⇒ ["a", "4", "b", "2", "c", "5"]
        HLEN h ⇒ :3
        HEXISTS h a ⇒ :1
        HINCRBY h n 5 ⇒ :5
        HINCRBY h n -2 ⇒ :3
        HSET h t x ⇒ :1
        HINCRBY h t 1 ⇒ -ERR hash value is not an integer
        HINCRBYFLOAT h n 0.5 ⇒ "3.5"
        HINCRBYFLOAT h none +inf ⇒ -ERR value is NaN or Infinity
        HSETNX h a 1 ⇒ :0
        HDEL h a none t n ⇒ :3
        HKEYS h ⇒ ["b", "c"]
        HVALS h ⇒ ["2", "5"]
        HSCAN h 0 MATCH b* ⇒ ["0", ["b", "2"]]
        EXPIRE h 100 ⇒ :1
        HSET h d 1 ⇒ :1
        TTL h ⇒ :100
        TYPE h ⇒ +hash
        GET h ⇒ -WRONGTYPE Operation against a key holding the wrong kind of value
        INCR h ⇒ -WRONGTYPE Operation against a key holding the wrong kind of value
        SADD h x ⇒ -WRONGTYPE Operation against a key holding the wrong kind of value
        GETDEL h ⇒ -WRONGTYPE Operation against a key holding the wrong kind of value
        MGET h ⇒ [nil]
        HDEL h b c d ⇒ :3
        EXISTS h ⇒ :0
        SADD z a b c a ⇒ :3
        SADD z a d ⇒ :1
        SREM z d none ⇒ :1
        SMEMBERS z ⇒ ["a", "b", "c"]
        SISMEMBER z b ⇒ :1
        SMISMEMBER z b x ⇒ [:1, :0]
        SCARD z ⇒ :3
        TYPE z ⇒ +set
        HGET z a ⇒ -WRONGTYPE Operation against a key holding the wrong kind of value
        SREM z a b c ⇒ :3
        EXISTS z ⇒ :0
        SET z now-a-string ⇒ +OK
        HSET z a 1 ⇒ -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn transactions() {
    transcript(
        r#"
        MULTI ⇒ +OK
        SET k 1 ⇒ +QUEUED
        INCR k ⇒ +QUEUED
        HGET k f ⇒ +QUEUED
        EXEC ⇒ [+OK, :2, -WRONGTYPE Operation against a key holding the wrong kind of value]
        EXEC ⇒ -ERR EXEC without MULTI
        DISCARD ⇒ -ERR DISCARD without MULTI
        MULTI ⇒ +OK
        MULTI ⇒ -ERR MULTI calls can not be nested
        GET ⇒ -ERR wrong number of arguments for 'get' command
        EXEC ⇒ -EXECABORT Transaction discarded because of previous errors.
        WATCH k ⇒ +OK
        SET k 5 ⇒ +OK
        MULTI ⇒ +OK
        GET k ⇒ +QUEUED
        EXEC ⇒ nil
        WATCH k ⇒ +OK
        UNWATCH ⇒ +OK
        MULTI ⇒ +OK
        GET k ⇒ +QUEUED
        EXEC ⇒ ["5"]
        MULTI ⇒ +OK
        SET k 6 ⇒ +QUEUED
        DISCARD ⇒ +OK
        GET k ⇒ "5"
        "#,
    );
}

#[test]
fn connection_and_server() {
    transcript(
        r##"
        PING ⇒ +PONG
        PING hi ⇒ "hi"
        ECHO hi ⇒ "hi"
        SELECT 0 ⇒ +OK
        SELECT 16 ⇒ -ERR DB index is out of range
        SELECT -1 ⇒ -ERR DB index is out of range
        SELECT x ⇒ -ERR value is not an integer or out of range
        CLIENT SETNAME web ⇒ +OK
        CLIENT GETNAME ⇒ "web"
        CLIENT SETINFO LIB-NAME x ⇒ +OK
        CLIENT FOO ⇒ -ERR unknown subcommand 'FOO'. Try CLIENT HELP.
        CLIENT MAINT_NOTIFICATIONS ON ⇒ -ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.
        CLIENT SETNAME ⇒ -ERR wrong number of arguments for 'client|setname' command
        CLIENT LIST ⇒ "id=*
        CLIENT LIST TYPE normal ⇒ "id=*
        CLIENT LIST TYPE pubsub ⇒ ""
        CLIENT LIST TYPE replica ⇒ ""
        CLIENT LIST TYPE mistress ⇒ -ERR Unknown client type 'mistress'
        CLIENT LIST ID 9999999 ⇒ ""
        CLIENT LIST ID 1 x ⇒ -ERR Invalid client ID
        CLIENT LIST FOO ⇒ -ERR syntax error
        CONFIG GET save ⇒ ["save", ""]
        CONFIG GET foo ⇒ []
        CONFIG SET save 1 ⇒ -ERR Unsupported CONFIG parameter: save
        CONFIG RESETSTAT ⇒ +OK
        CLUSTER INFO ⇒ -ERR This instance has cluster support disabled
        READONLY ⇒ -ERR This instance has cluster support disabled
        ROLE ⇒ ["master", :0, []]
        COMMAND GETKEYS MSET a 1 b 2 ⇒ ["a", "b"]
        COMMAND GETKEYS EVAL x 2 a b c ⇒ ["a", "b"]
        COMMAND GETKEYS EVAL x 0 a b c ⇒ []
        COMMAND GETKEYS EVALSHA x 4 a b c ⇒ -ERR Invalid arguments specified for command
        COMMAND GETKEYS PING ⇒ -ERR The command has no key arguments
        COMMAND LIST FILTERBY PATTERN hs?t* ⇒ ["hset", "hsetnx"]
        COMMAND LIST FILTERBY ACLCAT transaction ⇒ ["discard", "exec", "multi", "unwatch", "watch"]
        COMMAND LIST FILTERBY MODULE json ⇒ []
        COMMAND LIST FILTERBY SIZE 3 ⇒ -ERR syntax error
        COMMAND LIST PATTERN l* ⇒ -ERR syntax error
        COMMAND INFO nothing ⇒ [nil]
        COMMAND DOCS nothing ⇒ []
        FOO a b ⇒ -ERR unknown command 'FOO', with args beginning with: 'a' 'b' *
        GET ⇒ -ERR wrong number of arguments for 'get' command
        AUTH x ⇒ -ERR AUTH <password> called without any password configured*
        AUTH other x ⇒ -WRONGPASS invalid username-password pair or user is disabled.
        HELLO 4 ⇒ -NOPROTO unsupported protocol version
        HELLO x ⇒ -ERR Protocol version is not an integer or out of range
        FLUSHALL ⇒ -ERR FLUSHALL is refused*
        INFO replication ⇒ "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
        INFO nothing ⇒ ""
        HELLO 3 ⇒ {"server": "redis", "version": "7.0.15", "proto": :3, "id": *
        CONFIG GET save ⇒ {"save": ""}
        GET none ⇒ nil
        RESET ⇒ +RESET
        CLIENT GETNAME ⇒ nil
        QUIT ⇒ +OK
        "##,
    );
}

#[test]
fn scans_see_every_key_once() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    for i in 0..250 {
        client.ask(&format!("SET scan:{i} v"));
    }
    client.ask("HSET scan:hash f v");
    let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
    loop {
        let reply = client.ask(&format!("SCAN {cursor} MATCH scan:* COUNT 10 TYPE string"));
        let texts: Vec<&str> = reply.split('"').skip(1).step_by(2).collect();
        cursor = texts[0].to_owned();
        let number: u64 = cursor.parse().unwrap();
        assert!(
            number < 1 << 53,
            "JavaScript clients hold a cursor in a double"
        );
        seen.extend(texts[1..].iter().map(|key| (*key).to_owned()));
        if cursor == "0" {
            break;
        }
    }
    seen.sort();
    let mut wanted: Vec<String> = (0..250).map(|i| format!("scan:{i}")).collect();
    wanted.sort();
    assert_eq!(seen, wanted, "each exactly once");
    assert_eq!(client.ask("DBSIZE"), ":251");
    assert_eq!(client.ask("KEYS scan:h*"), r#"["scan:hash"]"#);
}

#[test]
fn henge_extensions() {
    transcript(
        r#"
        HENGE.QUORUM ⇒ ["n", :3, "r", :2, "w", :2, "mode", "sloppy", "timeout_ms", :1000]
        HENGE.QUORUM R 1 W 3 STRICT TIMEOUT 500 ⇒ +OK
        HENGE.QUORUM ⇒ ["n", :3, "r", :1, "w", :3, "mode", "strict", "timeout_ms", :500]
        HENGE.QUORUM R 9 ⇒ -ERR R must be from 1 to 3, not 9
        HENGE.QUORUM RESET ⇒ +OK
        HENGE.GET k ⇒ ["values", [], "fields", [], "ttl_ms", :-2]
        HENGE.SET k v ⇒ ["applied", :1, "absorbed", :0]
        HENGE.SET k v NX ⇒ ["applied", :0, "absorbed", :0]
        HENGE.GET k ⇒ ["values", ["v"], "fields", [], "ttl_ms", :-1]
        HENGE.FSET h EX 100 FIELDS a 1 b 2 ⇒ ["applied", :1, "absorbed", :0]
        HGETALL h ⇒ ["a", "1", "b", "2"]
        HENGE.TOUCH h 500000 ⇒ ["applied", :1, "absorbed", :0]
        TTL h ⇒ :500
        HENGE.DEL h ⇒ ["applied", :1, "absorbed", :0]
        HENGE.DEL h ⇒ ["applied", :0, "absorbed", :0]
        HENGE.SET k v FOO ⇒ -ERR unknown option 'FOO'
        HENGE.GET k STALENESS 500 ⇒ ["values", ["v"], "fields", [], "ttl_ms", :-1]
        HENGE.GET k STALENESS ⇒ -ERR syntax error
        HENGE.GET k STALENESS soon ⇒ -ERR STALENESS must be a whole number from 0 on, not 'soon'
        HENGE.SET k v STALENESS 500 ⇒ -ERR unknown option 'STALENESS'
        HENGE.GET k RECEIPT ⇒ ["values", ["v"], "fields", [], "ttl_ms", :-1, "receipt", ["needed", *
        HENGE.EXPLAIN k ⇒ [["node", *
        HENGE.RING ⇒ "{*
        HENGE.MODEL ⇒ "{*
        HENGE.MODEL 3 ⇒ -ERR wrong number of arguments for 'henge.model' command
        HENGE.REPAIR ⇒ "{*
        HENGE.REPAIR START ⇒ "{*
        HENGE.REPAIR NOW ⇒ -ERR syntax error
        HENGE.EXPORT PREFIX nothing ⇒ "{*
        HENGE.EXPORT PARTITION ⇒ -ERR syntax error
        HENGE.EXPORT PARTITION 1024 ⇒ -ERR there is no partition 1024: they are numbered from 0 to 1023
        HENGE.EXPORT AFTER x ⇒ -ERR syntax error
        SET sess:1 v EX 100 ⇒ +OK
        DEL sess:1 ⇒ :1
        SET sess:1 late EX 100 ⇒ +OK
        GET sess:1 ⇒ nil
        HENGE.SET sess:1 later ⇒ ["applied", :0, "absorbed", :1]
        "#,
    );
}

/// What lies under `context` in an answer.
fn token(answer: &str) -> String {
    let mut words = answer.split('"').skip_while(|text| *text != "context");
    words.nth(2).expect("a context").to_owned()
}

#[test]
fn a_read_shows_what_its_token_names_or_fails() {
    let (served, other) = (
        serve(None, Limits::default()),
        serve(None, Limits::default()),
    );
    let (mut client, mut elsewhere) = (served.client(), other.client());
    let written = client.ask("HENGE.SET sess:1 alice EX 100 TOKEN");
    let shown = written.starts_with(r#"["applied", :1, "absorbed", :0, "context", ""#);
    assert!(shown && !written.contains("receipt"), "{written}");
    let login = token(&written);
    assert!(login.len() < 120, "{login}");
    let read = client.ask(&format!("HENGE.GET sess:1 R 1 AFTER {login}"));
    assert!(read.starts_with(r#"["values", ["alice"]"#), "{read}");
    let missed = elsewhere.ask(&format!("HENGE.GET sess:1 R 1 AFTER {login}"));
    assert_eq!(
        missed,
        "-FAILED needed 1 got 1: those that answered do not hold what has been seen before"
    );

    let touched = client.ask("HENGE.TOUCH sess:1 50000 TOKEN");
    let read = client.ask(&format!(
        "HENGE.GET sess:1 AFTER {} CONTEXT",
        token(&touched)
    ));
    let both = token(&read);
    let read = client.ask(&format!("HENGE.GET sess:1 AFTER {both}"));
    assert!(read.contains("alice"), "{read}");
    let gone = client.ask("HENGE.DEL sess:1 TOKEN RECEIPT");
    assert!(gone.contains("receipt"), "{gone}");
    for seen in [login, both, token(&gone)] {
        let read = client.ask(&format!("HENGE.GET sess:1 AFTER {seen}"));
        assert!(
            read.starts_with(r#"["values", [], "fields", [],"#),
            "{read}"
        );
    }
    let fields = client.ask("HENGE.FSET sess:2 TOKEN EX 60 FIELDS a 1 b 2");
    let read = client.ask(&format!("HENGE.GET sess:2 AFTER {}", token(&fields)));
    assert!(read.contains(r#"["a", "1", "b", "2"]"#), "{read}");
    for (command, answer) in [
        ("HENGE.GET sess:2 AFTER", "-ERR syntax error"),
        ("HENGE.GET sess:2 TOKEN", "-ERR unknown option 'TOKEN'"),
        ("HENGE.DEL sess:2 AFTER x", "-ERR unknown option 'AFTER'"),
        ("HENGE.GET sess:2 AFTER x", "-ERR the context is malformed"),
    ] {
        assert_eq!(client.ask(command), answer);
    }
    let of_another = client.ask(&format!("HENGE.GET sess:1 AFTER {}", token(&fields)));
    assert_eq!(of_another, "-ERR the context was not issued for this key");
}

#[test]
fn siblings_are_kept_until_a_context_resolves_them() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.ask("HENGE.SET siblings:k one");
    client.ask("HENGE.SET siblings:k two");
    let read = client.ask("HENGE.GET siblings:k CONTEXT");
    assert!(read.contains(r#"["two", "one"]"#), "{read}");
    let token = token(&read);
    let resolved = client.ask(&format!("HENGE.SET siblings:k three CONTEXT {token}"));
    assert!(
        resolved.starts_with(r#"["applied", :1"#) && resolved.contains("context"),
        "{resolved}"
    );
    assert!(client.ask("HENGE.GET siblings:k").contains(r#"["three"]"#));
    let other = client.ask(&format!("HENGE.SET siblings:other x CONTEXT {token}"));
    assert_eq!(other, "-ERR the context was not issued for this key");
    assert!(
        client
            .ask("HENGE.SET siblings:k x CONTEXT forged")
            .starts_with("-ERR the context")
    );
}

#[test]
fn everything_is_destroyed_where_that_is_allowed() {
    let served = serve(None, Limits::default());
    served.doors.allow_flush(true);
    let client = &mut served.client();
    for number in 0..300 {
        client.ask(&format!("SET k:{number} v"));
    }
    run(
        client,
        r#"
        SADD set a ⇒ :1
        HSET hash f v ⇒ :1
        DBSIZE ⇒ :302
        FLUSHALL NOW ⇒ -ERR syntax error
        FLUSHALL ASYNC SYNC ⇒ -ERR syntax error
        FLUSHALL ASYNC ⇒ +OK
        DBSIZE ⇒ :0
        SET k:1 again ⇒ +OK
        GET k:1 ⇒ "again"
        FLUSHDB ⇒ +OK
        EXISTS k:1 ⇒ :0
        "#,
    );
}

#[test]
fn a_database_has_its_own_keys() {
    let served = serve(None, Limits::default());
    served.doors.allow_flush(true);
    let client = &mut served.client();
    run(
        client,
        r#"
        SET k zero ⇒ +OK
        SELECT 3 ⇒ +OK
        GET k ⇒ nil
        MSET k three sess:1 user ⇒ +OK
        DBSIZE ⇒ :2
        SCAN 0 COUNT 100 MATCH k* ⇒ ["0", ["k"]]
        KEYS s* ⇒ ["sess:1"]
        EXISTS k nothing ⇒ :1
        RENAME k l ⇒ +OK
        MULTI ⇒ +OK
        SELECT 3 ⇒ +QUEUED
        APPEND l ! ⇒ +QUEUED
        EXEC ⇒ [+OK, :6]
        MULTI ⇒ +OK
        SELECT 0 ⇒ -ERR another database cannot be selected in a transaction
        EXEC ⇒ -EXECABORT*
        DEL sess:1 ⇒ :1
        SET sess:1 late ⇒ +OK
        GET sess:1 ⇒ nil
        RANDOMKEY ⇒ "l"
        SELECT 0 ⇒ +OK
        GET k ⇒ "zero"
        EXISTS l ⇒ :0
        DBSIZE ⇒ :1
        KEYS * ⇒ ["k"]
        SELECT 3 ⇒ +OK
        FLUSHDB ⇒ +OK
        DBSIZE ⇒ :0
        SET k again ⇒ +OK
        SELECT 5 ⇒ +OK
        RESET ⇒ +RESET
        GET k ⇒ "zero"
        FLUSHALL ⇒ +OK
        SELECT 3 ⇒ +OK
        EXISTS k ⇒ :0
        "#,
    );
}

#[test]
fn a_name_that_looks_like_another_databases_key_is_a_name() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    client.send_args(&[b"SET".as_slice(), b"\0\x03k", b"v"]);
    assert_eq!(client.reply(), "+OK");
    client.send_args(&[b"GET".as_slice(), b"\0\x03k"]);
    assert_eq!(client.reply(), "\"v\"");
    assert_eq!(client.ask("SELECT 3"), "+OK");
    assert_eq!(client.ask("GET k"), "nil");
}

#[test]
fn names_of_fields_and_members_are_any_bytes() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    let names = [
        "",
        "\0",
        "\0a",
        "\0\0principal",
        "\x01",
        "\x01\0a",
        "\x01\x01\0a",
        "a",
    ];
    for (at, name) in names.iter().enumerate() {
        for command in ["HSET h", "HSET sess:h"] {
            assert_eq!(
                client.ask(&format!("{command} {name} {at}")),
                ":1",
                "{name:?}"
            );
            assert_eq!(
                client.ask(&format!("{command} {name} {at}")),
                ":0",
                "{name:?}"
            );
        }
        assert_eq!(client.ask(&format!("SADD s {name}")), ":1", "{name:?}");
        assert_eq!(client.ask(&format!("SADD s {name}")), ":0", "{name:?}");
    }
    assert_eq!(client.ask("TYPE h"), "+hash");
    assert_eq!(client.ask("TYPE s"), "+set");
    for (at, name) in names.iter().enumerate() {
        assert_eq!(client.ask(&format!("HGET h {name}")), format!("\"{at}\""));
        assert_eq!(client.ask(&format!("HSETNX h {name} x")), ":0");
        assert_eq!(client.ask(&format!("SISMEMBER s {name}")), ":1");
        let sum = client.ask(&format!("HINCRBY h {name} 10"));
        assert_eq!(sum, format!(":{}", at + 10));
    }
    let keys = client.ask("HKEYS h");
    let members = client.ask("SMEMBERS s");
    for name in names {
        let shown = format!("{name:?}");
        assert!(keys.contains(&shown), "{shown} in {keys}");
        assert!(members.contains(&shown), "{shown} in {members}");
    }
    assert_eq!(client.ask("HLEN h"), ":8");
    assert_eq!(client.ask("SCARD s"), ":8");
    for (at, name) in names.iter().enumerate() {
        assert_eq!(client.ask(&format!("HDEL h {name}")), ":1", "{name:?}");
        assert_eq!(client.ask(&format!("SREM s {name}")), ":1", "{name:?}");
        let left = usize::from(at + 1 < names.len()).to_string();
        assert_eq!(client.ask("EXISTS h"), format!(":{left}"));
        assert_eq!(client.ask("EXISTS s"), format!(":{left}"));
    }
    for name in ["", "\0a"] {
        let refused = client.ask(&format!("HENGE.FSET h FIELDS {name} v"));
        assert!(refused.starts_with("-ERR HENGE.FSET"), "{refused}");
    }
}

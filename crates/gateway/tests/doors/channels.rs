//! Subscriptions, to which nothing ever comes. Replies were compared with redis-server 7.0.15.

use henge_gateway::Limits;

use crate::one_node::{Client, serve};

/// Sends a command and reads so many replies.
fn ask(client: &mut Client, line: &str, replies: usize) -> Vec<String> {
    client.send_args(&line.split(' ').collect::<Vec<_>>());
    (0..replies).map(|_| client.reply()).collect()
}

#[test]
fn each_channel_is_confirmed_with_how_many_there_are() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    assert_eq!(
        ask(client, "SUBSCRIBE a b", 2),
        [r#"["subscribe", "a", :1]"#, r#"["subscribe", "b", :2]"#]
    );
    assert_eq!(
        ask(client, "PSUBSCRIBE p*", 1),
        [r#"["psubscribe", "p*", :3]"#]
    );
    assert_eq!(
        ask(client, "SUBSCRIBE a", 1),
        [r#"["subscribe", "a", :3]"#],
        "twice is once"
    );
    assert_eq!(
        ask(client, "UNSUBSCRIBE", 2),
        [r#"["unsubscribe", "a", :2]"#, r#"["unsubscribe", "b", :1]"#]
    );
    assert_eq!(
        ask(client, "UNSUBSCRIBE x", 1),
        [r#"["unsubscribe", "x", :1]"#]
    );
    assert_eq!(
        ask(client, "PUNSUBSCRIBE", 1),
        [r#"["punsubscribe", "p*", :0]"#]
    );
    assert_eq!(
        ask(client, "PUNSUBSCRIBE", 1),
        [r#"["punsubscribe", nil, :0]"#]
    );
    assert_eq!(client.ask("SET k v"), "+OK");
}

#[test]
fn meanwhile_resp2_has_room_for_little_else_and_resp3_for_all() {
    let served = serve(None, Limits::default());
    let client = &mut served.client();
    client.ask("SUBSCRIBE a");
    assert_eq!(client.ask("PING"), r#"["pong", ""]"#);
    assert_eq!(client.ask("PING x"), r#"["pong", "x"]"#);
    for (line, name) in [("GET k", "get"), ("HELLO 3", "hello"), ("MULTI", "multi")] {
        let refused = format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        );
        assert_eq!(client.ask(line), refused);
    }
    assert_eq!(client.ask("RESET"), "+RESET");
    assert_eq!(client.ask("GET k"), "nil");

    client.ask("HELLO 3");
    assert_eq!(client.ask("SUBSCRIBE a"), r#">["subscribe", "a", :1]"#);
    assert_eq!(client.ask("PING"), "+PONG");
    assert_eq!(client.ask("SET k v"), "+OK");
    assert_eq!(
        ask(client, "UNSUBSCRIBE a b", 2),
        [
            r#">["unsubscribe", "a", :0]"#,
            r#">["unsubscribe", "b", :0]"#
        ]
    );
}

#[test]
fn what_is_published_reaches_nobody_and_says_so() {
    let served = serve(None, Limits::default());
    let (listener, client) = (&mut served.client(), &mut served.client());
    listener.ask("SUBSCRIBE a");
    assert_eq!(client.ask("PUBLISH a x"), ":0");
    assert_eq!(client.ask("PUBSUB CHANNELS"), "[]");
    assert_eq!(client.ask("PUBSUB NUMSUB a b"), r#"["a", :0, "b", :0]"#);
    assert_eq!(client.ask("PUBSUB NUMPAT"), ":0");
    assert!(
        client
            .ask("PUBSUB x")
            .starts_with("-ERR unknown subcommand")
    );
    assert_eq!(listener.ask("PING"), r#"["pong", ""]"#, "and nothing came");
    let many: Vec<String> = (0..1024).map(|channel| format!("c{channel}")).collect();
    let refused = listener.ask(&format!("SUBSCRIBE {}", many.join(" ")));
    assert_eq!(
        refused,
        "-ERR a client can subscribe to at most 1024 channels and patterns"
    );
}

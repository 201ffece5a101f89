//! Many commands at once: replies in order, effects in order, nothing lost at buffer ends.

use henge_gateway::Limits;

use crate::one_node::serve;

#[test]
fn five_thousand_commands_are_answered_in_order() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    let commands: String = (0..5000)
        .map(|i| format!("SET k{} {i}\r\nGET k{}\r\n", i % 700, i % 700))
        .collect();
    let mut sender = client.sender();
    let writer = std::thread::spawn(move || sender(commands.as_bytes()));
    for i in 0..5000 {
        assert_eq!(client.reply(), "+OK");
        assert_eq!(client.reply(), format!("\"{i}\""));
    }
    writer.join().unwrap();
}

#[test]
fn commands_on_one_key_take_effect_in_order_whatever_they_are() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.send(
        b"SET a 1 EX 60\r\nGET a\r\nINCR a\r\nEXPIRE a 30\r\nTTL a\r\nDEL a b\r\nEXISTS a\r\n\
          INCR a\r\nSET a 9 XX\r\nGETDEL a\r\nGET a\r\nSETNX a x\r\nMGET a a\r\nPING\r\n",
    );
    let wanted = [
        "+OK",
        "\"1\"",
        ":2",
        ":1",
        ":30",
        ":1",
        ":0",
        ":1",
        "+OK",
        "\"9\"",
        "nil",
        ":1",
        "[\"x\", \"x\"]",
        "+PONG",
    ];
    for reply in wanted {
        assert_eq!(client.reply(), reply);
    }
}

#[test]
fn a_large_value_in_small_pieces_is_the_same_value() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    let value = "x".repeat(2_000_000);
    let command = format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n",
        value.len()
    );
    for piece in command.as_bytes().chunks(10_007) {
        client.send(piece);
    }
    assert_eq!(client.reply(), "+OK");
    assert_eq!(client.ask("STRLEN k"), ":2000000");
    assert_eq!(client.ask("GET k").len(), 2_000_002);
}

#[test]
fn replies_switch_protocol_at_hello_and_not_before() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.send(b"CONFIG GET save\r\nGET none\r\nHELLO 3\r\nCONFIG GET save\r\n");
    assert_eq!(client.reply(), r#"["save", ""]"#);
    assert_eq!(client.reply(), "nil");
    assert!(client.reply().starts_with('{'));
    assert_eq!(client.reply(), r#"{"save": ""}"#);
}

#[test]
fn unwanted_replies_are_left_out() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.send(
        b"CLIENT REPLY SKIP\r\nSET a 1\r\nGET a\r\nCLIENT REPLY OFF\r\nSET a 2\r\nINCR a\r\n",
    );
    assert_eq!(client.reply(), "\"1\"");
    client.send(b"CLIENT REPLY ON\r\nGET a\r\n");
    assert_eq!(client.reply(), "+OK");
    assert_eq!(client.reply(), "\"3\"");
}

#[test]
fn what_was_sent_before_the_end_is_answered() {
    let served = serve(None, Limits::default());
    let mut client = served.client();
    client.send(b"SET a 1\r\nINCR a\r\nGET a\r\n");
    client.send_no_more();
    assert_eq!(
        [client.reply(), client.reply(), client.reply()],
        ["+OK", ":2", "\"2\""]
    );
    assert!(client.is_closed());
}

/// Short commands are executed together with those of other connections, long ones as they are read.
#[test]
fn short_and_long_commands_of_many_connections_keep_their_order() {
    let served = serve(None, Limits::default());
    let mut clients: Vec<_> = (0..40).map(|_| served.client()).collect();
    let lengths = [1, 480, 1_000, 1_030, 3_000, 500, 9_000];
    for round in 0..20 {
        let value = |client: usize| {
            let length = lengths[(client + round) % lengths.len()];
            char::from(b'a' + (round % 26) as u8)
                .to_string()
                .repeat(length)
        };
        for (nth, client) in clients.iter_mut().enumerate() {
            let key = format!("own:{nth}");
            client.send_args(&["SET", &key, &value(nth)]);
            client.send_args(&["INCR", "all"]);
            client.send_args(&["PING"]);
            client.send_args(&["STRLEN", &key]);
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.reply(), "+OK");
            assert!(client.reply().starts_with(':'), "a count");
            assert_eq!(client.reply(), "+PONG");
            assert_eq!(client.reply(), format!(":{}", value(nth).len()));
        }
    }
    assert_eq!(clients[0].ask("GET all"), format!("\"{}\"", 20 * 40));
}

#[test]
fn what_was_sent_before_the_client_went_is_executed() {
    let served = serve(None, Limits::default());
    let mut watcher = served.client();
    for round in 1..=20 {
        let mut client = served.client();
        // The answers that it leaves unread make its system reset the connection.
        client.send(b"PING\r\nPING\r\nINCR gone\r\n");
        drop(client);
        let begun = std::time::Instant::now();
        while watcher.ask("GET gone") != format!("\"{round}\"") {
            assert!(begun.elapsed().as_secs() < 10, "the last is not counted");
        }
    }
}

//! What the client repeats and what it never repeats, against scripted nodes.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use henge_client::{Client, Doubt, Error, Mode, Options, Ttl, Value, decode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a scripted node does with one command.
enum Act {
    Reply(String),
    Close,
    Hang,
    /// After this time; nothing behind it is answered before.
    Late(Duration, &'static str),
}

type Script = dyn Fn(&[String]) -> Act + Send + Sync;

/// A node that answers HELLO itself, everything else by its script, and keeps what it was sent.
struct FakeNode {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeNode {
    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    fn start(
        listener: TcpListener,
        script: impl Fn(&[String]) -> Act + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), log.clone()));
            }
        });
        Self { address, seen }
    }

    fn count(&self, word: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.split(' ').next() == Some(word))
            .count()
    }

    fn last(&self) -> String {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut buf = Vec::new();
    while stream.read_buf(&mut buf).await? > 0 {
        while let Some((Value::Array(items), used)) = decode(&buf, 1 << 20).unwrap() {
            buf.drain(..used);
            let words: Vec<String> = items.iter().filter_map(Value::text).collect();
            if words[0] == "HELLO" {
                stream.write_all(b"%1\r\n+server\r\n+fake\r\n").await?;
                continue;
            }
            log.lock().unwrap().push(words.join(" "));
            match script(&words) {
                Act::Reply(text) => stream.write_all(text.as_bytes()).await?,
                Act::Close => return Ok(()),
                Act::Hang => {}
                Act::Late(wait, text) => {
                    tokio::time::sleep(wait).await;
                    stream.write_all(text.as_bytes()).await?;
                }
            }
        }
    }
    Ok(())
}

/// A ring of one partition bit in which all nodes are primaries of everything, in the order given.
fn ring(tag: &str, nodes: &[&str]) -> Act {
    let members: Vec<_> = nodes
        .iter()
        .map(|resp| format!(r#"{{"id":"0","resp":"{resp}"}}"#))
        .collect();
    let all: Vec<_> = (0..nodes.len()).map(|index| index.to_string()).collect();
    let all = all.join(",");
    let members = members.join(",");
    let json = format!(
        r#"{{"tag":"{tag}","bits":1,"n":3,"members":[{members}],"partitions":[[{all}],[{all}]]}}"#
    );
    Act::Reply(format!("${}\r\n{json}\r\n", json.len()))
}

fn reply(text: &str) -> Act {
    Act::Reply(text.to_owned())
}

const GOT: &str = "%2\r\n$6\r\nvalues\r\n*1\r\n$1\r\nv\r\n$6\r\nttl_ms\r\n:1500\r\n";
const DONE: &str = "%1\r\n$7\r\napplied\r\n:1\r\n";

/// Two nodes; the first acts by `script`, the second answers everything well.
async fn pair(
    script: impl Fn(&[String]) -> Act + Send + Sync + 'static,
) -> (Client, FakeNode, FakeNode) {
    let options = Options::default().request_timeout(Duration::from_millis(600));
    pair_with(script, options).await
}

async fn pair_with(
    script: impl Fn(&[String]) -> Act + Send + Sync + 'static,
    options: Options,
) -> (Client, FakeNode, FakeNode) {
    let ((one, first), (two, second)) = (FakeNode::listen().await, FakeNode::listen().await);
    let nodes = [first.clone(), second.clone()];
    let told = nodes.clone();
    let one = FakeNode::start(one, move |words| match words[0].as_str() {
        "HENGE.RING" => ring("t", &[&told[0], &told[1]]),
        _ => script(words),
    });
    let two = FakeNode::start(two, move |words| match words[0].as_str() {
        "HENGE.RING" => ring("t", &[&nodes[0], &nodes[1]]),
        "HENGE.GET" => reply(GOT),
        _ => reply(DONE),
    });
    let client = Client::connect([one.address.clone()], options)
        .await
        .unwrap();
    (client, one, two)
}

#[tokio::test]
async fn a_read_moves_on_to_the_next_primary_when_the_connection_breaks() {
    let (client, one, two) = pair(|_| Act::Close).await;
    let got = client.get("k").await.unwrap();
    assert_eq!(got.value(), Some(&b"v"[..]));
    assert_eq!(got.ttl, Ttl::In(Duration::from_millis(1500)));
    assert_eq!((one.count("HENGE.GET"), two.count("HENGE.GET")), (1, 1));
}

#[tokio::test]
async fn a_write_that_may_have_happened_is_never_repeated() {
    let (client, one, two) = pair(|_| Act::Close).await;
    let error = client.set("k", "v").await.unwrap_err();
    assert!(
        matches!(error, Error::Unknown(Doubt::ConnectionLost(_))),
        "{error}"
    );
    assert_eq!((one.count("HENGE.SET"), two.count("HENGE.SET")), (1, 0));
}

#[tokio::test]
async fn an_idempotent_write_is_repeated_elsewhere() {
    let (client, one, two) = pair(|_| Act::Close).await;
    assert!(client.set("k", "v").idempotent().await.unwrap().applied);
    assert_eq!((one.count("HENGE.SET"), two.count("HENGE.SET")), (1, 1));
}

#[tokio::test]
async fn a_write_known_as_failed_is_repeated() {
    let (client, one, two) = pair(|_| reply("-FAILED needed 2 got 1\r\n")).await;
    assert!(client.set("k", "v").await.unwrap().applied);
    assert_eq!((one.count("HENGE.SET"), two.count("HENGE.SET")), (1, 1));
}

#[tokio::test]
async fn an_unknown_write_is_told_with_its_numbers() {
    let (client, _, two) = pair(|_| reply("-UNKNOWN needed 3 got 2\r\n")).await;
    let error = client.delete("k").await.unwrap_err();
    assert_eq!(error, Error::Unknown(Doubt::Quorum { needed: 3, got: 2 }));
    assert_eq!(two.count("HENGE.DEL"), 0);
}

#[tokio::test]
async fn a_node_that_hangs_costs_a_read_half_its_time_and_a_write_its_certainty() {
    let (client, _, _) = pair(|_| Act::Hang).await;
    assert_eq!(client.get("k").await.unwrap().value(), Some(&b"v"[..]));
    let error = client.set("k", "v").await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error}");
}

/// Found with real nodes, one of them stopped: for up to two time-outs every write that its keys' first
/// primary would have coordinated was sent to it, and ended as unknown.
#[tokio::test]
async fn a_node_that_owes_answers_is_passed_over_until_it_is_heard_again() {
    let patient = Options::default()
        .request_timeout(Duration::from_secs(30))
        .silence(Duration::from_millis(20));
    let late = Duration::from_millis(300);
    let (client, one, two) = pair_with(move |_| Act::Late(late, DONE), patient).await;
    let first = {
        let client = client.clone();
        tokio::spawn(async move { client.set("k", "first").await })
    };
    let short = Duration::from_millis(100);
    // The first few may be sent before the silence is long enough; they get their answers late.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while tokio::time::timeout(short, client.set("k", "v"))
        .await
        .is_err()
    {
        assert!(tokio::time::Instant::now() < deadline, "never passed over");
    }
    assert_eq!(two.count("HENGE.SET"), 1);
    assert!(
        first.await.unwrap().unwrap().applied,
        "it is waited for all the same"
    );
    let before = one.count("HENGE.SET");
    while one.count("HENGE.SET") == before {
        assert!(tokio::time::Instant::now() < deadline, "never asked again");
        let _ = tokio::time::timeout(short, client.set("k", "v")).await;
    }
}

#[tokio::test]
async fn a_refusal_is_final() {
    let (client, one, two) = pair(|_| reply("-ERR no\r\n")).await;
    assert_eq!(
        client.get("k").await.unwrap_err(),
        Error::Refused("ERR no".to_owned())
    );
    assert_eq!((one.count("HENGE.GET"), two.count("HENGE.GET")), (1, 0));
}

#[tokio::test]
async fn knobs_reach_the_wire() {
    let (client, one, _) =
        pair(|words| reply(if words[0] == "HENGE.GET" { GOT } else { DONE })).await;
    let second = Duration::from_secs(1);
    client
        .get("k")
        .r(2)
        .mode(Mode::Strict)
        .timeout(second)
        .context()
        .receipt()
        .await
        .unwrap();
    assert_eq!(
        one.last(),
        "HENGE.GET k R 2 STRICT TIMEOUT 1000 RECEIPT CONTEXT"
    );
    client
        .set("k", "v")
        .ttl(second)
        .if_absent()
        .w(2)
        .mode(Mode::Sloppy)
        .context("c")
        .await
        .unwrap();
    assert_eq!(one.last(), "HENGE.SET k v PX 1000 NX W 2 SLOPPY CONTEXT c");
    client
        .set_fields("k", [("f", "1"), ("g", "2")])
        .ttl(second)
        .w(3)
        .await
        .unwrap();
    assert_eq!(one.last(), "HENGE.FSET k PX 1000 W 3 FIELDS f 1 g 2");
    client.touch("k", second).w(1).await.unwrap();
    assert_eq!(one.last(), "HENGE.TOUCH k 1000 W 1");
}

#[tokio::test]
async fn many_reads_share_one_connection_and_keep_their_order() {
    let echo = |words: &[String]| {
        let key = &words[1];
        reply(&format!(
            "%1\r\n$6\r\nvalues\r\n*1\r\n${}\r\n{key}\r\n",
            key.len()
        ))
    };
    let (client, one, _) = pair(echo).await;
    let keys: Vec<String> = (0..2000).map(|n| format!("key-{n}")).collect();
    let got = client.get_many(&keys).await;
    for (key, got) in keys.iter().zip(got) {
        assert_eq!(got.unwrap().value(), Some(key.as_bytes()));
    }
    assert_eq!(one.count("HENGE.GET"), 2000);
}

#[tokio::test]
async fn plain_redis_is_recognised_and_served() {
    let (listener, address) = FakeNode::listen().await;
    let node = FakeNode::start(listener, |words| match words[0].as_str() {
        "GET" => reply("_\r\n"),
        "SET" => reply("+OK\r\n"),
        "PEXPIRE" | "DEL" => reply(":0\r\n"),
        other => reply(&format!("-ERR unknown command '{other}'\r\n")),
    });
    let client = Client::connect([address], Options::default())
        .await
        .unwrap();
    assert!(client.is_plain());
    assert!(client.get("k").r(2).await.unwrap().is_absent());
    assert!(
        client
            .set("k", "v")
            .ttl(Duration::from_secs(1))
            .await
            .unwrap()
            .applied
    );
    assert_eq!(node.last(), "SET k v PX 1000");
    assert!(!client.delete("k").await.unwrap().applied);
    assert!(
        !client
            .touch("k", Duration::from_secs(1))
            .await
            .unwrap()
            .applied
    );
    assert_eq!(client.quorum().await.unwrap(), None);
    assert!(matches!(
        client.set("k", "v").context("c").await,
        Err(Error::Refused(_))
    ));
}

#[tokio::test]
async fn nobody_there_is_told_as_unreachable() {
    let (listener, address) = FakeNode::listen().await;
    drop(listener);
    let error = Client::connect([address], Options::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

/// A port that answers whatever it hears with these bytes, and closes.
async fn not_a_node(says: &'static [u8]) -> String {
    let (listener, address) = FakeNode::listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 1024];
            if stream.read(&mut heard).await.is_ok() {
                let _ = stream.write_all(says).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_told_with_the_one_that_is_wanted() {
    for (says, told) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "it speaks HTTP"),
        (b"", "closed the connection"),
    ] {
        let address = not_a_node(says).await;
        let connected = Client::connect([&address], Options::default()).await;
        let error = connected.err().expect("that is no node").to_string();
        for word in [address.as_str(), told, "--listen-resp"] {
            assert!(error.contains(word), "{error}");
        }
    }
    let other = not_a_node(b"SSH-2.0\r\n").await;
    let error = Client::connect([&other], Options::default()).await.err();
    let text = error.expect("that is no node").to_string();
    assert!(text.contains("unknown reply type byte 0x53"), "{text}");
}

/// Operators name a node as they like; the ring names it by its number.
#[tokio::test]
async fn a_seed_is_asked_by_the_name_it_was_given() {
    let (listener, address) = FakeNode::listen().await;
    let named = address.replace("127.0.0.1", "localhost");
    let member = address.clone();
    let node = FakeNode::start(listener, move |words| match words[0].as_str() {
        "HENGE.RING" => ring("t1", &[&member]),
        _ => reply("$4\r\ntext\r\n"),
    });
    let client = Client::connect([&named], Options::default()).await.unwrap();
    for asked in [&named, &address] {
        assert_eq!(client.info(asked).await.as_deref(), Ok("text"));
    }
    assert_eq!(node.count("INFO"), 2);
    let stranger = client.info("127.0.0.1:1").await.unwrap_err();
    assert!(stranger.to_string().contains("no member at"), "{stranger}");
}

#[tokio::test]
async fn another_ring_tag_in_a_reply_brings_the_new_ring() {
    let (listener, address) = FakeNode::listen().await;
    let told = address.clone();
    let asked = Arc::new(Mutex::new(0));
    let _node = FakeNode::start(listener, move |words| match words[0].as_str() {
        "HENGE.RING" => {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            ring(if *asked == 1 { "old" } else { "new" }, &[&told])
        }
        _ => reply("%2\r\n$7\r\napplied\r\n:1\r\n$4\r\nring\r\n$3\r\nnew\r\n"),
    });
    let client = Client::connect([address], Options::default())
        .await
        .unwrap();
    assert_eq!(client.ring().unwrap().tag, "old");
    client.set("k", "v").await.unwrap();
    let fresh = async {
        while client.ring().unwrap().tag != "new" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), fresh)
        .await
        .expect("the ring is fetched again");
}

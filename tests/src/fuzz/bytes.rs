//! The decoders of plain bytes: both directions of the Redis protocol, batches between nodes, and
//! causal contexts.

use henge_client::{MAX_DEPTH, Value};
use henge_gateway::{DecodeLimits, Decoder};
use henge_ring::NodeId;
use henge_rpc::{Limits, Message, Messages, Refusal, Replies, Reply, WriteStatus};
use henge_versioning::{ActorId, Context, ContextKey, HlcTime, Life, Stamp, VersionVector};

use super::{Behaviour, Signature, Target, kind};
use crate::sim::Rng;

const RESP_TOKENS: &[&[u8]] = &[
    b"*",
    b"$",
    b"\r\n",
    b"\r",
    b"\n",
    b"-1",
    b"1\r\n",
    b"$1\r\na\r\n",
    b"*1\r\n",
    b"\"",
    b"'",
    b"\\x",
    b" ",
    b"*2\r\n$3\r\nGET\r\n",
    b"%1\r\n",
    b"_\r\n",
    b":1\r\n",
    b"~1\r\n",
    b">1\r\n",
];

pub(super) const RESP: Target = Target {
    name: "resp",
    about: "commands of Redis clients: the same in any pieces, and within the limits",
    longest: 4096,
    seeds: resp_seeds,
    tokens: RESP_TOKENS,
    make: || Box::new(resp),
};

fn resp_seeds() -> Vec<Vec<u8>> {
    [
        &b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"[..],
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n",
        b"PING\r\n\r\nSET \"a b\" 'c\\'d' \"\\x41\\n\"\r\n",
        b"*0\r\n*-1\r\n*1\r\n$0\r\n\r\n",
        b"*1\r\n*1\r\n$1\r\nx\r\n",
        b"*1000000000\r\n",
        b"*1\r\n$536870912\r\n",
        b"\"unbalanced\r\n",
        b"*2\r\n$-1\r\n$9223372036854775808\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

/// Small, so that inputs reach them.
const RESP_LIMITS: DecodeLimits = DecodeLimits {
    args: 16,
    bulk: 64,
    inline: 128,
    before_auth: false,
};

fn resp(input: &[u8], rng: &mut Rng) -> Behaviour {
    let whole = commands(&[input]);
    let pieces = cut(input, rng);
    assert_eq!(commands(&pieces), whole, "another result in pieces");
    let mut signature = Signature::default();
    signature.size(whole.0.len());
    if let Some(last) = whole.0.last() {
        signature.size(last.len()).size(last[0].len());
        signature.size(last.iter().map(Vec::len).max().unwrap_or(0));
    }
    signature.note(whole.1.unwrap_or_default()).behaviour()
}

fn cut<'a>(mut input: &'a [u8], rng: &mut Rng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let length = rng.between(1, input.len().min(24) as u64) as usize;
        let (piece, rest) = input.split_at(length);
        pieces.push(piece);
        input = rest;
    }
    pieces
}

type Commands = (Vec<Vec<Vec<u8>>>, Option<&'static str>);

/// Decodes what arrives in pieces, and checks the limits of what comes out.
fn commands(pieces: &[&[u8]]) -> Commands {
    let mut decoder = Decoder::new(RESP_LIMITS);
    let (mut buffer, mut commands) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.advance(&buffer) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return (commands, Some(error.kind())),
            }
            let args = decoder.args(&buffer);
            assert!((1..=RESP_LIMITS.args).contains(&args.len()));
            let args: Vec<Vec<u8>> = args.from(0).map(<[u8]>::to_vec).collect();
            let longest = RESP_LIMITS.bulk.max(RESP_LIMITS.inline);
            assert!(args.iter().all(|arg| arg.len() <= longest));
            commands.push(args);
            buffer.drain(..decoder.release());
        }
        buffer.drain(..decoder.skip());
    }
    (commands, None)
}

pub(super) const REPLY: Target = Target {
    name: "reply",
    about: "replies as the Rust client reads them: bounded, and incomplete until the last byte",
    longest: 16 * 1024,
    seeds: reply_seeds,
    tokens: RESP_TOKENS,
    make: || Box::new(reply),
};

fn reply_seeds() -> Vec<Vec<u8>> {
    [
        &b"+OK\r\n-ERR no\r\n:7\r\n$5\r\nvalue\r\n$-1\r\n_\r\n"[..],
        b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n*-1\r\n",
        b"%2\r\n+values\r\n*1\r\n$1\r\nv\r\n+ttl_ms\r\n:-1\r\n",
        b"#t\r\n,1.5\r\n,nan\r\n(123456789\r\n=7\r\ntxt:abc\r\n!3\r\nERR\r\n",
        b"~2\r\n+a\r\n+b\r\n>1\r\n+push\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

/// Longest reply accepted.
const REPLY_LIMIT: usize = 8 * 1024;

fn reply(mut input: &[u8], rng: &mut Rng) -> Behaviour {
    let mut signature = Signature::default();
    let mut values = 0;
    loop {
        match henge_client::decode(input, REPLY_LIMIT) {
            Ok(Some((value, used))) => {
                assert!((1..=input.len()).contains(&used));
                assert!(depth(&value) <= MAX_DEPTH + 1);
                let early = &input[..rng.below(used as u64) as usize];
                let told = henge_client::decode(early, REPLY_LIMIT);
                assert_eq!(told, Ok(None), "told of a reply that is not whole");
                values += 1;
                signature = Signature::default();
                describe(&value, &mut signature);
                signature.size(values);
                input = &input[used..];
            }
            Ok(None) => return signature.note("incomplete").size(input.len()).behaviour(),
            Err(error) => return signature.note(kind(&error)).behaviour(),
        }
    }
}

fn depth(value: &Value) -> u32 {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(pairs) => {
            let deepest = pairs
                .iter()
                .map(|(key, value)| depth(key).max(depth(value)));
            1 + deepest.max().unwrap_or(0)
        }
        _ => 1,
    }
}

fn describe(value: &Value, signature: &mut Signature) {
    let pairs = value.pairs();
    signature.size(pairs.len()).size(depth(value) as usize);
    signature.note([u8::from(value.integer().is_some())]);
    signature.size(value.text().map_or(0, |text| text.len()));
    signature.note([u8::from(value.field("values").is_some())]);
}

pub(super) const MESSAGES: Target = Target {
    name: "messages",
    about: "batches of messages between nodes: what is decoded encodes to the same bytes",
    longest: 4096,
    seeds: message_seeds,
    tokens: &[&[1], &[2], &[3], &[4], &[5], &[6], &[7], &[8]],
    make: || Box::new(messages),
};

/// One message of each kind.
pub(super) fn some_messages() -> Vec<Message<'static>> {
    let (key, record) = (&b"sess:1"[..], &b"not a record"[..]);
    let write = |hint_for| Message::Write {
        op: 1,
        hint_for,
        key,
        record,
    };
    vec![
        write(None),
        write(Some(NodeId([3; 16]))),
        Message::Read {
            op: 2,
            digest: 7,
            key,
        },
        Message::Repair { key, record },
        Message::Forward {
            op: 3,
            request: b"request",
        },
        Message::Forwarded {
            op: 4,
            outcome: b"outcome",
        },
    ]
}

fn message_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut seeds = Vec::new();
    for message in some_messages() {
        let mut one = Vec::new();
        message.encode(&mut one).expect("within the limits");
        all.extend_from_slice(&one);
        seeds.push(one);
    }
    seeds.push(all);
    seeds
}

/// Small, so that inputs reach them.
const BATCH_LIMITS: Limits = Limits {
    key: 64,
    record: 256,
    request: 256,
};

fn messages(input: &[u8], _: &mut Rng) -> Behaviour {
    let mut signature = Signature::default();
    let (mut encoded, mut tags) = (Vec::new(), 0_u16);
    let mut batch = Messages::new(input);
    for message in batch.by_ref() {
        match message {
            Ok(message) => {
                let before = encoded.len();
                message
                    .encode(&mut encoded)
                    .expect("it was within the limits");
                tags |= 1 << input[before];
            }
            Err(error) => {
                signature.note(kind(&error));
            }
        }
    }
    signature.note(tags.to_le_bytes()).size(encoded.len());
    assert!(batch.next().is_none(), "goes on after its end");
    assert!(input.starts_with(&encoded), "encodes to other bytes");
    for message in Messages::with_limits(input, BATCH_LIMITS).flatten() {
        if let Message::Write { key, record, .. } | Message::Repair { key, record } = message {
            assert!(key.len() <= BATCH_LIMITS.key && record.len() <= BATCH_LIMITS.record);
        }
    }
    signature.behaviour()
}

pub(super) const REPLIES: Target = Target {
    name: "replies",
    about: "batches of replies between nodes: what is decoded encodes to what decodes the same",
    longest: 4096,
    seeds: replies_seeds,
    tokens: &[&[1], &[2], &[3], &[4], &[5], &[6]],
    make: || Box::new(replies),
};

fn replies_seeds() -> Vec<Vec<u8>> {
    let status = WriteStatus::Absorbed;
    let reason = Refusal::Skew;
    let record = &b"not a record"[..];
    let all = [
        Reply::Wrote { op: 1, status },
        Reply::Refused { op: 2, reason },
        Reply::Same { op: 3 },
        Reply::Record { op: 4, record },
        Reply::Absent { op: 5 },
    ];
    let mut batch = Vec::new();
    for reply in all {
        reply.encode(&mut batch).expect("within the limits");
    }
    vec![batch]
}

fn replies(input: &[u8], _: &mut Rng) -> Behaviour {
    let mut signature = Signature::default();
    let (mut decoded, mut encoded) = (Vec::new(), Vec::new());
    for reply in Replies::new(input) {
        match reply {
            Ok(reply) => {
                reply
                    .encode(&mut encoded)
                    .expect("it was within the limits");
                decoded.push(reply);
            }
            Err(error) => {
                signature.note(kind(&error));
            }
        }
    }
    let again: Result<Vec<Reply<'_>>, _> = Replies::new(&encoded).collect();
    // Codes of refusals that are unknown become one that is known; all else is byte for byte.
    assert_eq!(again.as_ref(), Ok(&decoded));
    assert!(encoded.len() <= input.len());
    let records = decoded.iter();
    let records = records.filter(|reply| matches!(reply, Reply::Record { .. }));
    signature.size(records.count());
    signature
        .size(decoded.len())
        .size(encoded.len())
        .behaviour()
}

pub(super) const CONTEXT: Target = Target {
    name: "context",
    about: "causal contexts from clients: only what was issued is opened, and it is what it was",
    longest: 6000,
    seeds: context_seeds,
    tokens: &[b"A", b"_", b"-", b"=", b"AAAA"],
    make: || {
        let key = ContextKey::new(b"secret of the fuzzer");
        Box::new(move |input, _| context(input, &key))
    },
};

fn context_seeds() -> Vec<Vec<u8>> {
    let key = ContextKey::new(b"secret of the fuzzer");
    let stamp = Stamp {
        time: HlcTime::new(1_700_000_000_000, 3),
        actor: ActorId(9),
    };
    let life = Life {
        epoch: stamp,
        until: 1_700_000_060_000,
        deadline: Some(stamp),
        value: Some(stamp),
        fields: vec![(1, stamp), (2, Stamp::default())],
        ..Life::default()
    };
    let small = Context {
        vector: VersionVector::from_iter([(ActorId(1), 2), (ActorId(3), u64::MAX)]),
        life: Some(life),
    };
    let many = (0..400).map(|actor| (ActorId(actor), actor));
    let large = Context {
        vector: VersionVector::from_iter(many),
        ..Context::default()
    };
    [small, large, Context::default()]
        .map(|context| context.seal(&key, b"sess:1").into_bytes())
        .to_vec()
}

fn context(input: &[u8], key: &ContextKey) -> Behaviour {
    let mut signature = Signature::default();
    if let Ok(text) = std::str::from_utf8(input) {
        match Context::open(text, key, b"sess:1") {
            Ok(context) => {
                assert_eq!(context.seal(key, b"sess:1"), text, "another token for it");
                assert!(
                    Context::open(text, key, b"sess:2").is_err(),
                    "good elsewhere"
                );
                let fields = context.life.as_ref().map_or(0, |life| life.fields.len());
                signature
                    .note("opened")
                    .size(context.vector.len())
                    .size(fields);
            }
            Err(error) => {
                signature.note(kind(&error));
            }
        }
    }
    // The same bytes as another node sends them.
    if let Ok(context) = Context::decode(input) {
        let mut again = Vec::new();
        context.encode(&mut again);
        assert_eq!(Context::decode(&again), Ok(context), "lost on the way");
        signature.note("decoded");
    }
    // The same bytes as the content of a context: what is sealed opens again.
    let numbers: Vec<u64> = input
        .chunks_exact(8)
        .map(|eight| u64::from_le_bytes(eight.try_into().expect("eight bytes")))
        .collect();
    let actors = numbers.chunks_exact(2).map(|two| (ActorId(two[0]), two[1]));
    let made = Context {
        vector: VersionVector::from_iter(actors),
        life: None,
    };
    let token = made.seal(key, input);
    assert!(token.len() <= Context::MAX_LEN);
    let opened = Context::open(&token, key, input).expect("it was just sealed");
    assert!(
        made.vector.descends(&opened.vector),
        "it saw more than was sealed"
    );
    signature.size(opened.vector.len()).behaviour()
}

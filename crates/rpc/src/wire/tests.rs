//! Golden bytes, round trips, and hostile input.

use henge_ring::NodeId;
use proptest::prelude::*;

use super::*;

fn encoded(message: Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out).expect("within limits");
    out
}

fn encoded_reply(reply: Reply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(&mut out).expect("within limits");
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const OP: u64 = 0x0807_0605_0403_0201;

#[test]
fn golden_messages() {
    let (key, record) = (&b"k"[..], &b"rec"[..]);
    let write = |hint_for| Message::Write {
        op: OP,
        hint_for,
        key,
        record,
    };
    let table = [
        (
            write(None),
            "010102030405060708010003000000".to_owned() + "6b726563",
        ),
        (
            write(Some(NodeId([0xab; 16]))),
            "020102030405060708".to_owned() + &"ab".repeat(16) + "0100030000006b726563",
        ),
        (
            Message::Read {
                op: OP,
                digest: 0x1112,
                key,
            },
            "030102030405060708121100000000000001006b".to_owned(),
        ),
        (
            Message::Repair { key, record },
            "040100030000006b726563".to_owned(),
        ),
        (
            Message::Forward {
                op: OP,
                request: b"rq",
            },
            "050102030405060708020000007271".to_owned(),
        ),
        (
            Message::Forwarded {
                op: OP,
                outcome: b"",
            },
            "06010203040506070800000000".to_owned(),
        ),
        (Message::View { tag: OP }, "070102030405060708".to_owned()),
        (
            Message::Under { sets: &[7; 16] },
            "0802".to_owned() + &"07".repeat(16),
        ),
        (Message::Decided, "09".to_owned()),
    ];
    for (message, golden) in table {
        let bytes = encoded(message);
        assert_eq!(hex(&bytes), golden, "{message:?}");
        assert_eq!(Messages::new(&bytes).collect::<Vec<_>>(), [Ok(message)]);
    }
}

#[test]
fn golden_replies() {
    let op = OP;
    let refused = |reason| Reply::Refused { op, reason };
    let table = [
        (
            Reply::Wrote {
                op,
                status: WriteStatus::Applied,
            },
            "010102030405060708",
        ),
        (
            Reply::Wrote {
                op,
                status: WriteStatus::Absorbed,
            },
            "020102030405060708",
        ),
        (refused(Refusal::Full), "03010203040506070801"),
        (refused(Refusal::NotReady), "03010203040506070802"),
        (refused(Refusal::Stale), "03010203040506070803"),
        (refused(Refusal::TooLarge), "03010203040506070804"),
        (refused(Refusal::Skew), "03010203040506070805"),
        (refused(Refusal::Other), "030102030405060708ff"),
        (Reply::Same { op }, "040102030405060708"),
        (
            Reply::Record { op, record: b"rec" },
            "05010203040506070803000000726563",
        ),
        (Reply::Absent { op }, "060102030405060708"),
    ];
    for (reply, golden) in table {
        let bytes = encoded_reply(reply);
        assert_eq!(hex(&bytes), golden, "{reply:?}");
        assert_eq!(Replies::new(&bytes).collect::<Vec<_>>(), [Ok(reply)]);
    }
}

#[test]
fn a_refusal_of_a_later_version_reads_as_other() {
    let bytes = [3, 1, 0, 0, 0, 0, 0, 0, 0, 77];
    let expected = Reply::Refused {
        op: 1,
        reason: Refusal::Other,
    };
    assert_eq!(Replies::new(&bytes).collect::<Vec<_>>(), [Ok(expected)]);
}

#[test]
fn keys_at_and_over_the_limit() {
    for (len, fits) in [(1023, true), (1024, true), (1025, false)] {
        let key = vec![7; len];
        let mut out = Vec::new();
        let result = Message::Read {
            op: 1,
            digest: 0,
            key: &key,
        }
        .encode(&mut out);
        assert_eq!(result.is_ok(), fits, "{len}");
        assert_eq!(
            out.is_empty(),
            !fits,
            "nothing is left behind by a refused message"
        );
    }
}

#[test]
fn records_at_and_over_the_limit() {
    let cap = Limits::DEFAULT.record;
    for (len, fits) in [(cap - 1, true), (cap, true), (cap + 1, false)] {
        let record = vec![7; len];
        let mut out = Vec::new();
        assert_eq!(
            Message::Repair {
                key: b"k",
                record: &record
            }
            .encode(&mut out)
            .is_ok(),
            fits
        );
        assert_eq!(
            Reply::Record {
                op: 1,
                record: &record
            }
            .encode(&mut out)
            .is_ok(),
            fits
        );
    }
}

#[test]
fn decoding_refuses_a_length_over_the_limit_before_looking_for_its_bytes() {
    let limits = Limits {
        key: 2,
        record: 3,
        request: 4,
    };
    let long_key = encoded(Message::Read {
        op: 1,
        digest: 0,
        key: b"abc",
    });
    let over = OverLimit {
        part: "key",
        len: 3,
        cap: 2,
    };
    assert_eq!(
        Messages::with_limits(&long_key, limits).collect::<Vec<_>>(),
        [Err(WireError::OverLimit { at: 0, over })]
    );
    let mut announced = vec![5; 9];
    announced.extend_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        Messages::with_limits(&announced, limits).next(),
        Some(Err(WireError::OverLimit {
            over: OverLimit {
                part: "request",
                ..
            },
            ..
        }))
    ));
}

#[test]
fn what_stands_before_an_error_is_delivered_and_nothing_after_it() {
    let good = Message::Read {
        op: 9,
        digest: 0,
        key: b"k",
    };
    let mut batch = encoded(good);
    let at = batch.len();
    batch.push(99);
    batch.extend(encoded(good));
    assert_eq!(
        Messages::new(&batch).collect::<Vec<_>>(),
        [Ok(good), Err(WireError::UnknownTag { tag: 99, at })]
    );
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    #[test]
    fn messages_survive_the_wire(
        parts in prop::collection::vec((0u8..6, any::<u64>(), any::<Option<[u8; 16]>>(), blob(), blob()), 0..20)
    ) {
        let messages: Vec<_> = parts.iter().map(|(kind, op, node, key, blob)| match kind {
            0 => Message::Write { op: *op, hint_for: node.map(NodeId), key, record: blob },
            1 => Message::Read { op: *op, digest: !op, key },
            2 => Message::Repair { key, record: blob },
            3 => Message::Forward { op: *op, request: blob },
            4 => Message::View { tag: *op },
            _ => Message::Forwarded { op: *op, outcome: blob },
        }).collect();
        let mut batch = bytes::BytesMut::new();
        for message in &messages {
            message.encode(&mut batch).expect("within limits");
        }
        let decoded: Result<Vec<_>, _> = Messages::new(&batch).collect();
        prop_assert_eq!(decoded.expect("decodes"), messages);
    }

    #[test]
    fn a_batch_cut_anywhere_is_a_prefix_and_at_most_one_error(cut in 0usize..60, key in blob()) {
        let mut batch = Vec::new();
        for op in 0..4 {
            Message::Write { op, hint_for: None, key: &key, record: b"r" }.encode(&mut batch).unwrap();
        }
        let whole: Vec<_> = Messages::new(&batch).map(|m| m.expect("decodes")).collect();
        let cut = cut * batch.len() / 60;
        let parts: Vec<_> = Messages::new(&batch[..cut]).collect();
        let good = parts.iter().take_while(|part| part.is_ok()).count();
        prop_assert!(parts.len() - good <= 1);
        for (part, message) in parts[..good].iter().zip(&whole) {
            prop_assert_eq!(part.as_ref().unwrap(), message);
        }
    }

    #[test]
    fn random_bytes_never_panic_and_always_end(bytes in prop::collection::vec(0u8..8, 0..400)) {
        prop_assert!(Messages::new(&bytes).count() <= bytes.len());
        prop_assert!(Replies::new(&bytes).count() <= bytes.len());
        // Few bytes are tags or short lengths: random ones over the whole range die at once.
        let noise: Vec<u8> = bytes.iter().map(|byte| byte.wrapping_mul(89)).collect();
        prop_assert!(Messages::new(&noise).count() <= noise.len());
        prop_assert!(Replies::new(&noise).count() <= noise.len());
    }
}

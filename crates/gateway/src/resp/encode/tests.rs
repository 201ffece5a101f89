//! Exact bytes, and an independent decoder's opinion of them.

use bytes::Bytes;
use proptest::prelude::*;
use redis_protocol::resp3::{decode::complete::decode_bytes, types::BytesFrame};

use super::*;
use crate::resp::reply::Reply;

fn encoded(protocol: Protocol, reply: &Reply) -> String {
    let mut out = BytesMut::new();
    reply.write(&mut Writer::new(&mut out, protocol));
    out.escape_ascii().to_string()
}

#[test]
fn every_type_in_both_protocols() {
    let both = |reply: Reply| {
        (
            encoded(Protocol::Resp2, &reply),
            encoded(Protocol::Resp3, &reply),
        )
    };
    let pair = |two: &str, three: &str| (two.to_owned(), three.to_owned());
    assert_eq!(both(Reply::OK), pair("+OK\\r\\n", "+OK\\r\\n"));
    assert_eq!(
        both(Reply::error("ERR a\r\nb")),
        pair("-ERR a  b\\r\\n", "-ERR a  b\\r\\n")
    );
    assert_eq!(
        both(Reply::Integer(i64::MIN)).0,
        ":-9223372036854775808\\r\\n"
    );
    assert_eq!(both(Reply::Integer(0)).0, ":0\\r\\n");
    assert_eq!(
        both(Reply::text("ab")),
        pair("$2\\r\\nab\\r\\n", "$2\\r\\nab\\r\\n")
    );
    assert_eq!(both(Reply::Null), pair("$-1\\r\\n", "_\\r\\n"));
    assert_eq!(both(Reply::NullArray), pair("*-1\\r\\n", "_\\r\\n"));
    assert_eq!(
        both(Reply::Array(vec![Reply::Null])),
        pair("*1\\r\\n$-1\\r\\n", "*1\\r\\n_\\r\\n")
    );
    let map = Reply::Map(vec![(Reply::Integer(1), Reply::Integer(2))]);
    assert_eq!(
        both(map),
        pair("*2\\r\\n:1\\r\\n:2\\r\\n", "%1\\r\\n:1\\r\\n:2\\r\\n")
    );
    assert_eq!(both(Reply::Set(vec![])), pair("*0\\r\\n", "~0\\r\\n"));
    let text = Reply::Verbatim("hi".into());
    assert_eq!(both(text), pair("$2\\r\\nhi\\r\\n", "=6\\r\\ntxt:hi\\r\\n"));
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        Just(Reply::OK),
        Just(Reply::Null),
        any::<i64>().prop_map(Reply::Integer),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Reply::Bulk(Bytes::from(bytes))),
        "[a-z ]{0,20}".prop_map(|text| Reply::error(format!("ERR {text}"))),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(Reply::Array)
    })
}

fn agrees(ours: &Reply, theirs: &BytesFrame) -> bool {
    match (ours, theirs) {
        (Reply::Simple(text), BytesFrame::SimpleString { data, .. }) => text.as_bytes() == data,
        (Reply::Error(text), BytesFrame::SimpleError { data, .. }) => *text == **data,
        (Reply::Integer(value), BytesFrame::Number { data, .. }) => value == data,
        (Reply::Bulk(bytes), BytesFrame::BlobString { data, .. }) => bytes == data,
        (Reply::Null, BytesFrame::Null) => true,
        (Reply::Array(items), BytesFrame::Array { data, .. }) => {
            items.len() == data.len() && items.iter().zip(data).all(|(a, b)| agrees(a, b))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn another_decoder_reads_what_we_write(reply in any_reply()) {
        let mut out = BytesMut::new();
        reply.write(&mut Writer::new(&mut out, Protocol::Resp3));
        let bytes = out.freeze();
        let (frame, used) = decode_bytes(&bytes).unwrap().unwrap();
        prop_assert_eq!(used, bytes.len());
        prop_assert!(agrees(&reply, &frame), "{:?} was read as {:?}", reply, frame);
    }
}

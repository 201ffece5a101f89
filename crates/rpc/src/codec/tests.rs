//! The mirrors agree with tarpc's own types, and the bytes stay what they are.

use tarpc::context;

use super::*;

fn framed<T: Serialize>(tag: Tag, message: &T) -> Bytes {
    let mut out = Vec::new();
    encode(tag, message, FRAME_CAP, &mut out).expect("encodes");
    assert_eq!(frame_len(&out, FRAME_CAP), Ok(Some(out.len())));
    out.into()
}

fn back(frame: &Bytes) -> Inbound {
    decode(frame, context::current(), &Counter::default()).expect("decodes")
}

/// Every method, in wire order.
fn requests() -> Vec<PeerRequest> {
    let bytes = Bytes::from_static(b"abc");
    vec![
        PeerRequest::Apply {
            batch: bytes.clone(),
        },
        PeerRequest::ExchangeLog { log: bytes.clone() },
        PeerRequest::Scan {
            request: bytes.clone(),
        },
        PeerRequest::Status {},
        PeerRequest::Ping { number: 300 },
        PeerRequest::Reconcile {
            question: bytes.clone(),
        },
        PeerRequest::Gossip { frame: bytes },
    ]
}

fn responses() -> Vec<PeerResponse> {
    let bytes = Bytes::from_static(b"abc");
    vec![
        PeerResponse::Apply(bytes.clone()),
        PeerResponse::ExchangeLog(bytes.clone()),
        PeerResponse::Scan(bytes.clone()),
        PeerResponse::Status(bytes.clone()),
        PeerResponse::Ping(300),
        PeerResponse::Reconcile(bytes),
        PeerResponse::Gossip(()),
    ]
}

#[test]
fn what_tarpc_encodes_the_mirrors_decode() {
    for (id, message) in requests().into_iter().enumerate() {
        let expected = format!("{message:?}");
        let request = Request {
            context: context::current(),
            id: id as u64,
            message,
        };
        let Inbound::Request(ClientMessage::Request(decoded)) =
            back(&framed(Tag::Request, &ClientMessage::Request(request)))
        else {
            panic!("not a request")
        };
        assert_eq!(
            (decoded.id, format!("{:?}", decoded.message)),
            (id as u64, expected)
        );
        let left = decoded
            .context
            .deadline
            .saturating_duration_since(Instant::now());
        assert!(
            left > Duration::from_secs(5) && left <= Duration::from_secs(10),
            "{left:?}"
        );
    }
    for (id, response) in responses().into_iter().enumerate() {
        let expected = format!("{response:?}");
        let response = Response {
            request_id: id as u64,
            message: Ok(response),
        };
        let Inbound::Response(decoded) = back(&framed(Tag::Response, &response)) else {
            panic!("not a response")
        };
        assert_eq!(decoded.request_id, id as u64);
        assert_eq!(
            format!("{:?}", decoded.message.expect("a result")),
            expected
        );
    }
}

#[test]
fn cancellations_and_errors_survive_too() {
    let cancel: ClientMessage<PeerRequest> = ClientMessage::Cancel {
        trace_context: trace::Context::default(),
        request_id: 77,
    };
    let decoded = back(&framed(Tag::Request, &cancel));
    let Inbound::Request(ClientMessage::Cancel { request_id, .. }) = decoded else {
        panic!("not a cancellation")
    };
    assert_eq!(request_id, 77);
    for kind in [
        io::ErrorKind::WouldBlock,
        io::ErrorKind::InvalidData,
        io::ErrorKind::Other,
    ] {
        let error = ServerError::new(kind, "why".to_owned());
        let refused: Response<PeerResponse> = Response {
            request_id: 5,
            message: Err(error.clone()),
        };
        let Inbound::Response(decoded) = back(&framed(Tag::Response, &refused)) else {
            panic!("not a response")
        };
        assert_eq!(decoded.message.expect_err("an error"), error);
    }
}

#[test]
fn golden_responses() {
    let golden = [
        "0800000002090000".to_owned() + "03616263",
        "0800000002090001".to_owned() + "03616263",
        "0800000002090002".to_owned() + "03616263",
        "0800000002090003".to_owned() + "03616263",
        "0600000002090004".to_owned() + "ac02",
    ];
    for (response, golden) in responses().into_iter().zip(golden) {
        let frame = framed(
            Tag::Response,
            &Response {
                request_id: 9,
                message: Ok(response),
            },
        );
        assert_eq!(
            frame
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
            golden
        );
    }
}

#[test]
fn golden_methods() {
    let golden = [
        &b"\0\x03abc"[..],
        b"\x01\x03abc",
        b"\x02\x03abc",
        b"\x03",
        b"\x04\xac\x02",
        b"\x05\x03abc",
        b"\x06\x03abc",
    ];
    assert_eq!(requests().len(), golden.len());
    for (request, golden) in requests().into_iter().zip(golden) {
        assert_eq!(postcard::to_stdvec(&request).expect("encodes"), golden);
    }
}

#[test]
fn payloads_are_slices_of_the_frame() {
    let response = Response {
        request_id: 1,
        message: Ok(responses().remove(0)),
    };
    let frame = framed(Tag::Response, &response);
    let Inbound::Response(Response {
        message: Ok(PeerResponse::Apply(batch)),
        ..
    }) = back(&frame)
    else {
        panic!("not an answer to a batch")
    };
    assert!(frame.as_ptr_range().contains(&batch.as_ptr()));
}

#[test]
fn a_frame_over_the_cap_leaves_the_output_as_it_was() {
    let mut out = b"before".to_vec();
    let response = Response {
        request_id: 1,
        message: Ok(responses().remove(0)),
    };
    let fits = encode(Tag::Response, &response, 8, &mut out);
    assert_eq!((fits, out.len()), (Ok(()), 6 + 12));
    let over = encode(Tag::Response, &response, 7, &mut out);
    assert_eq!(
        (over, out.len()),
        (Err(FrameError::TooLarge { len: 8, cap: 7 }), 6 + 12)
    );
}

//! The decoder: whole, in pieces, at its limits, and on nonsense.

use proptest::prelude::*;

use super::*;

fn decoded(limits: DecodeLimits, bytes: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    pieces(limits, &[bytes])
}

/// Feeds the pieces one after the other, as reads from a socket would.
fn pieces(limits: DecodeLimits, pieces: &[&[u8]]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let (mut decoder, mut buffer, mut commands) = (Decoder::new(limits), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while decoder.advance(&buffer)? {
            commands.push(decoder.args(&buffer).from(0).map(<[u8]>::to_vec).collect());
            let used = decoder.release();
            buffer.drain(..used);
        }
        let skipped = decoder.skip();
        buffer.drain(..skipped);
    }
    Ok(commands)
}

fn command(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn encode(args: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[test]
fn a_pipeline_of_arrays_lines_and_nothing() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\n*0\r\n*-1\r\nPING \"a\\x41\\n\" 'b\\'c'\r\n*1\r\n$0\r\n\r\n";
    let wanted = vec![
        command(&["GET", "k"]),
        command(&["PING", "aA\n", "b'c"]),
        command(&[""]),
    ];
    assert_eq!(decoded(DecodeLimits::default(), bytes), Ok(wanted));
}

#[test]
fn errors_have_redis_words() {
    let text = |bytes: &[u8]| {
        decoded(DecodeLimits::default(), bytes)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text(b"*1000000000\r\n"),
        "Protocol error: invalid multibulk length"
    );
    assert_eq!(text(b"*x\r\n"), "Protocol error: invalid multibulk length");
    assert_eq!(
        text(b"*1\r\n*1\r\n"),
        "Protocol error: expected '$', got '*'"
    );
    assert_eq!(
        text(b"*1\r\nGET\r\n"),
        "Protocol error: expected '$', got 'G'"
    );
    assert_eq!(
        text(b"*1\r\n$-1\r\n"),
        "Protocol error: invalid bulk length"
    );
    assert_eq!(
        text(b"*1\r\n$536870912\r\n"),
        "Protocol error: invalid bulk length"
    );
    assert_eq!(
        text(b"*1\r\n$9223372036854775808\r\n"),
        "Protocol error: invalid bulk length"
    );
    assert_eq!(
        text(b"GET \"k\r\n"),
        "Protocol error: unbalanced quotes in request"
    );
    assert_eq!(
        text(b"GET \"k\"x\r\n"),
        "Protocol error: unbalanced quotes in request"
    );
    assert_eq!(
        text(&[b'a'; 70_000]),
        "Protocol error: too big inline request"
    );
    assert_eq!(
        text(&[[b'*'].as_slice(), &[b'1'; 70_000]].concat()),
        "Protocol error: too big mbulk count string"
    );
    assert_eq!(
        text(&[b"*1\r\n$".as_slice(), &[b'1'; 70_000]].concat()),
        "Protocol error: too big bulk count string"
    );
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = DecodeLimits {
        args: 3,
        bulk: 4,
        inline: 8,
        before_auth: false,
    };
    let of = |args: usize, size: usize| decoded(limits, &encode(&vec![vec![b'x'; size]; args]));
    assert!(of(3, 4).is_ok() && of(2, 3).is_ok());
    assert_eq!(of(4, 4), Err(ProtocolError::ArrayLength));
    assert_eq!(of(3, 5), Err(ProtocolError::BulkLength));
    assert!(
        decoded(limits, b"a b c 78\n").is_err(),
        "four words are one too many"
    );
    assert!(decoded(limits, b"a b 5678\n").is_ok());
    assert_eq!(
        decoded(limits, b"a b 56789\n"),
        Err(ProtocolError::InlineLength)
    );
}

#[test]
fn before_authentication_less_is_accepted() {
    let of = |args: usize, size: usize| {
        decoded(
            DecodeLimits::BEFORE_AUTH,
            &encode(&vec![vec![b'x'; size]; args]),
        )
    };
    assert!(of(10, 16 * 1024).is_ok());
    assert_eq!(of(11, 1), Err(ProtocolError::ArrayLengthBeforeAuth));
    assert_eq!(
        of(1, 16 * 1024 + 1),
        Err(ProtocolError::BulkLengthBeforeAuth)
    );
}

#[test]
fn an_unfinished_command_is_looked_at_once() {
    let mut decoder = Decoder::new(DecodeLimits::default());
    let bytes = encode(&vec![b"key".to_vec(); 1000]);
    for end in 0..bytes.len() {
        assert_eq!(decoder.advance(&bytes[..end]), Ok(false));
        assert!(
            decoder.position <= end && decoder.position + 16 >= end,
            "it falls behind"
        );
    }
    assert_eq!(decoder.advance(&bytes), Ok(true));
    assert_eq!(decoder.args(&bytes).len(), 1000);
    assert_eq!(decoder.release(), bytes.len());
}

#[test]
fn decimals_are_read_as_redis_reads_them() {
    for (text, value) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
        assert_eq!(decimal(text.as_bytes()), Some(value));
    }
    assert_eq!(decimal(b"-9223372036854775808"), Some(i64::MIN));
    for text in [
        "",
        "-",
        "+1",
        "01",
        "-0",
        " 1",
        "1 ",
        "1a",
        "9223372036854775808",
    ] {
        assert_eq!(decimal(text.as_bytes()), None, "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_encoded_is_decoded(
        commands in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12), 0..6)
    ) {
        let bytes: Vec<u8> = commands.iter().flat_map(|args| encode(args)).collect();
        prop_assert_eq!(decoded(DecodeLimits::default(), &bytes), Ok(commands));
    }

    #[test]
    fn cut_at_every_byte_is_the_same_as_whole(bytes in nearly_protocol()) {
        let whole = decoded(DecodeLimits::default(), &bytes);
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            prop_assert_eq!(&pieces(DecodeLimits::default(), &[left, right]), &whole);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&pieces(DecodeLimits::default(), &single), &whole);
    }

    #[test]
    fn nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decoded(DecodeLimits { args: 4, bulk: 16, inline: 32, before_auth: false }, &bytes);
    }
}

/// Bytes that look like the protocol often enough to reach every state.
fn nearly_protocol() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "*1\r\n",
        "*2\r\n",
        "*-1\r\n",
        "$3\r\nGET\r\n",
        "$1\r\nk\r\n",
        "$0\r\n\r\n",
        "PING\r\n",
        "\r\n",
        "\n",
        "'a b'\n",
        "\"\\x4",
        "*",
        "$",
        "1",
        "\r",
        "x ",
        "$5\r\n",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

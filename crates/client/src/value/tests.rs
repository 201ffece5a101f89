//! Laws of the reply decoder.

use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 20;

/// The other direction, for the round trip only.
fn encode(value: &Value, out: &mut Vec<u8>) {
    let line =
        |out: &mut Vec<u8>, kind: char, text: &str| out.extend(format!("{kind}{text}\r\n").bytes());
    match value {
        Value::Null => out.extend(b"_\r\n"),
        Value::Simple(text) => line(out, '+', std::str::from_utf8(text).unwrap()),
        Value::Error(text) => line(out, '-', std::str::from_utf8(text).unwrap()),
        Value::Integer(number) => line(out, ':', &number.to_string()),
        Value::Double(number) => line(out, ',', &number.to_string()),
        Value::Boolean(flag) => line(out, '#', if *flag { "t" } else { "f" }),
        Value::Bulk(bytes) => {
            line(out, '$', &bytes.len().to_string());
            out.extend_from_slice(bytes);
            out.extend(b"\r\n");
        }
        Value::Array(items) => {
            line(out, '*', &items.len().to_string());
            items.iter().for_each(|item| encode(item, out));
        }
        Value::Map(pairs) => {
            line(out, '%', &pairs.len().to_string());
            pairs.iter().for_each(|(k, v)| {
                encode(k, out);
                encode(v, out);
            });
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        "[ -~]{0,20}".prop_map(|text| Value::Simple(text.into())),
        "[A-Z]{1,8} [ -~]{0,20}".prop_map(|text| Value::Error(text.into())),
        any::<i64>().prop_map(Value::Integer),
        (-1e9..1e9f64).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| Value::Bulk(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_survives_the_round_trip(value in value(), tail in prop::collection::vec(any::<u8>(), 0..8)) {
        let mut wire = Vec::new();
        encode(&value, &mut wire);
        let len = wire.len();
        wire.extend(tail);
        prop_assert_eq!(decode(&wire, MAX), Ok(Some((value, len))));
    }

    #[test]
    fn every_prefix_is_incomplete_and_never_wrong(value in value()) {
        let mut wire = Vec::new();
        encode(&value, &mut wire);
        for cut in 0..wire.len() {
            prop_assert_eq!(decode(&wire[..cut], MAX), Ok(None));
        }
    }

    #[test]
    fn no_input_panics_or_consumes_more_than_it_got(wire in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some((_, used))) = decode(&wire, MAX) {
            prop_assert!(used <= wire.len());
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let bomb = b"*1\r\n".repeat(100_000);
    assert_eq!(decode(&bomb, MAX), Err(DecodeError::TooDeep));
}

#[test]
fn lengths_are_bounded_before_the_bytes_arrive() {
    let huge = b"$9223372036854775807\r\n";
    assert!(matches!(
        decode(huge, MAX),
        Err(DecodeError::TooLarge { .. })
    ));
    assert!(matches!(
        decode(b"*99999999\r\n", MAX),
        Err(DecodeError::TooLarge { .. })
    ));
    assert_eq!(decode(b"$-2\r\n", MAX), Err(DecodeError::Line));
    assert_eq!(decode(b"$1\r\nabc", MAX), Err(DecodeError::Line));
}

#[test]
fn a_flat_array_reads_as_a_map() {
    let (value, _) = decode(b"*4\r\n$1\r\nr\r\n:2\r\n$1\r\nw\r\n$1\r\n3\r\n", MAX)
        .unwrap()
        .unwrap();
    assert_eq!(value.field("r").and_then(Value::integer), Some(2));
    assert_eq!(value.field("w").and_then(Value::integer), Some(3));
    assert_eq!(value.field("x"), None);
}

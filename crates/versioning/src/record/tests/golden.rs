//! The encoding as it stands on disks and wires. A change here is a change of format.

use super::*;
use crate::{VersionVector, delta, siblings};

/// Bytes from hexadecimal, with names for two stamps. Spaces are for the reader.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let text = text.replace("EPOCH", EPOCH).replace("LATER", LATER);
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits
        .chunks(2)
        .map(|pair| byte(pair).expect("hex digits"))
        .collect()
}

const EPOCH: &str = "0100000000000000 0a00000000000000";
const LATER: &str = "0200000000000000 0b00000000000000";

fn check(text: &str, write: impl FnOnce(&mut Vec<u8>, Stamp, Stamp)) {
    let mut bytes = Vec::new();
    write(&mut bytes, stamp(1, 10), stamp(2, 11));
    assert_eq!(bytes, hex(text), "got {bytes:02x?}");
    parse(&bytes);
}

#[test]
fn values() {
    check("09 EPOCH 881300000000 6869", |out, epoch, _| {
        delta::begin(out, epoch, 5000, b"hi")
    });
    check("29 EPOCH", |out, epoch, _| {
        delta::begin(out, epoch, NEVER, b"")
    });
    check("02 EPOCH LATER 76", |out, epoch, later| {
        delta::put(out, epoch, later, None, b"v")
    });
    check("12 EPOCH LATER 050000000000 76", |out, epoch, later| {
        delta::put(out, epoch, later, Some(5), b"v");
    });
    check(
        "99 EPOCH LATER 050000000000 070000000000 76",
        |out, epoch, later| {
            let value = Cell::Register(Register {
                stamp: epoch,
                value: Some(b"v"),
            });
            let record = Record {
                horizon: 7,
                body: [(&b""[..], value)].into(),
                ..Record::new(epoch)
            };
            record.with_deadline(later, Some(5)).encode(out);
        },
    );
}

#[test]
fn records_without_a_body() {
    check("18 EPOCH LATER 050000000000", |out, epoch, later| {
        delta::expire(out, epoch, later, 5)
    });
    check("85 EPOCH 050000000000", |out, epoch, _| {
        delta::bury(out, epoch, 5)
    });
    check("45 EPOCH", |out, epoch, _| delta::bury(out, epoch, NEVER));
    check("05 EPOCH", |out, epoch, _| delta::bury(out, epoch, 0));
    check("80 EPOCH 050000000000", |out, epoch, _| {
        delta::retain(out, epoch, 5)
    });
    check("c0 EPOCH 00 070000000000", |out, epoch, _| {
        delta::cap(out, epoch, 7)
    });
    check(
        "d8 EPOCH LATER 050000000000 02 050000000000 070000000000",
        |out, epoch, later| {
            let capped = Record {
                cap: 5,
                ..Record::new(epoch)
            };
            capped.with_deadline(later, Some(7)).encode(out);
        },
    );
}

#[test]
fn fields() {
    check("2b EPOCH 0161 01 0131 0162 01 00", |out, epoch, _| {
        delta::begin_fields(out, epoch, NEVER, &[(b"b", b""), (b"a", b"1")]);
    });
    check(
        "03 EPOCH 0161 11 LATER 0131 0162 08",
        |out, epoch, later| {
            delta::put_fields(out, epoch, later, None, &[(b"a", Some(b"1")), (b"b", None)]);
        },
    );
    let zero = "00".repeat(16);
    let counter = format!("03 EPOCH 016e 12 {zero} 01 0b00000000000000 00 ac02");
    check(&counter, |out, epoch, later| {
        delta::add(out, None, epoch, later, None, b"n", -300).expect("small");
    });
    check(
        "03 EPOCH 0173 03 02 11 LATER 0178 09 0179",
        |out, epoch, later| {
            delta::insert(out, epoch, later, None, b"s", &[b"y", b"x"]);
        },
    );
}

#[test]
fn siblings_with_their_dots() {
    let zero = "00".repeat(16);
    let text = format!("3c {zero} LATER 01 0b00000000000000 03 01 0200000000000000 0176");
    check(&text, |out, _, later| {
        let seen = VersionVector::from_iter([(later.actor, 2)]);
        siblings::put(None, &seen, later.actor, b"v", later, None, out);
    });
}

#[test]
fn digests() {
    let mut record = Vec::new();
    delta::begin(&mut record, stamp(1, 10), 5000, b"hi");
    assert_eq!(parse(&record).digest(), 7_666_431_002_836_247_724);
}

//! Bytes that would mean a record but are not its canonical encoding, and bytes that mean none.

use super::golden::hex;
use super::*;

fn refuse(text: &str, why: &'static str) {
    assert_eq!(
        RecordRef::parse(&hex(text)).err(),
        Some(DecodeError(why)),
        "{text}"
    );
}

#[test]
fn headers() {
    refuse("", "it ends early");
    refuse("09 EPOCH 8813000000", "it ends early");
    refuse("06 EPOCH", "its format is unknown");
    refuse("07 EPOCH", "its format is unknown");
    refuse("00 EPOCH 76", "it has a body where none belongs");
    refuse("05 EPOCH 76", "it has a body where none belongs");
    refuse("0d EPOCH 050000000000", "dead, with a deadline");
    refuse("02 EPOCH EPOCH 76", "the value's stamp repeats the epoch");
    refuse(
        "19 EPOCH EPOCH 050000000000",
        "the deadline's stamp repeats another",
    );
    refuse(
        "1a EPOCH LATER LATER 050000000000",
        "the deadline's stamp repeats another",
    );
    refuse("10 EPOCH 050000000000", "a deadline without a stamp");
    refuse("11 EPOCH 050000000000", "a deadline without a stamp");
    refuse("20 EPOCH", "a deadline without a stamp");
    refuse("c0 EPOCH", "it ends early");
    refuse("c0 EPOCH 03 050000000000", "its horizon's form is unknown");
    refuse(
        "d8 EPOCH LATER 060000000000 00 050000000000",
        "the deadline is after the cap",
    );
    refuse("c5 EPOCH 00 050000000000", "dead, with a cap");
    refuse(
        "80 EPOCH 000000000000",
        "the horizon is not after the deadline",
    );
    refuse(
        "88 EPOCH 050000000000 050000000000",
        "the horizon is not after the deadline",
    );
    refuse("68 EPOCH", "the horizon is not after the deadline");
}

#[test]
fn fields() {
    let order = "its fields are out of order";
    let tag = "a cell's tag is unknown";
    let repeats = "a stamp repeats another";
    let unnamed = "one unnamed value, written as a field";
    refuse("03 EPOCH", "fields without a field");
    refuse("03 EPOCH 00 01 0176", unnamed);
    refuse("03 EPOCH 00 04 00", unnamed);
    refuse("03 EPOCH 0162 00 0161 00", order);
    refuse("03 EPOCH 0161 00 0161 00", order);
    refuse("03 EPOCH 0161", "it ends early");
    refuse("03 EPOCH 0161 01 0276", "it ends early");
    refuse("03 EPOCH 8100 00", "a number is not in its shortest form");
    refuse("03 EPOCH 0161 05", tag);
    refuse("03 EPOCH 0161 20", tag);
    refuse("03 EPOCH 0161 08", tag);
    refuse("03 EPOCH 0161 10 EPOCH", repeats);
    refuse("03 EPOCH 0161 10 LATER 0162 10 LATER", repeats);
}

#[test]
fn cells() {
    let order = "a cell's entries are out of order";
    let events = "more values than events";
    let (one, two) = ("0100000000000000", "0200000000000000");
    refuse(
        &format!("03 EPOCH 0161 02 02 {two} 00 00 {one} 00 00"),
        order,
    );
    refuse(&format!("03 EPOCH 0161 02 02 {one} 00 00"), "it ends early");
    refuse("03 EPOCH 0161 03 02 01 0178 01 0178", order);
    refuse("03 EPOCH 0161 03 01 02 0178", "a cell's tag is unknown");
    refuse("03 EPOCH 0161 13 LATER 00", "a cell's tag is unknown");
    refuse("03 EPOCH 0161 03 ffffffffffffffffff01", "it ends early");
    refuse(&format!("04 EPOCH 02 {two} 01 00 {one} 01 00"), order);
    refuse(&format!("04 EPOCH 01 {one} 00 00"), events);
    refuse(
        &format!("04 EPOCH 01 {one} 01 02 {one} 00 {one} 00"),
        events,
    );
    refuse(
        &format!("04 EPOCH 01 {one} 01 00 00"),
        "something follows the siblings",
    );
    refuse("04 EPOCH", "it ends early");
}

//! Names and stored keys are one to one in each database, and only keys are renamed.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::resp::{
    commands::lookup,
    decode::{DecodeLimits, Decoder},
};

fn any_database() -> impl Strategy<Value = Database> {
    (0..Database::COUNT).prop_map(Database)
}

/// Names, of which many begin like marks.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let begins = prop_oneof![
        Just(vec![]),
        Just(vec![0]),
        (0..20_u8).prop_map(|n| vec![0, n])
    ];
    (begins, vec(any::<u8>(), 0..6)).prop_map(|(begins, rest)| [begins, rest].concat())
}

proptest! {
    #[test]
    fn a_stored_key_has_its_name_in_its_database_and_none_elsewhere(
        database in any_database(), other in any_database(), name in any_name(),
    ) {
        let stored = database.stored(&name);
        let expected = (other == database).then_some(&name[..]);
        prop_assert_eq!(other.name_of(&stored), expected);
    }

    #[test]
    fn a_bucket_sees_the_name(database in any_database(), name in any_name()) {
        let stored = database.stored(&name);
        prop_assert_eq!(henge_node::unmarked(&stored), &name[..]);
    }

    #[test]
    fn keys_of_the_first_database_are_stored_as_they_are_named(name in vec(1_u8.., 0..9)) {
        prop_assert_eq!(Database::default().stored(&name), name);
    }
}

/// The command's arguments as database 3 stores them.
fn renamed(line: &str) -> Vec<String> {
    let mut decoder = Decoder::new(DecodeLimits::default());
    let bytes = format!("{line}\r\n").into_bytes();
    assert_eq!(decoder.advance(&bytes), Ok(true));
    let args = decoder.args(&bytes);
    let command = lookup(args.at(0)).expect("a command");
    assert!(Database(3).renames(command, args));
    let renamed = Database(3).rename(command, args);
    let text = |arg: &[u8]| String::from_utf8_lossy(arg).replace("\0\u{3}", "3:");
    renamed.borrow().from(0).map(text).collect()
}

#[test]
fn keys_are_renamed_and_nothing_else() {
    assert_eq!(renamed("set a a ex 5"), ["set", "3:a", "a", "ex", "5"]);
    assert_eq!(renamed("mset a b c d"), ["mset", "3:a", "b", "3:c", "d"]);
    assert_eq!(renamed("del a b c"), ["del", "3:a", "3:b", "3:c"]);
    assert_eq!(renamed("rename a b"), ["rename", "3:a", "3:b"]);
    assert_eq!(renamed("ping a"), ["ping", "a"]);
    assert_eq!(
        renamed("eval s 2 a b c"),
        ["eval", "s", "2", "3:a", "3:b", "c"]
    );
    assert_eq!(renamed("eval s 0 a"), ["eval", "s", "0", "a"]);
}

#[test]
fn a_wrong_number_of_keys_is_left_to_the_command() {
    for count in ["3", "-1", "x", "99999999999999999999"] {
        let line = format!("evalsha s {count} a b");
        assert_eq!(renamed(&line), ["evalsha", "s", count, "a", "b"]);
    }
}

#[test]
fn the_first_database_renames_only_what_looks_like_a_mark() {
    let renames = |line: &[u8]| {
        let mut decoder = Decoder::new(DecodeLimits::default());
        assert_eq!(decoder.advance(line), Ok(true));
        let args = decoder.args(line);
        Database(0).renames(lookup(args.at(0)).expect("a command"), args)
    };
    assert!(!renames(b"get a\r\n") && !renames(b"mset a b c d\r\n") && !renames(b"ping\r\n"));
    assert!(renames(b"get \0a\r\n") && renames(b"mset a b \0c d\r\n"));
    assert!(!renames(b"eval s 0 \0\r\n") && renames(b"eval s 1 \0\r\n"));
    assert!(!renames(b"set a \0\r\n"));
}

#[test]
fn there_are_sixteen() {
    assert_eq!(Database::numbered(0), Some(Database::default()));
    assert_eq!(Database::numbered(15).map(Database::number), Some(15));
    for wrong in [16, -1, 256, i64::MAX] {
        assert_eq!(Database::numbered(wrong), None);
    }
}

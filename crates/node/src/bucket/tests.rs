//! Buckets: built in, defined by the log, and found by their prefixes.

use std::collections::BTreeSet;

use henge_ring::{BucketDefinition, BucketDefinitions};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn definition(name: &str, prefixes: &[&str], kind: Kind) -> BucketDefinition {
    BucketDefinition {
        prefixes: prefixes.iter().map(|&it| it.to_owned()).collect(),
        ..BucketDefinition::new(name, kind)
    }
}

fn with(all: &[BucketDefinition]) -> Buckets {
    let mut defined = BucketDefinitions::default();
    for one in all {
        defined.set(one).expect("it can be");
    }
    Buckets::builtin().with(&defined)
}

fn name_of<'b>(buckets: &'b Buckets, key: &str) -> &'b str {
    &buckets.of(key.as_bytes()).name
}

#[test]
fn without_definitions_all_is_built_in() {
    let buckets = with(&[]);
    for (key, name) in [
        ("sess:a", "sessions"),
        ("sessions:a", "sessions"),
        ("siblings:a", "siblings"),
        ("sess", "default"),
        ("", "default"),
        ("zebra", "default"),
    ] {
        assert_eq!(name_of(&buckets, key), name, "{key}");
    }
    assert_eq!(buckets.of(b"sess:a").strict, Some(true));
    assert_eq!(buckets.of(b"zebra").strict, None);
}

#[test]
fn a_longer_prefix_wins_and_a_named_one_is_taken_from_the_built_in_bucket() {
    let buckets = with(&[
        definition("admins", &["sess:admin:", "a:"], Kind::Session),
        definition("flags", &["tower.sess:"], Kind::Register),
    ]);
    assert_eq!(name_of(&buckets, "sess:admin:1"), "admins");
    assert_eq!(name_of(&buckets, "sess:1"), "sessions");
    assert_eq!(name_of(&buckets, "a:"), "admins");
    assert_eq!(name_of(&buckets, "tower.sess:1"), "flags");
    assert_eq!(buckets.names().len(), 5);
}

#[test]
fn a_built_in_bucket_keeps_its_prefixes_unless_others_are_named() {
    let mut sessions = definition("sessions", &[], Kind::Session);
    sessions.ttl_ms = Some(1_000);
    let buckets = with(&[sessions.clone(), definition("default", &[], Kind::Register)]);
    assert_eq!(buckets.of(b"session:1").default_ttl_ms, Some(1_000));
    sessions.prefixes = vec!["s:".into()];
    let buckets = with(&[sessions]);
    assert_eq!(name_of(&buckets, "s:1"), "sessions");
    assert_eq!(name_of(&buckets, "session:1"), "default");
}

#[test]
fn a_definition_that_was_shown_can_be_set_again() {
    let mut own = definition("own", &["a:", "b:"], Kind::Session);
    (own.strict, own.max_lifetime_ms) = (Some(false), Some(7));
    let buckets = with(&[own.clone()]);
    assert_eq!(buckets.definition("own"), Some(own));
    assert_eq!(buckets.definition("none"), None);
    for name in buckets.names() {
        let shown = buckets.definition(name).expect("it has a name");
        assert_eq!(
            with(std::slice::from_ref(&shown)).definition(name),
            Some(shown)
        );
    }
}

#[test]
fn the_widest_quorum_of_a_kind_is_known() {
    let wide = |name: &str, prefix, kind, w| BucketDefinition {
        w: Some(w),
        ..definition(name, &[prefix], kind)
    };
    assert_eq!(with(&[]).widest_w(Kind::Session), None);
    let buckets = with(&[
        wide("one", "a:", Kind::Session, 2),
        wide("two", "b:", Kind::Session, 3),
        wide("three", "c:", Kind::Register, 5),
    ]);
    assert_eq!(buckets.widest_w(Kind::Session), Some(3));
    assert_eq!(buckets.widest_w(Kind::Siblings), None);
}

fn any_definition() -> impl Strategy<Value = BucketDefinition> {
    let prefix = select(vec!["a", "ab", "abc", "b:", "sess:", "sess:x", "siblings:"]);
    let name = select(vec!["one", "two", "sessions", "siblings", "default"]);
    let kind = select(vec![Kind::Session, Kind::Register, Kind::Siblings]);
    (name, vec(prefix, 0..3), kind).prop_map(|(name, prefixes, kind)| {
        let prefixes: BTreeSet<_> = prefixes.into_iter().collect();
        definition(name, &prefixes.into_iter().collect::<Vec<_>>(), kind)
    })
}

fn any_buckets() -> impl Strategy<Value = Buckets> {
    vec(any_definition(), 0..4).prop_map(|all| {
        let mut defined = BucketDefinitions::default();
        for one in all {
            // Prefixes that two name go to the first.
            let _ = defined.set(&one);
        }
        Buckets::builtin().with(&defined)
    })
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    let start = select(vec![
        "",
        "a",
        "ab",
        "abc",
        "b:",
        "sess:",
        "sess:x",
        "siblings:",
    ]);
    (start, "[abx:]{0,4}").prop_map(|(start, rest)| [start, &rest].concat().into_bytes())
}

proptest! {
    #[test]
    fn the_longest_prefix_is_found(buckets in any_buckets(), key in any_key()) {
        let fitting = buckets.iter().filter(|it| key.starts_with(&it.prefix));
        let longest = fitting.max_by_key(|it| it.prefix.len());
        prop_assert_eq!(longest, Some(buckets.of(&key)));
        let all: Vec<_> = buckets.iter().collect();
        prop_assert_eq!(all[buckets.of(&key).number], buckets.of(&key));
    }

    #[test]
    fn where_kinds_do_not_differ_no_key_has_another(
        before in any_buckets(), after in any_buckets(), key in any_key(),
    ) {
        if !before.kinds_differ(&after) {
            prop_assert_eq!(before.of(&key).kind, after.of(&key).kind);
        }
    }
}

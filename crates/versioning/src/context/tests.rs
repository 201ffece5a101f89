//! Tokens come back as they were, and nothing else comes back at all.

mod seen;

use proptest::prelude::*;

use super::*;
use crate::{ActorId, HlcTime, Stamp};

fn secret() -> ContextKey {
    ContextKey::new(b"a secret of this cluster")
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    any::<(u64, u64)>().prop_map(|(time, actor)| Stamp {
        time: HlcTime(time),
        actor: ActorId(actor),
    })
}

fn any_life() -> impl Strategy<Value = Life> {
    let stamps = || prop::option::of(any_stamp());
    let fields = prop::collection::btree_map(any::<u64>(), any_stamp(), 0..Life::MOST_FIELDS / 4);
    let rest = (stamps(), stamps(), fields);
    (any_stamp(), any::<bool>(), any::<u64>(), rest).prop_map(
        |(epoch, dead, until, (deadline, value, fields))| Life {
            epoch,
            dead,
            until,
            deadline,
            value,
            fields: fields.into_iter().collect(),
        },
    )
}

fn any_context() -> impl Strategy<Value = Context> {
    let entries = prop::collection::vec((any::<u64>(), any::<u64>()), 0..8);
    (entries, prop::option::of(any_life())).prop_map(|(entries, life)| {
        let vector = entries.into_iter().map(|(a, n)| (ActorId(a), n)).collect();
        Context { vector, life }
    })
}

proptest! {
    #[test]
    fn contexts_come_back_for_their_key(context in any_context(), key in any::<Vec<u8>>()) {
        let token = context.seal(&secret(), &key);
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        prop_assert!(token.chars().all(safe));
        prop_assert_eq!(Context::open(&token, &secret(), &key), Ok(context));
    }

    #[test]
    fn other_keys_and_other_secrets_are_refused(
        context in any_context(), key in any::<Vec<u8>>(), other in any::<Vec<u8>>(),
    ) {
        prop_assume!(key != other);
        let token = context.seal(&secret(), &key);
        let refused = Err(ContextError::NotAuthentic);
        prop_assert_eq!(Context::open(&token, &secret(), &other), refused.clone());
        prop_assert_eq!(Context::open(&token, &ContextKey::new(&other), &key), refused);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,200}") {
        prop_assert!(Context::open(&text, &secret(), b"k").is_err());
    }
}

#[test]
fn every_cut_and_every_altered_character_is_refused() {
    let vector = VersionVector::from_iter([(ActorId(1), 300), (ActorId(2), 1)]);
    let context = Context {
        vector,
        life: Some(Life::default()),
    };
    let token = context.seal(&secret(), b"k");
    for at in 0..token.len() {
        assert!(
            Context::open(&token[..at], &secret(), b"k").is_err(),
            "cut at {at}"
        );
        for other in ["A", "B", "_", "=", "é", " "]
            .into_iter()
            .filter(|it| *it != &token[at..=at])
        {
            let altered = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(
                Context::open(&altered, &secret(), b"k").is_err(),
                "altered at {at}"
            );
        }
    }
    assert!(Context::open(&format!("{token}A"), &secret(), b"k").is_err());
    assert!(Context::open(&format!("{token}AAAA"), &secret(), b"k").is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let open = |text: &str| Context::open(text, &secret(), b"k");
    let length = Context::MAX_LEN + 1;
    let too_long = ContextError::TooLong {
        length,
        limit: Context::MAX_LEN,
    };
    assert_eq!(open(&"A".repeat(length)), Err(too_long));
    assert_eq!(
        open(&"B".repeat(Context::MAX_LEN)),
        Err(ContextError::UnknownFormat(4))
    );
    assert_eq!(open("not base64!"), Err(ContextError::Malformed));
    assert_eq!(open(""), Err(ContextError::Malformed));
    assert_eq!(format!("{:?}", secret()), "ContextKey(secret)");
}

#[test]
fn a_vector_too_large_is_cut_and_never_widened() {
    let vector = (0..2000)
        .map(|actor| (ActorId(actor), u64::MAX - actor))
        .collect();
    let context = Context {
        vector,
        life: Some(Life::default()),
    };
    let token = context.seal(&secret(), b"k");
    assert!(token.len() <= Context::MAX_LEN);
    let back = Context::open(&token, &secret(), b"k").expect("ours");
    assert!(back.vector.len() > 150);
    assert!(context.vector.descends(&back.vector));
    assert_eq!(back.life, context.life);
}

/// Computed with another implementation of HMAC-SHA256 and base64.
#[test]
fn the_format_stands() {
    let stamp = |time, actor| Stamp {
        time: HlcTime(time),
        actor: ActorId(actor),
    };
    let vector = VersionVector::from_iter([(ActorId(7), 300)]);
    let context = Context {
        vector,
        life: Some(Life {
            epoch: stamp(1, 2),
            dead: false,
            until: 1000,
            deadline: Some(stamp(3, 4)),
            value: Some(stamp(3, 4)),
            fields: vec![(5, stamp(3, 4))],
        }),
    };
    assert_eq!(context.seal(&secret(), b"bucket/key"), GOLDEN);
}

const GOLDEN: &str =
    "Ah0BAgAAAAAAAADpBwEDAAAAAAAAAAQAAAAAAAAAAAABBQAAAAAAAAAABwAAAAAAAACsAti3tS96CFfCcG00_yD8iYw";

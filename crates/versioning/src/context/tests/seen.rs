//! A context is in a record exactly if the record lies above what the context was made of, values
//! aside.

use proptest::prelude::*;

use super::super::*;
use crate::record::tests::{any_encoded, join, parse, stamp};
use crate::{ActorId, HlcTime, Merge, NEVER, Stamp, delta, merge};

/// Whether a record lies above another's names and stamps. The horizon is no part of what is seen.
fn is_above(record: &[u8], other: &[u8]) -> bool {
    let mut outline = Vec::new();
    parse(other).outline(&mut outline);
    let mut lifted = record.to_vec();
    if parse(record).epoch() == parse(other).epoch() {
        let mut horizon = Vec::new();
        delta::retain(&mut horizon, parse(other).epoch(), parse(other).horizon());
        lifted = join(record, &horizon);
    }
    let mut out = Vec::new();
    merge(&lifted, &outline, &mut out).expect("both are records") == Merge::Unchanged
}

/// Writes to one key, each with its own stamp: any record is the join of some of them.
fn any_history() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let write = (0..7_u8, any::<[bool; 3]>(), prop::bool::weighted(0.15));
    prop::collection::vec(write, 1..8).prop_map(|writes| {
        let write = |(at, (kind, named, later)): (u64, (u8, [bool; 3], bool))| {
            let (epoch, by) = (stamp(1 + u64::from(later), 0), stamp(10 + at, at % 2));
            let mut out = Vec::new();
            let names = [&b"cart"[..], b"theme", b"user"];
            let value = |at: u8| at.is_multiple_of(2).then_some(&b"value"[..]);
            let fields: Vec<_> = (names.into_iter().zip(named))
                .filter_map(|(name, named)| named.then_some((name, value(kind))))
                .collect();
            match kind {
                0 => delta::bury(&mut out, epoch, 900 + at),
                1 => delta::expire(&mut out, epoch, by, 500 + at),
                2 | 3 => delta::put(&mut out, epoch, by, Some(500 + at), b"alice"),
                _ => delta::put_fields(&mut out, epoch, by, None, &fields),
            }
            out
        };
        (0..).zip(writes).map(write).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_context_is_in_what_lies_above_it_and_in_nothing_else(
        history in any_history(), held in any::<u8>(), seen in any::<u8>(),
    ) {
        let some = |mask: u8| {
            let chosen = (0..).zip(&history).filter(|(at, _)| mask & 1 << at != 0);
            chosen.map(|(_, delta)| delta.clone()).reduce(|a, b| join(&a, &b))
        };
        let (Some(held), Some(seen)) = (some(held), some(seen)) else { return Ok(()) };
        let is_in = context(&seen).is_in(Some(parse(&held)));
        prop_assert_eq!(is_in, is_above(&held, &seen));
    }

    #[test]
    fn whatever_lies_above_a_write_holds_its_context(a in any_encoded(), b in any_encoded()) {
        let Some(context) = Context::of(parse(&b)) else { return Ok(()) };
        prop_assert!(context.is_in(Some(parse(&b))), "itself");
        prop_assert!(context.is_in(Some(parse(&join(&a, &b)))), "merged");
    }

    #[test]
    fn contexts_survive_the_way_to_another_node(a in any_encoded()) {
        let Some(context) = Context::of(parse(&a)) else { return Ok(()) };
        let mut bytes = Vec::new();
        context.encode(&mut bytes);
        prop_assert_eq!(Context::decode(&bytes), Ok(context));
    }

    #[test]
    fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Context::decode(&bytes);
    }
}

const LIFE: (u64, u64) = (1, 0);

fn login(at: u64, deadline: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let epoch = stamp(LIFE.0, LIFE.1);
    delta::put(&mut out, epoch, stamp(at, 7), Some(deadline), b"alice");
    out
}

fn context(delta: &[u8]) -> Context {
    Context::of(parse(delta)).expect("few fields")
}

#[test]
fn a_later_write_to_another_field_does_not_pass_for_an_earlier_one() {
    let write = |name: &'static [u8], at| {
        let mut out = Vec::new();
        let fields = [(name, Some(&b"v"[..]))];
        delta::put_fields(&mut out, stamp(1, 0), stamp(at, 7), Some(NEVER), &fields);
        out
    };
    let (cart, theme) = (write(b"cart", 10), write(b"theme", 20));
    assert!(parse(&theme).newest() > parse(&cart).newest());
    assert!(!context(&cart).is_in(Some(parse(&theme))));
    assert!(context(&cart).is_in(Some(parse(&join(&theme, &cart)))));
    assert!(
        context(&cart).is_in(Some(parse(&write(b"cart", 30)))),
        "overwritten"
    );
}

#[test]
fn destroyed_later_lives_and_nothing_at_all() {
    let seen = context(&login(10, 5_000));
    assert!(!seen.is_in(None));
    assert!(Context::default().is_in(None));

    let mut buried = Vec::new();
    delta::bury(&mut buried, stamp(LIFE.0, LIFE.1), 9_000);
    assert!(seen.is_in(Some(parse(&buried))));
    assert!(!context(&buried).is_in(Some(parse(&login(99, 5_000)))));

    let mut next = Vec::new();
    delta::put(&mut next, stamp(2, 0), stamp(5, 7), Some(6_000), b"bob");
    assert!(context(&buried).is_in(Some(parse(&next))));

    assert!(!seen.is_over(4_999) && seen.is_over(5_000));
    assert!(context(&buried).is_over(9_000));
    assert!(!context(&login(10, NEVER)).is_over(u64::MAX - 1));
}

#[test]
fn tokens_of_sessions_are_short_enough_for_a_cookie() {
    let secret = ContextKey::new(b"secret");
    let at = 1_790_000_000_000;
    let by = |counter| Stamp {
        time: HlcTime::new(at, counter),
        actor: ActorId(u64::MAX),
    };
    let length = |delta: &[u8]| context(delta).seal(&secret, b"sess:0123456789").len();

    let (mut login, mut touched, mut five) = (Vec::new(), Vec::new(), Vec::new());
    let (epoch, end) = (stamp(1, 0), at + 1_800_000);
    delta::put(&mut login, epoch, by(1), Some(end), b"alice");
    assert_eq!(length(&login), 60);
    delta::expire(&mut touched, epoch, by(2), end + 1);
    assert_eq!(length(&join(&login, &touched)), 82);
    let names = [b"a", b"b", b"c", b"d", b"e"];
    let fields = names.map(|name| (&name[..], Some(&b"value"[..])));
    delta::put_fields(&mut five, epoch, by(1), Some(end), &fields);
    assert_eq!(length(&five), 119);
}

#[test]
fn the_most_fields_still_fit_into_a_token() {
    let write = |fields: u64| {
        let mut all = login(1, 5_000);
        for field in 0..fields {
            let (name, mut one) = (field.to_le_bytes(), Vec::new());
            let set = [(&name[..], Some(&b"v"[..]))];
            let by = stamp(u64::MAX - field, u64::MAX);
            delta::put_fields(&mut one, stamp(1, 0), by, None, &set);
            all = join(&all, &one);
        }
        all
    };
    let most = write(Life::MOST_FIELDS as u64);
    let secret = ContextKey::new(b"secret");
    let token = context(&most).seal(&secret, b"k");
    assert!(token.len() <= Context::MAX_LEN);
    assert_eq!(Context::open(&token, &secret, b"k"), Ok(context(&most)));
    assert_eq!(
        Context::of(parse(&write(Life::MOST_FIELDS as u64 + 1))),
        None
    );
}

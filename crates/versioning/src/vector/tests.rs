//! Version vectors are a lattice, and agree with sets of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn any_vector() -> impl Strategy<Value = VersionVector> {
    prop::collection::vec((0..4_u64, 0..4_u64), 0..6)
        .prop_map(|entries| entries.into_iter().map(|(a, n)| (ActorId(a), n)).collect())
}

/// The events that a vector stands for.
fn events(vector: &VersionVector) -> BTreeSet<(ActorId, u64)> {
    vector
        .iter()
        .flat_map(|(actor, count)| (1..=count).map(move |n| (actor, n)))
        .collect()
}

fn merged(a: &VersionVector, b: &VersionVector) -> VersionVector {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #[test]
    fn merging_is_a_lattice_join(a in any_vector(), b in any_vector(), c in any_vector()) {
        prop_assert_eq!(merged(&a, &a), a.clone());
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert!(merged(&a, &b).descends(&a));
        if c.descends(&a) && c.descends(&b) {
            prop_assert!(c.descends(&merged(&a, &b)), "the join is the least bound");
        }
    }

    #[test]
    fn it_agrees_with_the_set_of_its_events(a in any_vector(), b in any_vector()) {
        let (x, y) = (events(&a), events(&b));
        prop_assert_eq!(events(&merged(&a, &b)), &x | &y);
        prop_assert_eq!(a.descends(&b), x.is_superset(&y));
        prop_assert_eq!(a.concurrent(&b), !x.is_superset(&y) && !y.is_superset(&x));
        prop_assert_eq!(a == b, x == y);
        prop_assert_eq!(a.partial_cmp(&b) == Some(Ordering::Less), x != y && x.is_subset(&y));
    }
}

#[test]
fn entries_are_sorted_and_never_zero() {
    let mut vector = VersionVector::new();
    vector.advance(ActorId(9), 0);
    assert!(vector.is_empty());
    vector.advance(ActorId(9), 2);
    vector.advance(ActorId(3), 1);
    vector.advance(ActorId(9), 1);
    assert_eq!(
        vector.iter().collect::<Vec<_>>(),
        [(ActorId(3), 1), (ActorId(9), 2)]
    );
    assert_eq!(
        (vector.get(ActorId(9)), vector.get(ActorId(4)), vector.len()),
        (2, 0, 2)
    );
}

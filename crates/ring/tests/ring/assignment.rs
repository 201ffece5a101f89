//! The laws of facts, the fence, and when a set may go.

use std::collections::BTreeSet;

use henge_ring::{
    Assignment, AssignmentId, Facts, NodeId, PartitionConfig, RingTag, Sources, Synced, ViewOrder,
    set_digest,
};
use proptest::{collection::vec, prelude::*};

use crate::topology::id;

/// Views that follow one another in the order of their lamports.
struct Chain;

impl ViewOrder for Chain {
    fn precedes(&self, a: RingTag, b: RingTag) -> bool {
        a.lamport < b.lamport
    }
}

fn view(number: u64) -> RingTag {
    RingTag {
        lamport: number,
        hash: number,
    }
}

fn ids(numbers: &[u16]) -> Vec<NodeId> {
    numbers.iter().copied().map(id).collect()
}

fn name(number: u64) -> AssignmentId {
    Assignment::new(view(number), ids(&[number as u16, 9])).id
}

fn synced(joiner: u16, from: &Assignment, to: &Assignment) -> Synced {
    Synced {
        joiner: id(joiner),
        from: from.id,
        to: to.id,
    }
}

fn sources(wanted: u8) -> Sources {
    Sources {
        wanted,
        lost: BTreeSet::new(),
    }
}

#[derive(Clone, Debug)]
enum Fact {
    Retired(u64),
    Synced(u16, u64, u64),
}

fn any_facts() -> impl Strategy<Value = Vec<Fact>> {
    vec(
        prop_oneof![
            (0u64..5).prop_map(Fact::Retired),
            (0u16..3, 0u64..5, 0u64..5).prop_map(|(who, from, to)| Fact::Synced(who, from, to)),
        ],
        0..10,
    )
}

fn facts_of(list: &[Fact]) -> Facts {
    let mut facts = Facts::default();
    for fact in list {
        match *fact {
            Fact::Retired(number) => facts.retire(name(number)),
            Fact::Synced(who, from, to) => facts.record_synced(Synced {
                joiner: id(who),
                from: name(from),
                to: name(to),
            }),
        };
    }
    facts
}

fn merged(a: &Facts, b: &Facts) -> Facts {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #[test]
    fn merging_facts_is_a_join(a in any_facts(), b in any_facts(), c in any_facts()) {
        let (a, b, c) = (facts_of(&a), facts_of(&b), facts_of(&c));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&a, &merged(&b, &c)), merged(&merged(&a, &b), &c));
        prop_assert_eq!(merged(&a, &a), a);
    }

    #[test]
    fn merging_loses_nothing_and_reports_progress(a in any_facts(), b in any_facts()) {
        let (mut a, b) = (facts_of(&a), facts_of(&b));
        let before = a.clone();
        prop_assert_eq!(a.merge(&b), a != before);
        for part in [&before, &b] {
            prop_assert!(a.retired().is_superset(part.retired()));
            prop_assert!(a.synced().is_superset(part.synced()));
        }
        prop_assert!(!a.merge(&b));
        let bytes = postcard::to_stdvec(&a).expect("encodes");
        prop_assert_eq!(postcard::from_bytes::<Facts>(&bytes), Ok(a));
    }

    #[test]
    fn what_is_retired_is_never_active_again(early in any_facts(), later in any_facts()) {
        let known = (0..5).map(|n| Assignment::new(view(n), ids(&[n as u16, 9]))).collect();
        let early = facts_of(&early);
        let config = PartitionConfig::new(known, merged(&early, &facts_of(&later)));
        prop_assert!(config.active().all(|it| !early.retired().contains(&it.id)));
    }

    #[test]
    fn the_fence_asks_for_every_active_set(
        facts in any_facts(),
        counted in proptest::collection::btree_set(0u64..5, 0..5),
    ) {
        let known = (0..5).map(|n| Assignment::new(view(n), ids(&[n as u16, 9]))).collect();
        let config = PartitionConfig::new(known, facts_of(&facts));
        let digests: Vec<u64> = counted.iter().map(|n| name(*n).set).collect();
        let covered = config.active().all(|it| counted.contains(&it.id.view.lamport));
        prop_assert_eq!(config.admits(&digests), covered);
    }
}

/// The life of a move, from one set to two and back to one.
#[test]
fn a_move_passes_through_a_joint_quorum() {
    let old = Assignment::new(view(1), ids(&[1, 2, 3]));
    let new = Assignment::new(view(2), ids(&[4, 2, 3]));
    let mut config = PartitionConfig::new(vec![old.clone()], Facts::default());
    assert!(config.admits(&[old.id.set]) && !config.is_in_motion());

    config.learn(new.clone());
    assert!(config.is_in_motion() && config.holds(&id(1)) && config.holds(&id(4)));
    assert!(!config.admits(&[old.id.set]), "no quorum in the new set");
    assert!(config.admits(&[new.id.set, old.id.set]));
    assert_eq!(config.to_pull(&id(4), &Chain), Some((&old, &new)));
    assert_eq!(config.to_pull(&id(2), &Chain), None);
    assert!(!config.vouch(&id(2), &Chain), "a joiner has to pull first");
    assert!(!config.retire_what_may(&Chain, &sources(2)));

    config.facts_mut().record_synced(synced(4, &old, &new));
    assert_eq!(config.to_pull(&id(4), &Chain), None);
    assert!(config.retire_what_may(&Chain, &sources(2)));
    assert!(config.active().eq([&new]));
    assert!(!config.holds(&id(1)) && !config.admits(&[old.id.set]));
    assert!(config.admits(&[old.id.set, new.id.set]), "more than needed");
}

#[test]
fn every_joiner_has_to_have_caught_up() {
    let old = Assignment::new(view(1), ids(&[1, 2, 3]));
    let new = Assignment::new(view(2), ids(&[4, 5, 3]));
    let mut config = PartitionConfig::new(vec![old.clone(), new.clone()], Facts::default());
    config.facts_mut().record_synced(synced(4, &old, &new));
    assert!(!config.retire_what_may(&Chain, &sources(2)));
    config.facts_mut().record_synced(synced(5, &old, &new));
    assert!(config.retire_what_may(&Chain, &sources(2)));
}

/// With three replicas and W=2 a write may lie on one of the two that are left.
#[test]
fn when_a_set_shrinks_all_that_stay_catch_up() {
    let old = Assignment::new(view(1), ids(&[1, 2, 3]));
    let new = Assignment::new(view(2), ids(&[2, 3]));
    let must: Vec<_> = PartitionConfig::must_sync(&old, &new).collect();
    assert_eq!(must, ids(&[2, 3]));
    let grown: Vec<_> = PartitionConfig::must_sync(&new, &old).collect();
    assert_eq!(grown, ids(&[1]));
}

#[test]
fn the_same_set_in_a_later_view_needs_a_quorum_that_knows_it() {
    let one = Assignment::new(view(1), ids(&[1, 2, 3]));
    let two = Assignment::new(view(2), ids(&[3, 2, 1]));
    assert_eq!(one.id.set, two.id.set, "a set has no order");
    let mut config = PartitionConfig::new(vec![one.clone(), two.clone()], Facts::default());
    assert!(config.vouch(&id(1), &Chain) && !config.vouch(&id(1), &Chain));
    assert!(!config.retire_what_may(&Chain, &sources(2)));
    assert!(config.vouch(&id(2), &Chain));
    assert!(config.retire_what_may(&Chain, &sources(2)));
}

#[test]
fn only_a_base_may_be_pulled_from() {
    let sets: Vec<_> = [[1, 2, 3], [4, 2, 3], [4, 5, 3]]
        .iter()
        .zip(1..)
        .map(|(set, number)| Assignment::new(view(number), ids(set)))
        .collect();
    let mut config = PartitionConfig::new(sets.clone(), Facts::default());
    assert!(config.is_base(sets[0].id, &Chain) && !config.is_base(sets[1].id, &Chain));
    assert_eq!(config.to_pull(&id(5), &Chain), Some((&sets[0], &sets[2])));
    config
        .facts_mut()
        .record_synced(synced(5, &sets[0], &sets[2]));
    assert_eq!(config.to_pull(&id(5), &Chain), None, "not yet a base");
    config.facts_mut().retire(sets[0].id);
    assert_eq!(config.to_pull(&id(5), &Chain), Some((&sets[1], &sets[2])));
}

#[test]
fn who_lost_its_memory_need_not_be_read() {
    let set = Assignment::new(view(1), ids(&[1, 2, 3]));
    let mut sources = sources(3);
    assert_eq!(sources.needed(&set), 3);
    sources.lost.insert(id(1));
    assert_eq!(sources.needed(&set), 2);
    sources.wanted = 2;
    assert_eq!(sources.needed(&set), 2);
}

#[test]
fn a_digest_names_a_set_not_an_order() {
    let digest = |numbers: &[u16]| set_digest(ids(numbers).into_iter());
    assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2]));
    assert_ne!(digest(&[1, 2, 3]), digest(&[1, 2, 4]));
}

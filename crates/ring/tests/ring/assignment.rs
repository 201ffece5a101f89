//! The laws of partition configs, and the fence.

use henge_ring::{AssignmentId, ChangeId, PartitionConfig, Synced};
use proptest::{collection::vec, prelude::*};

use crate::topology::id;

fn assignment(number: u64) -> AssignmentId {
    AssignmentId::new(
        number,
        ChangeId(number),
        [id(number as u16), id(9)].into_iter(),
    )
}

#[derive(Clone, Debug)]
enum Fact {
    Known(u64),
    Retired(u64),
    Synced(u16, u64, u64),
}

fn any_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        3 => (0u64..5).prop_map(Fact::Known),
        2 => (0u64..5).prop_map(Fact::Retired),
        1 => (0u16..3, 0u64..5, 0u64..5).prop_map(|(who, from, to)| Fact::Synced(who, from, to)),
    ]
}

/// Adds one fact; says whether it was new.
fn add(config: &mut PartitionConfig, fact: &Fact) -> bool {
    match *fact {
        Fact::Known(number) => config.learn(assignment(number)),
        Fact::Retired(number) => config.retire(assignment(number)),
        Fact::Synced(who, from, to) => config.record_synced(Synced {
            joiner: id(who),
            from: assignment(from),
            to: assignment(to),
        }),
    }
}

fn config_of(facts: &[Fact]) -> PartitionConfig {
    let mut config = PartitionConfig::default();
    facts.iter().for_each(|fact| {
        add(&mut config, fact);
    });
    config
}

fn any_config() -> impl Strategy<Value = PartitionConfig> {
    vec(any_fact(), 0..10).prop_map(|facts| config_of(&facts))
}

fn merged(a: &PartitionConfig, b: &PartitionConfig) -> PartitionConfig {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #[test]
    fn merge_is_a_join(a in any_config(), b in any_config(), c in any_config()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&a, &merged(&b, &c)), merged(&merged(&a, &b), &c));
        prop_assert_eq!(merged(&a, &a), a);
    }

    #[test]
    fn merge_loses_nothing_and_reports_progress(mut a in any_config(), b in any_config()) {
        let before = a.clone();
        let progress = a.merge(&b);
        prop_assert_eq!(progress, a != before);
        for part in [&before, &b] {
            prop_assert!(a.known().is_superset(part.known()));
            prop_assert!(a.retired().is_superset(part.retired()));
            prop_assert!(a.synced().is_superset(part.synced()));
        }
        prop_assert!(!a.merge(&b));
    }

    #[test]
    fn facts_may_come_in_any_order(
        (facts, shuffled) in vec(any_fact(), 0..12).prop_flat_map(|facts| {
            (Just(facts.clone()), Just(facts).prop_shuffle())
        })
    ) {
        prop_assert_eq!(config_of(&facts), config_of(&shuffled));
    }

    #[test]
    fn what_is_retired_is_never_active_again(a in any_config(), later in vec(any_fact(), 0..8)) {
        let mut grown = a.clone();
        later.iter().for_each(|fact| {
            add(&mut grown, fact);
        });
        prop_assert!(grown.active().all(|active| !a.retired().contains(active)));
        prop_assert!(a.active().all(|active| a.known().contains(active)));
    }

    #[test]
    fn a_served_request_counts_every_set_active_at_the_replica(
        mut replica in any_config(),
        request in any_config(),
    ) {
        let served = replica.merge_and_admit(&request);
        let counted: Vec<_> = request.active().collect();
        let covered = replica.active().all(|active| counted.contains(&active));
        prop_assert_eq!(served, covered);
        // The refused sender merges the answer, and is then served.
        prop_assert!(replica.admits(&merged(&request, &replica)));
    }

    #[test]
    fn the_fence_compares_what_is_active(own in any_config(), request in any_config()) {
        let counted: Vec<_> = request.active().collect();
        let covered = own.active().all(|active| counted.contains(&active));
        prop_assert_eq!(own.admits(&request), covered);
    }

    #[test]
    fn equal_digests_mean_equal_configs(a in any_config(), b in any_config()) {
        prop_assert_eq!(a.digest() == b.digest(), a == b);
        let bytes = postcard::to_stdvec(&a).expect("encodes");
        prop_assert_eq!(postcard::from_bytes::<PartitionConfig>(&bytes), Ok(a));
    }
}

/// The life of a move, from one set to two and back to one.
#[test]
fn a_move_passes_through_a_joint_quorum() {
    let (old, new) = (assignment(1), assignment(2));
    let mut replica = PartitionConfig::new(old);
    let unaware = replica.clone();
    assert!(replica.admits(&unaware));

    replica.learn(new);
    assert!(replica.active().eq([&old, &new]));
    assert!(
        !replica.admits(&unaware),
        "the sender would count no quorum in the new set"
    );
    let aware = replica.clone();

    replica.record_synced(Synced {
        joiner: id(2),
        from: old,
        to: new,
    });
    assert!(
        replica.admits(&aware),
        "a fact about synchronisation fences nobody"
    );

    replica.retire(old);
    assert!(replica.active().eq([&new]));
    assert!(
        replica.admits(&aware),
        "two quorums are more than the one needed"
    );
    assert!(!replica.admits(&unaware));
}

#[test]
fn an_assignment_names_a_set_not_an_order() {
    let name = |ids: [u16; 3]| AssignmentId::new(1, ChangeId(1), ids.into_iter().map(id));
    assert_eq!(name([1, 2, 3]), name([3, 1, 2]));
    assert_ne!(name([1, 2, 3]), name([1, 2, 4]));
}

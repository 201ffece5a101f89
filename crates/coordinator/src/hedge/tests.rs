//! The delay's two bounds, and the budget's promise.

use proptest::prelude::*;

use super::*;
use crate::{Asked, Defaults, PlaceInfo, PlaceSet, Read};

fn read_of(r: u64, places: u16) -> Read {
    let asked = Asked {
        r: Some(r),
        ..Asked::default()
    };
    let consistency = Defaults::default().resolve(&asked, places as u8).unwrap();
    let infos: Vec<_> = (0..places).map(PlaceInfo::primary).collect();
    Read::begin(
        &infos,
        PlaceSet::first(places as u8),
        None,
        false,
        &consistency,
    )
    .unwrap()
}

proptest! {
    /// However reads and hedges interleave, hedges stay within the share plus one burst.
    #[test]
    fn hedges_stay_within_share_and_burst(
        percent in 0u8..=100,
        burst in 0u16..50,
        reads in prop::collection::vec(any::<bool>(), 0..2_000),
    ) {
        let policy = HedgePolicy { budget_percent: percent, burst, ..HedgePolicy::default() };
        let mut budget = HedgeBudget::new(&policy);
        let mut spent = 0;
        for (begun, hedge) in (1u32..).zip(reads) {
            budget.earn();
            spent += u32::from(hedge && budget.spend());
            let bound = u32::from(burst) + begun * u32::from(percent) / 100;
            prop_assert!(spent <= bound, "{spent} hedges in {begun} reads, bound {bound}");
        }
    }

    #[test]
    fn the_delay_lies_between_floor_and_cap(p95 in prop::option::of(any::<u32>())) {
        let policy = HedgePolicy::default();
        let delay = policy.delay_us(p95);
        prop_assert!((policy.floor_us..=policy.cap_us).contains(&delay));
    }
}

#[test]
fn a_steady_share_is_granted_in_full() {
    let policy = HedgePolicy {
        burst: 1,
        ..HedgePolicy::default()
    };
    let mut budget = HedgeBudget::new(&policy);
    assert!(budget.spend());
    let granted = (0..1_000)
        .filter(|_| {
            budget.earn();
            budget.spend()
        })
        .count();
    assert_eq!(granted, 50);
}

#[test]
fn a_quiet_time_saves_up_no_more_than_one_burst() {
    let policy = HedgePolicy {
        burst: 3,
        ..HedgePolicy::default()
    };
    let mut budget = HedgeBudget::new(&policy);
    (0..100_000).for_each(|_| budget.earn());
    assert_eq!((0..10).filter(|_| budget.spend()).count(), 3);
}

#[test]
fn a_sick_peer_does_not_pull_the_delay_up_with_it() {
    let policy = HedgePolicy::default();
    assert_eq!(policy.delay_us(Some(4_000)), 4_000);
    assert_eq!(policy.delay_us(Some(900_000)), policy.cap_us);
    assert_eq!(policy.delay_us(Some(10)), policy.floor_us);
    assert_eq!(policy.delay_us(None), policy.cap_us);
}

#[test]
fn a_read_that_cannot_be_helped_costs_no_token() {
    let policy = HedgePolicy {
        burst: 1,
        budget_percent: 1,
        ..HedgePolicy::default()
    };
    let mut budget = HedgeBudget::new(&policy);
    let mut everyone_asked = read_of(3, 3);
    while everyone_asked.next_to_ask().is_some() {}
    assert!(!budget.hedge(&mut everyone_asked));

    let mut one_left = read_of(2, 3);
    while one_left.next_to_ask().is_some() {}
    assert!(budget.hedge(&mut one_left));
    assert_eq!(one_left.next_to_ask(), Some(2));
    assert!(!budget.hedge(&mut read_of(2, 3)), "the only token is gone");
}

#[test]
fn a_share_of_zero_turns_hedging_off() {
    let policy = HedgePolicy {
        budget_percent: 0,
        ..HedgePolicy::default()
    };
    let mut budget = HedgeBudget::new(&policy);
    budget.earn();
    assert!(!budget.hedge(&mut read_of(1, 3)));
}

//! Shares are a max-min fair, feasible, exact solution; quotas a whole one next to it.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{Endpoints, NodeId, Weight, Zone};

fn members(of: &[(u32, u8)]) -> Vec<Member> {
    let member = |(number, &(weight, zone)): (usize, &(u32, u8))| Member {
        id: NodeId((number as u128).to_be_bytes()),
        endpoints: Endpoints {
            peer: String::new(),
            resp: String::new(),
            http: String::new(),
        },
        zone: Zone::new(zone.to_string()).expect("short"),
        weight: Weight::new(weight).expect("not 0"),
    };
    of.iter().enumerate().map(member).collect()
}

fn any_members() -> impl Strategy<Value = Vec<Member>> {
    let weight = prop_oneof![Just(100u32), 1u32..1000, Just(u32::MAX)];
    let zone = prop_oneof![6 => Just(0u8), 3 => Just(1), 1 => 2u8..6];
    vec((weight, zone), 1..40).prop_map(|of| members(&of))
}

fn zone_sums(shares: &Shares, of: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; shares.zones];
    shares
        .zone_of
        .iter()
        .zip(of)
        .for_each(|(&zone, share)| sums[usize::from(zone)] += share);
    sums
}

proptest! {
    #[test]
    fn shares_are_feasible_and_complete(
        members in any_members(), bits in 1u32..14, n in 1usize..8,
    ) {
        let (q, width) = (1usize << bits, n.min(members.len()));
        let shares = fair_shares(&members, q, width);
        let floats = shares.as_floats();
        let total: f64 = floats.iter().sum();
        let wanted = (q * width) as f64;
        prop_assert!((total - wanted).abs() < 1e-6 * wanted, "{} of {}", total, wanted);
        prop_assert!(floats.iter().all(|&share| share > 0.0 && share <= q as f64));
        let cap = (shares.zone_cap * q) as f64;
        prop_assert!(zone_sums(&shares, &floats).iter().all(|&sum| sum <= cap * (1.0 + 1e-9)));
    }

    /// Who has less per weight than another is held down by a limit: its own or its zone's.
    #[test]
    fn shares_are_fair(members in any_members(), bits in 1u32..14, n in 1usize..8) {
        let (q, width) = (1usize << bits, n.min(members.len()));
        let shares = fair_shares(&members, q, width);
        let floats = shares.as_floats();
        let sums = zone_sums(&shares, &floats);
        let per_weight = |i: usize| floats[i] / f64::from(members[i].weight.get());
        let full = |i: usize| floats[i] >= q as f64 * (1.0 - 1e-9);
        let zone_full = |i: usize| {
            sums[usize::from(shares.zone_of[i])] >= (shares.zone_cap * q) as f64 * (1.0 - 1e-9)
        };
        for i in 0..members.len() {
            for j in 0..members.len() {
                if per_weight(i) < per_weight(j) * (1.0 - 1e-9) && !full(i) {
                    let other_zone = shares.zone_of[i] != shares.zone_of[j];
                    prop_assert!(zone_full(i) && other_zone, "{} has less than {}", i, j);
                }
            }
        }
    }

    #[test]
    fn quotas_round_every_node_and_zone_up_or_down(
        members in any_members(),
        bits in 1u32..14,
        n in 1usize..8,
        loads in vec(0usize..200, 40),
    ) {
        let (q, width) = (1usize << bits, n.min(members.len()));
        let shares = fair_shares(&members, q, width);
        let quotas = shares.quotas(&loads[..members.len()]);
        prop_assert_eq!(quotas.iter().sum::<usize>(), q * width);
        for (&quota, share) in quotas.iter().zip(shares.as_floats()) {
            prop_assert!((quota as f64 - share).abs() < 1.0 && quota <= q);
        }
        let as_floats: Vec<f64> = quotas.iter().map(|&quota| quota as f64).collect();
        let cap = (shares.zone_cap * q) as f64;
        prop_assert!(zone_sums(&shares, &as_floats).iter().all(|&sum| sum <= cap));
        // Holding just the quotas, nobody's quota changes.
        prop_assert_eq!(shares.quotas(&quotas), quotas);
    }
}

#[test]
fn a_lone_node_in_a_zone_caps_nobody_else() {
    let nodes = members(&[(100, 0), (100, 1), (100, 1), (100, 2), (100, 2), (100, 2)]);
    let shares = fair_shares(&nodes, 60, 3);
    assert_eq!(shares.zone_cap, 1);
    assert_eq!(shares.as_floats(), [60.0, 30.0, 30.0, 20.0, 20.0, 20.0]);
}

#[test]
fn zones_too_small_for_their_part_raise_the_cap() {
    // Two zones, five replicas: three each would do if the first zone had three nodes.
    let nodes = members(&[(100, 0), (100, 1), (100, 1), (100, 1), (100, 1)]);
    assert_eq!(fair_shares(&nodes, 16, 5).zone_cap, 4);
    assert_eq!(fair_shares(&nodes, 16, 3).zone_cap, 2);
}

#[test]
fn who_already_holds_more_is_rounded_up() {
    let nodes = members(&[(100, 0); 3]);
    let shares = fair_shares(&nodes, 16, 1);
    assert_eq!(shares.quotas(&[5, 5, 6]), [5, 5, 6]);
    assert_eq!(shares.quotas(&[0, 6, 0]), [5, 6, 5]);
    assert_eq!(shares.quotas(&[0, 0, 0]), [6, 5, 5]);
}

//! The state diagram as transcripts; the ranking as laws.

use proptest::prelude::*;

use super::*;

fn peers() -> Peers {
    Peers::new(HealthPolicy::default())
}

/// Random bits with which no ranking explores.
const NO_CHANCE: u64 = 999;

#[derive(Clone, Debug)]
enum Event {
    LinkUp(u16),
    LinkDown(u16),
    Sent(u16),
    Replied(u16, u32),
    Failed(u16),
}

fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
    let node = 0u16..6;
    let event = prop_oneof![
        2 => node.clone().prop_map(Event::LinkUp),
        1 => node.clone().prop_map(Event::LinkDown),
        4 => node.clone().prop_map(Event::Sent),
        4 => (node.clone(), 1u32..2_000_000).prop_map(|(node, us)| Event::Replied(node, us)),
        3 => node.prop_map(Event::Failed),
    ];
    prop::collection::vec((event, 0u64..2_000), 0..150)
}

fn apply(peers: &mut Peers, event: &Event, now_ms: u64) {
    match *event {
        Event::LinkUp(node) => peers.link_up(node, now_ms),
        Event::LinkDown(node) => peers.link_down(node, now_ms),
        Event::Sent(node) => peers.sent(node),
        Event::Replied(node, us) => peers.replied(node, us, now_ms),
        Event::Failed(node) => peers.failed(node, now_ms),
    }
}

proptest! {
    /// A peer is down exactly when its last link event says so or there was none, and suspect
    /// exactly when its errors since say so.
    #[test]
    fn health_follows_links_and_errors(events in events()) {
        let mut peers = peers();
        let mut linked = [false; 6];
        let mut errors = [0u32; 6];
        let mut now = 0;
        for (event, wait) in events {
            now += wait;
            let before: Vec<_> = (0..6).map(|node| peers.health(node)).collect();
            apply(&mut peers, &event, now);
            match event {
                Event::LinkUp(node) => {
                    linked[usize::from(node)] = true;
                    errors[usize::from(node)] = 0;
                }
                Event::LinkDown(node) => linked[usize::from(node)] = false,
                Event::Replied(node, _) if linked[usize::from(node)] => errors[usize::from(node)] = 0,
                Event::Failed(node) if linked[usize::from(node)] => errors[usize::from(node)] += 1,
                _ => {}
            }
            for node in 0..6u16 {
                let index = usize::from(node);
                let expected = match (linked[index], errors[index]) {
                    (false, _) => Health::Down,
                    (true, 0..3) => Health::Up,
                    (true, _) => Health::Suspect,
                };
                prop_assert_eq!(peers.health(node), expected);
                let status = peers.statuses(now).find(|status| status.node == node);
                if let Some(status) = status {
                    let changed = before[index] != expected;
                    prop_assert!(!changed || status.since_ms == now);
                    prop_assert!(status.since_ms <= now);
                }
            }
        }
    }

    /// A ranking is a permutation, sorted by health and cost but for one peer that chance may put
    /// first; the same inputs give the same ranking.
    #[test]
    fn a_ranking_is_a_sorted_permutation(events in events(), random: u64) {
        let mut peers = peers();
        let mut now = 0;
        for (event, wait) in &events {
            now += wait;
            apply(&mut peers, event, now);
        }
        let nodes = [3, 1, 5, 0, 2, 4];
        let ranked = peers.rank(&nodes, now, random);
        let mut sorted = ranked.to_vec();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        prop_assert_eq!(&ranked, &peers.rank(&nodes, now, random));
        let key = |node: &u16| (peers.health(*node), peers.cost(*node, now));
        let explored = usize::from(random % 1_000 < 20);
        prop_assert!(ranked[explored..].is_sorted_by_key(key), "{ranked:?}");
        let any_reachable = nodes.iter().any(|&node| peers.is_reachable(node));
        prop_assert!(!any_reachable || peers.is_reachable(ranked[0]));
    }
}

#[test]
fn a_peer_never_heard_of_is_down() {
    let peers = peers();
    assert_eq!(peers.health(7), Health::Down);
    assert!(!peers.is_reachable(7));
    assert_eq!(peers.statuses(0).count(), 0);
}

#[test]
fn errors_in_a_row_make_suspect_and_one_reply_makes_up() {
    let mut peers = peers();
    peers.link_up(1, 10);
    peers.failed(1, 20);
    peers.failed(1, 30);
    peers.replied(1, 500, 40);
    peers.failed(1, 50);
    peers.failed(1, 60);
    assert_eq!(peers.health(1), Health::Up, "never three in a row");
    peers.failed(1, 70);
    assert_eq!(peers.health(1), Health::Suspect);
    assert!(peers.is_reachable(1));
    peers.replied(1, 500, 80);
    let status = peers.statuses(80).next().unwrap();
    assert_eq!(
        (status.node, status.health, status.since_ms),
        (1, Health::Up, 80)
    );
}

#[test]
fn what_trickles_in_after_a_lost_link_changes_nothing() {
    let mut peers = peers();
    peers.link_up(1, 0);
    (0..5).for_each(|_| peers.sent(1));
    peers.link_down(1, 10);
    peers.replied(1, 100, 11);
    peers.failed(1, 12);
    let status = peers.statuses(12).next().unwrap();
    assert_eq!(
        (status.health, status.since_ms, status.in_flight),
        (Health::Down, 10, 0)
    );
    assert_eq!((status.latency_us, status.errors_in_a_row), (0, 0));
}

#[test]
fn a_peer_that_stops_answering_becomes_dear_before_it_times_out() {
    let mut peers = peers();
    for node in [1, 2] {
        peers.link_up(node, 0);
        peers.sent(node);
        peers.replied(node, if node == 1 { 300 } else { 400 }, 1);
    }
    assert_eq!(peers.rank(&[1, 2], 1, NO_CHANCE).as_slice(), [1, 2]);
    peers.sent(1);
    assert_eq!(peers.rank(&[1, 2], 1, NO_CHANCE).as_slice(), [2, 1]);
    peers.replied(1, 300, 2);
    assert_eq!(peers.rank(&[1, 2], 2, NO_CHANCE).as_slice(), [1, 2]);
}

#[test]
fn health_outranks_cost() {
    let mut peers = peers();
    for (node, us) in [(1, 100), (2, 900_000), (3, 50)] {
        peers.link_up(node, 0);
        peers.replied(node, us, 0);
    }
    (0..3).for_each(|_| peers.failed(1, 1));
    peers.link_down(3, 1);
    assert_eq!(peers.rank(&[3, 1, 2], 1, NO_CHANCE).as_slice(), [2, 1, 3]);
}

#[test]
fn peers_of_which_nothing_is_known_keep_the_order_given() {
    let mut peers = peers();
    [4, 2, 9]
        .into_iter()
        .for_each(|node| peers.link_up(node, 0));
    assert_eq!(peers.rank(&[9, 2, 4], 0, NO_CHANCE).as_slice(), [9, 2, 4]);
}

#[test]
fn a_slow_peer_is_tried_again_after_a_while() {
    let mut peers = peers();
    peers.link_up(1, 0);
    peers.link_up(2, 0);
    peers.replied(1, 500_000, 0);
    peers.replied(2, 1_000, 0);
    assert_eq!(peers.rank(&[1, 2], 0, NO_CHANCE).as_slice(), [2, 1]);
    peers.replied(2, 1_000, 60_000);
    assert_eq!(peers.rank(&[1, 2], 60_000, NO_CHANCE).as_slice(), [1, 2]);
}

#[test]
fn two_in_a_hundred_rankings_explore_and_none_puts_a_down_peer_first() {
    let mut peers = peers();
    for (node, us) in [(1, 100), (2, 200), (3, 300)] {
        peers.link_up(node, 0);
        peers.replied(node, us, 0);
    }
    let mut first = [0; 5];
    for random in 0..300_000u64 {
        first[usize::from(peers.rank(&[4, 3, 2, 1], 0, random)[0])] += 1;
    }
    assert_eq!(first, [0, 296_000, 2_000, 2_000, 0]);
}

#[test]
fn a_linked_peer_that_is_declared_down_is_suspect() {
    let mut peers = Peers::new(HealthPolicy::default());
    peers.link_up(3, 0);
    peers.declared(3, true);
    assert_eq!(peers.health(3), Health::Suspect);
    assert!(peers.is_reachable(3));
    peers.declared(3, false);
    assert_eq!(peers.health(3), Health::Up);
    peers.declared(4, false);
    assert_eq!(
        peers.health(4),
        Health::Down,
        "what others say makes no link"
    );
}

#[test]
fn what_pings_measure_counts_like_a_reply() {
    let mut peers = Peers::new(HealthPolicy::default());
    peers.measured(1, 500, 2, 0);
    assert_eq!(
        peers.cost(1, 0),
        1,
        "nothing is known of a peer without a link"
    );
    peers.link_up(1, 0);
    peers.measured(1, 500, 2, 0);
    assert_eq!(peers.cost(1, 0), 3 * 500);
}

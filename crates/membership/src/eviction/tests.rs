//! Who is let go, and who never is.

use proptest::{collection::vec, prelude::*};

use super::*;

const AFTER: u64 = SHORTEST_EVICTION_MS;

fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

/// Members 1, 2, ... as seen.
fn seen(sights: &[Sight]) -> BTreeMap<NodeId, Sight> {
    (1..).map(id).zip(sights.iter().copied()).collect()
}

/// Looks every second; the first that is named, and when.
fn watch(
    eviction: &mut Eviction,
    from_ms: u64,
    ms: u64,
    sights: &[Sight],
) -> Option<(NodeId, u64)> {
    let members = seen(sights);
    let mut looks = (from_ms..from_ms + ms).step_by(1_000);
    looks.find_map(|now| Some((eviction.look(&members, 3, now)?.0, now)))
}

use Sight::{Doubtful, Down, Up};

#[test]
fn who_is_down_for_long_enough_is_let_go_and_not_before() {
    let mut eviction = Eviction::new(id(1), AFTER);
    let named = watch(&mut eviction, 5_000, 200_000, &[Up, Up, Down, Up]);
    assert_eq!(named, Some((id(3), 5_000 + AFTER)));
    // It is gone: nobody is named any more.
    assert_eq!(watch(&mut eviction, 66_000, 200_000, &[Up, Up, Up]), None);
}

#[test]
fn only_the_lowest_in_sight_decides() {
    let sights = [Down, Up, Up, Up, Up];
    assert_eq!(
        watch(&mut Eviction::new(id(3), AFTER), 0, 200_000, &sights),
        None
    );
    let named = watch(&mut Eviction::new(id(2), AFTER), 0, 200_000, &sights);
    assert_eq!(named, Some((id(1), AFTER)));
    // Whoever is doubtful decides nothing, and is not waited for.
    let sights = [Doubtful, Up, Up, Up, Down];
    let named = watch(&mut Eviction::new(id(2), AFTER), 0, 200_000, &sights);
    assert_eq!(named, Some((id(5), AFTER)));
}

#[test]
fn a_minority_lets_nobody_go_and_its_time_does_not_count() {
    let mut eviction = Eviction::new(id(1), AFTER);
    let cut_off = [Up, Up, Down, Down, Down];
    assert_eq!(watch(&mut eviction, 0, 300_000, &cut_off), None);
    // Half is no majority either.
    let half = [Up, Up, Down, Down];
    assert_eq!(watch(&mut eviction, 300_000, 300_000, &half), None);
    // Three are back; the other two it sees down only from now on.
    let back = [Up, Up, Up, Down, Down];
    let named = watch(&mut eviction, 600_000, 300_000, &back);
    assert_eq!(named, Some((id(4), 600_000 + AFTER)));
}

#[test]
fn who_flaps_stays() {
    for blink in [Up, Doubtful] {
        let mut eviction = Eviction::new(id(1), AFTER);
        let mut now = 0;
        for _ in 0..20 {
            let down = watch(&mut eviction, now, AFTER - 2_000, &[Up, Up, Up, Down]);
            assert_eq!(down, None);
            now += AFTER - 2_000;
            assert_eq!(watch(&mut eviction, now, 1_000, &[Up, Up, Up, blink]), None);
            now += 1_000;
        }
    }
}

#[test]
fn a_node_alone_and_a_cluster_without_spare_let_nobody_go() {
    assert_eq!(
        watch(&mut Eviction::new(id(1), AFTER), 0, 300_000, &[Up]),
        None
    );
    let three = [Up, Up, Down];
    assert_eq!(
        watch(&mut Eviction::new(id(1), AFTER), 0, 300_000, &three),
        None
    );
}

#[test]
fn after_a_pause_of_its_own_it_begins_anew() {
    let mut eviction = Eviction::new(id(1), AFTER);
    let sights = [Up, Up, Up, Down];
    assert_eq!(watch(&mut eviction, 0, 10_000, &sights), None);
    let named = watch(&mut eviction, 3_600_000, 300_000, &sights);
    assert_eq!(named, Some((id(4), 3_600_000 + AFTER)));
}

#[test]
fn who_is_down_longest_goes_first() {
    let mut eviction = Eviction::new(id(1), AFTER);
    assert_eq!(
        watch(&mut eviction, 0, 5_000, &[Up, Up, Up, Up, Down]),
        None
    );
    let named = watch(&mut eviction, 5_000, 300_000, &[Up, Up, Up, Down, Down]);
    assert_eq!(named, Some((id(5), AFTER)));
}

fn any_sight() -> impl Strategy<Value = Sight> {
    prop_oneof![2 => Just(Up), 1 => Just(Doubtful), 3 => Just(Down)]
}

proptest! {
    /// Whatever is seen: whoever is named was down at every look for the whole time, of which none was
    /// spent in a minority, and enough members are left.
    #[test]
    fn whoever_is_named_was_down_all_the_while(
        looks in vec((vec(any_sight(), 5), 1u64..12_000), 1..120),
        sticky in 1usize..12,
    ) {
        let mut eviction = Eviction::new(id(1), 20_000);
        let mut history: Vec<(u64, BTreeMap<NodeId, Sight>)> = Vec::new();
        let mut now = 0;
        for (at, (_, pause)) in looks.iter().enumerate() {
            // Things stay as they are for a while, or nothing would ever last.
            let mut sights = looks[at / sticky * sticky].0.clone();
            sights[0] = Up;
            now += pause;
            let members = seen(&sights);
            let named = eviction.look(&members, 3, now);
            history.push((now, members));
            let Some((named, since)) = named else { continue };
            prop_assert!(now - since >= 20_000);
            let mut before = None;
            for (at, members) in history.iter().filter(|(at, _)| *at >= since) {
                prop_assert_eq!(members.get(&named), Some(&Down));
                let up = members.values().filter(|sight| **sight == Up).count();
                prop_assert!(up * 2 > members.len());
                prop_assert!(before.is_none_or(|before| at - before <= LONGEST_PAUSE_MS));
                before = Some(*at);
            }
        }
    }
}

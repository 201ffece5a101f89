//! Two concurrent changes of a partition's set, explored as far as time allows here. Further:
//! `cargo run --profile quick -p henge-tests --bin transitions`.

use henge_tests::transitions::{Pair, explore};

/// States of each exploration.
const STATES: u64 = 20_000;

#[test]
fn no_acknowledged_write_can_be_missed() {
    for pair in Pair::ALL {
        let found = explore(pair, 2, None, 0, STATES);
        assert_eq!(found.violations, 0, "{pair:?}: {found:?}");
        assert!(found.complete || found.states == STATES);
        assert!(found.acknowledged > 0, "{pair:?}: {found:?}");
    }
}

#[test]
fn exploring_twice_finds_the_same() {
    let once = explore(Pair::JoinLeave, 0, None, 0, 5_000);
    assert_eq!(once, explore(Pair::JoinLeave, 0, None, 0, 5_000));
}

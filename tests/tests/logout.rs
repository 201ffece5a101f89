//! The quick part of what `cargo run --profile quick -p henge-tests --bin logout` proves at length.

use clap::Parser;
use henge_tests::{
    logout::{POLICIES, Policy, QUORUMS, Row, Told, play},
    seeds::Seeds,
};

#[derive(Parser)]
struct Quick {
    #[command(flatten)]
    seeds: Seeds<120>,
}

#[test]
fn no_session_comes_back_after_its_logout() {
    let quick = Quick::parse_from(["logout", "--threads", "2"]);
    for quorum in QUORUMS.into_iter().filter(|it| Policy::Kept.promises(*it)) {
        let row = Row::of(Policy::Kept, quorum, &quick.seeds).expect("no run panics");
        assert!(
            row.tried > 80,
            "{} runs have tried nothing",
            120 - row.tried
        );
        assert!(row.is_as_expected(), "came back: {row:?}");
    }
}

#[test]
fn each_mistake_brings_sessions_back() {
    for policy in POLICIES {
        let Some(quorum) = policy.shows_under() else {
            continue;
        };
        let is_back = |seed, policy| matches!(play(seed, policy, quorum), Told::Back(_));
        let shows = |seed| is_back(seed, policy) && !is_back(seed, Policy::Kept);
        assert!(
            (1..=400).any(shows),
            "{policy:?} went unnoticed in 400 runs"
        );
    }
}

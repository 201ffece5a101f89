//! Gossip among a few members in bad company, without a mistake: the exam makes them.

use henge_tests::gossip::{Verdict, play};

#[test]
fn nobody_is_declared_down_by_older_news() {
    let mut sum = Verdict::default();
    for seed in 1..=150 {
        let verdict = play(seed, None);
        assert_eq!(verdict.broken, [""; 0], "seed {seed}");
        sum.restarts += verdict.restarts;
        sum.refuted += verdict.refuted;
        sum.reborn += verdict.reborn;
        sum.false_deaths += verdict.false_deaths;
    }
    // Else there was nothing that older news might have undone.
    assert!(sum.restarts > 150 && sum.refuted > 1_000, "{sum:?}");
    assert!(sum.reborn > 1_000 && sum.false_deaths > 100, "{sum:?}");
}

#[test]
fn the_same_seed_tells_the_same() {
    for seed in [3, 77] {
        assert_eq!(play(seed, None), play(seed, None));
    }
}

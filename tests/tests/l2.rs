//! Real nodes over the simulated network, for as many seeds as a test run has time for. The binary
//! `l2` runs more of them.

use henge_tests::{
    history::{Outcome, Quorum},
    l2::{Plan, run},
};

#[test]
fn promises_are_kept_under_faults() {
    for seed in 1..=6 {
        let verdict = run(&Plan::draw(seed), false);
        assert!(
            verdict.is_clean(),
            "{}{:#?}{:#?}",
            verdict.plan,
            verdict.broken,
            verdict.report.violations
        );
        assert!(verdict.report.acked > 100, "{}", verdict.plan);
    }
}

/// From the first moment on: a cluster that says it serves has all its links.
#[test]
fn a_calm_cluster_carries_everything_out() {
    let quorum = Quorum {
        n: 3,
        r: 3,
        w: 3,
        strict: true,
    };
    let verdict = run(&Plan::draw(7).calm(quorum), false);
    assert!(verdict.is_clean(), "{:#?}", verdict.report.violations);
    for op in verdict.history.ops() {
        match &op.outcome {
            Outcome::Ok { .. } => {}
            // An expired session takes no touches.
            Outcome::Failed { reason } if reason == "there was nothing to change" => {}
            other => panic!("{other:?}: {op:?}"),
        }
    }
}

/// tarpc reads the machine's clock for its own deadlines. They are a minute away and never pass, but
/// a process that stood still for more than a millisecond at the wrong moment wakes one task once
/// more, and two writes in one simulated millisecond change places. Two of three runs are not
/// disturbed in the same way.
#[test]
fn the_same_seed_goes_the_same_way() {
    for seed in [8, 9] {
        let trace = || {
            let verdict = run(&Plan::draw(seed), false);
            (verdict.hash, verdict.events)
        };
        let (first, second) = (trace(), trace());
        assert!(first == second || [first, second].contains(&trace()));
    }
}

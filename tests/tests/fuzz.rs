//! Every fuzz target for a moment: its seeds are good, and nothing breaks at once.

use std::time::Duration;

use henge_tests::fuzz::{Options, TARGETS, run};

#[test]
fn every_target_runs_without_a_failure() {
    let options = Options {
        time: Duration::from_millis(200),
        seed: 1,
        threads: 2,
    };
    let uncounted = |run: &mut dyn FnMut()| {
        run();
        0
    };
    let reports = run(TARGETS, &options, uncounted, &|_| {});
    assert_eq!(reports.len(), TARGETS.len());
    for report in reports {
        let failure = report.failure.map(|failure| failure.to_string());
        assert_eq!(failure, None);
        assert!(
            report.executions > 0 && report.corpus > 0,
            "{}",
            report.target
        );
    }
}

#[test]
fn a_broken_law_is_found_and_its_input_replays() {
    let broken = henge_tests::fuzz::Target {
        name: "broken",
        about: "fails on inputs that contain a zero",
        longest: 64,
        seeds: || vec![b"seed".to_vec()],
        tokens: &[],
        make: || {
            Box::new(|input, _| u64::from(!input.contains(&0)) / u64::from(!input.contains(&0)))
        },
    };
    let options = Options {
        time: Duration::from_secs(20),
        seed: 7,
        threads: 1,
    };
    let uncounted = |run: &mut dyn FnMut()| {
        run();
        0
    };
    let reports = run(&[broken], &options, uncounted, &|_| {});
    let failure = reports[0].failure.clone().expect("a zero comes soon");
    assert!(
        failure.input.contains(&0) && failure.what.contains("divide by zero"),
        "{failure}"
    );
    let again = henge_tests::fuzz::replay(&broken, &failure.input, uncounted);
    assert_eq!(again.map(|again| again.input), Some(failure.input));
    assert!(henge_tests::fuzz::replay(&broken, b"fine", uncounted).is_none());
}

//! The simulator in the ordinary test run: a bounded number of seeds, and the proof that it is
//! repeatable and would notice. More seeds: `cargo run --release -p henge-tests --bin sim`.

use std::sync::atomic::{AtomicU64, Ordering};

use henge_store::Store;
use henge_tests::{
    checker::Rule,
    history::Quorum,
    sim::{
        Ask, Convergence, FaultKind, Mark, Marks, Notice, Plan, Planted, START_MS, Setting,
        Verdict, Weather, What, Workload, World, register_loss, run,
    },
};

/// Runs plans on two threads.
fn run_all(plans: &[Plan]) -> Vec<Verdict> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut verdicts = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            verdicts.push(run(plan, false));
        }
        verdicts
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a run does not panic"))
            .collect()
    })
}

fn plans(seeds: std::ops::Range<u64>, workload: Workload) -> Vec<Plan> {
    seeds.map(|seed| Plan::draw(seed, workload)).collect()
}

/// Fails with the plan and everything that was wrong.
fn assert_clean(verdict: &Verdict) {
    assert!(
        verdict.is_clean(),
        "{}\n{:#?}\n{:#?}",
        verdict.plan,
        verdict.broken,
        verdict
            .report
            .violations
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    );
}

#[test]
fn who_is_logged_out_everywhere_is_seen_nowhere_and_who_is_not_is() {
    let plans = plans(30_000..30_030, Workload::Principals).into_iter();
    let plans: Vec<_> = plans
        .map(|plan| match plan.seed % 3 {
            0 => plan.with_changes_amid_faults(),
            1 => plan.with_clock_jumps(),
            _ => plan,
        })
        .collect();
    run_all(&plans).iter().for_each(assert_clean);
}

#[test]
fn promises_are_kept_and_everything_happens_at_some_time() {
    let plans = plans(10_000..10_120, Workload::Mixed).into_iter();
    let jumping = |plan: Plan| match plan.seed % 4 {
        0 => plan.with_clock_jumps(),
        1 => plan.with_tokens(),
        _ => plan,
    };
    let verdicts = run_all(&plans.map(jumping).collect::<Vec<_>>());
    verdicts.iter().for_each(assert_clean);
    let mut marks = Marks::default();
    verdicts
        .iter()
        .for_each(|verdict| marks.merge(&verdict.marks));
    assert!(
        marks.unhit().is_empty(),
        "never happened: {:?}",
        marks.unhit()
    );
    let acked: u64 = verdicts.iter().map(|verdict| verdict.report.acked).sum();
    assert!(acked > 40_000, "only {acked} writes were acknowledged");
}

/// The control. If it does not lose writes, the others' not losing any means nothing.
#[test]
fn last_writer_wins_is_seen_to_lose_writes() {
    let verdicts = run_all(&plans(20_000..20_020, Workload::Registers));
    verdicts.iter().for_each(assert_clean);
    let loss = register_loss(&verdicts);
    assert!(loss >= 0.05, "the control lost only {:.2} %", 100.0 * loss);
}

/// With no faults and a fair network nothing fails, nothing is unknown, and replicas are equal as
/// soon as the last write has arrived.
#[test]
fn a_healthy_cluster_answers_everything() {
    for seed in 0..5 {
        let verdict = run(&Plan::draw(seed, Workload::Mixed).without_faults(), false);
        assert_clean(&verdict);
        assert_eq!(verdict.report.unknown, 0, "{}", verdict.plan);
        assert!(verdict.converged_after.is_some(), "{}", verdict.plan);
    }
}

#[test]
fn the_same_seed_goes_the_same_way() {
    let once = plans(30_000..30_008, Workload::Mixed);
    // Each seed twice, on two threads at once, in whatever order.
    let twice: Vec<_> = once.iter().chain(&once).cloned().collect();
    let mut hashes: Vec<_> = run_all(&twice)
        .iter()
        .map(|it| (it.plan.seed, it.hash, it.events))
        .collect();
    hashes.sort_unstable();
    for pair in hashes.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), once.len());
    let mut traces: Vec<_> = hashes.iter().map(|(_, hash, _)| hash).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(
        traces.len(),
        once.len(),
        "different seeds go different ways"
    );
}

/// A leave that is taken back, midway or when all is handed over, amid the usual faults: every promise is
/// kept, and in the end every owner, the one that came back among them, holds the same.
#[test]
fn a_leave_that_is_undone_loses_nothing() {
    let plans = plans(70_000..70_060, Workload::Mixed).into_iter();
    // Who was replaced has lost its memory: it does not come back.
    let is_change = |plan: &Plan| {
        let mut kinds = plan.faults.iter().map(|fault| &fault.kind);
        kinds.any(|kind| matches!(kind, FaultKind::Change(_)))
    };
    let plans = plans.filter(|plan| !is_change(plan));
    let plans: Vec<_> = plans.map(Plan::with_a_leave_undone).collect();
    assert!(plans.len() >= 20, "{} plans", plans.len());
    for verdict in &run_all(&plans) {
        assert_clean(verdict);
        assert!(verdict.converged_after.is_some(), "{}", verdict.plan);
    }
}

/// Runs seeds with a mistake in them until one is noticed.
fn caught(planted: Planted, seeds: u64) -> Option<Verdict> {
    plans(40_000..40_000 + seeds, Workload::Mixed)
        .into_iter()
        .find_map(|plan| {
            let verdict = run(
                &Plan {
                    planted: Some(planted),
                    ..plan
                },
                false,
            );
            (!verdict.is_clean()).then_some(verdict)
        })
}

#[test]
fn a_replica_that_lies_is_caught_at_once() {
    let verdict = caught(Planted::LyingReplica, 2).expect("two seeds are enough");
    assert!(
        verdict
            .broken
            .iter()
            .any(|text| text.contains("said that it holds"))
    );
}

#[test]
fn silent_loss_of_a_store_is_caught() {
    let verdict = caught(Planted::SilentLoss, 20).expect("twenty seeds are enough");
    let lost = [
        Rule::NoLoss,
        Rule::RegularRead,
        Rule::Sessions,
        Rule::Expiry,
    ];
    assert!(
        verdict
            .report
            .violations
            .iter()
            .any(|found| lost.contains(&found.rule))
    );
}

/// Runs seeds with nothing but this to bring replicas together.
fn converging_by(convergence: Convergence, seeds: std::ops::Range<u64>) -> Vec<Verdict> {
    let plans = plans(seeds, Workload::Mixed).into_iter();
    let plans: Vec<_> = plans
        .map(|plan| Plan {
            convergence,
            ..plan
        })
        .collect();
    run_all(&plans)
}

/// Without hints and read repair every run ends with equal replicas all the same. Without
/// anti-entropy either, many do not (where a machine was replaced, its transfer does the work).
#[test]
fn anti_entropy_alone_makes_replicas_equal() {
    let verdicts = converging_by(Convergence::AntiEntropyAlone, 60_000..60_040);
    for verdict in &verdicts {
        assert_clean(verdict);
        assert!(verdict.converged_after.is_some(), "{}", verdict.plan);
        assert_eq!(verdict.marks.count(Mark::HintKept), 0);
    }
    let repaired = verdicts
        .iter()
        .map(|it| it.marks.count(Mark::AntiEntropyRepaired));
    assert!(repaired.sum::<u64>() > 500);
    let control = converging_by(Convergence::Nothing, 60_000..60_020);
    let equal = control.iter().filter(|it| it.converged_after.is_some());
    let equal = equal.count();
    assert!(equal <= 15, "{equal} of 20 runs converge by themselves");
}

/// Sessions that everybody has and nobody touches: they expire, each node takes them away in its own
/// time and by its own clock, and anti-entropy never finds anything to repair.
#[test]
fn expiries_cause_no_repair() {
    const SECOND: u64 = 1_000_000;
    let mut world: World<()> = World::new(Setting {
        seed: 7,
        n: 3,
        skew_ms: vec![-200, 200, 0, 100, -100],
        founders: 5,
        sources: 2,
        weather: Weather::FAIR,
        detect: SECOND,
        reconnect: SECOND / 10,
        tick: 5_000,
        keep_text: false,
        planted: None,
        convergence: Convergence::Everything,
    });
    assert!(
        world.next(2 * SECOND).is_none(),
        "nobody has asked anything"
    );
    let quorum = Quorum {
        n: 3,
        r: 2,
        w: 2,
        strict: true,
    };
    for number in 0..400 {
        let ask = Ask {
            key: format!("sess:{number}"),
            what: What::PutField(1, Some(START_MS + 8_000 + 10 * number)),
            quorum,
            timeout_ms: 800,
            after: None,
        };
        world.ask(number as usize % 5, ask, number);
    }
    let (mut written, mut repaired, mut records) = (0, Vec::new(), Vec::new());
    for second in 3..40 {
        while let Some(notice) = world.next(second * SECOND) {
            let Notice::Completed { outcome, .. } = notice else {
                panic!("nobody set an alarm")
            };
            assert!(outcome.result.is_ok(), "{outcome:?}");
            written += 1;
        }
        let nodes = || world.nodes.iter();
        repaired.push(
            nodes()
                .map(|node| node.repair.repaired + node.repair.pushed)
                .sum::<u64>(),
        );
        records.push(nodes().map(|node| node.store.usage().records).sum::<u64>());
    }
    assert_eq!((written, records[0]), (400, 1_200));
    assert_eq!(records.last(), Some(&0), "all were taken away");
    assert_eq!(repaired.iter().sum::<u64>(), 0, "{repaired:?}");
    let rounds = world.nodes.iter().map(|node| node.repair.rounds);
    assert!(rounds.sum::<u64>() > 5 * 4 * 5);
}

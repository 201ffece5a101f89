//! Hand-made loads, and what must be made of them.

use super::*;

/// A load whose times are milliseconds after its beginning.
struct Made {
    began: Instant,
    samples: Vec<Sample>,
    timeline: Timeline,
}

impl Made {
    fn new(blows: &[u64], healed: u64) -> Self {
        let began = Instant::now();
        let at = |ms: &u64| began + Duration::from_millis(*ms);
        let timeline = Timeline {
            began,
            struck: blows.first().map(at),
            blows: blows.iter().map(at).collect(),
            healed: Some(at(&healed)),
        };
        Self {
            began,
            samples: Vec::new(),
            timeline,
        }
    }

    fn ask(&mut self, due: u64, took: u64, outcome: Outcome) -> &mut Self {
        self.samples.push(Sample {
            due: self.began + Duration::from_millis(due),
            took: Duration::from_millis(took),
            outcome,
            is_write: true,
        });
        self
    }

    fn figures(&self) -> Figures {
        Figures::of(&self.samples, &self.timeline)
    }
}

#[test]
fn latencies_are_told_apart_by_when_a_request_was_due() {
    let mut made = Made::new(&[1000], 5000);
    for ms in 1..=100 {
        made.ask(ms, ms, Outcome::Good);
    }
    made.ask(999, 900, Outcome::Good)
        .ask(1000, 7, Outcome::Good)
        .ask(4999, 8, Outcome::Good)
        .ask(5000, 9, Outcome::Good);
    let figures = made.figures();
    assert_eq!(
        figures.before,
        Latency {
            p50: 51.0,
            p99: 100.0
        }
    );
    assert_eq!(figures.during, Latency { p50: 7.0, p99: 8.0 });
    assert_eq!(figures.after, Latency { p50: 9.0, p99: 9.0 });
    assert_eq!((figures.good, figures.acked, figures.bad), (104, 104, 0));
}

#[test]
fn two_seconds_after_each_blow_are_excused_and_nothing_else() {
    let mut made = Made::new(&[1000, 10_000], 20_000);
    made.ask(500, 10, Outcome::Failed) // before any blow: not held against the fault
        .ask(990, 20, Outcome::Failed) // under way when it came
        .ask(2999, 5000, Outcome::Unknown) // due within the grace, however long it took
        .ask(3000, 1, Outcome::Unknown) // too late
        .ask(9000, 2000, Outcome::Failed) // under way at the second blow
        .ask(15_000, 1, Outcome::Good)
        .ask(20_000, 1, Outcome::Good)
        .ask(20_001, 1, Outcome::Failed); // mending is no excuse
    let figures = made.figures();
    assert_eq!((figures.held, figures.held_bad), (4, 2));
    assert!((figures.availability() - 0.5).abs() < 1e-9);
    assert_eq!(figures.bad, 6);
}

#[test]
fn what_is_done_on_purpose_excuses_nothing() {
    let mut made = Made::new(&[], 5000);
    let at = made.began + Duration::from_millis(1000);
    made.timeline.strike(at, false);
    made.ask(999, 1, Outcome::Failed)
        .ask(1000, 1, Outcome::Failed);
    let figures = made.figures();
    assert_eq!((figures.held, figures.held_bad), (1, 1));
}

#[test]
fn the_longest_gap_counts_ends_of_good_answers_only() {
    let mut made = Made::new(&[100], 200);
    made.ask(900, 100, Outcome::Good)
        .ask(0, 50, Outcome::Good)
        .ask(400, 50, Outcome::Failed)
        .ask(100, 100, Outcome::Good);
    assert_eq!(made.figures().gap, Duration::from_millis(800));
}

#[test]
fn without_load_there_is_nothing_to_divide_by() {
    let made = Made::new(&[], 0);
    assert_eq!(made.figures(), Figures::default());
    assert!((made.figures().availability() - 1.0).abs() < 1e-9);
}

#[test]
fn the_diary_has_a_line_for_each_quarter_of_a_second() {
    let mut made = Made::new(&[300], 600);
    made.ask(10, 5, Outcome::Good)
        .ask(260, 5, Outcome::Failed)
        .ask(700, 5, Outcome::Unknown);
    let text = diary(&made.samples, &made.timeline);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["0", "1", "0", "0", "1", "5.0", "5.0"]);
    assert_eq!(
        lines[2],
        ["250", "0", "1", "0", "1", "0.0", "0.0", "struck"]
    );
    assert_eq!(
        lines[3],
        ["500", "0", "0", "1", "1", "0.0", "0.0", "mended"]
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn what_was_due_before_it_was_looked_at_is_left_out() {
    let mut made = Made::new(&[10], 20);
    made.ask(5, 1, Outcome::Good);
    made.timeline.began += Duration::from_millis(6);
    assert_eq!(made.figures().good, 0);
}

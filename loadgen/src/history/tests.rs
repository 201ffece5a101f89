//! Good histories must pass, bad ones must be caught.

use super::*;

fn own(seq: u32) -> Option<Seen> {
    Some(Seen { own: true, seq })
}

fn foreign(seq: u32) -> Option<Seen> {
    Some(Seen { own: false, seq })
}

/// A key with `count` writes, one after another, all acknowledged.
fn written(count: u32) -> History {
    let mut history = History::default();
    for _ in 0..count {
        let mark = history.begin_write();
        history.acked(mark);
    }
    history
}

fn read(history: &History, seen: Option<Seen>) -> Verdict {
    history.judge(history.begin_read(0), seen, 0)
}

#[test]
fn the_newest_acknowledged_write_must_be_seen() {
    let history = written(3);
    assert_eq!(read(&history, own(3)), Verdict::Fine);
    assert_eq!(read(&history, own(2)), Verdict::Stale);
    assert_eq!(read(&history, None), Verdict::Stale);
    assert_eq!(
        read(&history, foreign(9)),
        Verdict::Stale,
        "what was there before the run"
    );
}

#[test]
fn nothing_is_demanded_of_a_key_never_written() {
    let history = History::default();
    assert_eq!(read(&history, None), Verdict::Fine);
    assert_eq!(read(&history, foreign(5)), Verdict::Fine);
    assert_eq!(read(&history, own(1)), Verdict::Corrupt, "nobody wrote it");
}

#[test]
fn a_write_that_was_never_begun_is_corrupt() {
    assert_eq!(read(&written(3), own(4)), Verdict::Corrupt);
    assert_eq!(read(&written(3), own(0)), Verdict::Corrupt);
}

#[test]
fn a_read_that_began_before_the_acknowledgement_may_see_either() {
    let mut history = written(1);
    let write = history.begin_write();
    let mark = history.begin_read(0);
    history.acked(write);
    assert_eq!(history.judge(mark, own(1), 0), Verdict::Fine);
    assert_eq!(history.judge(mark, own(2), 0), Verdict::Fine);
    assert_eq!(
        read(&history, own(1)),
        Verdict::Stale,
        "a later read may not"
    );
}

#[test]
fn a_write_in_flight_may_be_seen() {
    let mut history = written(1);
    history.begin_write();
    assert_eq!(read(&history, own(2)), Verdict::Fine);
    assert_eq!(read(&history, own(1)), Verdict::Fine);
}

#[test]
fn of_overlapping_writes_either_may_win() {
    let mut history = written(1);
    let (two, three) = (history.begin_write(), history.begin_write());
    history.acked(three);
    history.acked(two);
    assert_eq!(read(&history, own(2)), Verdict::Fine);
    assert_eq!(read(&history, own(3)), Verdict::Fine);
    assert_eq!(read(&history, own(1)), Verdict::Stale, "both superseded it");
}

#[test]
fn a_key_that_is_always_being_written_still_demands_progress() {
    let mut history = written(1);
    let mut flying = history.begin_write();
    for _ in 0..100 {
        let next = history.begin_write();
        history.acked(flying);
        flying = next;
    }
    assert_eq!(read(&history, own(102)), Verdict::Fine);
    assert_eq!(read(&history, own(95)), Verdict::Stale);
}

#[test]
fn an_unknown_write_may_be_seen_or_not() {
    let mut history = written(1);
    let write = history.begin_write();
    history.unknown(write);
    assert_eq!(read(&history, own(1)), Verdict::Fine);
    assert_eq!(read(&history, own(2)), Verdict::Fine);
    assert_eq!(read(&history, None), Verdict::Stale);
}

#[test]
fn an_unknown_write_that_lands_late_is_told_apart_from_a_loss() {
    let mut history = written(1);
    let late = history.begin_write();
    history.unknown(late);
    let newer = history.begin_write();
    history.acked(newer);
    assert_eq!(read(&history, own(2)), Verdict::Overtaken);
    assert_eq!(read(&history, own(1)), Verdict::Stale);
}

#[test]
fn a_failed_write_must_never_be_seen() {
    let mut history = written(1);
    let write = history.begin_write();
    history.failed(write);
    assert_eq!(read(&history, own(2)), Verdict::Phantom);
    assert_eq!(read(&history, own(1)), Verdict::Fine);
}

#[test]
fn a_destroyed_session_must_stay_away() {
    let mut history = written(2);
    history.begin_destroy();
    let during = history.begin_read(0);
    assert_eq!(
        history.judge(during, own(2), 0),
        Verdict::Fine,
        "not acknowledged yet"
    );
    assert_eq!(history.judge(during, None, 0), Verdict::Fine);
    history.destroyed(Some(true));
    assert_eq!(
        history.judge(during, own(2), 0),
        Verdict::Fine,
        "began before"
    );
    assert_eq!(read(&history, None), Verdict::Fine);
    assert_eq!(read(&history, own(2)), Verdict::Resurrected);
    assert_eq!(
        history.judge_presence(history.begin_read(0), true, 0),
        Verdict::Resurrected
    );
}

#[test]
fn a_destroy_that_failed_changes_nothing_and_an_unknown_one_allows_both() {
    let mut failed = written(1);
    failed.begin_destroy();
    failed.destroyed(Some(false));
    assert_eq!(read(&failed, None), Verdict::Stale);
    let mut unknown = written(1);
    unknown.begin_destroy();
    unknown.destroyed(None);
    assert_eq!(read(&unknown, None), Verdict::Fine);
    assert_eq!(read(&unknown, own(1)), Verdict::Fine);
}

#[test]
fn an_expired_session_may_be_gone_early_by_the_slack_and_must_be_gone_after_it() {
    let mut history = written(1);
    history.lives(1_000, 1_100, Some(10_000));
    let at = |began| history.judge(history.begin_read(began), own(1), began);
    let absent = |now| history.judge(history.begin_read(now), None, now);
    assert_eq!(absent(9_000), Verdict::Stale, "two seconds too early");
    assert_eq!(absent(10_500), Verdict::Fine);
    assert_eq!(at(12_000), Verdict::Fine, "within the slack");
    assert_eq!(at(12_200), Verdict::Resurrected);
}

#[test]
fn a_touch_moves_the_expiry_and_an_unknown_one_leaves_it_open() {
    let mut history = written(1);
    history.lives(0, 100, Some(5_000));
    history.lives(4_000, 4_100, Some(5_000));
    assert_eq!(
        history.judge(history.begin_read(7_000), None, 7_000),
        Verdict::Stale
    );
    history.expiry_unknown();
    assert_eq!(
        history.judge(history.begin_read(60_000), own(1), 60_000),
        Verdict::Fine
    );
}

#[test]
fn without_an_expiry_nothing_goes() {
    let mut history = written(1);
    history.lives(0, 100, None);
    let late = history.begin_read(Millis::MAX - 1);
    assert_eq!(history.judge(late, None, Millis::MAX - 1), Verdict::Stale);
    assert_eq!(history.judge(late, own(1), Millis::MAX - 1), Verdict::Fine);
}

#[test]
fn a_key_with_too_many_doubts_accuses_nobody_of_loss() {
    let mut history = written(1);
    for _ in 0..=MAX_DOUBTS {
        let write = history.begin_write();
        history.unknown(write);
    }
    let last = history.begin_write();
    history.acked(last);
    assert_eq!(
        read(&history, own(MAX_DOUBTS as u32 + 2)),
        Verdict::Overtaken
    );
}

//! The checker's own exam: it must reject what is wrong for the right reason, accept what is right,
//! and be fast enough to judge millions of operations.

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use henge_tests::{
    checker::{Limits, Rule, check},
    history::{Action, Entry, History, Op, Outcome, Phase, PhaseMark, Quorum},
    transcript,
};
use proptest::prelude::*;

/// Every transcript of a folder, by name.
fn transcripts(folder: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("histories")
        .join(folder);
    let files = fs::read_dir(path).expect("the histories are there");
    let mut found: Vec<_> = files
        .map(|file| file.expect("the folder can be listed").path())
        .map(|path| {
            let text = fs::read_to_string(&path).expect("the transcript can be read");
            (
                path.file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                text,
            )
        })
        .collect();
    found.sort();
    found
}

/// Checks one transcript; returns what differs from its expectation.
fn judge(name: &str, text: &str) -> Result<(), String> {
    let transcript = transcript::parse(text).map_err(|error| format!("{name}: {error}"))?;
    let report = check(&transcript.history, &transcript.limits);
    let codes: BTreeSet<&str> = report
        .violations
        .iter()
        .map(|found| found.rule.code())
        .collect();
    let expected: BTreeSet<&str> = transcript.expected.iter().map(String::as_str).collect();
    if codes == expected {
        return Ok(());
    }
    let found: String = report
        .violations
        .iter()
        .map(|violation| format!("\n    {violation}"))
        .collect();
    Err(format!(
        "{name}: expected {expected:?}, found {codes:?}{found}"
    ))
}

#[test]
fn every_bad_history_is_rejected_for_its_reason() {
    let bad = transcripts("bad");
    assert!(bad.len() >= 20, "only {} bad histories", bad.len());
    let wrong: Vec<_> = bad
        .iter()
        .filter_map(|(name, text)| judge(name, text).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(bad.iter().all(|(_, text)| !text.contains("expect good")));
}

#[test]
fn every_good_history_is_accepted() {
    let good = transcripts("good");
    assert!(good.len() >= 20, "only {} good histories", good.len());
    let wrong: Vec<_> = good
        .iter()
        .filter_map(|(name, text)| judge(name, text).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(good.iter().all(|(_, text)| text.contains("expect good")));
}

#[test]
fn a_registers_losses_are_counted() {
    let mut good = transcripts("good").into_iter();
    let (_, text) = good
        .find(|(name, _)| name == "register_loses_concurrent_writes")
        .expect("the transcript is there");
    let transcript = transcript::parse(&text).expect("it is a transcript");
    let report = check(&transcript.history, &transcript.limits);
    assert_eq!((report.register_acked, report.register_lost), (3, 1));
}

/// A history in which clients take turns at reading, merging and writing fifty keys: what the
/// simulator produces, in bulk.
fn well_behaved(rounds: u64) -> History {
    const KEYS: u64 = 50;
    let mut history = History::default();
    let mut last: Vec<Option<u64>> = vec![None; KEYS as usize];
    let mut record = |key: u64, action, values| {
        let id = history.entries.len() as u64 + 1;
        history.entries.push(Entry::Op(Op {
            id,
            session: (id % 7) as u32,
            node: (id % 5) as u32,
            key: format!("siblings:{key}"),
            action,
            quorum: Quorum {
                n: 3,
                r: 2,
                w: 2,
                strict: true,
            },
            invoked: 10 * id,
            returned: 10 * id + 9,
            outcome: Outcome::Ok { values },
        }));
        id
    };
    for round in 0..rounds {
        let key = round % KEYS;
        let element = round + 1;
        let read = record(key, Action::Get, last[key as usize].into_iter().collect());
        record(
            key,
            Action::Put {
                element,
                context: Some(read),
                expires: None,
            },
            vec![],
        );
        last[key as usize] = Some(element);
    }
    let mut end = 0;
    for key in 0..KEYS {
        end = record(key, Action::Get, last[key as usize].into_iter().collect());
    }
    let at = 10 * (end + 1 - KEYS);
    history.entries.push(Entry::Phase(PhaseMark {
        at,
        phase: Phase::Quiesced,
    }));
    history
}

#[test]
fn a_million_operations_take_less_than_a_minute() {
    let history = well_behaved(100_000);
    let started = Instant::now();
    let report = check(&history, &Limits::default());
    let spent = started.elapsed();
    assert!(report.is_clean(), "{:?}", report.violations.first());
    assert_eq!(report.acked, 100_000);
    println!("{} operations in {spent:?}", report.ok);
    assert!(
        spent.as_secs_f64() < 12.0,
        "{} operations took {spent:?}",
        report.ok
    );
}

#[test]
fn json_lines_come_back_as_they_were() {
    for (name, text) in transcripts("good").into_iter().chain(transcripts("bad")) {
        let history = transcript::parse(&text)
            .expect("it is a transcript")
            .history;
        let mut lines = Vec::new();
        history.write(&mut lines).expect("memory does not fail");
        let back = History::read(lines.as_slice()).expect("its own lines can be read");
        assert_eq!(back, history, "{name}");
    }
}

#[test]
fn a_broken_line_is_named() {
    let error = History::read("\n{\"type\":\"op\"}\n".as_bytes()).expect_err("no entry");
    assert_eq!(error.to_string(), "line 2 is not an entry of a history");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever single acknowledged element is taken out of the final read of a good history in
    /// which nobody replaces anything, it is missed.
    #[test]
    fn a_missing_element_is_always_missed(count in 2_u64..30, gone in 0_u64..30) {
        let gone = 1 + gone % count;
        let mut text = String::new();
        for element in 1..=count {
            text += &format!("{element}-{element} A put siblings:x e{element} sloppy : ok\n");
        }
        let left: Vec<_> =
            (1..=count).filter(|element| *element != gone).map(|element| format!("e{element}")).collect();
        text += &format!("phase quiesced 100\n101-102 Z get siblings:x : {}\n", left.join(" "));
        let transcript = transcript::parse(&text).expect("it is a transcript");
        let report = check(&transcript.history, &transcript.limits);
        prop_assert_eq!(report.violations.len(), 1);
        prop_assert_eq!(report.violations[0].rule, Rule::NoLoss);
    }

    /// Text that is no transcript is refused with the line's number and never panics.
    #[test]
    fn transcripts_never_panic(text in "[a-z0-9:=. \n-]{0,200}") {
        if let Err(error) = transcript::parse(&text) {
            prop_assert!(error.line >= 1);
        }
    }
}

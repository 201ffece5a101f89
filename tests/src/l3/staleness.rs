//! One replica of three is far away. What `/v1/quorum` predicts of staleness is put beside what its probes
//! have seen.
//!
//! What the far node says is shown and not judged: it measures its own links only, takes the two others to
//! be as far from each other as they are from it, and so predicts too much staleness where two replicas
//! count. Ages below a millisecond have few probes and are of little use: within one millisecond nobody
//! knows whether the version or the read came first, and on such keys it is the read half of the time.

use std::{fmt, time::Duration};

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::{
    cluster::Cluster,
    criteria::{Criteria, Stage},
    hold::Holding,
    tails::{NODES, Registers},
};

/// The R and W that clients use, in turn.
const QUORUMS: [(u8, u8); 4] = [(1, 1), (1, 2), (2, 1), (2, 2)];

/// The replica that is far away, and how late packets to it and from it are, in milliseconds: so late and
/// so much more or less.
const FAR: u8 = 3;
const LATE: (u64, u64) = (10, 4);

/// Few keys that are often written: probes meet versions that are young enough to tell anything. At this
/// rate one of them is written every 20 ms or so.
const KEYS: u32 = 12;
const RATE: u32 = 1_200;
const READS: f64 = 0.5;

/// How long each R and W is used.
const USED: Duration = Duration::from_secs(45);

/// Share of reads that are probed: as many as a node sends at most, which is 50 a second and thread.
const PROBE_SHARE: &str = "0.5";

/// Fewer probes say too little: with 300 the standard error of a share is up to 3 in 100.
const ENOUGH: u64 = 300;

/// How far predicted may be from observed: the model's legs are independent, halves of round trips and of
/// the last minutes, its write is alone, and both machines' clocks tell whole milliseconds. So its order of
/// magnitude is what can be relied upon, and small shares of which there are hardly any probes are alike.
const TIMES: f64 = 3.0;
const POINTS: f64 = 0.02;

/// Plays it.
pub(super) fn staleness(stage: &Stage<'_>, criteria: &mut Criteria) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for quorum in QUORUMS {
        lines.extend(used(stage, quorum, criteria)?);
    }
    criteria.note(format!(
        "node {FAR} is {} ms away, give or take {}, each way:\n{}",
        LATE.0,
        LATE.1,
        table(&lines)
    ));
    judge(&lines, criteria);
    Ok(())
}

/// Founds a cluster in which clients use this R and W, and asks its nodes what they think of it. A cluster
/// of its own: probes are remembered for longer than this takes.
fn used(stage: &Stage<'_>, quorum: (u8, u8), criteria: &mut Criteria) -> anyhow::Result<Vec<Line>> {
    let flags = ["--probe-share", PROBE_SHARE];
    let mut cluster = Cluster::found(stage.lab, stage.setup(&flags), NODES)?;
    let _far = Holding::both_ways(stage.lab, FAR, LATE.0, LATE.1)?;
    let registers = Registers {
        keys: KEYS,
        reads: READS,
        quorum,
        rate: RATE,
    };
    let all: Vec<u8> = (1..=NODES).collect();
    let mut lines = Vec::new();
    let found = registers.load(&mut cluster, &all, |cluster| {
        std::thread::sleep(USED);
        for node in &all {
            let told = cluster.quorum_as_seen_by(*node)?;
            lines.extend(Line::of(&told, *node, quorum)?);
        }
        Ok(())
    })?;
    let reads = found.samples.iter().filter(|it| !it.is_write).count();
    // Not judged, at 2/2 neither: of two writes of a register the one with the later stamp wins, and who
    // writes after another's acknowledgement, at a node whose clock is a millisecond behind, loses to it.
    criteria.note(format!(
        "R/W {}/{}: clients saw less than was acknowledged before in {} of {reads} reads",
        quorum.0, quorum.1, found.stale
    ));
    println!("R/W {}/{} done", quorum.0, quorum.1);
    Ok(lines)
}

/// What a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The far node cannot know better.
    OfTheFar,
    TooFew,
    Near,
    Wrong,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::OfTheFar => "not judged",
            Self::TooFew => "too few",
            Self::Near => "near",
            Self::Wrong => "WRONG",
        }
    }
}

/// Versions of some ages as one node sees them, read with one R and W.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    node: u8,
    quorum: (u8, u8),
    /// Ages in milliseconds; `None`: no end.
    ages: (f64, Option<f64>),
    probes: u64,
    /// Shares of the reads that miss the newest version.
    predicted: f64,
    observed: f64,
}

impl Line {
    /// The lines of an answer of `/v1/quorum` that tell of this R and W.
    fn of(told: &Value, node: u8, quorum: (u8, u8)) -> anyhow::Result<Vec<Self>> {
        let choices = told["choices"].as_array().context("no choices")?;
        let choice = choices
            .iter()
            .find(|it| it["r"] == quorum.0 && it["w"] == quorum.1);
        let stale = choice.context("no such choice")?["stale"].as_array();
        let lines = stale.context("no staleness")?.iter().filter_map(|it| {
            let probed = &it["probed"];
            Some(Self {
                node,
                quorum,
                ages: (it["after_ms"].as_f64()?, probed["until_ms"].as_f64()),
                probes: probed["probes"].as_u64()?,
                predicted: probed["predicted"].as_f64()?,
                observed: probed["observed"].as_f64()?,
            })
        });
        Ok(lines.collect())
    }

    /// What is to be made of it.
    fn verdict(&self) -> Verdict {
        if self.node == FAR {
            Verdict::OfTheFar
        } else if self.probes < ENOUGH {
            Verdict::TooFew
        } else if self.is_near() {
            Verdict::Near
        } else {
            Verdict::Wrong
        }
    }

    /// Whether predicted and observed are as near as is asked for.
    fn is_near(&self) -> bool {
        let (low, high) = (
            self.predicted.min(self.observed),
            self.predicted.max(self.observed),
        );
        high <= TIMES * low || high - low <= POINTS
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "R/W {}/{} at node {}, {} ms: predicted {:.2} %, probed {:.2} % of {}",
            self.quorum.0,
            self.quorum.1,
            self.node,
            ages(self.ages),
            self.predicted * 100.0,
            self.observed * 100.0,
            self.probes
        )
    }
}

fn ages((from, until): (f64, Option<f64>)) -> String {
    until.map_or(format!("from {from}"), |until| format!("{from} to {until}"))
}

fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "R/W",
        "node",
        "age of the version, ms",
        "probes",
        "predicted %",
        "probed %",
        "",
    ]);
    for line in lines {
        table.add_row([
            format!("{}/{}", line.quorum.0, line.quorum.1),
            line.node.to_string(),
            ages(line.ages),
            line.probes.to_string(),
            format!("{:.2}", line.predicted * 100.0),
            format!("{:.2}", line.observed * 100.0),
            line.verdict().words().to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(3).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn judge(lines: &[Line], criteria: &mut Criteria) {
    let with = |wanted: &[Verdict]| -> Vec<&Line> {
        let found = lines.iter().filter(|it| wanted.contains(&it.verdict()));
        found.collect()
    };
    let telling = with(&[Verdict::Near, Verdict::Wrong]);
    for quorum in QUORUMS {
        let of_it = telling.iter().filter(|it| it.quorum == quorum);
        criteria.at_least(
            &format!("R/W {}/{}: ages with {ENOUGH} probes", quorum.0, quorum.1),
            of_it.count() as f64,
            1.0,
            "at both near nodes together",
        );
    }
    let wrong: Vec<_> = with(&[Verdict::Wrong])
        .iter()
        .map(ToString::to_string)
        .collect();
    criteria.none_of(
        &format!(
            "predicted further from probed than {TIMES} times and {} percentage points, of {}",
            POINTS * 100.0,
            telling.len()
        ),
        &wrong,
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(probes: u64, predicted: f64, observed: f64) -> Line {
        Line {
            node: 1,
            quorum: (1, 1),
            ages: (1.0, Some(5.0)),
            probes,
            predicted,
            observed,
        }
    }

    #[test]
    fn the_lines_of_one_choice_are_found_and_those_without_probes_left_out() {
        let probed = json!({"until_ms": 5.0, "probes": 40, "observed": 0.2, "predicted": 0.1});
        let endless = json!({"until_ms": null, "probes": 7, "observed": 0.0, "predicted": 0.0});
        let told = json!({"choices": [
            {"r": 2, "w": 1, "stale": []},
            {"r": 1, "w": 1, "stale": [
                {"after_ms": 0.0, "predicted": 0.3, "probed": null},
                {"after_ms": 1.0, "predicted": 0.3, "probed": probed},
                {"after_ms": 50.0, "predicted": 0.3, "probed": endless},
            ]},
        ]});
        let lines = Line::of(&told, 1, (1, 1)).unwrap();
        assert_eq!(lines[0], line(40, 0.1, 0.2));
        assert_eq!((lines.len(), lines[1].ages), (2, (50.0, None)));
        assert!(Line::of(&told, 1, (3, 3)).is_err());
    }

    #[test]
    fn near_is_a_factor_or_for_small_shares_a_difference() {
        for (predicted, observed, is_near) in [
            (0.3, 0.1, true),
            (0.1, 0.31, false),
            (0.0, 0.02, true),
            (0.021, 0.0, false),
            (0.0, 0.0, true),
        ] {
            let line = line(300, predicted, observed);
            assert_eq!(line.is_near(), is_near, "{line}");
        }
    }

    #[test]
    fn few_probes_prove_nothing_and_one_far_line_is_too_much() {
        let of_all = |line: Line| {
            QUORUMS.map(|quorum| Line {
                quorum,
                ..line.clone()
            })
        };
        let judged = |lines: &[Line]| {
            let mut criteria = Criteria::default();
            judge(lines, &mut criteria);
            criteria.are_kept()
        };
        assert!(judged(&of_all(line(300, 0.2, 0.2))));
        assert!(!judged(&of_all(line(299, 0.2, 0.2))));
        let mut lines = of_all(line(300, 0.2, 0.2)).to_vec();
        lines.push(line(299, 0.9, 0.0));
        assert!(judged(&lines));
        lines.push(Line {
            node: FAR,
            ..line(300, 0.9, 0.0)
        });
        assert!(judged(&lines), "it cannot know better");
        lines.push(line(300, 0.9, 0.2));
        assert!(!judged(&lines));
    }
}

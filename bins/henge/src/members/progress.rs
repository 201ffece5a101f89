//! A change that was made, followed until the data has moved.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{http::HttpDoor, plan};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Exit status of a command that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// A node to look at.
struct Watched {
    door: HttpDoor,
    /// What it had pulled before the change.
    pulled: u64,
}

/// The members before and after the change.
pub(super) struct Baseline(Vec<Watched>);

impl Baseline {
    pub(super) async fn of(door: &HttpDoor, plan: &Value) -> Self {
        let nodes = plan["nodes"].as_array().into_iter().flatten();
        let watched = nodes.filter_map(|node| {
            let http = node["http"].as_str()?;
            Some(async move {
                let door = door.at(http);
                let pulled = door.glance().await.map_or(0, |said| pulled(&said));
                Watched { door, pulled }
            })
        });
        Self(join_all(watched).await)
    }
}

/// How far it is, as the nodes that answer say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Nodes that know the ring that was made.
    know: usize,
    answer: usize,
    /// Partitions with more than one replica set, where most are known of.
    moving: u64,
    to_pull: u64,
    to_drop: u64,
    bytes: u64,
}

impl Progress {
    fn of(said: &[(u64, Value)], ring: u64) -> Self {
        let mut progress = Self::default();
        for (pulled_before, said) in said {
            let moving = |name: &str| said["moving"][name].as_u64().unwrap_or(0);
            progress.answer += 1;
            progress.know += usize::from(number(&said["ring"]) >= ring);
            progress.moving = progress.moving.max(moving("partitions"));
            progress.to_pull += moving("to_pull");
            progress.to_drop += moving("to_drop");
            progress.bytes += pulled(said).saturating_sub(*pulled_before);
        }
        progress
    }

    /// Whether the data is where it belongs.
    fn is_done(&self) -> bool {
        let left = self.moving + self.to_pull + self.to_drop;
        self.answer > 0 && self.know == self.answer && left == 0
    }

    fn line(&self) -> String {
        format!(
            "{} partitions in motion, {} to fetch, {} to hand over; {} moved",
            self.moving,
            self.to_pull,
            self.to_drop,
            plan::bytes(self.bytes)
        )
    }
}

fn pulled(said: &Value) -> u64 {
    said["moving"]["bytes_pulled"].as_u64().unwrap_or(0)
}

/// The number of a ring: `17-9c…` is 17.
fn number(tag: &Value) -> u64 {
    let number = tag.as_str().and_then(|tag| tag.split('-').next());
    number.and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// Shows how far the change is until it is through, or the user has seen enough.
pub(super) async fn follow(
    before: &Baseline,
    made: &Value,
    in_json: bool,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let ring = number(&made["ring"]);
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut shown = String::new();
    let mut pause = Duration::ZERO;
    loop {
        let progress = tokio::select! {
            biased;
            _ = &mut interrupt => {
                clear(&shown);
                eprintln!("henge: the change goes on without this command; `henge status` shows how far it is");
                return Ok(ExitCode::from(INTERRUPTED));
            }
            progress = look_after(pause, before, ring) => progress,
        };
        pause = LOOK;
        if progress.is_done() {
            clear(&shown);
            finish(before, &progress, begun.elapsed(), in_json);
            return Ok(ExitCode::SUCCESS);
        }
        let line = progress.line();
        if !in_json && line != shown {
            show(&line, &shown);
            shown = line;
        }
    }
}

async fn look_after(pause: Duration, before: &Baseline, ring: u64) -> Progress {
    tokio::time::sleep(pause).await;
    let asked = before.0.iter();
    let asked = asked.map(|it| async { Some((it.pulled, it.door.glance().await?)) });
    let said: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    Progress::of(&said, ring)
}

/// One line that is written over on a terminal; a line each elsewhere.
fn show(line: &str, before: &str) {
    if std::io::stdout().is_terminal() {
        clear(before);
        print!("{line}");
        // A terminal that is gone is not worth an error.
        let _ = std::io::stdout().flush();
    } else {
        println!("{line}");
    }
}

fn clear(line: &str) {
    if std::io::stdout().is_terminal() {
        print!("\r{:width$}\r", "", width = line.chars().count());
    }
}

fn finish(before: &Baseline, progress: &Progress, took: Duration, in_json: bool) {
    let silent = before.0.len() - progress.answer;
    if in_json {
        let told = json!({ "done": true, "bytes": progress.bytes,
            "ms": took.as_millis() as u64, "silent_nodes": silent });
        println!("{told}");
        return;
    }
    println!(
        "done after {:.1} s, {} moved",
        took.as_secs_f64(),
        plan::bytes(progress.bytes)
    );
    if silent > 0 {
        println!("{silent} nodes do not answer; what they still have to do is not known");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ring: &str, moving: u64, pulled: u64) -> Value {
        json!({ "ring": ring, "moving": {
            "partitions": moving, "to_pull": 0, "to_drop": 0, "bytes_pulled": pulled } })
    }

    #[test]
    fn it_is_done_when_all_that_answer_know_the_ring_and_nothing_is_left() {
        let early = [(0, said("7-aa", 0, 0)), (5, said("8-bb", 0, 5))];
        assert!(!Progress::of(&early, 8).is_done(), "one has not heard");
        let moving = [(0, said("8-bb", 3, 9)), (5, said("8-bb", 2, 6))];
        let progress = Progress::of(&moving, 8);
        assert!(!progress.is_done());
        assert_eq!((progress.moving, progress.bytes), (3, 10));
        let later = [(0, said("9-cc", 0, 9)), (5, said("8-bb", 0, 6))];
        assert!(Progress::of(&later, 8).is_done());
        assert!(!Progress::of(&[], 8).is_done(), "nobody answers");
    }
}

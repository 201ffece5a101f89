//! `henge status`: every node, asked itself.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use comfy_table::Table;
use serde_json::json;

use crate::client::{Info, Target};

/// Shows every node of the ring: whether it answers, its keys, its memory, the partitions it still has
/// to fetch and to hand over, its version, its clock and how far its peers' clocks are from it. Exit status 1: some node does not answer, or its clock is
/// wrong.
#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    target: Target,
}

/// What one node says of itself.
struct Said {
    id: String,
    address: String,
    info: Result<Info, String>,
}

/// What is shown, by its name in INFO.
const SHOWN: [(&str, &str); 10] = [
    ("records", "db0"),
    ("memory bytes", "used_memory"),
    ("clients", "connected_clients"),
    ("up for s", "uptime_in_seconds"),
    ("to fetch", "partitions_to_pull"),
    ("to hand over", "partitions_to_drop"),
    ("version", "henge_version"),
    ("clock", "clock"),
    ("clock off ms", "clock_offset_ms"),
    ("peers' clocks ms", "clock_peers"),
];

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let ring = client
            .ring()
            .context("that is no Henge node: it knows no ring")?;
        let mut said = Vec::new();
        for member in &ring.members {
            said.push(Said {
                id: member.id.chars().take(8).collect(),
                address: member.resp.clone(),
                info: self.target.info(&member.resp).await,
            });
        }
        if self.target.json {
            let nodes: Vec<_> = said.iter().map(Said::json).collect();
            println!("{}", json!({ "tag": ring.tag, "nodes": nodes }));
        } else {
            print_table(&said);
        }
        Ok(ExitCode::from(u8::from(
            said.iter()
                .any(|node| node.info.is_err() || node.stamps_nothing()),
        )))
    }
}

impl Said {
    fn get(&self, name: &str) -> Option<&str> {
        self.info.as_ref().ok()?.get(name)
    }

    /// Partitions that move, as it knows it.
    fn in_motion(&self) -> Option<u64> {
        self.get("partitions_in_motion")?.parse().ok()
    }

    /// Whether it says that its clock is wrong.
    fn stamps_nothing(&self) -> bool {
        self.get("clock_right") == Some("0")
    }

    fn json(&self) -> serde_json::Value {
        let shown = SHOWN
            .iter()
            .map(|(title, name)| ((*title).to_owned(), self.get(name).into()));
        json!({ "id": self.id, "address": self.address, "up": self.info.is_ok(),
            "partitions_in_motion": self.in_motion(),
            "clock_right": self.get("clock_right").map(|it| it == "1"),
            "error": self.info.as_ref().err(), "info": shown.collect::<serde_json::Map<_, _>>() })
    }
}

fn print_table(said: &[Said]) {
    let mut table = Table::new();
    let titles = SHOWN.iter().map(|(title, _)| *title);
    table.set_header(["node", "address", "state"].into_iter().chain(titles));
    for node in said {
        let state = if node.info.is_ok() { "up" } else { "DOWN" };
        let cells = SHOWN.iter().map(|(_, name)| node.get(name).unwrap_or("-"));
        // One peer a line, or the table is as wide as the cluster is large.
        let cells = cells.map(|cell| cell.replace(',', "\n"));
        let first = [node.id.clone(), node.address.clone(), state.to_owned()];
        table.add_row(first.into_iter().chain(cells));
    }
    println!("{table}");
    let moving = said.iter().filter_map(|node| node.in_motion()).max();
    if let Some(moving) = moving.filter(|moving| *moving > 0) {
        println!("{moving} partitions are in motion: their old and their new replicas both serve");
    }
    for node in said {
        if let Err(error) = &node.info {
            println!("{}: {error}", node.address);
        }
        if node.stamps_nothing() {
            let (off, bound) = (node.get("clock_offset_ms"), node.get("clock_bound_ms"));
            println!(
                "{}: its clock is wrong: {} ms off, {} ms are allowed; it passes requests on and stamps \
                 nothing",
                node.address,
                off.unwrap_or("?"),
                bound.unwrap_or("?")
            );
        }
    }
}

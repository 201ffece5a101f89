//! `henge quorum`: what each R and W costs and risks, predicted beside observed.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::Table;
use serde_json::Value;

use crate::client::Target;

/// Shows what each choice of R and W costs and risks at the node named by --node: latency and
/// staleness as modelled from its measured round trips, staleness as observed by its probes, and what
/// goes on when nodes are down
#[derive(Args)]
pub(crate) struct ShowQuorum {
    #[command(flatten)]
    target: Target,
}

impl ShowQuorum {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let mut last = None;
        for address in &self.target.node {
            match client.ask(address, &["HENGE.MODEL"]).await {
                Ok(text) if self.target.json => println!("{text}"),
                Ok(text) => {
                    let report = serde_json::from_str(&text).context("the answer is no JSON")?;
                    print!("{}", shown(address, &report));
                }
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        match last {
            Some(error) => Err(error.into()),
            None => bail!("no node was named"),
        }
    }
}

/// The whole report, for people.
fn shown(address: &str, report: &Value) -> String {
    let default = &report["default"];
    let mut text = format!(
        "Requests at {address}, N={}; unless they say otherwise R={} W={} {}.\n",
        report["n"],
        default["r"],
        default["w"],
        default["mode"].as_str().unwrap_or("-"),
    );
    if let Some(why) = report["unmodelled"].as_str() {
        text += &format!("Nothing can be predicted: {why}.\n");
    }
    text += &format!("{}\n", costs(report));
    text += "Milliseconds that replicas let a request wait. Down: owners of a key that may be down, \
             strict;\nnow: share of the partitions that can be served, strict. Sees all: strict reads \
             see every\nacknowledged write; sloppy ones do while no link between nodes is down.\n";
    text += &format!("{}\n", risks(report));
    text += &format!(
        "Reads that miss a write, predicted at a time after its acknowledgement | observed on \
         versions\nof at least that age (predicted for the same versions, by so many probes). \
         {} probes in all, of\n{} of the reads.\n",
        report["probes"],
        share(&report["probe_share"]),
    );
    if let Some(assumes) = report["assumes"].as_str() {
        text += &format!("{assumes}.\n");
    }
    text + &format!("{}\n", peers(report))
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or("-".to_owned(), |it| format!("{it:.2}"))
}

/// A share in percent, with as many digits as it takes to tell it from nothing.
fn share(value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(share) if share < 0.001 => format!("{:.2} %", share * 100.0),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

/// The choice's name; that of requests which say nothing is marked.
fn name(report: &Value, choice: &Value) -> String {
    let default = &report["default"];
    let is_default = default["r"] == choice["r"] && default["w"] == choice["w"];
    let mark = if is_default { " *" } else { "" };
    format!("{}/{}{mark}", choice["r"], choice["w"])
}

fn yes(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "yes",
        _ => "no",
    }
}

fn costs(report: &Value) -> Table {
    let mut table = Table::new();
    table.set_header([
        "R/W",
        "read p50",
        "p99",
        "write p50",
        "p99",
        "reads: down",
        "now",
        "writes: down",
        "now",
        "sees all",
        "never goes back",
    ]);
    for choice in list(report, "choices") {
        let (reads, writes) = (&choice["reads_go_on"], &choice["writes_go_on"]);
        let guarantees = &choice["guarantees"];
        table.add_row([
            name(report, choice),
            number(&choice["read_ms"]["p50"]),
            number(&choice["read_ms"]["p99"]),
            number(&choice["write_ms"]["p50"]),
            number(&choice["write_ms"]["p99"]),
            reads["may_be_down"].to_string(),
            share(&reads["strict_now"]),
            writes["may_be_down"].to_string(),
            share(&writes["strict_now"]),
            yes(&guarantees["strict_reads_see_acknowledged_writes"]).to_owned(),
            yes(&guarantees["strict_reads_never_go_back"]).to_owned(),
        ]);
    }
    table
}

fn risks(report: &Value) -> Table {
    let mut table = Table::new();
    let first = list(report, "choices").next().unwrap_or(&Value::Null);
    let times =
        list(first, "stale").map(|it| format!("{} ms", it["after_ms"].as_f64().unwrap_or(0.0)));
    table.set_header(["R/W".to_owned()].into_iter().chain(times));
    for choice in list(report, "choices") {
        let cells = list(choice, "stale").map(risk);
        table.add_row([name(report, choice)].into_iter().chain(cells));
    }
    table
}

/// Predicted | observed (predicted, probes).
fn risk(stale: &Value) -> String {
    let probed = &stale["probed"];
    let observed = match probed.is_null() {
        true => "-".to_owned(),
        false => format!(
            "{} ({}, {})",
            share(&probed["observed"]),
            share(&probed["predicted"]),
            probed["probes"]
        ),
    };
    format!("{} | {observed}", share(&stale["predicted"]))
}

fn peers(report: &Value) -> Table {
    let mut table = Table::new();
    table.set_header([
        "peer",
        "state",
        "reads: samples",
        "p50",
        "p99",
        "writes: samples",
        "p50",
        "p99",
    ]);
    for peer in list(report, "peers") {
        let id = peer["node"].as_str().unwrap_or_default();
        let state = match (peer["up"].as_bool(), peer["asked_last"].as_bool()) {
            (Some(true), Some(true)) => "up, read last",
            (Some(true), _) => "up",
            _ => "DOWN",
        };
        let (reads, writes) = (&peer["reads"], &peer["writes"]);
        table.add_row([
            id.chars().take(8).collect(),
            state.to_owned(),
            reads["samples"].to_string(),
            number(&reads["p50_ms"]),
            number(&reads["p99_ms"]),
            writes["samples"].to_string(),
            number(&writes["p50_ms"]),
            number(&writes["p99_ms"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;

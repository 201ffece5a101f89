//! `henge repair`: a round of anti-entropy now, watched until it has gone through.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use henge_client::Client;
use serde_json::{Value, json};

use crate::client::Target;

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Begins a round of anti-entropy and waits until it has gone through. Each node compares itself
/// with every other one.
#[derive(Args)]
pub(crate) struct Repair {
    /// Only the nodes named by --node, not all nodes of the ring
    #[arg(long)]
    only: bool,
    /// Say how far it is and begin nothing
    #[arg(long)]
    status: bool,
    #[command(flatten)]
    target: Target,
}

impl Repair {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let ring = client
            .ring()
            .context("that is no Henge node: it knows no ring")?;
        let addresses = if self.only {
            self.target.node.clone()
        } else {
            ring.members.iter().map(|it| it.resp.clone()).collect()
        };
        let mut failed = false;
        for address in addresses {
            let outcome = if self.status {
                ask(&client, &address, &["HENGE.REPAIR"]).await
            } else {
                self.round(&client, &address).await
            };
            match outcome {
                Ok(said) if self.target.json => println!("{said}"),
                Ok(said) => show(&address, &said),
                Err(error) => {
                    failed = true;
                    eprintln!("{address}: {error:#}");
                }
            }
        }
        Ok(ExitCode::from(u8::from(failed)))
    }

    /// One node's round, from its beginning to its end.
    async fn round(&self, client: &Client, address: &str) -> anyhow::Result<Value> {
        let before = ask(client, address, &["HENGE.REPAIR", "START"]).await?;
        let wanted = count(&before, "rounds") + up(&before);
        let mut last = u64::MAX;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = ask(client, address, &["HENGE.REPAIR"]).await?;
            let left: u64 = peers(&now).map(|peer| number(&peer["left"])).sum();
            // A peer that went away meanwhile is not waited for.
            if count(&now, "rounds") >= wanted.min(count(&before, "rounds") + up(&now)) && left == 0
            {
                return Ok(since(&before, now));
            }
            if !self.target.json && left != last {
                println!("{address}: {left} partitions left");
                last = left;
            }
        }
    }
}

async fn ask(client: &Client, address: &str, command: &[&str]) -> anyhow::Result<Value> {
    let text = client.ask(address, command).await?;
    serde_json::from_str(&text).context("the answer is no JSON")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn count(said: &Value, name: &str) -> u64 {
    number(&said["totals"][name])
}

fn peers(said: &Value) -> impl Iterator<Item = &Value> {
    said["peers"].as_array().into_iter().flatten()
}

/// How many peers the node reaches.
fn up(said: &Value) -> u64 {
    peers(said).filter(|peer| peer["up"] == json!(true)).count() as u64
}

/// What was done between two looks, in place of the totals.
fn since(before: &Value, mut now: Value) -> Value {
    if let Some(totals) = now["totals"].as_object_mut() {
        for (name, total) in totals {
            *total = number(total).saturating_sub(count(before, name)).into();
        }
    }
    now
}

fn show(address: &str, said: &Value) {
    let count = |name| count(said, name);
    println!(
        "{address}: {} rounds, {} partitions compared, {} differed, {} records repaired here, {} \
         sent, {} refused; {} bytes in, {} bytes out",
        count("rounds"),
        count("partitions_compared"),
        count("sessions"),
        count("repaired"),
        count("pushed"),
        count("refused"),
        count("bytes_in"),
        count("bytes_out"),
    );
    for peer in peers(said) {
        let age = peer["round_age_ms"].as_u64();
        let age = age.map_or("never".to_owned(), |ms| format!("{} s ago", ms / 1_000));
        let node = peer["node"].as_str().unwrap_or_default();
        let node = &node[..node.len().min(8)];
        println!("  with {node}: last whole round {age}");
    }
}

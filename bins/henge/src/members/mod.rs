//! `henge leave`, `reweight`, `zone`, `join`, `replace`: changes of the ring, shown before they are
//! made, and followed while they last.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use futures::future::join_all;
use serde_json::Value;

pub(crate) mod http;
mod plan;
mod progress;

use http::{Asking, HttpDoor, escaped};

/// Whether to go through with it.
#[derive(Args)]
struct Making {
    /// Make the change; without it, only what it would do is shown
    #[arg(long)]
    apply: bool,
    /// With --apply: do not wait until the data has moved
    #[arg(long, requires = "apply")]
    no_wait: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Lets a member leave. It serves until its data is elsewhere, then says so and can be stopped.
#[derive(Args)]
pub(crate) struct Leave {
    /// Its id, or the beginning of it
    node: String,
    /// Take the leave back: a node that leaves, or has left and still runs, is a member again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    making: Making,
}

/// Gives a member another share of the partitions.
#[derive(Args)]
pub(crate) struct Reweight {
    /// Its id, or the beginning of it
    node: String,
    /// Its share in proportion to others', from 1
    weight: u32,
    #[command(flatten)]
    making: Making,
}

/// Says that a member stands in another zone: replicas are spread over zones.
#[derive(Args)]
pub(crate) struct Rezone {
    /// Its id, or the beginning of it
    node: String,
    /// What it fails together with
    zone: String,
    #[command(flatten)]
    making: Making,
}

/// Shows what a further node would take, and how to start it. Changes nothing.
#[derive(Args)]
pub(crate) struct Join {
    /// Its share of the data relative to the other nodes
    #[arg(long, default_value_t = 1)]
    weight: u32,
    /// What it fails together with
    #[arg(long, default_value = "default")]
    zone: String,
    #[command(flatten)]
    asking: Asking,
}

/// Shows what a node that takes a member's places would fetch, and how to start it. Changes nothing.
#[derive(Args)]
pub(crate) struct Replace {
    /// The member's id, or the beginning of it
    old: String,
    #[command(flatten)]
    asking: Asking,
}

impl Leave {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let what = if self.undo { "stay" } else { "leave" };
        let query = format!("{what}?node={}", id(&self.node)?);
        self.making.run(what, &query).await
    }
}

impl Reweight {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let query = format!("reweight?node={}&weight={}", id(&self.node)?, self.weight);
        self.making.run("reweight", &query).await
    }
}

impl Rezone {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let query = format!("zone?node={}&zone={}", id(&self.node)?, escaped(&self.zone));
        self.making.run("zone", &query).await
    }
}

impl Join {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let query = format!("join?weight={}&zone={}", self.weight, escaped(&self.zone));
        let (plan, members) = self.asking.show("join", &query).await?;
        if !self.asking.json {
            let peers = plan::peers(&members, |_| true);
            println!(
                "nothing was changed; the node joins by itself, with the others' cluster key:\n  \
                 henge serve --join {} --weight {} --zone {:?} --listen-peer IP:PORT ...",
                peers.join(","),
                self.weight,
                self.zone
            );
        } else {
            println!("{plan}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Replace {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let old = id(&self.old)?;
        let (plan, members) = self
            .asking
            .show("replace", &format!("replace?node={old}"))
            .await?;
        if !self.asking.json {
            let is_old = |id: &str| id.starts_with(old);
            println!(
                "nothing was changed; a node that listens on the old one's peer address takes its \
                 places by itself, with the others' cluster key, once the old one is stopped:\n  \
                 henge serve --join {} --listen-peer {} ...",
                plan::peers(&members, |id| !is_old(id)).join(","),
                plan::peers(&members, is_old).join(",")
            );
        } else {
            println!("{plan}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An id is hexadecimal, so it needs no escaping.
fn id(text: &str) -> anyhow::Result<&str> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        bail!("{text:?} is no node id: see `henge ring`");
    }
    Ok(text)
}

impl Making {
    /// Shows the change; makes it and follows it, if that is wanted.
    async fn run(&self, what: &str, query: &str) -> anyhow::Result<ExitCode> {
        let door = self.asking.door();
        let (plan, _) = self.asking.show(what, query).await?;
        if !self.apply {
            match self.asking.json {
                true => println!("{plan}"),
                false => println!("nothing was changed; say --apply to make the change"),
            }
            return Ok(ExitCode::SUCCESS);
        }
        let before = progress::Baseline::of(&door, &plan).await;
        let size = plan["replica_bytes"].as_u64().unwrap_or(0);
        let path = format!("/v1/members/{query}&replica_bytes={size}&apply=true");
        let made = door.ask("POST", &path).await?;
        if self.asking.json {
            println!("{made}");
        } else {
            println!("applied");
        }
        if self.no_wait {
            return Ok(ExitCode::SUCCESS);
        }
        progress::follow(&before, &made, self.asking.json).await
    }
}

impl Asking {
    /// What a change would do, printed unless JSON is wanted; and what the node says of the members.
    async fn show(&self, what: &str, query: &str) -> anyhow::Result<(Value, Value)> {
        let door = self.door();
        let path = format!("/v1/members/{query}");
        let rough = door.ask("POST", &path).await?;
        let members = door.ask("GET", "/v1/members").await?;
        let size = ReplicaSize::measure(&door, &rough).await;
        let path = format!("{path}&replica_bytes={}", size.bytes);
        let mut plan = door.ask("POST", &path).await?;
        plan["sized_by"] = size.nodes.into();
        if !self.json {
            plan::print(what, &plan);
        }
        Ok((plan, members))
    }
}

/// How large a replica of a partition is.
struct ReplicaSize {
    bytes: u64,
    /// The nodes that told how much they hold.
    nodes: usize,
}

impl ReplicaSize {
    /// Asks every member of the plan how much it holds, and divides by how many replicas it has.
    async fn measure(door: &HttpDoor, plan: &Value) -> Self {
        let nodes = plan["nodes"].as_array().into_iter().flatten();
        let asked = nodes.filter_map(|node| {
            let held = node["before"].as_u64().filter(|held| *held > 0)?;
            let door = door.at(node["http"].as_str()?);
            Some(async move { Some((held, door.glance().await?["bytes"].as_u64()?)) })
        });
        let told: Vec<(u64, u64)> = join_all(asked).await.into_iter().flatten().collect();
        let (held, bytes) = told.iter().fold((0, 0), |sum: (u64, u64), (held, bytes)| {
            (sum.0 + held, sum.1.saturating_add(*bytes))
        });
        Self {
            bytes: bytes / held.max(1),
            nodes: told.len(),
        }
    }
}

//! `henge ring`: who owns how much of the token space, and of the keys.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use comfy_table::Table;
use henge_client::RingView;
use serde_json::json;

use crate::client::Target;

/// Shows which node owns how many partitions, and how evenly they are spread.
#[derive(Args)]
pub(crate) struct ShowRing {
    /// Show this key's partition and replicas
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// One member's share.
struct Share {
    partitions: usize,
    first: usize,
    /// Records it says it holds; `None`: it does not answer.
    records: Option<u64>,
}

impl ShowRing {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let ring = client
            .ring()
            .context("that is no Henge node: it knows no ring")?;
        let mut shares = shares(&ring);
        for (share, member) in shares.iter_mut().zip(&ring.members) {
            let info = self.target.info(&member.resp).await.ok();
            share.records = info.and_then(|info| info.get("db0").unwrap_or("0").parse().ok());
        }
        let balance = Balance::of(&shares);
        if self.target.json {
            print_json(&ring, &shares, balance);
        } else {
            print_table(&ring, &shares, balance);
        }
        if let Some(key) = &self.key {
            let nodes = ring.primaries(key.as_bytes()).iter();
            let nodes: Vec<_> = nodes
                .map(|&index| ring.members[index].resp.as_str())
                .collect();
            println!("{key}: {}", nodes.join(", "));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn shares(ring: &RingView) -> Vec<Share> {
    let mut shares: Vec<_> = ring
        .members
        .iter()
        .map(|_| Share {
            partitions: 0,
            first: 0,
            records: None,
        })
        .collect();
    for replicas in ring.partitions() {
        for (place, &index) in replicas.iter().enumerate() {
            shares[index].partitions += 1;
            shares[index].first += usize::from(place == 0);
        }
    }
    shares
}

/// Most loaded member against the mean.
#[derive(Clone, Copy)]
struct Balance {
    partitions: f64,
    /// `None`: some member does not answer, or there is nothing to spread.
    records: Option<f64>,
}

impl Balance {
    fn of(shares: &[Share]) -> Self {
        let most_over_mean = |loads: &[u64]| {
            let total: u64 = loads.iter().sum();
            let most = loads.iter().copied().max().unwrap_or(0);
            (total > 0).then(|| most as f64 * loads.len() as f64 / total as f64)
        };
        let partitions: Vec<_> = shares.iter().map(|share| share.partitions as u64).collect();
        let records: Option<Vec<_>> = shares.iter().map(|share| share.records).collect();
        Self {
            partitions: most_over_mean(&partitions).unwrap_or(1.0),
            records: records.and_then(|records| most_over_mean(&records)),
        }
    }
}

fn print_table(ring: &RingView, shares: &[Share], balance: Balance) {
    let replicas = ring.n.min(ring.members.len() as u32);
    println!(
        "{} members, {} partitions, {replicas} replicas of each, ring {}",
        ring.members.len(),
        1u32 << ring.bits,
        ring.tag,
    );
    let mut table = Table::new();
    table.set_header([
        "node",
        "address",
        "zone",
        "state",
        "partitions",
        "share",
        "first of",
        "records",
    ]);
    let all = (1u64 << ring.bits) as f64;
    for (member, share) in ring.members.iter().zip(shares) {
        table.add_row([
            member.id.chars().take(8).collect(),
            member.resp.clone(),
            member.zone.clone().unwrap_or_default(),
            if member.up { "up" } else { "DOWN" }.to_owned(),
            share.partitions.to_string(),
            format!("{:.1} %", 100.0 * share.partitions as f64 / all),
            share.first.to_string(),
            share
                .records
                .map_or_else(|| "-".to_owned(), |records| records.to_string()),
        ]);
    }
    println!("{table}");
    println!(
        "most loaded / mean: {:.3} by partitions",
        balance.partitions
    );
    if let Some(records) = balance.records {
        println!("most loaded / mean: {records:.3} by records");
    }
}

fn print_json(ring: &RingView, shares: &[Share], balance: Balance) {
    let members = ring.members.iter().zip(shares).map(|(member, share)| {
        json!({ "id": member.id, "address": member.resp, "zone": member.zone, "up": member.up,
            "partitions": share.partitions, "first_of": share.first, "records": share.records })
    });
    println!(
        "{}",
        json!({ "tag": ring.tag, "bits": ring.bits, "n": ring.n, "max_over_mean": balance.partitions,
            "records_max_over_mean": balance.records,
            "members": members.collect::<Vec<_>>() })
    );
}

//! Whether all replicas of all keys are equal: every node exports what it holds, and whoever owns a
//! key must hold the very same bytes of it as the other owners.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::{cluster::Cluster, http};

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Keys that some owner holds.
    pub keys: usize,
    /// Bytes of their records, each counted once for every owner that holds it.
    pub bytes: usize,
    /// Keys that two owners hold differently, or one does not hold.
    pub differing: usize,
    /// Some of those, each with what its owners hold.
    pub examples: Vec<String>,
}

/// What one node holds, by key.
type Held = BTreeMap<String, Record>;

#[derive(Debug, Deserialize)]
struct Page {
    records: Vec<Exported>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Exported {
    #[serde(alias = "key_base64")]
    key: String,
    #[serde(flatten)]
    record: Record,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Record {
    /// In base64.
    record: String,
    state: Option<String>,
    deadline_ms: Option<u64>,
}

/// Differences described in words; further ones are only counted.
const MOST_EXAMPLES: usize = 5;

/// Compares the owners of every partition, or of each `step`-th one.
///
/// # Errors
/// If a node does not answer.
pub fn compare(cluster: &Cluster<'_>, step: usize) -> anyhow::Result<Comparison> {
    let (owners, now_ms) = (ring_of(cluster)?, now_ms()?);
    let mut comparison = Comparison::default();
    for (partition, owners) in owners.iter().enumerate().step_by(step.max(1)) {
        let held = owners
            .iter()
            .map(|owner| export(*owner, partition))
            .collect::<anyhow::Result<Vec<Held>>>()?;
        comparison.add(&held, now_ms);
    }
    Ok(comparison)
}

/// Keys, and the bytes of their names and records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub keys: u64,
    /// Their bytes, as replicas keep them.
    pub bytes: u64,
}

impl Share {
    fn add(&mut self, key: &str, record: &Record) {
        self.keys += 1;
        self.bytes += record.bytes(key) as u64;
    }
}

/// What a node holds of the partitions that it owns.
///
/// # Errors
/// If a node does not answer.
pub fn held_by(cluster: &Cluster<'_>, machine: u8) -> anyhow::Result<Share> {
    let (node, mut share) = (cluster.lab().address(machine), Share::default());
    for (partition, owners) in ring_of(cluster)?.iter().enumerate() {
        if owners.contains(&node) {
            let held = export(node, partition)?;
            held.iter().for_each(|(key, record)| share.add(key, record));
        }
    }
    Ok(share)
}

/// What the other owners of a node's partitions hold otherwise than it does.
///
/// # Errors
/// If a node does not answer.
pub fn missed_by(cluster: &Cluster<'_>, machine: u8) -> anyhow::Result<Share> {
    let (node, now_ms) = (cluster.lab().address(machine), now_ms()?);
    let mut share = Share::default();
    for (partition, owners) in ring_of(cluster)?.iter().enumerate() {
        let other = owners.iter().find(|owner| **owner != node);
        if let Some(other) = other.filter(|_| owners.contains(&node)) {
            let (held, whole) = (export(node, partition)?, export(*other, partition)?);
            for (key, record) in &whole {
                if record.counts(now_ms) && held.get(key) != Some(record) {
                    share.add(key, record);
                }
            }
        }
    }
    Ok(share)
}

/// Owners of each partition, as any node that runs tells them.
fn ring_of(cluster: &Cluster<'_>) -> anyhow::Result<Vec<Vec<IpAddr>>> {
    let machines = cluster.running();
    let first = machines.first().context("no node runs")?;
    owners(&http::json(
        cluster.lab().address(*first),
        "GET",
        "/v1/ring",
    )?)
}

fn now_ms() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64)
}

/// Addresses of the owners of each partition, as a ring tells them.
fn owners(ring: &Value) -> anyhow::Result<Vec<Vec<IpAddr>>> {
    let list = |value: &Value| value.as_array().cloned().context("a ring without lists");
    let address = |member: &Value| -> anyhow::Result<IpAddr> {
        let door = member["http"]
            .as_str()
            .context("a member without address")?;
        let (host, _) = door.rsplit_once(':').context("an address without port")?;
        Ok(host.parse()?)
    };
    let members: Vec<IpAddr> = list(&ring["members"])?
        .iter()
        .map(address)
        .collect::<anyhow::Result<_>>()?;
    let owner = |index: Value| {
        let member = index.as_u64().and_then(|it| members.get(it as usize));
        member.copied().context("an owner that is no member")
    };
    list(&ring["partitions"])?
        .iter()
        .map(|partition| list(partition)?.into_iter().map(owner).collect())
        .collect()
}

/// What a node holds of one partition.
fn export(node: IpAddr, partition: usize) -> anyhow::Result<Held> {
    let mut held = Held::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/export?partition={partition}{after}");
        let (status, body) = http::ask(node, "GET", &path)?;
        let page: Page = serde_json::from_str(&body)
            .with_context(|| format!("{node}{path}: status {status}: {body}"))?;
        held.extend(page.records.into_iter().map(|it| (it.key, it.record)));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(held),
        }
    }
}

impl Record {
    /// What has expired, or is about to, may be gone from some replicas and not from others.
    fn counts(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_none_or(|at| at > now_ms + 2_000)
    }

    /// Of the key and the record, which is in base64 here.
    fn bytes(&self, key: &str) -> usize {
        let padding = self
            .record
            .bytes()
            .rev()
            .take_while(|it| *it == b'=')
            .count();
        key.len() + self.record.len() / 4 * 3 - padding
    }
}

impl Comparison {
    /// Compares what the owners of one partition hold.
    fn add(&mut self, held: &[Held], now_ms: u64) {
        let keys: BTreeSet<&String> = held.iter().flat_map(BTreeMap::keys).collect();
        for key in keys {
            let copies: Vec<Option<&Record>> = held.iter().map(|it| it.get(key)).collect();
            if !copies.iter().flatten().any(|it| it.counts(now_ms)) {
                continue;
            }
            self.keys += 1;
            let bytes = copies.iter().flatten().map(|it| it.bytes(key));
            self.bytes += bytes.sum::<usize>();
            if copies.windows(2).all(|pair| pair[0] == pair[1]) {
                continue;
            }
            self.differing += 1;
            if self.examples.len() < MOST_EXAMPLES {
                let state = |copy: &Option<&Record>| match copy {
                    Some(record) => record.state.clone().unwrap_or_default(),
                    None => "nothing".to_owned(),
                };
                let states: Vec<_> = copies.iter().map(state).collect();
                self.examples.push(format!("{key}: {}", states.join(", ")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(records: &[(&str, &str, Option<u64>)]) -> Held {
        let record = |(key, record, deadline_ms): &(&str, &str, Option<u64>)| {
            let record = Record {
                record: (*record).to_owned(),
                state: Some("alive".to_owned()),
                deadline_ms: *deadline_ms,
            };
            ((*key).to_owned(), record)
        };
        records.iter().map(record).collect()
    }

    #[test]
    fn every_owner_must_hold_the_same() {
        let mut comparison = Comparison::default();
        let whole = held(&[("a", "AAAA", None), ("b", "BBBB", Some(90_000))]);
        comparison.add(&[whole.clone(), whole.clone(), whole.clone()], 1_000);
        assert_eq!((comparison.keys, comparison.differing), (2, 0));
        assert_eq!(comparison.bytes, 2 * 3 * (1 + 3));
        let less = held(&[("a", "AAAA", None)]);
        comparison.add(&[whole.clone(), less, whole.clone()], 1_000);
        assert_eq!(comparison.differing, 1);
        let other = held(&[("a", "AAAC", None), ("b", "BBBB", Some(90_000))]);
        comparison.add(&[whole.clone(), whole, other], 1_000);
        assert_eq!(comparison.differing, 2);
        assert_eq!(comparison.examples[0], "b: alive, nothing, alive");
    }

    #[test]
    fn what_has_expired_need_not_be_anywhere() {
        let mut comparison = Comparison::default();
        let expired = held(&[("a", "AAAA", Some(5_000))]);
        comparison.add(&[expired, Held::new()], 10_000);
        assert_eq!(comparison, Comparison::default());
    }

    #[test]
    fn owners_are_found_by_their_place_in_the_ring() {
        let ring = json!({
            "members": [{"http": "198.18.0.11:7380"}, {"http": "198.18.0.12:7380"}],
            "partitions": [[0, 1], [1, 0]],
        });
        let [a, b] = [[198, 18, 0, 11], [198, 18, 0, 12]].map(IpAddr::from);
        assert_eq!(owners(&ring).unwrap(), [vec![a, b], vec![b, a]]);
        let wrong = json!({"members": [], "partitions": [[0]]});
        assert!(owners(&wrong).is_err());
    }

    #[test]
    fn bytes_are_those_of_the_key_and_of_the_decoded_record() {
        let mut share = Share::default();
        for (key, record) in &held(&[("ab", "AAAAAA==", None), ("c", "AAAA", None)]) {
            share.add(key, record);
        }
        assert_eq!(
            share,
            Share {
                keys: 2,
                bytes: 2 + 4 + 1 + 3
            }
        );
    }

    #[test]
    fn pages_are_read_as_nodes_write_them() {
        let page = r#"{"next":null,"records":[{"changed_ms":1,"deadline_ms":null,"fields":{},
            "key":"sess:b","record":"AAAA","state":"alive","values":[]},
            {"key_base64":"/w==","record":"AAAA"}]}"#;
        let page: Page = serde_json::from_str(page).unwrap();
        assert_eq!(page.records[0].key, "sess:b");
        assert_eq!(page.records[0].record.deadline_ms, None);
        assert_eq!(page.records[1].key, "/w==");
    }
}

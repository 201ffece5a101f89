//! Many processes on one machine, each at a loopback address of its own (`127.18.X.10` and on), so that all
//! have the usual ports. Nothing comes between them; they can only be killed. Needs no privilege.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::bail;

use super::{
    cluster::{Setup, unsettled},
    http,
    server::{RESP, Server, Start},
};

/// Most nodes of a herd: the last byte of an address has room for them.
pub(super) const MOST: u8 = 200;

/// How often nodes that are not settled are asked, and how often it is said how many are.
const LOOK: Duration = Duration::from_millis(200);
const TELL: Duration = Duration::from_secs(2);

/// The processes, numbered from 1.
#[derive(Debug)]
pub(super) struct Herd {
    net: u8,
    servers: BTreeMap<u8, Server>,
}

impl Herd {
    /// Starts so many that found a cluster together; does not wait for them.
    ///
    /// # Errors
    /// If a process does not start.
    pub(super) fn start(setup: &Setup, nodes: u8) -> anyhow::Result<Self> {
        let mut herd = Self {
            net: (std::process::id() % 256) as u8,
            servers: BTreeMap::new(),
        };
        let all: Vec<IpAddr> = (1..=nodes).map(|node| herd.address(node)).collect();
        for node in 1..=nodes {
            let start = Start {
                henge: setup.henge.clone(),
                namespace: None,
                address: herd.address(node),
                others: all.clone(),
                joins: false,
                flags: setup.flags.clone(),
                variables: Vec::new(),
                log: setup.logs.join(format!("node-{node}.log")),
            };
            herd.servers.insert(node, start.run()?);
        }
        Ok(herd)
    }

    fn address(&self, node: u8) -> IpAddr {
        Ipv4Addr::new(127, 18, self.net, 10 + node).into()
    }

    /// The Redis door of a node.
    pub(super) fn door(&self, node: u8) -> String {
        format!("{}:{RESP}", self.address(node))
    }

    /// The address by which the others know a node.
    pub(super) fn peer(&self, node: u8) -> String {
        format!("{}:{}", self.address(node), super::server::PEER)
    }

    /// Those that were not killed.
    pub(super) fn running(&self) -> Vec<u8> {
        self.servers.keys().copied().collect()
    }

    /// Waits until all serve and each reaches each, saying now and then how many do; how long it took
    /// until all served, and until all were settled.
    ///
    /// # Errors
    /// If one ends by itself, or not all are settled within `limit`.
    pub(super) fn wait_until_settled(
        &mut self,
        limit: Duration,
    ) -> anyhow::Result<(Duration, Duration)> {
        let (begun, members) = (Instant::now(), self.servers.len());
        let (mut unready, mut restless) = (self.running(), self.running());
        let (mut ready, mut told) = (None, begun);
        loop {
            for (node, server) in &mut self.servers {
                if !server.is_running() {
                    bail!("node {node} has ended by itself: see its log");
                }
            }
            unready.retain(|node| !self.is_ready(*node));
            if unready.is_empty() {
                ready.get_or_insert_with(|| begun.elapsed());
                restless.retain(|node| self.amiss(*node, members).is_some());
            }
            let settled = members - restless.len();
            if told.elapsed() >= TELL || restless.is_empty() {
                told = Instant::now();
                println!(
                    "{:5.1} s: {} of {members} serve, {settled} reach all others",
                    begun.elapsed().as_secs_f64(),
                    members - unready.len(),
                );
            }
            match (ready, restless.first()) {
                (Some(ready), None) => return Ok((ready, begun.elapsed())),
                (_, Some(node)) if begun.elapsed() > limit => bail!(
                    "node {node}: {}",
                    self.amiss(*node, members).unwrap_or_default()
                ),
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    fn is_ready(&self, node: u8) -> bool {
        matches!(
            http::ask(self.address(node), "GET", "/readyz"),
            Ok((200, _))
        )
    }

    fn amiss(&self, node: u8, members: usize) -> Option<String> {
        match http::json(self.address(node), "GET", "/v1/members") {
            Ok(seen) => unsettled(&seen, members),
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// What a node's `/v1/members` says.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) fn members_as_seen_by(&self, node: u8) -> anyhow::Result<serde_json::Value> {
        http::json(self.address(node), "GET", "/v1/members")
    }

    /// Of each node, the sum of these figures of its `/metrics`.
    ///
    /// # Errors
    /// If one does not answer, or has no such figure.
    pub(super) fn metrics(&self, names: &[&str]) -> anyhow::Result<BTreeMap<u8, u64>> {
        let sum = |node: u8| http::metrics(self.address(node), names);
        self.running()
            .into_iter()
            .map(|it| Ok((it, sum(it)?)))
            .collect()
    }

    /// Bytes of memory of each.
    pub(super) fn resident_bytes(&self) -> Vec<u64> {
        let servers = self.servers.values();
        servers.filter_map(Server::resident_bytes).collect()
    }

    /// Kills one (`SIGKILL`).
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub(super) fn kill(&mut self, node: u8) -> anyhow::Result<()> {
        self.servers
            .remove(&node)
            .map_or(Ok(()), |mut it| it.kill())
    }
}

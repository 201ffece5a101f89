//! A cluster of real processes, each on a machine of the lab.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{
    filter::{self, Filter},
    http,
    lab::Lab,
    server::{RESP, Server, Start},
};

/// How often a node is asked whether it has come as far as it should.
const LOOK: Duration = Duration::from_millis(100);

/// Longest wait for a founded cluster to serve.
const FOUNDING: Duration = Duration::from_secs(30);

/// How all processes of a cluster are started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub henge: PathBuf,
    /// Where logs go; each node's is named after it.
    pub logs: PathBuf,
    /// Further flags of `henge serve`.
    pub flags: Vec<String>,
}

/// Machines, the processes on them and what their packets suffer.
#[derive(Debug)]
pub struct Cluster<'lab> {
    lab: &'lab Lab,
    setup: Setup,
    servers: BTreeMap<u8, Server>,
    filters: BTreeMap<u8, Filter>,
    /// Machines that were lost, with whatever ran on them.
    destroyed: BTreeSet<u8>,
    /// Packets that rules dropped or doubled which are in force no more.
    struck: u64,
    /// Variables that single machines are started with.
    variables: BTreeMap<u8, Vec<(String, String)>>,
}

impl<'lab> Cluster<'lab> {
    /// Founds a cluster on machines 1 to `members` and waits until all serve.
    ///
    /// # Errors
    /// If a process does not start, or they do not serve within half a minute.
    pub fn found(lab: &'lab Lab, setup: Setup, members: u8) -> anyhow::Result<Self> {
        Self::found_with(lab, setup, members, BTreeMap::new())
    }

    /// As [`found`](Self::found), with variables for single machines.
    ///
    /// # Errors
    /// As [`found`](Self::found).
    pub fn found_with(
        lab: &'lab Lab,
        setup: Setup,
        members: u8,
        variables: BTreeMap<u8, Vec<(String, String)>>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&setup.logs)?;
        let mut cluster = Self {
            lab,
            setup,
            servers: BTreeMap::new(),
            filters: BTreeMap::new(),
            destroyed: BTreeSet::new(),
            struck: 0,
            variables,
        };
        let founders: Vec<u8> = (1..=members).collect();
        for machine in &founders {
            lab.build(*machine)?;
            cluster.set_filter(*machine, |filter| *filter = Filter::default())?;
            lab.plug(*machine, true)?;
            cluster.start(*machine, &founders, false)?;
        }
        cluster.wait_until_settled(FOUNDING)?;
        Ok(cluster)
    }

    /// The lab it is in.
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// Machines with a process, paused ones too.
    pub fn running(&self) -> Vec<u8> {
        self.servers.keys().copied().collect()
    }

    /// The Redis door of a machine.
    pub fn door(&self, machine: u8) -> String {
        format!("{}:{RESP}", self.lab.address(machine))
    }

    /// Redis doors of all that run.
    pub fn targets(&self) -> Vec<String> {
        self.servers.keys().map(|it| self.door(*it)).collect()
    }

    fn start(&mut self, machine: u8, others: &[u8], joins: bool) -> anyhow::Result<()> {
        let start = Start {
            henge: self.setup.henge.clone(),
            namespace: Some(self.lab.namespace(machine)),
            address: self.lab.address(machine),
            others: others.iter().map(|it| self.lab.address(*it)).collect(),
            joins,
            flags: self.setup.flags.clone(),
            variables: self.variables.get(&machine).cloned().unwrap_or_default(),
            log: self.setup.logs.join(format!("node-{machine}.log")),
        };
        self.servers.insert(machine, start.run()?);
        Ok(())
    }

    /// Starts a process on a machine, made if need be, that joins through all others.
    ///
    /// # Errors
    /// If it does not start.
    pub fn join(&mut self, machine: u8) -> anyhow::Result<()> {
        self.lab.build(machine)?;
        let others: Vec<u8> = self
            .running()
            .into_iter()
            .filter(|it| *it != machine)
            .collect();
        self.start(machine, &others, true)
    }

    /// Kills the process of a machine.
    ///
    /// # Errors
    /// If there is none.
    pub fn kill(&mut self, machine: u8) -> anyhow::Result<()> {
        let server = self.servers.remove(&machine);
        server.with_context(|| nothing_on(machine))?.kill()
    }

    /// Takes a machine away: process, namespace and address.
    ///
    /// # Errors
    /// If there is none.
    pub fn destroy(&mut self, machine: u8) -> anyhow::Result<()> {
        self.kill(machine)?;
        self.filters.remove(&machine);
        self.destroyed.insert(machine);
        self.lab.destroy(machine)
    }

    /// Whether a machine was lost, be there another in its place or not.
    pub fn was_destroyed(&self, machine: u8) -> bool {
        self.destroyed.contains(&machine)
    }

    /// Stops the time of a process, or lets it go on.
    ///
    /// # Errors
    /// If there is none.
    pub fn pause(&self, machine: u8, paused: bool) -> anyhow::Result<()> {
        let server = self.servers.get(&machine);
        server.with_context(|| nothing_on(machine))?.pause(paused)
    }

    /// Changes what the packets of a machine suffer.
    ///
    /// # Errors
    /// If the rules are refused.
    pub fn set_filter(
        &mut self,
        machine: u8,
        change: impl FnOnce(&mut Filter),
    ) -> anyhow::Result<()> {
        let known = self.filters.contains_key(&machine);
        let filter = self.filters.entry(machine).or_default();
        if known {
            self.struck += filter::struck(self.lab, machine)?;
        }
        change(filter);
        filter.apply(self.lab, machine)
    }

    /// Packets that were dropped or doubled so far by rules that are in force no more.
    pub fn struck(&self) -> u64 {
        self.struck
    }

    /// Lets everything through, everywhere.
    ///
    /// # Errors
    /// If the rules are refused.
    pub fn heal_network(&mut self) -> anyhow::Result<()> {
        let machines: Vec<u8> = self.filters.keys().copied().collect();
        for machine in machines {
            self.set_filter(machine, |filter| *filter = Filter::default())?;
        }
        Ok(())
    }

    /// What a node says of itself and the others: `/v1/members`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn members_as_seen_by(&self, machine: u8) -> anyhow::Result<Value> {
        http::json(self.lab.address(machine), "GET", "/v1/members")
    }

    /// What a node says of each R and W: `/v1/quorum`.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn quorum_as_seen_by(&self, machine: u8) -> anyhow::Result<Value> {
        http::json(self.lab.address(machine), "GET", "/v1/quorum")
    }

    /// The id of the node on a machine.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn id_of(&self, machine: u8) -> anyhow::Result<String> {
        let seen = self.members_as_seen_by(machine)?;
        let id = seen["node"].as_str().context("it tells no id")?;
        Ok(id.to_owned())
    }

    /// Asks another member to let the node on `machine` go, until it is agreed to: a change of the
    /// ring that is under way comes first.
    ///
    /// # Errors
    /// If it is not agreed to within `limit`.
    pub fn leave(&self, machine: u8, limit: Duration) -> anyhow::Result<()> {
        let id = self.id_of(machine)?;
        let other = self.running().into_iter().find(|it| *it != machine);
        let other = self.lab.address(other.context("it is alone")?);
        let path = format!("/v1/members/leave?node={id}&apply=true");
        let begun = Instant::now();
        loop {
            let (status, body) = http::ask(other, "POST", &path)?;
            match status {
                200 => return Ok(()),
                409 | 503 if begun.elapsed() < limit => std::thread::sleep(LOOK),
                _ => bail!("leave: status {status}: {body}"),
            }
        }
    }

    /// Waits until every process that runs is ready, the ring has exactly those as members, each
    /// reaches each, and nothing moves any more; how long that took.
    ///
    /// # Errors
    /// With what is still amiss, if it takes longer than `limit`; at once if a process has ended.
    pub fn wait_until_settled(&mut self, limit: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            for (machine, server) in &mut self.servers {
                if !server.is_running() {
                    bail!("node {machine} has ended by itself: see its log");
                }
            }
            let members = self.servers.len();
            let amiss = self.servers.keys().find_map(|machine| {
                let seen = self.members_as_seen_by(*machine);
                let amiss = seen.map_or_else(
                    |error| Some(format!("{error:#}")),
                    |seen| unsettled(&seen, members),
                );
                Some(format!("node {machine}: {}", amiss?))
            });
            match amiss {
                None => return Ok(begun.elapsed()),
                Some(amiss) if begun.elapsed() > limit => bail!("not settled: {amiss}"),
                Some(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// A figure of `/metrics`, of each node that answers.
    pub fn metric(&self, name: &str) -> BTreeMap<u8, u64> {
        let ask = |machine: &u8| {
            let figure = http::metric(self.lab.address(*machine), name).ok()?;
            Some((*machine, figure))
        };
        self.servers.keys().filter_map(ask).collect()
    }
}

fn nothing_on(machine: u8) -> String {
    format!("nothing runs on machine {machine}")
}

/// What keeps a node's view from being that of a settled cluster of so many.
pub(super) fn unsettled(seen: &Value, members: usize) -> Option<String> {
    if seen["ready"] != true {
        return Some("not ready".to_owned());
    }
    let listed = seen["members"].as_array().map_or(&[][..], Vec::as_slice);
    if listed.len() != members {
        return Some(format!("{} members of {members}", listed.len()));
    }
    if let Some(down) = listed.iter().find(|it| it["up"] != true) {
        return Some(format!("no link to {}", down["peer"]));
    }
    ["partitions", "to_pull", "to_drop"]
        .iter()
        .find(|what| seen["moving"][**what].as_u64() != Some(0))
        .map(|what| format!("{what} in motion: {}", seen["moving"][*what]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::unsettled;

    #[test]
    fn settled_means_ready_complete_linked_and_at_rest() {
        let at_rest = json!({"partitions": 0, "to_pull": 0, "to_drop": 0});
        let two = json!([{"up": true}, {"up": true}]);
        let settled = json!({"ready": true, "members": two, "moving": at_rest});
        assert_eq!(unsettled(&settled, 2), None);
        assert!(unsettled(&settled, 3).is_some());
        for (pointer, value) in [
            ("/ready", json!(false)),
            ("/members/1/up", json!(false)),
            ("/moving/to_drop", json!(1)),
            ("/moving/to_pull", json!(null)),
        ] {
            let mut other = settled.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(unsettled(&other, 2).is_some(), "{pointer}");
        }
    }
}

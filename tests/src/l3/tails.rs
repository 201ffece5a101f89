//! What slow replicas do to requests, and whether a node knows: the predicted risk of each R and W beside
//! the probed one ([`staleness`]), and reads that are hedged beside reads that are not ([`hedging`]).

use std::time::Duration;

use henge_loadgen::{Load, Summary};

use super::{
    cluster::Cluster,
    criteria::{Criteria, Stage},
    hedging::hedging,
    staleness::staleness,
};

/// Nodes, and replicas of each key.
pub(super) const NODES: u8 = 3;

/// Plays both.
///
/// # Errors
/// If one cannot be played to its end.
pub fn tails(stage: &Stage<'_>) -> anyhow::Result<Criteria> {
    let mut criteria = Criteria::default();
    staleness(stage, &mut criteria)?;
    hedging(stage, &mut criteria)?;
    Ok(criteria)
}

/// A load of plain registers, any of which any connection reads and writes.
pub(super) struct Registers {
    /// How many keys.
    pub(super) keys: u32,
    /// Share of the requests that read.
    pub(super) reads: f64,
    /// Replicas that a read and a write wait for.
    pub(super) quorum: (u8, u8),
    /// Requests a second.
    pub(super) rate: u32,
}

impl Registers {
    /// Loads the doors of these machines until `watch`, which is given the cluster, returns.
    pub(super) fn load(
        &self,
        cluster: &mut Cluster<'_>,
        machines: &[u8],
        watch: impl FnOnce(&mut Cluster<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        let doors: Vec<_> = machines.iter().map(|it| cluster.door(*it)).collect();
        let (r, w) = self.quorum;
        let arguments = format!(
            "--target={} --protocol resp --workload mixed --reads {} --keys {} --key-prefix tails: \
             --value-size 64 --populate --r {r} --w {w} --rate {} --connections 24 --pipeline 16 \
             --duration 2h --timeout 1s --quiet",
            doors.join(","),
            self.reads,
            self.keys,
            self.rate
        );
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let load = Load::start(&arguments).map_err(anyhow::Error::msg)?;
        load.wait_until_loading().map_err(anyhow::Error::msg)?;
        watch(cluster)?;
        load.stop();
        // What is under way is answered or given up by then.
        std::thread::sleep(Duration::from_secs(2));
        load.read_back().map_err(anyhow::Error::msg)
    }
}

//! Network namespaces, one per machine, on a bridge of their own; and their end.
//!
//! ```text
//! hl3-PID-1 (eth0 198.18.X.11) ──┐
//! hl3-PID-2 (eth0 198.18.X.12) ──┼── bridge hl3-PID-br (198.18.X.1), where the clients are
//! …                              ┘
//! ```
//! All names begin with `hl3-` and the process id, so that whoever comes after a harness that was
//! killed knows what is nobody's any more. The addresses are of the block for benchmarks (RFC 2544).

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;

use super::shell;

/// What all names begin with.
const PREFIX: &str = "hl3-";

/// The bridge and the machines on it. All is removed when it is dropped.
#[derive(Debug)]
pub struct Lab {
    name: String,
    /// Third byte of the addresses.
    net: u8,
    machines: Mutex<BTreeSet<u8>>,
}

impl Lab {
    /// Makes the bridge, after removing what harnesses left that are no more.
    ///
    /// # Errors
    /// Without the privilege or the tools.
    pub fn new() -> anyhow::Result<Self> {
        sweep()?;
        let pid = std::process::id();
        let lab = Self {
            name: format!("{PREFIX}{pid}"),
            net: free_net(pid)?,
            machines: Mutex::default(),
        };
        let bridge = lab.bridge();
        shell::run(&format!("ip link add {bridge} type bridge"))?;
        shell::run(&format!("ip addr add {}/24 dev {bridge}", lab.clients()))?;
        shell::run(&format!("ip link set {bridge} up"))?;
        Ok(lab)
    }

    /// Where the clients are.
    pub fn clients(&self) -> IpAddr {
        Ipv4Addr::new(198, 18, self.net, 1).into()
    }

    /// Address of a machine, numbered from 1.
    pub fn address(&self, machine: u8) -> IpAddr {
        Ipv4Addr::new(198, 18, self.net, 10 + machine).into()
    }

    /// All addresses of machines, as nft and iptables write them.
    pub fn subnet(&self) -> String {
        format!("198.18.{}.0/24", self.net)
    }

    /// Its namespace.
    pub fn namespace(&self, machine: u8) -> String {
        format!("{}-{machine}", self.name)
    }

    fn bridge(&self) -> String {
        format!("{}-br", self.name)
    }

    fn machines(&self) -> std::sync::MutexGuard<'_, BTreeSet<u8>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a machine, unless it is there.
    ///
    /// # Errors
    /// If a command fails.
    pub fn build(&self, machine: u8) -> anyhow::Result<()> {
        if !self.machines().insert(machine) {
            return Ok(());
        }
        let (space, bridge) = (self.namespace(machine), self.bridge());
        let wire = format!("{}-{machine}", self.name);
        shell::run(&format!("ip netns add {space}"))?;
        shell::run(&format!(
            "ip link add {wire} type veth peer name eth0 netns {space}"
        ))?;
        shell::run(&format!("ip link set {wire} master {bridge} up"))?;
        let inside = format!("ip -n {space}");
        let address = self.address(machine);
        shell::run(&format!("{inside} addr add {address}/24 dev eth0"))?;
        shell::run(&format!("{inside} link set eth0 up"))?;
        shell::run(&format!("{inside} link set lo up"))?;
        Ok(())
    }

    /// Destroys a machine with all that runs on it.
    ///
    /// # Errors
    /// If a command fails.
    pub fn destroy(&self, machine: u8) -> anyhow::Result<()> {
        if !self.machines().remove(&machine) {
            return Ok(());
        }
        remove(&self.namespace(machine))
    }

    /// Pulls or plugs a machine's cable: nobody reaches it any more, and nobody is told.
    ///
    /// # Errors
    /// If a command fails.
    pub fn plug(&self, machine: u8, plugged: bool) -> anyhow::Result<()> {
        let state = if plugged { "up" } else { "down" };
        shell::run(&format!("ip link set {}-{machine} {state}", self.name))?;
        Ok(())
    }

    /// Removes all. What cannot be removed is said, and left to the next harness.
    pub fn remove(&self) {
        let machines: Vec<_> = std::mem::take(&mut *self.machines()).into_iter().collect();
        for machine in machines {
            tell(remove(&self.namespace(machine)));
        }
        tell(shell::run(&format!("ip link del {}", self.bridge())).map(drop));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remove();
    }
}

fn tell(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("not removed: {error:#}");
    }
}

/// Removes a namespace, and ends what runs in it, which only this harness started.
fn remove(space: &str) -> anyhow::Result<()> {
    for pid in shell::run(&format!("ip netns pids {space}"))?.split_whitespace() {
        // It may have ended meanwhile.
        let _ = shell::run(&format!("kill -KILL {pid}"));
    }
    shell::run(&format!("ip netns del {space}"))?;
    // The kernel takes the interface with the namespace, but later; a new one of that name must not
    // wait for it. Most often it is gone already.
    let _ = shell::run(&format!("ip link del {space}"));
    Ok(())
}

/// Removes what harnesses left whose process is no more.
fn sweep() -> anyhow::Result<()> {
    for space in names(&shell::run("ip netns list").context("ip netns")?) {
        remove(&space)?;
    }
    for bridge in names(&shell::run("ip -br link show type bridge")?) {
        shell::run(&format!("ip link del {bridge}"))?;
    }
    Ok(())
}

/// The names at the beginnings of lines that belong to no living process.
fn names(listed: &str) -> Vec<String> {
    let first = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    first
        .filter(|name| owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()))
        .map(str::to_owned)
        .collect()
}

/// The process that made a namespace or bridge of this name, if a harness did.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

/// A third byte that no interface of this machine uses.
fn free_net(pid: u32) -> anyhow::Result<u8> {
    let used = shell::run("ip -4 -o addr show")?;
    let mut free = (0..=255u8).map(|step| (pid % 256) as u8 ^ step);
    free.find(|net| !used.contains(&format!(" 198.18.{net}.")))
        .context("all of 198.18.0.0/16 is in use")
}

#[cfg(test)]
mod tests {
    use super::{names, owner};

    #[test]
    fn only_names_of_harnesses_that_are_gone_are_swept() {
        let own = std::process::id();
        assert_eq!(owner("hl3-12-br"), Some(12));
        for other in ["hl3-", "hl3-x-1", "hl3-12", "docker0", "xhl3-12-1"] {
            assert_eq!(owner(other), None, "{other}");
        }
        // No process has a number above 2^22.
        let listed =
            format!("hl3-{own}-1 (id: 3)\nhl3-9999999-2 (id: 4)\nmine\n\nhl3-9999999-br UP\n");
        assert_eq!(names(&listed), ["hl3-9999999-2", "hl3-9999999-br"]);
    }
}

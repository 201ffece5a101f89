//! One `henge serve` process, in a namespace or at a loopback address of its own.

use std::{
    fs::OpenOptions,
    net::IpAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::Context;

use super::shell;

/// Port of the Redis door of every node, and of the door for peers.
pub(super) const RESP: u16 = 7379;
pub(super) const PEER: u16 = 7381;

/// How a process is started.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The program.
    pub(super) henge: PathBuf,
    /// Its machine's namespace; `None`: the one that the harness runs in.
    pub(super) namespace: Option<String>,
    /// Its machine's address.
    pub(super) address: IpAddr,
    /// Members to found a cluster with, or to join: see `joins`.
    pub(super) others: Vec<IpAddr>,
    /// Joins a running cluster instead of founding one.
    pub(super) joins: bool,
    /// Further flags.
    pub(super) flags: Vec<String>,
    /// Further variables.
    pub(super) variables: Vec<(String, String)>,
    /// Where what it says is appended.
    pub(super) log: PathBuf,
}

/// A process under way. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Start {
    /// Starts it.
    ///
    /// # Errors
    /// If the program or the log cannot be opened.
    pub(super) fn run(&self) -> anyhow::Result<Server> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| self.log.display().to_string())?;
        let at = |address: &IpAddr, port: u16| format!("{address}:{port}");
        let others: Vec<_> = self.others.iter().map(|it| at(it, PEER)).collect();
        let whom = if self.joins { "--join" } else { "--peers" };
        let mut command = match &self.namespace {
            None => Command::new(&self.henge),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.henge);
                command
            }
        };
        command
            .args(["serve", "--open", "--cluster", "l3"])
            .args(["--listen-resp", &at(&self.address, RESP)])
            .args(["--listen-http", &at(&self.address, super::http::PORT)])
            .args(["--listen-peer", &at(&self.address, PEER)])
            .args([whom, &others.join(",")])
            .args(&self.flags)
            // Only what is said here is how it is set up, whatever the harness's environment says.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HENGE_CLUSTER_KEY", "the machines of the third layer")
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Server { child })
    }
}

impl Server {
    /// Kills it, as a power cut would; returns when it is gone.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops its time (`SIGSTOP`), or lets it go on.
    ///
    /// # Errors
    /// If it is no more.
    pub(super) fn pause(&self, paused: bool) -> anyhow::Result<()> {
        let signal = if paused { "STOP" } else { "CONT" };
        shell::run(&format!("kill -{signal} {}", self.child.id()))?;
        Ok(())
    }

    /// Bytes of memory that it occupies (`VmRSS`), if it is there.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        resident_bytes(&status.ok()?)
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
    }
}

/// What `/proc/PID/status` tells of memory.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::resident_bytes;

    #[test]
    fn memory_is_told_in_kilobytes() {
        let status = "Name:\thenge\nVmPeak:\t  9 kB\nVmRSS:\t   12 kB\nThreads:\t7\n";
        assert_eq!(resident_bytes(status), Some(12 << 10));
        assert_eq!(resident_bytes("Name:\tzombie\n"), None);
    }
}

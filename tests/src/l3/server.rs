//! One `henge serve` process in its namespace.

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
const PEER: u16 = 7381;

/// How a process is started.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The program.
    pub(super) henge: PathBuf,
    /// Its machine's namespace.
    pub(super) namespace: String,
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
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(&self.henge)
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
        let child = command.spawn().context("ip netns exec")?;
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

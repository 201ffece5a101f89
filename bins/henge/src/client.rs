//! How the operator's commands reach a cluster.

use std::process::ExitCode;

use clap::Args;
use henge_client::{Client, Mode, Options};

/// Which cluster, and how the answer is shown.
#[derive(Args)]
pub(crate) struct Target {
    /// Any node's Redis-protocol address; several, separated by commas, are tried in turn
    #[arg(
        long,
        env = "HENGE_NODE",
        default_value = "127.0.0.1:7379",
        value_delimiter = ','
    )]
    pub(crate) node: Vec<String>,
    /// Password of the doors
    #[arg(long, env = "HENGE_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Target {
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let mut options = Options::default();
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        Ok(Client::connect(self.node.iter().map(String::as_str), options).await?)
    }
}

impl Target {
    /// What the node at this address says of itself.
    pub(crate) async fn info(&self, address: &str) -> Result<Info, String> {
        let mut options = Options::default().attempts(1);
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        let client = Client::connect([address], options)
            .await
            .map_err(|e| e.to_string())?;
        let text = client
            .info(address)
            .await
            .map_err(|error| error.to_string())?;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(Info(
            lines
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
        ))
    }
}

/// The lines of a node's INFO.
pub(crate) struct Info(Vec<(String, String)>);

impl Info {
    /// One line's value. The keyspace's line is `keys=N,expires=...`: its first number is meant.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        value
            .strip_prefix("keys=")
            .unwrap_or(value)
            .split(',')
            .next()
    }
}

/// Consistency of one request.
#[derive(Args)]
pub(crate) struct Quorum {
    /// R: replies a read waits for
    #[arg(long)]
    pub(crate) r: Option<u32>,
    /// W: replicas a write waits for
    #[arg(long)]
    pub(crate) w: Option<u32>,
    /// Only the key's own replicas count, never a stand-in
    #[arg(long, conflicts_with = "sloppy")]
    strict: bool,
    /// A stand-in counts while a replica is away
    #[arg(long)]
    sloppy: bool,
    /// Milliseconds the request may take
    #[arg(long, value_name = "MS")]
    pub(crate) timeout: Option<u64>,
    /// Show which replicas took part
    #[arg(long)]
    pub(crate) receipt: bool,
}

impl Quorum {
    pub(crate) fn mode(&self) -> Option<Mode> {
        match (self.strict, self.sloppy) {
            (true, _) => Some(Mode::Strict),
            (_, true) => Some(Mode::Sloppy),
            _ => None,
        }
    }
}

/// Runs one command to its end.
pub(crate) fn block_on(
    command: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

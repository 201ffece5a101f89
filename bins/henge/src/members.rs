//! `henge leave`, `henge reweight`: changes of the ring, shown first.

use std::{io::ErrorKind, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Most bytes of an answer.
const MOST_ANSWER: u64 = 1 << 20;

/// Patience with a port that speaks something else.
const PROBE: Duration = Duration::from_secs(1);

/// Whom to ask, and whether to go through with it.
#[derive(Args)]
struct Asking {
    /// HTTP address of any member
    #[arg(long, env = "HENGE_HTTP", default_value = "127.0.0.1:7380")]
    http: String,
    /// Password
    #[arg(long, env = "HENGE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Make the change; without it, only what would move is shown
    #[arg(long)]
    apply: bool,
}

/// Lets a member leave. It serves until its data is elsewhere, then says so and can be stopped.
#[derive(Args)]
pub(crate) struct Leave {
    /// Its id, or the beginning of it
    node: String,
    #[command(flatten)]
    asking: Asking,
}

/// Gives a member another share of the partitions.
#[derive(Args)]
pub(crate) struct Reweight {
    /// Its id, or the beginning of it
    node: String,
    /// Its share in proportion to others', from 1
    weight: u32,
    #[command(flatten)]
    asking: Asking,
}

impl Leave {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let query = format!("leave?node={}", id(&self.node)?);
        self.asking.post(&query).await
    }
}

impl Reweight {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let query = format!("reweight?node={}&weight={}", id(&self.node)?, self.weight);
        self.asking.post(&query).await
    }
}

/// An id is hexadecimal, so it needs no escaping.
fn id(text: &str) -> anyhow::Result<&str> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        bail!("{text:?} is no node id: see `henge ring`");
    }
    Ok(text)
}

impl Asking {
    async fn post(&self, query: &str) -> anyhow::Result<ExitCode> {
        let answer = self.exchange(query).await?;
        let Some((head, body)) = answer
            .split_once("\r\n\r\n")
            .filter(|(head, _)| head.starts_with("HTTP/"))
        else {
            bail!("{}", self.no_http().await);
        };
        if head.split(' ').nth(1) != Some("200") {
            bail!("{}", reason(body));
        }
        println!("{body}");
        if !self.apply {
            println!("nothing was changed; say --apply to make the change");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What the door answers, whatever that is; nothing if it closes the connection.
    async fn exchange(&self, query: &str) -> anyhow::Result<String> {
        let mut request = format!(
            "POST /v1/members/{query}&apply={} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n",
            self.apply, self.http
        );
        if let Some(password) = &self.password {
            request.push_str(&format!("Authorization: Bearer {password}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(&self.http)
            .await
            .with_context(|| format!("no node at {}", self.http))?;
        let mut answer = Vec::new();
        let exchanged = async {
            stream.write_all(request.as_bytes()).await?;
            stream.take(MOST_ANSWER).read_to_end(&mut answer).await
        };
        match exchanged.await {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.into()),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    }

    /// What stands at the address instead of an HTTP door.
    async fn no_http(&self) -> String {
        let said = match speaks_redis(&self.http).await {
            true => "speaks the Redis protocol",
            false => "does not speak HTTP",
        };
        format!(
            "{} {said}; this command wants the address of the HTTP door, see --listen-http",
            self.http
        )
    }
}

/// Whether a port answers as a Redis does, be it that a password is wanted.
async fn speaks_redis(address: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    };
    let first = tokio::time::timeout(PROBE, asked).await;
    matches!(first, Ok(Ok(b'+' | b'-')))
}

/// The words of a refusal; the whole of it if it has none.
fn reason(body: &str) -> String {
    let told: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = told.as_ref().and_then(|told| told["message"].as_str());
    message.unwrap_or(body).to_owned()
}

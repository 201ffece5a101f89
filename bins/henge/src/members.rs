//! `henge leave`, `henge reweight`: changes of the ring, shown first.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Most bytes of an answer.
const MOST_ANSWER: u64 = 1 << 20;

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
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MOST_ANSWER).read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        println!("{body}");
        let ok = head.split(' ').nth(1) == Some("200");
        if ok && !self.apply {
            println!("nothing was changed; say --apply to make the change");
        }
        Ok(ExitCode::from(u8::from(!ok)))
    }
}

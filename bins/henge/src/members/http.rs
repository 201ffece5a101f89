//! Asking the HTTP door of a node.

use std::{io::ErrorKind, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Most bytes of an answer.
const MOST_ANSWER: u64 = 1 << 20;

/// Patience with a port that speaks something else.
const PROBE: Duration = Duration::from_secs(1);

/// Patience with a node that is looked at beside others.
const GLANCE: Duration = Duration::from_secs(2);

/// Whom to ask, and how to answer.
#[derive(Args)]
pub(crate) struct Asking {
    /// HTTP address of any member
    #[arg(long, env = "HENGE_HTTP", default_value = "127.0.0.1:7380")]
    http: String,
    /// Password
    #[arg(long, env = "HENGE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Asking {
    pub(crate) fn door(&self) -> HttpDoor {
        HttpDoor {
            address: self.http.clone(),
            password: self.password.clone(),
        }
    }
}

/// One node's HTTP door.
pub(crate) struct HttpDoor {
    pub(crate) address: String,
    pub(crate) password: Option<String>,
}

impl HttpDoor {
    /// The door of another node of the same cluster.
    pub(crate) fn at(&self, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            password: self.password.clone(),
        }
    }

    /// What a request is answered with.
    ///
    /// # Errors
    /// The words of a refusal; what stands at the address if it is no HTTP door.
    pub(crate) async fn ask(&self, verb: &str, path: &str) -> anyhow::Result<Value> {
        self.ask_with(verb, path, "").await
    }

    /// The same, of a request that has a body.
    ///
    /// # Errors
    /// As of [`ask`](Self::ask).
    pub(crate) async fn ask_with(
        &self,
        verb: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Value> {
        let answer = self.exchange(verb, path, body).await?;
        let Some((head, body)) = answer
            .split_once("\r\n\r\n")
            .filter(|(head, _)| head.starts_with("HTTP/"))
        else {
            bail!("{}", self.no_http().await);
        };
        if head.split(' ').nth(1) != Some("200") {
            bail!("{}", reason(body));
        }
        serde_json::from_str(body)
            .with_context(|| format!("{} answers something else than JSON", self.address))
    }

    /// What the node says of itself; `None` if it does not answer soon.
    pub(crate) async fn glance(&self) -> Option<Value> {
        let said = timeout(GLANCE, self.ask("GET", "/v1/members")).await;
        said.ok()?.ok()
    }

    /// What the door answers, whatever that is; nothing if it closes the connection.
    async fn exchange(&self, verb: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let mut request = format!(
            "{verb} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        if let Some(password) = &self.password {
            request.push_str(&format!("Authorization: Bearer {password}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        let mut stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("no node at {}", self.address))?;
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
        let said = match speaks_redis(&self.address).await {
            true => "speaks the Redis protocol",
            false => "does not speak HTTP",
        };
        format!(
            "{} {said}; this command wants the address of the HTTP door, see --listen-http",
            self.address
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
    let first = timeout(PROBE, asked).await;
    matches!(first, Ok(Ok(b'+' | b'-')))
}

/// The words of a refusal; the whole of it if it has none.
fn reason(body: &str) -> String {
    let told: Option<Value> = serde_json::from_str(body).ok();
    let message = told.as_ref().and_then(|told| told["message"].as_str());
    message.unwrap_or(body).to_owned()
}

/// A text as it stands in a query (RFC 3986, section 2).
pub(crate) fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_has_a_meaning_in_a_query_is_escaped() {
        assert_eq!(escaped("rack-7_b.~"), "rack-7_b.~");
        assert_eq!(escaped("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}

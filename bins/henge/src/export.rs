//! `henge export`: one node's own records, a line of JSON each.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context;
use clap::Args;
use henge_node::parse_duration_ms;
use serde_json::Value;

use crate::client::Target;

/// Prints the records of one node, as that replica holds them, one line of JSON each: key, state,
/// deadline, values in base64, and the whole record.
#[derive(Args)]
pub(crate) struct Export {
    /// Only the partition with this number
    #[arg(long)]
    partition: Option<u64>,
    /// Only keys that begin so
    #[arg(long)]
    prefix: Option<String>,
    /// Only records changed since: so long ago (10m), or milliseconds since 1970
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Export {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let address = self.target.node.first().context("--node names no node")?;
        let mut command = vec!["HENGE.EXPORT".to_owned()];
        let mut option = |name: &str, value: Option<String>| {
            command.extend(value.into_iter().flat_map(|it| [name.to_owned(), it]));
        };
        option("PARTITION", self.partition.map(|it| it.to_string()));
        option("PREFIX", self.prefix);
        let since = self.since.as_deref().map(when).transpose()?;
        option("SINCE", since.map(|it| it.to_string()));
        let mut out = std::io::stdout().lock();
        let mut after: Option<String> = None;
        loop {
            let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
            words.extend(after.iter().flat_map(|token| ["AFTER", token]));
            let text = client.ask(address, &words).await?;
            let page: Value = serde_json::from_str(&text).context("the answer is no JSON")?;
            for record in page["records"].as_array().into_iter().flatten() {
                writeln!(out, "{record}")?;
            }
            match page["next"].as_str() {
                Some(token) => after = Some(token.to_owned()),
                None => return Ok(ExitCode::SUCCESS),
            }
        }
    }
}

/// A number is milliseconds since 1970, anything else how long ago.
fn when(text: &str) -> anyhow::Result<u64> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let ago = parse_duration_ms(text)
        .with_context(|| format!("{text:?} is neither a duration (10m) nor milliseconds"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok((now.as_millis() as u64).saturating_sub(ago))
}

//! `henge get`, `set`, `del`, `touch`, `explain`: one key.

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::Table;
use henge_client::{Done, Got, Ttl, Value};
use henge_node::parse_duration_ms;
use serde_json::json;

use crate::client::{Quorum, Target};

/// Reads a key. Exit status 1: it is absent.
#[derive(Args)]
pub(crate) struct Get {
    key: String,
    #[command(flatten)]
    quorum: Quorum,
    /// Show the causal context, to write with later
    #[arg(long)]
    context: bool,
    /// Show what this token names or something later, and fail rather than something older
    #[arg(long, value_name = "TOKEN")]
    after: Option<String>,
    /// Show what R replicas would have shown so long ago (such as 500ms), or something later: cheaper
    /// where one node reads a key again and again
    #[arg(long, value_name = "DURATION", conflicts_with = "after")]
    max_staleness: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Writes a key.
#[derive(Args)]
pub(crate) struct Set {
    key: String,
    value: String,
    /// How long it lives, such as 30m
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Only if it is absent
    #[arg(long, conflicts_with = "if_present")]
    if_absent: bool,
    /// Only if it is there
    #[arg(long)]
    if_present: bool,
    /// The context that a read gave
    #[arg(long, value_name = "TOKEN")]
    context: Option<String>,
    /// Show the token of this write, for `get --after`
    #[arg(long)]
    token: bool,
    #[command(flatten)]
    quorum: Quorum,
    #[command(flatten)]
    target: Target,
}

/// Destroys a key. Exit status 1: there was nothing to destroy.
#[derive(Args)]
pub(crate) struct Del {
    key: String,
    #[command(flatten)]
    quorum: Quorum,
    #[command(flatten)]
    target: Target,
}

/// Gives a key a new lifetime; never creates one. Exit status 1: it is absent.
#[derive(Args)]
pub(crate) struct Touch {
    key: String,
    /// How long it lives from now on, such as 30m
    #[arg(value_name = "DURATION")]
    ttl: String,
    #[command(flatten)]
    quorum: Quorum,
    #[command(flatten)]
    target: Target,
}

/// Shows what each replica of a key holds.
#[derive(Args)]
pub(crate) struct Explain {
    key: String,
    #[command(flatten)]
    target: Target,
}

macro_rules! with_quorum {
    ($request:expr, $quorum:expr $(, $knob:ident)*) => {{
        let mut request = $request;
        $(if let Some(replicas) = $quorum.$knob { request = request.$knob(replicas); })*
        if let Some(mode) = $quorum.mode() { request = request.mode(mode); }
        if let Some(ms) = $quorum.timeout { request = request.timeout(Duration::from_millis(ms)); }
        if $quorum.receipt { request = request.receipt(); }
        request
    }};
}

impl Get {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let mut request = with_quorum!(client.get(&self.key), self.quorum, r);
        if self.context {
            request = request.context();
        }
        if let Some(token) = self.after {
            request = request.after(token);
        }
        if let Some(bound) = &self.max_staleness {
            request = request.max_staleness(duration(bound)?);
        }
        let got = request.await?;
        if self.target.json {
            println!("{}", got_json(&got));
        } else {
            show(&got)?;
        }
        Ok(ExitCode::from(u8::from(got.is_absent())))
    }
}

impl Set {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let mut request = with_quorum!(client.set(&self.key, &self.value), self.quorum, w, r);
        if let Some(ttl) = &self.ttl {
            request = request.ttl(duration(ttl)?);
        }
        if self.if_absent {
            request = request.if_absent();
        }
        if self.if_present {
            request = request.if_present();
        }
        if let Some(token) = self.context {
            request = request.context(token);
        }
        if self.token {
            request = request.token();
        }
        told(
            &request.await?,
            self.target.json,
            "the condition does not hold: nothing written",
        )
    }
}

impl Del {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let done = with_quorum!(client.delete(&self.key), self.quorum, w, r).await?;
        told(&done, self.target.json, "there was nothing to destroy")
    }
}

impl Touch {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let ttl = duration(&self.ttl)?;
        let done = with_quorum!(client.touch(&self.key, ttl), self.quorum, w, r).await?;
        told(&done, self.target.json, "there is nothing to touch")
    }
}

impl Explain {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.target.connect().await?;
        let replicas = client.explain(&self.key).await?;
        if self.target.json {
            println!(
                "{}",
                serde_json::Value::from_iter(replicas.iter().map(value_json))
            );
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new();
        for (row, replica) in replicas.iter().enumerate() {
            let pairs = replica.pairs();
            if row == 0 {
                table.set_header(pairs.iter().map(|(name, _)| plain(name)));
            }
            table.add_row(pairs.iter().map(|(_, value)| plain(value)));
        }
        println!("{table}");
        Ok(ExitCode::SUCCESS)
    }
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let ms = parse_duration_ms(text)
        .with_context(|| format!("{text:?} is no duration; try 250ms, 20s, 30m or 12h"))?;
    if ms == 0 {
        bail!("0 is no duration here; henge del destroys a key");
    }
    Ok(Duration::from_millis(ms))
}

fn show(got: &Got) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if got.is_absent() {
        writeln!(out, "(absent)")?;
    }
    let many = got.values.len() > 1;
    for value in &got.values {
        let mark = if many { "sibling: " } else { "" };
        writeln!(out, "{mark}{}", String::from_utf8_lossy(value))?;
    }
    for (name, value) in &got.fields {
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        writeln!(out, "{name}: {value}")?;
    }
    if let Ttl::In(left) = got.ttl {
        writeln!(out, "(lives {} s more)", left.as_secs())?;
    }
    if let Some(context) = &got.context {
        writeln!(out, "(context {context})")?;
    }
    if let Some(receipt) = &got.receipt {
        writeln!(out, "(receipt {})", value_json(&receipt.0))?;
    }
    Ok(())
}

fn got_json(got: &Got) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "values": got.values.iter().map(|value| text(value)).collect::<Vec<_>>(),
        "fields": got.fields.iter().map(|(n, v)| (text(n), text(v).into()))
            .collect::<serde_json::Map<_, _>>(),
        "ttl_ms": match got.ttl { Ttl::In(left) => Some(left.as_millis() as u64), _ => None },
        "context": got.context,
        "receipt": got.receipt.as_ref().map(|receipt| value_json(&receipt.0)),
    })
}

fn told(done: &Done, as_json: bool, otherwise: &str) -> anyhow::Result<ExitCode> {
    if as_json {
        let receipt = done.receipt.as_ref().map(|receipt| value_json(&receipt.0));
        println!(
            "{}",
            json!({ "applied": done.applied, "absorbed": done.absorbed, "receipt": receipt,
                "context": done.context })
        );
    } else {
        let text = match done {
            Done { absorbed: true, .. } => "the session is dead: the write was absorbed",
            Done { applied: true, .. } => "ok",
            _ => otherwise,
        };
        println!("{text}");
        if let Some(context) = &done.context {
            println!("(context {context})");
        }
        if let Some(receipt) = &done.receipt {
            println!("(receipt {})", value_json(&receipt.0));
        }
    }
    Ok(ExitCode::from(u8::from(!done.applied)))
}

fn plain(value: &Value) -> String {
    match value_json(value) {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// A reply as JSON; bytes that are no text are shown with replacement characters.
pub(crate) fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Map(pairs) => pairs
            .iter()
            .map(|(name, value)| (name.text().unwrap_or_default(), value_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(value_json).collect(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::Double(number) => (*number).into(),
        Value::Null => serde_json::Value::Null,
        other => other.text().into(),
    }
}

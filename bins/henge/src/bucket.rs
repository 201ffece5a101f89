//! `henge bucket list|show|set|remove`: the rules of buckets, which are data of the cluster.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use henge_node::{parse_duration_ms, parse_size};
use serde_json::{Map, Value, json};

use crate::members::http::{Asking, escaped};

/// Shows and changes buckets: the rules for keys that share a prefix.
#[derive(Args)]
pub(crate) struct Bucket {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// All buckets
    List(List),
    /// One bucket
    Show(Show),
    /// Give a bucket other rules; what is not named stays
    Set(Box<Set>),
    /// Take back what was set of a bucket; a built-in one is as it was
    Remove(Remove),
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    asking: Asking,
}

#[derive(Args)]
struct Show {
    /// Its name
    name: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Args)]
struct Remove {
    /// Its name
    name: String,
    /// Make the change; without it, only what it would do is shown
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Of a rule that can be taken away again: `none` does so.
#[derive(Args)]
struct Set {
    /// Its name: small letters, digits, - and _
    name: String,
    /// Keys that begin with this are in it; may be given several times, and replaces those it had
    #[arg(long)]
    prefix: Vec<String>,
    /// How concurrent writes merge; only for prefixes that no key has yet
    #[arg(long)]
    kind: Option<Kind>,
    /// Replicas that a read waits for, unless it says so itself, or none
    #[arg(long)]
    r: Option<String>,
    /// Replicas that a write waits for, unless it says so itself, or none
    #[arg(long)]
    w: Option<String>,
    /// Whether only primaries count: true, false, or none (they do for sessions)
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    strict: Option<String>,
    /// Lifetime of a value written without one, such as 30m, or none
    #[arg(long)]
    ttl: Option<String>,
    /// How long a session lasts at most, however often it is touched, such as 12h, or none
    #[arg(long)]
    max_lifetime: Option<String>,
    /// What becomes of a write to a destroyed session
    #[arg(long)]
    on_dead: Option<OnDead>,
    /// Longest value, such as 64KiB, or none
    #[arg(long)]
    max_value: Option<String>,
    /// Most values side by side under one key, or none
    #[arg(long)]
    max_siblings: Option<String>,
    /// Refused: N is the cluster's
    #[arg(long, hide = true)]
    n: Option<u64>,
    /// Make the change; without it, only what it would do is shown
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Logout wins, fields merge one by one, ids are not reused
    Session,
    /// The last writer wins
    Register,
    /// All concurrent values are kept until one replaces them
    Siblings,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnDead {
    /// Taken without effect, as if it had worked
    Absorb,
    /// Refused with DEAD, or 410
    Error,
}

impl Bucket {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::List(list) => list.run().await?,
            What::Show(show) => show.run().await?,
            What::Set(set) => set.run().await?,
            What::Remove(remove) => remove.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let told = self.asking.door().ask("GET", "/v1/buckets").await?;
        if self.asking.json {
            println!("{told}");
            return Ok(());
        }
        let buckets: Vec<&Value> = told["buckets"].as_array().into_iter().flatten().collect();
        let widest = buckets.iter().map(|it| text(&it["name"]).len()).max();
        let width = widest.unwrap_or(0).max(6);
        println!("{:width$}  {:8}  rules", "bucket", "kind");
        for bucket in buckets {
            let (name, kind) = (text(&bucket["name"]), text(&bucket["kind"]));
            println!("{name:width$}  {kind:8}  {}", rules(bucket).join("; "));
        }
        Ok(())
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let path = format!("/v1/buckets/{}", escaped(&self.name));
        let bucket = self.asking.door().ask("GET", &path).await?;
        match self.asking.json {
            true => println!("{bucket}"),
            false => print(&bucket),
        }
        Ok(())
    }
}

impl Remove {
    async fn run(self) -> anyhow::Result<()> {
        let path = path(&self.name, self.apply);
        let plan = self.asking.door().ask("DELETE", &path).await?;
        self.asking.tell(&plan);
        Ok(())
    }
}

impl Set {
    async fn run(self) -> anyhow::Result<()> {
        let body = Value::Object(self.changes()?).to_string();
        let path = path(&self.name, self.apply);
        let plan = self.asking.door().ask_with("PUT", &path, &body).await?;
        self.asking.tell(&plan);
        Ok(())
    }

    /// What the flags name, as the HTTP door wants it.
    fn changes(&self) -> anyhow::Result<Map<String, Value>> {
        let mut changes = Map::new();
        let mut name = |rule: &str, value: Option<Value>| {
            if let Some(value) = value {
                changes.insert(rule.to_owned(), value);
            }
        };
        name(
            "prefixes",
            (!self.prefix.is_empty()).then(|| json!(self.prefix)),
        );
        name("kind", self.kind.map(word));
        name("on_dead", self.on_dead.map(word));
        name("n", self.n.map(Value::from));
        name("r", rule("--r", &self.r, |it| it.parse().ok())?);
        name("w", rule("--w", &self.w, |it| it.parse().ok())?);
        name("ttl_ms", rule("--ttl", &self.ttl, parse_duration_ms)?);
        let lifetime = rule("--max-lifetime", &self.max_lifetime, parse_duration_ms)?;
        name("max_lifetime_ms", lifetime);
        name(
            "max_value",
            rule("--max-value", &self.max_value, parse_size)?,
        );
        let siblings = rule("--max-siblings", &self.max_siblings, |it| it.parse().ok())?;
        name("max_siblings", siblings);
        let strict = match self.strict.as_deref() {
            None => None,
            Some("none") => Some(Value::Null),
            Some(flag) => {
                let flag: bool = flag
                    .parse()
                    .ok()
                    .context("--strict is true, false or none")?;
                Some(flag.into())
            }
        };
        name("strict", strict);
        match changes.is_empty() {
            true => bail!("nothing is to change: see `henge bucket set --help`"),
            false => Ok(changes),
        }
    }
}

impl Asking {
    fn tell(&self, plan: &Value) {
        if self.json {
            return println!("{plan}");
        }
        for (when, bucket) in [("before:", &plan["before"]), ("after:", &plan["after"])] {
            println!("{when}");
            match bucket.is_null() {
                true => println!("  no such bucket"),
                false => print(bucket),
            }
        }
        println!(
            "{}",
            match plan["applied"] == true {
                true => "applied; every node follows within a moment",
                false => "nothing was changed; say --apply to make the change",
            }
        );
    }
}

fn path(name: &str, apply: bool) -> String {
    format!("/v1/buckets/{}?apply={apply}", escaped(name))
}

/// A flag's number; `none` takes the rule away.
fn rule(
    flag: &str,
    given: &Option<String>,
    read: impl Fn(&str) -> Option<u64>,
) -> anyhow::Result<Option<Value>> {
    let Some(given) = given else { return Ok(None) };
    if given == "none" {
        return Ok(Some(Value::Null));
    }
    let number = read(given).with_context(|| format!("{flag} {given:?} cannot be read"))?;
    Ok(Some(number.into()))
}

/// A word as the HTTP door writes it: as the flag does.
fn word(value: impl ValueEnum) -> Value {
    let named = value.to_possible_value();
    named.map_or(Value::Null, |it| it.get_name().into())
}

fn print(bucket: &Value) {
    println!("  {} ({})", text(&bucket["name"]), text(&bucket["kind"]));
    for rule in rules(bucket) {
        println!("    {rule}");
    }
}

/// The rules that are set, in words.
fn rules(bucket: &Value) -> Vec<String> {
    let prefixes = bucket["prefixes"].as_array().into_iter().flatten();
    let prefixes: Vec<_> = prefixes.map(text).collect();
    let keys = match prefixes.is_empty() {
        true => "all other keys".to_owned(),
        false => prefixes.join(" "),
    };
    let number = |rule: &str, unit: &str| {
        let number = bucket[rule].as_u64()?;
        Some(format!("{rule} {number}{unit}"))
    };
    let time = |rule: &str, label: &str| {
        let ms = bucket[rule].as_u64()?;
        Some(format!("{label} {}", duration(ms)))
    };
    let strict = bucket["strict"].as_bool();
    let error = bucket["on_dead"] == "error";
    let told = [
        Some(keys),
        number("r", ""),
        number("w", ""),
        strict.map(|it| if it { "strict" } else { "sloppy" }.to_owned()),
        time("ttl_ms", "ttl"),
        time("max_lifetime_ms", "max_lifetime"),
        error.then(|| "writes to destroyed sessions are refused".to_owned()),
        number("max_value", " bytes"),
        number("max_siblings", ""),
    ];
    told.into_iter().flatten().collect()
}

/// The largest unit that fits.
fn duration(ms: u64) -> String {
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ];
    let whole = units.iter().find(|(_, unit)| ms.is_multiple_of(*unit));
    whole.map_or(format!("{ms}ms"), |(name, unit)| {
        format!("{}{name}", ms / unit)
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

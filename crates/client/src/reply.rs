//! Typed answers.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{Error, Mode, Value};

/// How long a record still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// There is no record.
    Absent,
    /// It does not expire.
    Never,
    /// It expires after this time, as the coordinator's clock sees it.
    In(Duration),
    /// The server did not say (plain Redis).
    Unreported,
}

/// Answer to a read.
#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    /// No value: absent. One: the value. More: concurrent siblings, all of them.
    pub values: Vec<Bytes>,
    /// Fields of a record that has named ones, in the order sent.
    pub fields: Vec<(Bytes, Bytes)>,
    /// Time left.
    pub ttl: Ttl,
    /// Causal context to hand to the write that resolves these values, if it was asked for.
    pub context: Option<String>,
    /// Which replicas answered, if it was asked for.
    pub receipt: Option<Receipt>,
}

impl Got {
    /// The value, when there is exactly one.
    pub fn value(&self) -> Option<&[u8]> {
        match self.values.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The value of a named field.
    pub fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_ref())
    }

    /// Whether there is neither value nor field.
    pub fn is_absent(&self) -> bool {
        self.values.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self, Error> {
        let values = match value.field("values") {
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(|item| item.bytes().cloned())
                .collect(),
            Some(Value::Null) | None if value.field("fields").is_some() => Vec::new(),
            _ => return Err(unexpected("HENGE.GET", value)),
        };
        let fields = value.field("fields").map(Value::pairs).unwrap_or_default();
        Ok(Self {
            values,
            fields: fields
                .iter()
                .filter_map(|(k, v)| Some((k.bytes()?.clone(), v.bytes()?.clone())))
                .collect(),
            ttl: ttl(value.field("ttl_ms").and_then(Value::integer)),
            context: value.field("context").and_then(Value::text),
            receipt: value.field("receipt").cloned().map(Receipt),
        })
    }

    pub(crate) fn from_plain(value: &Value) -> Result<Self, Error> {
        let values = match value {
            Value::Null => Vec::new(),
            Value::Bulk(bytes) => vec![bytes.clone()],
            other => return Err(unexpected("GET", other)),
        };
        let ttl = if values.is_empty() {
            Ttl::Absent
        } else {
            Ttl::Unreported
        };
        Ok(Self {
            values,
            fields: Vec::new(),
            ttl,
            context: None,
            receipt: None,
        })
    }
}

fn ttl(ms: Option<i64>) -> Ttl {
    match ms {
        None => Ttl::Unreported,
        Some(-2) => Ttl::Absent,
        Some(ms) => u64::try_from(ms).map_or(Ttl::Never, |ms| Ttl::In(Duration::from_millis(ms))),
    }
}

/// Answer to a write that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Whether it changed anything: false for a condition not met, a delete or touch of nothing,
    /// and an absorbed write.
    pub applied: bool,
    /// The session is dead: the write was taken and has no effect.
    pub absorbed: bool,
    /// Causal context of what was written, if it was asked for; of a key of siblings always.
    pub context: Option<String>,
    /// Which replicas hold it, if it was asked for.
    pub receipt: Option<Receipt>,
}

impl Done {
    pub(crate) fn from_value(value: &Value) -> Result<Self, Error> {
        let applied = value.field("applied").and_then(Value::integer);
        let Some(applied) = applied else {
            return Err(unexpected("a write", value));
        };
        Ok(Self {
            applied: applied != 0,
            absorbed: value
                .field("absorbed")
                .and_then(Value::integer)
                .unwrap_or(0)
                != 0,
            context: value.field("context").and_then(Value::text),
            receipt: value.field("receipt").cloned().map(Receipt),
        })
    }

    /// Redis answers OK or nil, or a count. HSET counts only new fields, so its count says nothing.
    pub(crate) fn from_plain(value: &Value, count_tells: bool) -> Result<Self, Error> {
        let applied = match value {
            Value::Simple(_) => true,
            Value::Null => false,
            Value::Integer(count) => !count_tells || *count > 0,
            other => return Err(unexpected("a write", other)),
        };
        Ok(Self {
            applied,
            absorbed: false,
            context: None,
            receipt: None,
        })
    }
}

fn unexpected(to: &str, value: &Value) -> Error {
    let text: String = format!("{value:?}").chars().take(120).collect();
    Error::Protocol(format!("to {to}: {text}"))
}

/// Which replicas took part, as the server tells it: an open map, since servers may add to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt(pub Value);

impl Receipt {
    /// A number in the receipt.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.0.field(field)?.integer()
    }

    /// A text in the receipt.
    pub fn text(&self, field: &str) -> Option<String> {
        self.0.field(field)?.text()
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

fn show(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Map(pairs) => pairs.iter().enumerate().try_for_each(|(i, (key, value))| {
            f.write_str(if i == 0 { "" } else { " " })?;
            show(key, f)?;
            f.write_str("=")?;
            show(value, f)
        }),
        Value::Array(items) => {
            f.write_str("[")?;
            items.iter().enumerate().try_for_each(|(i, item)| {
                f.write_str(if i == 0 { "" } else { ", " })?;
                show(item, f)
            })?;
            f.write_str("]")
        }
        Value::Null => f.write_str("nil"),
        Value::Integer(number) => write!(f, "{number}"),
        Value::Double(number) => write!(f, "{number}"),
        Value::Boolean(flag) => write!(f, "{flag}"),
        Value::Simple(text) | Value::Bulk(text) | Value::Error(text) => {
            f.write_str(&String::from_utf8_lossy(text))
        }
    }
}

/// A connection's defaults, as `HENGE.QUORUM` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Replicas of each key.
    pub n: u32,
    /// Replicas a read waits for.
    pub r: u32,
    /// Replicas a write waits for.
    pub w: u32,
    /// Whether fallbacks may stand in.
    pub mode: Mode,
    /// Deadline of a request.
    pub timeout: Duration,
}

impl Quorum {
    pub(crate) fn from_value(value: &Value) -> Result<Self, Error> {
        let number = |name| {
            let number = value.field(name).and_then(Value::integer);
            number
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| unexpected("HENGE.QUORUM", value))
        };
        let mode = value
            .field("mode")
            .and_then(Value::text)
            .unwrap_or_default();
        Ok(Self {
            n: number("n")?,
            r: number("r")?,
            w: number("w")?,
            mode: if mode.eq_ignore_ascii_case("strict") {
                Mode::Strict
            } else {
                Mode::Sloppy
            },
            timeout: Duration::from_millis(u64::from(number("timeout_ms").unwrap_or(0))),
        })
    }
}

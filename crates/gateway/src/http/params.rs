//! The query string: consistency, lifetime, receipt.

use std::collections::BTreeMap;

use axum::{extract::RawQuery, response::Response};
use henge_node::Options;

use super::answer::bad_request;

/// What may stand in a query.
const KNOWN: &str = "r, w, strict, timeout_ms, ttl_ms, receipt, token, after, \
                     max_staleness_ms, principal, to, grace_ms";
/// Longest time-out that may be asked for, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 60_000;

/// A query, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    /// Consistency, and whether a receipt is wanted.
    pub(super) options: Options,
    /// Lifetime in milliseconds.
    pub(super) ttl_ms: Option<u64>,
    /// Whether a write is to answer with the context of what it wrote.
    pub(super) token: bool,
    /// The context that a read has to show.
    pub(super) after: Option<String>,
    /// How much older a read may be than one that R replicas answer.
    pub(super) max_staleness_ms: Option<u64>,
    /// Whose session it is.
    pub(super) principal: Option<Vec<u8>>,
    /// The new id of a session.
    pub(super) to: Option<Vec<u8>>,
    /// How long the old one stands for it, in milliseconds.
    pub(super) grace_ms: Option<u64>,
}

impl Params {
    /// Reads a query. The error is the response.
    pub(super) fn read(RawQuery(query): RawQuery) -> Result<Self, Box<Response>> {
        Self::parse(query.as_deref().unwrap_or_default())
            .map_err(|text| Box::new(bad_request(&text)))
    }

    fn parse(query: &str) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if given.insert(name, value).is_some() {
                return Err(format!("{name:?} is given twice"));
            }
        }
        let mut params = Self::default();
        for (name, value) in given {
            match name {
                "r" => params.options.r = Some(number(name, value)?),
                "w" => params.options.w = Some(number(name, value)?),
                "ttl_ms" => params.ttl_ms = Some(number(name, value)?),
                "timeout_ms" => match number(name, value)? {
                    millis @ 1..=MAX_TIMEOUT_MS => params.options.timeout_ms = Some(millis),
                    millis => {
                        return Err(format!(
                            "timeout_ms must be 1 to {MAX_TIMEOUT_MS}, not {millis}"
                        ));
                    }
                },
                "strict" => params.options.strict = Some(flag(name, value)?),
                "token" => params.token = flag(name, value)?,
                "max_staleness_ms" => params.max_staleness_ms = Some(number(name, value)?),
                "after" => params.after = Some(value.to_owned()),
                "principal" => params.principal = Some(percent_decoded(value)?),
                "to" => params.to = Some(percent_decoded(value)?),
                "grace_ms" => params.grace_ms = Some(number(name, value)?),
                "receipt" => params.options.receipt = flag(name, value)?,
                _ => return Err(format!("{name:?} is unknown; known are {KNOWN}")),
            }
        }
        Ok(params)
    }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("{name} must be a whole number from 0 on, not {value:?}"))
}

/// `%2F` and the like as the bytes that they stand for; `+` stands for itself.
fn percent_decoded(text: &str) -> Result<Vec<u8>, String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = after.split_at(after.len().min(2));
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|it| it.len() == 2 && !it.starts_with('+'));
        let code = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(code.ok_or_else(|| format!("{text:?} has a % without two hex digits"))?);
        rest = after;
    }
    Ok(bytes)
}

/// A flag is true if it is named alone.
fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!("{name} must be true or false, not {value:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_at_once() {
        let params = Params::parse(
            "r=2&w=3&strict&timeout_ms=250&ttl_ms=1000&receipt=true&token&after=Ag_-&max_staleness_ms=9",
        )
        .unwrap();
        let options = Options {
            r: Some(2),
            w: Some(3),
            strict: Some(true),
            timeout_ms: Some(250),
            receipt: true,
        };
        assert_eq!(
            params,
            Params {
                options,
                ttl_ms: Some(1000),
                token: true,
                after: Some("Ag_-".to_owned()),
                max_staleness_ms: Some(9),
                principal: None,
                to: None,
                grace_ms: None,
            }
        );
        assert_eq!(Params::parse("").unwrap(), Params::default());
    }

    #[test]
    fn principals_are_percent_decoded() {
        let principal = |query: &str| Params::parse(query).map(|it| it.principal);
        let bytes = b"a/b\xff+".to_vec();
        assert_eq!(principal("principal=a%2fb%FF+"), Ok(Some(bytes)));
        for wrong in [
            "principal=%",
            "principal=%4",
            "principal=%zz",
            "principal=%+1",
        ] {
            assert!(principal(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for (query, wanted) in [
            ("r=x", "r must be a whole number from 0 on, not \"x\""),
            ("r=-1", "r must be a whole number from 0 on, not \"-1\""),
            ("timeout_ms=0", "timeout_ms must be 1 to 60000, not 0"),
            (
                "strict=maybe",
                "strict must be true or false, not \"maybe\"",
            ),
            (
                "n=3",
                "\"n\" is unknown; known are r, w, strict, timeout_ms, ttl_ms, receipt, token, after, \
                 max_staleness_ms, principal, to, grace_ms",
            ),
            ("r=1&r=2", "\"r\" is given twice"),
        ] {
            assert_eq!(Params::parse(query).unwrap_err(), wanted);
        }
    }
}

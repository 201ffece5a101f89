//! `SCAN` and `KEYS`: going through all keys of the cluster.
//!
//! A cursor is a place on the ring, so it stays good when nodes come and go: a key that is there
//! all the time is returned at least once.

use henge_node::Operation;
use henge_versioning::{Form, RecordRef};

use super::{
    Call, Plan, Planned, Stepper,
    parse::{integer, is, shown, syntax},
};
use crate::resp::{
    decode::Args,
    glob,
    reply::Reply,
    shape::{kind, live},
};

/// Keys that one `SCAN` looks at, at most, whatever its `COUNT` says.
const MAX_COUNT: usize = 10_000;
/// Keys looked at per step where all are wanted.
const KEYS_STEP: usize = 1000;

/// `[MATCH pattern] [COUNT n] [TYPE name]`, also for `HSCAN` and `SSCAN` (which have no `TYPE`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScanOptions {
    pattern: Option<Vec<u8>>,
    count: usize,
    kind: Option<Vec<u8>>,
    pub(super) no_values: bool,
    /// Also all keys of databases other than the client's, whatever their names.
    every_database: bool,
}

impl ScanOptions {
    pub(super) fn parse<'a>(
        mut args: impl Iterator<Item = &'a [u8]>,
        longest: usize,
    ) -> Result<Self, Reply> {
        let mut options = Self {
            pattern: None,
            count: 10,
            kind: None,
            no_values: false,
            every_database: false,
        };
        while let Some(word) = args.next() {
            if is(word, "NOVALUES") {
                options.no_values = true;
                continue;
            }
            let value = args.next().ok_or_else(syntax)?;
            match () {
                () if is(word, "MATCH") => options.pattern = pattern(value, longest)?,
                () if is(word, "TYPE") => options.kind = Some(value.to_ascii_lowercase()),
                () if is(word, "COUNT") => {
                    let count = integer(value)?;
                    let count = usize::try_from(count).ok().filter(|count| *count > 0);
                    options.count = count.ok_or_else(syntax)?.min(MAX_COUNT);
                }
                () => return Err(syntax()),
            }
        }
        Ok(options)
    }

    /// All keys that match, many at a time.
    pub(super) fn matching(text: &[u8], longest: usize) -> Result<Self, Reply> {
        Ok(Self {
            pattern: pattern(text, longest)?,
            count: KEYS_STEP,
            kind: None,
            no_values: true,
            every_database: false,
        })
    }

    /// All keys there are, of all databases.
    pub(super) fn everything() -> Self {
        Self {
            pattern: None,
            count: KEYS_STEP,
            kind: None,
            no_values: true,
            every_database: true,
        }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.pattern
            .as_ref()
            .is_none_or(|pattern| glob::matches(pattern, text))
    }
}

/// A pattern within its limit; `None` for the one that everything matches.
fn pattern(text: &[u8], longest: usize) -> Result<Option<Vec<u8>>, Reply> {
    if text.len() > longest {
        return Err(Reply::error(format!(
            "ERR the pattern has {} bytes, at most {longest} are accepted",
            text.len()
        )));
    }
    Ok((!glob::is_everything(text)).then(|| text.to_vec()))
}

/// A cursor: below 2^63, because some clients read it as a signed number.
pub(super) fn cursor(text: &[u8]) -> Result<u64, Reply> {
    shown(text)
        .parse()
        .ok()
        .filter(|cursor| i64::try_from(*cursor).is_ok())
        .ok_or_else(|| Reply::error("ERR invalid cursor"))
}

pub(super) fn scan<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let from = cursor(args.at(1))?;
    let options = ScanOptions::parse(args.from(2), call.shared.limits.pattern)?;
    let steps = call.stepper();
    Ok(Plan::Steps(Box::pin(async move {
        match page(&steps, from, &options).await {
            Ok((next, keys)) => {
                let names = keys.iter().filter_map(|key| steps.database.name_of(key));
                Reply::Array(vec![Reply::text(next.to_string()), Reply::texts(names)])
            }
            Err(error) => error,
        }
    })))
}

/// The keys of one step, as they are stored, and where the next one begins; 0: nowhere.
pub(super) async fn page(
    steps: &Stepper,
    from: u64,
    options: &ScanOptions,
) -> Result<(u64, Vec<Vec<u8>>), Reply> {
    let page = steps
        .node
        .scan(from, options.count)
        .await
        .map_err(|failure| super::failed(&failure))?;
    let mut keys = Vec::with_capacity(page.keys.len());
    for (key, outline) in page.keys {
        let name = steps.database.name_of(&key);
        let matches = name.map_or(options.every_database, |name| options.matches(name));
        if matches && is_of_kind(steps, &key, &outline, options).await? {
            keys.push(key);
        }
    }
    Ok((page.next, keys))
}

async fn is_of_kind(
    steps: &Stepper,
    key: &[u8],
    outline: &[u8],
    options: &ScanOptions,
) -> Result<bool, Reply> {
    let Some(wanted) = &options.kind else {
        return Ok(true);
    };
    match RecordRef::parse(outline) {
        Ok(record) if record.form() != Form::Fields => return Ok(wanted == b"string"),
        Ok(_) if wanted == b"string" => return Ok(false),
        _ => {}
    }
    // Hashes and sets differ in their field names, which an outline may leave out.
    let done = steps.call(key, Operation::Get).await?;
    let record = live(done.record.as_deref(), steps.node.wall_ms());
    Ok(record.is_some_and(|record| kind(&record).name().as_bytes() == wanted))
}

pub(super) fn keys<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let options = ScanOptions::matching(args.at(1), call.shared.limits.pattern)?;
    let (steps, limit) = (call.stepper(), call.shared.limits.output);
    Ok(Plan::Steps(Box::pin(async move {
        let (mut from, mut found, mut size) = (0, Vec::new(), 0);
        loop {
            let (next, keys) = match page(&steps, from, &options).await {
                Ok(page) => page,
                Err(error) => return error,
            };
            size += keys.iter().map(|key| key.len() + 16).sum::<usize>();
            if size > limit {
                return Reply::error(format!(
                    "ERR the reply would have more than {limit} bytes; use SCAN"
                ));
            }
            found.extend(keys);
            if next == 0 {
                return Reply::texts(found.iter().filter_map(|key| steps.database.name_of(key)));
            }
            from = next;
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ScanOptions, Reply> {
        ScanOptions::parse(text.split_whitespace().map(str::as_bytes), 8)
    }

    #[test]
    fn options_and_their_limits() {
        let options = parse("match sess:* count 50 TYPE String").unwrap();
        assert!(options.matches(b"sess:1") && !options.matches(b"other"));
        assert_eq!(
            (options.count, options.kind.as_deref()),
            (50, Some(b"string".as_slice()))
        );
        assert_eq!(parse("COUNT 999999999").unwrap().count, MAX_COUNT);
        assert_eq!(parse("MATCH *").unwrap().pattern, None);
        for text in ["COUNT 0", "COUNT -1", "FOO", "MATCH", "FOO 1"] {
            assert_eq!(parse(text), Err(syntax()), "{text}");
        }
        assert!(parse("MATCH 12345678").is_ok());
        assert!(parse("MATCH 123456789").is_err());
    }

    #[test]
    fn cursors_fit_a_signed_number() {
        assert_eq!(cursor(b"0"), Ok(0));
        assert_eq!(cursor(b"9223372036854775807"), Ok(i64::MAX as u64));
        assert!(cursor(b"9223372036854775808").is_err());
        assert!(cursor(b"x").is_err() && cursor(b"-1").is_err() && cursor(b"").is_err());
    }
}

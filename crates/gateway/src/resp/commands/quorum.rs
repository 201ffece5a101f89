//! Consistency of single requests and of a connection: `R n`, `W n`, `STRICT`, `SLOPPY`,
//! `TIMEOUT ms`, `RECEIPT`, and the command `HENGE.QUORUM`.

use henge_node::Mode;
use henge_node::Options;

use super::{
    Call, Plan, Planned,
    parse::{is, shown, syntax, unsigned},
};
use crate::resp::{decode::Args, reply::Reply};

/// Longest time-out that may be asked for, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 60_000;

/// Reads one consistency option at the head of `args` into `options`. `false`: it is none.
pub(super) fn read_option<'a>(
    word: &[u8],
    args: &mut impl Iterator<Item = &'a [u8]>,
    options: &mut Options,
) -> Result<bool, Reply> {
    let mut number = |what: &str| unsigned(args.next().ok_or_else(syntax)?, what);
    match () {
        () if is(word, "R") => options.r = Some(number("R")?),
        () if is(word, "W") => options.w = Some(number("W")?),
        () if is(word, "TIMEOUT") => {
            let millis = number("TIMEOUT")?;
            if !(1..=MAX_TIMEOUT_MS).contains(&millis) {
                return Err(Reply::error(format!(
                    "ERR TIMEOUT must be from 1 to {MAX_TIMEOUT_MS} milliseconds, not {millis}"
                )));
            }
            options.timeout_ms = Some(millis);
        }
        () if is(word, "STRICT") => options.strict = Some(true),
        () if is(word, "SLOPPY") => options.strict = Some(false),
        () if is(word, "RECEIPT") => options.receipt = true,
        () => return Ok(false),
    }
    Ok(true)
}

/// What a connection's requests are carried out with.
pub(super) struct Effective {
    pub(super) n: u64,
    pub(super) r: u64,
    pub(super) w: u64,
    strict: bool,
    timeout_ms: u64,
}

/// The node's defaults with the connection's own laid over them.
pub(super) fn effective(call: &Call<'_>) -> Effective {
    let defaults = call.node.handle().defaults();
    let own = call.client.defaults;
    Effective {
        n: u64::from(defaults.n),
        r: own.r.unwrap_or(u64::from(defaults.r)),
        w: own.w.unwrap_or(u64::from(defaults.w)),
        strict: own.strict.unwrap_or(defaults.mode == Mode::Strict),
        timeout_ms: own.timeout_ms.unwrap_or(u64::from(defaults.deadline_ms)),
    }
}

/// `HENGE.QUORUM [R n] [W n] [STRICT | SLOPPY] [TIMEOUT ms]`, `HENGE.QUORUM RESET`, or without
/// arguments: what it is now.
pub(super) fn quorum<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let mut words = args.from(1);
    if args.len() == 1 {
        return Ok(Plan::Reply(told(&effective(call))));
    }
    if args.len() == 2 && is(args.at(1), "RESET") {
        call.client.defaults = Options::default();
        return Ok(Plan::Reply(Reply::OK));
    }
    let mut options = call.client.defaults;
    while let Some(word) = words.next() {
        if is(word, "RECEIPT") || !read_option(word, &mut words, &mut options)? {
            return Err(Reply::error(format!(
                "ERR unknown option '{}'",
                shown(word)
            )));
        }
    }
    let n = u64::from(call.node.handle().defaults().n);
    for (name, given) in [("R", options.r), ("W", options.w)] {
        if let Some(given) = given.filter(|given| !(1..=n).contains(given)) {
            return Err(Reply::error(format!(
                "ERR {name} must be from 1 to {n}, not {given}"
            )));
        }
    }
    call.client.defaults = options;
    Ok(Plan::Reply(Reply::OK))
}

fn told(now: &Effective) -> Reply {
    let pair = |name: &str, value: u64| (Reply::text(name), Reply::Integer(value as i64));
    Reply::Map(vec![
        pair("n", now.n),
        pair("r", now.r),
        pair("w", now.w),
        (
            Reply::text("mode"),
            Reply::text(if now.strict { "strict" } else { "sloppy" }),
        ),
        pair("timeout_ms", now.timeout_ms),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, Reply> {
        let mut options = Options::default();
        let mut words = text.split_whitespace().map(str::as_bytes);
        while let Some(word) = words.next() {
            if !read_option(word, &mut words, &mut options)? {
                return Err(syntax());
            }
        }
        Ok(options)
    }

    #[test]
    fn options_are_read_in_any_order() {
        let wanted = Options {
            r: Some(2),
            w: Some(3),
            strict: Some(true),
            timeout_ms: Some(250),
            receipt: true,
        };
        assert_eq!(read("w 3 STRICT timeout 250 R 2 RECEIPT"), Ok(wanted));
        assert_eq!(read("STRICT SLOPPY").unwrap().strict, Some(false));
    }

    #[test]
    fn nonsense_is_refused_with_its_numbers() {
        assert_eq!(read("R"), Err(syntax()));
        let text = |text| format!("{:?}", read(text).unwrap_err());
        assert!(text("R -1").contains("R must be a whole number from 0 on, not '-1'"));
        assert!(text("TIMEOUT 0").contains("TIMEOUT must be from 1 to 60000 milliseconds, not 0"));
        assert!(text("TIMEOUT 60001").contains("not 60001"));
    }
}

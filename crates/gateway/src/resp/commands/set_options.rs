//! The options of `SET` and `GETEX`.

use henge_node::{Condition, Expiry};

use super::parse::{integer, invalid_expire, is, syntax};
use crate::resp::{
    deadline::{Base, Unit, positive},
    reply::Reply,
};

/// `[NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetOptions {
    /// Only if.
    pub(super) condition: Condition,
    /// What becomes of the deadline.
    pub(super) expiry: Expiry,
    /// The old value is asked for.
    pub(super) get: bool,
}

impl SetOptions {
    /// Reads them.
    pub(super) fn parse<'a>(
        mut args: impl Iterator<Item = &'a [u8]>,
        now_ms: u64,
    ) -> Result<Self, Reply> {
        let mut options = Self {
            condition: Condition::Always,
            expiry: Expiry::Clear,
            get: false,
        };
        let mut lifetimes = 0;
        while let Some(word) = args.next() {
            if is(word, "GET") {
                options.get = true;
            } else if let Some(condition) = condition(word) {
                if ![Condition::Always, condition].contains(&options.condition) {
                    return Err(syntax());
                }
                options.condition = condition;
            } else if is(word, "KEEPTTL") {
                options.expiry = Expiry::Keep;
                lifetimes += 1;
            } else {
                let (unit, base) = lifetime_word(word).ok_or_else(syntax)?;
                let number = args.next().ok_or_else(syntax)?;
                options.expiry = Expiry::At(lifetime(number, unit, base, now_ms, "set")?);
                lifetimes += 1;
            }
        }
        if lifetimes > 1 {
            Err(syntax())
        } else {
            Ok(options)
        }
    }
}

fn condition(word: &[u8]) -> Option<Condition> {
    match () {
        () if is(word, "NX") => Some(Condition::Absent),
        () if is(word, "XX") => Some(Condition::Present),
        () => None,
    }
}

/// Which of the four lifetime options a word is.
pub(super) fn lifetime_word(word: &[u8]) -> Option<(Unit, Base)> {
    match () {
        () if is(word, "EX") => Some((Unit::Seconds, Base::Now)),
        () if is(word, "PX") => Some((Unit::Millis, Base::Now)),
        () if is(word, "EXAT") => Some((Unit::Seconds, Base::Epoch)),
        () if is(word, "PXAT") => Some((Unit::Millis, Base::Epoch)),
        () => None,
    }
}

/// A lifetime as a deadline; zero and below are refused in `command`'s name.
pub(super) fn lifetime(
    number: &[u8],
    unit: Unit,
    base: Base,
    now_ms: u64,
    command: &str,
) -> Result<u64, Reply> {
    positive(integer(number)?, unit, base, now_ms).map_err(|_| invalid_expire(command))
}

/// What `GETEX` does to the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Nothing.
    Leave,
    /// Moves it.
    At(u64),
    /// Removes it.
    Persist,
}

impl Renewal {
    /// Reads `[EX s | PX ms | EXAT s | PXAT ms | PERSIST]`.
    pub(super) fn parse<'a>(
        mut args: impl Iterator<Item = &'a [u8]>,
        now_ms: u64,
    ) -> Result<Self, Reply> {
        let Some(word) = args.next() else {
            return Ok(Self::Leave);
        };
        let renewal = if is(word, "PERSIST") {
            Self::Persist
        } else {
            let (unit, base) = lifetime_word(word).ok_or_else(syntax)?;
            let number = args.next().ok_or_else(syntax)?;
            Self::At(lifetime(number, unit, base, now_ms, "getex")?)
        };
        if args.next().is_some() {
            Err(syntax())
        } else {
            Ok(renewal)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn parse(text: &str) -> Result<SetOptions, Reply> {
        SetOptions::parse(text.split_whitespace().map(str::as_bytes), NOW)
    }

    #[test]
    fn options_in_any_order_and_case() {
        let wanted = SetOptions {
            condition: Condition::Absent,
            expiry: Expiry::At(NOW + 10_000),
            get: true,
        };
        assert_eq!(parse("ex 10 NX get"), Ok(wanted));
        assert_eq!(parse("GET Nx EX 10"), Ok(wanted));
        assert_eq!(parse("KEEPTTL").unwrap().expiry, Expiry::Keep);
        assert_eq!(parse("PXAT 5").unwrap().expiry, Expiry::At(5));
        assert_eq!(parse("").unwrap().expiry, Expiry::Clear);
    }

    #[test]
    fn contradictions_and_leftovers_are_syntax_errors() {
        for text in [
            "NX XX",
            "EX",
            "EX 10 PX 10",
            "EX 10 KEEPTTL",
            "KEEPTTL PXAT 1",
            "FOO",
            "10",
        ] {
            assert_eq!(parse(text), Err(syntax()), "{text}");
        }
    }

    #[test]
    fn lifetimes_of_nothing_are_refused_by_name() {
        for text in [
            "EX 0",
            "PX -1",
            "EX 9223372036854775807",
            "PX 9223372036854775807",
        ] {
            assert_eq!(parse(text), Err(invalid_expire("set")), "{text}");
        }
        assert_eq!(parse("EX ten"), Err(super::super::parse::not_an_integer()));
    }

    #[test]
    fn renewals() {
        let parse = |text: &str| Renewal::parse(text.split_whitespace().map(str::as_bytes), NOW);
        assert_eq!(parse(""), Ok(Renewal::Leave));
        assert_eq!(parse("persist"), Ok(Renewal::Persist));
        assert_eq!(parse("PX 5"), Ok(Renewal::At(NOW + 5)));
        assert_eq!(parse("PERSIST EX 5"), Err(syntax()));
        assert_eq!(parse("KEEPTTL"), Err(syntax()));
        assert_eq!(parse("EX 0"), Err(invalid_expire("getex")));
    }
}

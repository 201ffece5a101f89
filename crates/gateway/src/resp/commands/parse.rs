//! Reading arguments, and Redis' words for those that are wrong.

use std::borrow::Cow;

use crate::resp::{
    decode::{Args, decimal},
    reply::Reply,
};

/// `ERR syntax error`.
pub(super) fn syntax() -> Reply {
    Reply::error("ERR syntax error")
}

/// The complaint about a number.
pub(super) fn not_an_integer() -> Reply {
    Reply::error("ERR value is not an integer or out of range")
}

/// A whole number.
pub(super) fn integer(text: &[u8]) -> Result<i64, Reply> {
    decimal(text).ok_or_else(not_an_integer)
}

/// A whole number that is not negative; `what` is named otherwise.
pub(super) fn unsigned(text: &[u8], what: &str) -> Result<u64, Reply> {
    decimal(text)
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| {
            Reply::error(format!(
                "ERR {what} must be a whole number from 0 on, not '{}'",
                shown(text)
            ))
        })
}

/// A number with a fraction, finite.
pub(super) fn float(text: &[u8]) -> Result<f64, Reply> {
    std::str::from_utf8(text)
        .ok()
        .filter(|text| !text.is_empty() && !text.contains(char::is_whitespace))
        .and_then(|text| text.parse().ok())
        .filter(|number: &f64| !number.is_nan())
        .ok_or_else(|| Reply::error("ERR value is not a valid float"))
}

/// The complaint about a lifetime.
pub(super) fn invalid_expire(command: &str) -> Reply {
    Reply::error(format!("ERR invalid expire time in '{command}' command"))
}

/// The complaint about the number of arguments.
pub(crate) fn wrong_arity(command: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}

/// The complaint about a subcommand.
pub(super) fn unknown_subcommand(command: &str, given: &[u8]) -> Reply {
    let command = command.to_uppercase();
    Reply::error(format!(
        "ERR unknown subcommand '{}'. Try {command} HELP.",
        shown(&given[..given.len().min(128)])
    ))
}

/// The complaint about a command, in the words that libraries look for.
pub(crate) fn unknown_command(args: Args<'_>) -> Reply {
    const SHOWN: usize = 128;
    let cut = |bytes: &[u8], room: usize| shown(&bytes[..bytes.len().min(room)]).into_owned();
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        cut(args.at(0), SHOWN)
    );
    let head = text.len();
    for arg in args.from(1) {
        let used = text.len() - head;
        if used >= SHOWN {
            break;
        }
        text.push_str(&format!("'{}' ", cut(arg, SHOWN - used)));
    }
    Reply::error(text)
}

/// Bytes for people.
pub(super) fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Whether an argument is this word, in capitals or not.
#[inline]
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

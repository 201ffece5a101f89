//! `EVAL`, `EVALSHA` and `SCRIPT`, without Lua: the scripts that session stores and locks send are known,
//! however they are spelled, and carried out as operations of the store. Any other is refused.
//!
//! An embedded interpreter would run them all, and break what they are for: a script's promise is
//! that nothing happens between its commands, which replicas on several nodes cannot keep. Of the known
//! ones it can be said what holds ([`act`]).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use sha1::{Digest, Sha1};

use super::{
    Call, Plan, Planned,
    parse::{integer, is, unknown_subcommand, wrong_arity},
};
use crate::resp::{decode::Args, decode::OwnedArgs, reply::Reply};

mod act;
mod fold;
mod known;

use known::{SPELLINGS, Script, known};

/// Spellings remembered beside those that are known from the start.
const MOST_SPELLINGS: usize = 1024;

/// A text's SHA-1, by which `EVALSHA` names it.
type Sum = [u8; 20];

/// The scripts that can be named by their sum at this node.
#[derive(Debug)]
pub(crate) struct Scripts {
    by_sum: Mutex<BTreeMap<Sum, Script>>,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            by_sum: Mutex::new(from_the_start()),
        }
    }
}

fn from_the_start() -> BTreeMap<Sum, Script> {
    let sum = |(text, script): &(&str, Script)| (sum(text.as_bytes()), *script);
    SPELLINGS.iter().map(sum).collect()
}

fn sum(text: &[u8]) -> Sum {
    Sha1::digest(text).into()
}

/// A sum from 40 hexadecimal digits, in either case.
fn read_sum(text: &[u8]) -> Option<Sum> {
    let (pairs, rest) = text.as_chunks::<2>();
    let mut sum = Sum::default();
    if !rest.is_empty() || pairs.len() != sum.len() {
        return None;
    }
    for (byte, pair) in sum.iter_mut().zip(pairs) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(sum)
}

impl Scripts {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Sum, Script>> {
        self.by_sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self, text: &[u8]) -> Option<Script> {
        self.lock().get(&read_sum(text)?).copied()
    }

    /// Remembers a spelling of a known script. Where there are too many it is forgotten at once: who
    /// names it by its sum then is told so, and sends the text.
    fn remember(&self, text: &[u8], script: Script) -> Sum {
        let sum = sum(text);
        let mut by_sum = self.lock();
        if by_sum.len() < SPELLINGS.len() + MOST_SPELLINGS {
            by_sum.insert(sum, script);
        }
        sum
    }

    fn forget(&self) {
        *self.lock() = from_the_start();
    }
}

pub(super) fn eval<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let script = known(args.at(1)).ok_or_else(unknown)?;
    call.shared.scripts.remember(args.at(1), script);
    plan(call, args, script)
}

pub(super) fn evalsha<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    match call.shared.scripts.named(args.at(1)) {
        Some(script) => plan(call, args, script),
        None => Err(Reply::error(
            "NOSCRIPT No matching script. Please use EVAL.",
        )),
    }
}

fn unknown() -> Reply {
    Reply::error(
        "ERR unknown script: there is no Lua here, only the scripts of common session stores and locks are known",
    )
}

/// `… numkeys key … arg …`
fn plan<'a>(call: &Call<'_>, args: Args<'a>, script: Script) -> Planned<'a> {
    let keys = integer(args.at(2))?;
    let Ok(keys) = usize::try_from(keys) else {
        return Err(Reply::error("ERR Number of keys can't be negative"));
    };
    let first = 3_usize.saturating_add(keys);
    if first > args.len() {
        return Err(Reply::error(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    if keys < script.keys() || args.len() - first < script.arguments() {
        return Err(Reply::error(format!(
            "ERR this script needs {} keys and {} arguments, got {keys} and {}",
            script.keys(),
            script.arguments(),
            args.len() - first
        )));
    }
    let (steps, args) = (call.stepper(), OwnedArgs::from(args));
    Ok(Plan::Steps(Box::pin(async move {
        let args = args.borrow();
        let key = if keys == 0 { &b""[..] } else { args.at(3) };
        let values: Vec<&[u8]> = args.from(first).collect();
        steps
            .script(script, key, &values)
            .await
            .unwrap_or_else(|error| error)
    })))
}

pub(super) fn script<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let (word, scripts) = (args.at(1), &call.shared.scripts);
    let reply = match () {
        () if is(word, "LOAD") && args.len() == 3 => {
            let script = known(args.at(2)).ok_or_else(unknown)?;
            let sum = scripts.remember(args.at(2), script);
            Reply::text(sum.iter().map(|it| format!("{it:02x}")).collect::<String>())
        }
        () if is(word, "LOAD") => return Err(wrong_arity("script|load")),
        () if is(word, "EXISTS") && args.len() > 2 => {
            let is_known = |sum| Reply::from(scripts.named(sum).is_some());
            Reply::Array(args.from(2).map(is_known).collect())
        }
        () if is(word, "EXISTS") => return Err(wrong_arity("script|exists")),
        () if is(word, "FLUSH") && args.len() <= 3 => {
            scripts.forget();
            Reply::OK
        }
        () if is(word, "KILL") => Reply::error("NOTBUSY No scripts in execution right now."),
        () => return Err(unknown_subcommand("script", word)),
    };
    Ok(Plan::Reply(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_scripts_that_libraries_name_without_sending_them() {
        let scripts = Scripts::default();
        for (sum, script) in [
            (
                "b70c2384248f88e6b75b9f89241a180f856ad852",
                Script::DeleteIfEqual,
            ),
            (
                "c3f8721cbb97f72bc19e972846bd7aaf91901658",
                Script::DeleteIfEqual,
            ),
            (
                "a4e8783852e6b949f9ef3a97212805108459a890",
                Script::ExtendIfEqual,
            ),
            (
                "1cac51482acf5858da00f6d685d68f886cd6b6b2",
                Script::ExpireIfEqual { millis: true },
            ),
            (
                "54ea03b66da5fbbf9c19520232b7fc68354b94eb",
                Script::GetAndRenew,
            ),
            (
                "1d5cfd5d9eb00c954f52d75b35c488efc6a4ec9a",
                Script::DeleteMatching,
            ),
            ("a08c9c69b7c07ae2485190873b90d128a23e502d", Script::Add),
        ] {
            assert_eq!(scripts.named(sum.as_bytes()), Some(script), "{sum}");
            let capitals = sum.to_uppercase();
            assert_eq!(scripts.named(capitals.as_bytes()), Some(script));
        }
    }

    #[test]
    fn what_is_no_sum_names_nothing() {
        let scripts = Scripts::default();
        for text in [
            &b""[..],
            b"b70c",
            &[b'0'; 40],
            &[b'x'; 40],
            &[b'0'; 41],
            &[0xff; 40],
        ] {
            assert_eq!(scripts.named(text), None);
        }
    }

    #[test]
    fn spellings_are_remembered_up_to_a_bound_and_forgotten_when_asked() {
        let scripts = Scripts::default();
        let hex = |sum: Sum| sum.iter().map(|it| format!("{it:02x}")).collect::<String>();
        for number in 0..MOST_SPELLINGS + 10 {
            let text = format!("-- {number}\nreturn redis.call('incrby',KEYS[1],ARGV[1])");
            let script = known(text.as_bytes()).expect("known");
            let sum = hex(scripts.remember(text.as_bytes(), script));
            let kept = scripts.named(sum.as_bytes()) == Some(script);
            assert_eq!(kept, number < MOST_SPELLINGS);
        }
        scripts.forget();
        assert_eq!(scripts.lock().len(), SPELLINGS.len());
    }
}

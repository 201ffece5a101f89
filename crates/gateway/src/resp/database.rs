//! Databases other than 0, as `SELECT` names them.
//!
//! The cluster has one keyspace. A key of database 3 is stored as `\0` `\3` and its name; what a client
//! calls a key in database 0 is stored as it is, unless it begins with a zero byte itself: then it is
//! marked too, as `\0` `\0` and its name, so that no name in one database is a key of another.
//!
//! Keys are renamed between decoding a command and planning it, so that no command knows of databases
//! but those that go through all keys. The bucket of a key is that of its name ([`henge_node::unmarked`]).

use std::{borrow::Cow, ops::Range};

use henge_node::{KEY_MARK, KEY_MARK_LEN, KEY_MARKS};

use super::{
    commands::Command,
    decode::{Args, OwnedArgs},
};

/// A database of this door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Database(u8);

impl Database {
    /// How many there are: 16, as in Redis without configuration.
    pub(crate) const COUNT: u8 = KEY_MARKS;

    /// By number.
    pub(crate) fn numbered(number: i64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (number < Self::COUNT).then_some(Self(number))
    }

    /// Its number.
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// Whether the keys of a command have to be renamed. They hardly ever have.
    #[inline]
    pub(crate) fn renames(self, command: &Command, args: Args<'_>) -> bool {
        self.0 != 0 || self.is_marked(command, args)
    }

    /// Whether a key of a command begins as marks do.
    #[inline]
    fn is_marked(self, command: &Command, args: Args<'_>) -> bool {
        let begins = |at: usize| args.at(at).first() == Some(&KEY_MARK);
        match (command.keys.first, command.keys.last) {
            (0, _) => has_counted_keys(command) && counted_keys(args).any(begins),
            (1, 1) => begins(1),
            _ => command.keys.positions(args.len()).any(begins),
        }
    }

    /// What a key of this name is stored as.
    pub(crate) fn stored(self, name: &[u8]) -> Vec<u8> {
        let mut stored = Vec::with_capacity(KEY_MARK_LEN + name.len());
        if self.0 != 0 || name.first() == Some(&KEY_MARK) {
            stored.extend([KEY_MARK, self.0]);
        }
        stored.extend_from_slice(name);
        stored
    }

    /// The name of a stored key; `None` if it is one of another database, or none of a client's.
    pub(crate) fn name_of(self, stored: &[u8]) -> Option<&[u8]> {
        match stored {
            [KEY_MARK, number, name @ ..] => (*number == self.0).then_some(name),
            _ => (self.0 == 0).then_some(stored),
        }
    }

    /// A command with its keys as they are stored.
    pub(crate) fn rename(self, command: &Command, args: Args<'_>) -> OwnedArgs {
        let keys: Vec<usize> = match has_counted_keys(command) {
            true => counted_keys(args).collect(),
            false => command.keys.positions(args.len()).collect(),
        };
        let bytes = args.from(0).map(<[u8]>::len).sum::<usize>() + KEY_MARK_LEN * keys.len();
        let renamed = args
            .from(0)
            .enumerate()
            .map(|(at, arg)| match keys.binary_search(&at) {
                Ok(_) => Cow::Owned(self.stored(arg)),
                Err(_) => Cow::Borrowed(arg),
            });
        OwnedArgs::collect(bytes, renamed)
    }
}

/// Whether a command says itself how many of its arguments are keys.
fn has_counted_keys(command: &Command) -> bool {
    matches!(command.name, "eval" | "evalsha")
}

/// The keys of `EVAL script numkeys key … arg …`; none where the number is wrong, which the command finds
/// out.
fn counted_keys(args: Args<'_>) -> Range<usize> {
    const FIRST: usize = 3;
    let count = args
        .get(2)
        .and_then(|text| str::from_utf8(text).ok()?.parse::<usize>().ok());
    let end = count.and_then(|count| FIRST.checked_add(count));
    FIRST..end.filter(|end| *end <= args.len()).unwrap_or(FIRST)
}

#[cfg(test)]
mod tests;

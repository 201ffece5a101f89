//! From the outcome of one request on one key to its reply, for the commands that are just that.
//!
//! A shape is all that a waiting reply slot has to remember of its command.

use henge_node::{Done, Outcome};
use henge_versioning::{Form, RecordRef};

use super::{
    deadline::{Base, Unit, told},
    encode::Writer,
    names::MEMBER,
    reply::Reply,
};
use crate::error::refusal;

/// The error of a command on a value of another kind.
pub(crate) const WRONG_TYPE: &str =
    "WRONGTYPE Operation against a key holding the wrong kind of value";

/// What a live record is to a Redis client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value (a sibling set shows its newest).
    String,
    /// Named fields.
    Hash,
    /// Members.
    Set,
}

impl Kind {
    /// Its name in `TYPE`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::Set => "set",
        }
    }
}

/// The record in an outcome, if a reader may see it.
#[inline]
pub(crate) fn live(record: Option<&[u8]>, now_ms: u64) -> Option<RecordRef<'_>> {
    let record = RecordRef::parse(record?).ok()?;
    record.is_live(now_ms).then_some(record)
}

/// What kind of value a live record holds.
pub(crate) fn kind(record: &RecordRef<'_>) -> Kind {
    match record.form() {
        Form::Fields => match record.fields().next() {
            Some(([MEMBER, ..], _)) => Kind::Set,
            _ => Kind::Hash,
        },
        _ => Kind::String,
    }
}

/// The value of a record that holds one; `Err` for hashes and sets.
#[inline]
pub(crate) fn string<'a>(record: &RecordRef<'a>) -> Result<&'a [u8], &'static str> {
    if let Some(value) = record.value() {
        return Ok(value);
    }
    match record.form() {
        Form::Fields => Err(WRONG_TYPE),
        _ => Ok(record.siblings().next().unwrap_or_default()),
    }
}

/// Makes a reply of an outcome at a time (milliseconds since 1970).
pub(crate) type Teller = Box<dyn Fn(&Outcome, u64) -> Reply>;

/// How an outcome is told.
pub(crate) enum Shape {
    /// `GET`: the value or nil.
    Value,
    /// `SET`: `OK`, or nil if the condition did not hold.
    Done,
    /// `SETEX`: `OK`.
    Ok,
    /// 1 if it was done, 0 if not.
    Applied,
    /// 1 if the key is there, 0 if not.
    Exists,
    /// The remaining lifetime, or the deadline.
    Lifetime(Unit, Base),
    /// The value's length in bytes.
    Length,
    /// The name of the value's kind.
    TypeName,
    /// Something of its own.
    With(Teller),
}

impl Shape {
    /// Writes the reply.
    #[inline]
    pub(crate) fn write(&self, outcome: &Outcome, now_ms: u64, to: &mut Writer<'_>) {
        if let Self::With(tell) = self {
            return tell(outcome, now_ms).write(to);
        }
        match &outcome.result {
            Ok(done) => self.success(done, now_ms, to),
            Err(failure) => to.error(&refusal(failure).line()),
        }
    }

    fn success(&self, done: &Done, now_ms: u64, to: &mut Writer<'_>) {
        let record = || live(done.record.as_deref(), now_ms);
        match self {
            Self::Value => match record().map(|record| string(&record)) {
                None => to.null(),
                Some(Ok(value)) => to.bulk(value),
                Some(Err(wrong)) => to.error(wrong),
            },
            Self::Done if !done.applied && !done.absorbed => to.null(),
            Self::Done | Self::Ok => to.simple("OK"),
            Self::Applied => to.integer(i64::from(done.applied)),
            Self::Exists => to.integer(i64::from(record().is_some())),
            Self::Lifetime(unit, base) => to.integer(record().map_or(-2, |record| {
                told(record.deadline().at, *unit, *base, now_ms)
            })),
            Self::Length => match record().map(|record| string(&record)) {
                None => to.integer(0),
                Some(Ok(value)) => to.integer(value.len() as i64),
                Some(Err(wrong)) => to.error(wrong),
            },
            Self::With(_) => {}
            Self::TypeName => to.simple(record().map_or("none", |record| kind(&record).name())),
        }
    }
}

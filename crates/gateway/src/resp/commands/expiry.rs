//! Lifetimes: moving deadlines and telling them.

use henge_node::{Condition, Operation};
use henge_versioning::NEVER;

use super::{
    Call, Plan, Planned,
    parse::{integer, invalid_expire, is, shown},
};
use crate::resp::{
    deadline::{Base, Unit, deadline},
    decode::Args,
    reply::Reply,
    shape::{Shape, live},
};

pub(super) fn expire<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    move_deadline(call, args, Unit::Seconds, Base::Now)
}

pub(super) fn pexpire<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    move_deadline(call, args, Unit::Millis, Base::Now)
}

pub(super) fn expireat<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    move_deadline(call, args, Unit::Seconds, Base::Epoch)
}

pub(super) fn pexpireat<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    move_deadline(call, args, Unit::Millis, Base::Epoch)
}

fn move_deadline<'a>(call: &mut Call<'_>, args: Args<'a>, unit: Unit, base: Base) -> Planned<'a> {
    let number = integer(args.at(2))?;
    let flags = Flags::parse(args.from(3))?;
    let at = deadline(number, unit, base, call.node.wall_ms())
        .map_err(|_| invalid_expire(call.command.name))?;
    if flags.present && flags.earlier {
        return only_if_both(call, args, at);
    }
    let operation = Operation::Expire {
        at,
        condition: flags.condition(),
    };
    call.one(args.at(1), operation, Shape::Applied)
}

/// `XX LT`: there is no single condition for it, since a missing deadline counts as the latest.
fn only_if_both<'a>(call: &mut Call<'_>, args: Args<'a>, at: u64) -> Planned<'a> {
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let moved = async {
            let done = steps.call(&key, Operation::Get).await?;
            let record = live(done.record.as_deref(), steps.node.wall_ms());
            if record.is_none_or(|record| record.deadline().at == NEVER) {
                return Ok(Reply::from(false));
            }
            let expire = Operation::Expire {
                at,
                condition: Condition::Earlier,
            };
            Ok(Reply::from(steps.call(&key, expire).await?.applied))
        };
        moved.await.unwrap_or_else(|error: Reply| error)
    })))
}

/// `NX`, `XX`, `GT`, `LT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    absent: bool,
    present: bool,
    later: bool,
    earlier: bool,
}

impl Flags {
    fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Self, Reply> {
        let mut flags = Self::default();
        for word in args {
            match () {
                () if is(word, "NX") => flags.absent = true,
                () if is(word, "XX") => flags.present = true,
                () if is(word, "GT") => flags.later = true,
                () if is(word, "LT") => flags.earlier = true,
                () => {
                    return Err(Reply::error(format!(
                        "ERR Unsupported option {}",
                        shown(word)
                    )));
                }
            }
        }
        if flags.absent && (flags.present || flags.later || flags.earlier) {
            return Err(Reply::error(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if flags.later && flags.earlier {
            return Err(Reply::error(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(flags)
    }

    /// `XX GT` is `GT`: a missing deadline counts as the latest, so `GT` never applies to it.
    fn condition(self) -> Condition {
        match self {
            Self { absent: true, .. } => Condition::Absent,
            Self { later: true, .. } => Condition::Later,
            Self { earlier: true, .. } => Condition::Earlier,
            Self { present: true, .. } => Condition::Present,
            _ => Condition::Always,
        }
    }
}

pub(super) fn persist<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let operation = Operation::Expire {
        at: NEVER,
        condition: Condition::Present,
    };
    call.one(args.at(1), operation, Shape::Applied)
}

pub(super) fn ttl<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(
        args.at(1),
        Operation::Get,
        Shape::Lifetime(Unit::Seconds, Base::Now),
    )
}

pub(super) fn pttl<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(
        args.at(1),
        Operation::Get,
        Shape::Lifetime(Unit::Millis, Base::Now),
    )
}

pub(super) fn expiretime<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(
        args.at(1),
        Operation::Get,
        Shape::Lifetime(Unit::Seconds, Base::Epoch),
    )
}

pub(super) fn pexpiretime<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    call.one(
        args.at(1),
        Operation::Get,
        Shape::Lifetime(Unit::Millis, Base::Epoch),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Flags, Reply> {
        Flags::parse(text.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn flags_become_one_condition() {
        for (text, condition) in [
            ("", Condition::Always),
            ("nx", Condition::Absent),
            ("XX", Condition::Present),
            ("GT", Condition::Later),
            ("LT", Condition::Earlier),
            ("XX GT", Condition::Later),
        ] {
            assert_eq!(parse(text).unwrap().condition(), condition, "{text}");
        }
    }

    #[test]
    fn contradictions_have_redis_words() {
        let text = |flags| format!("{:?}", parse(flags).unwrap_err());
        assert!(text("NX GT").contains("ERR NX and XX, GT or LT options at the same time"));
        assert!(text("GT LT").contains("ERR GT and LT options at the same time"));
        assert!(text("AB").contains("ERR Unsupported option AB"));
    }
}

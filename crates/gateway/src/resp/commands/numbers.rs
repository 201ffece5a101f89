//! Counting: whole numbers and fractions kept as text.

use henge_node::Expiry;

use super::{
    Call, Plan, Planned,
    change::Change,
    parse::{float, integer},
};
use crate::resp::{
    decode::{Args, decimal},
    reply::Reply,
    shape::string,
};

pub(super) fn incr<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    add(call, args, 1)
}

pub(super) fn decr<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    add(call, args, -1)
}

pub(super) fn incrby<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = integer(args.at(2))?;
    add(call, args, step)
}

pub(super) fn decrby<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = integer(args.at(2))?
        .checked_neg()
        .ok_or_else(|| Reply::error("ERR decrement would overflow"))?;
    add(call, args, step)
}

fn add<'a>(call: &mut Call<'_>, args: Args<'a>, step: i64) -> Planned<'a> {
    calculate(call, args, move |old| {
        let sum = plus(old, step)?;
        Ok((sum.to_string(), Reply::Integer(sum)))
    })
}

pub(super) fn incrbyfloat<'a>(call: &mut Call<'_>, args: Args<'a>) -> Planned<'a> {
    let step = float(args.at(2))?;
    calculate(call, args, move |old| {
        let sum = plus_float(old, step)?;
        Ok((sum.clone(), Reply::text(sum)))
    })
}

/// The old number as text (`None`: 0) plus `step`.
pub(super) fn plus(old: Option<&[u8]>, step: i64) -> Result<i64, Reply> {
    old.map_or(Ok(0), integer)?
        .checked_add(step)
        .ok_or_else(|| Reply::error("ERR increment or decrement would overflow"))
}

/// As [`plus`], with fractions. The sum is the shortest decimal that reads back as the same 64-bit
/// number (Redis counts with 80 bits and shows up to 17 digits, and mostly shows the same).
pub(super) fn plus_float(old: Option<&[u8]>, step: f64) -> Result<String, Reply> {
    let sum = old.map_or(Ok(0.0), float)? + step;
    if !sum.is_finite() {
        return Err(Reply::error("ERR increment would produce NaN or Infinity"));
    }
    Ok(if sum == 0.0 {
        "0".to_owned()
    } else {
        sum.to_string()
    })
}

fn calculate<'a>(
    call: &mut Call<'_>,
    args: Args<'a>,
    sum: impl Fn(Option<&[u8]>) -> Result<(String, Reply), Reply> + 'static,
) -> Planned<'a> {
    let (steps, key) = (call.stepper(), args.at(1).to_vec());
    Ok(Plan::Steps(Box::pin(async move {
        let decide = |record: Option<henge_versioning::RecordRef<'_>>| {
            let old = record
                .map(|record| string(&record))
                .transpose()
                .map_err(Reply::error)?;
            let (text, reply) = sum(old)?;
            Ok(Change::Put {
                value: text.into_bytes(),
                expiry: Expiry::Keep,
                reply,
            })
        };
        steps
            .change(&key, decide)
            .await
            .unwrap_or_else(|error| error)
    })))
}

/// Whether text is a whole number: for hash fields.
pub(super) fn hash_plus(old: Option<&[u8]>, step: i64) -> Result<i64, Reply> {
    if old.is_some_and(|old| decimal(old).is_none()) {
        return Err(Reply::error("ERR hash value is not an integer"));
    }
    plus(old, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_their_limits() {
        assert_eq!(plus(None, 5), Ok(5));
        assert_eq!(plus(Some(b"-3"), 1), Ok(-2));
        for wrong in [
            b"abc".as_slice(),
            b"",
            b" 1",
            b"1.5",
            b"9223372036854775808",
        ] {
            assert_eq!(
                plus(Some(wrong), 1),
                Err(super::super::parse::not_an_integer())
            );
        }
        assert!(plus(Some(b"9223372036854775807"), 1).is_err());
        assert!(plus(Some(b"-9223372036854775808"), -1).is_err());
        assert_eq!(
            hash_plus(Some(b"x"), 1),
            Err(Reply::error("ERR hash value is not an integer"))
        );
    }

    #[test]
    fn fractions() {
        assert_eq!(plus_float(Some(b"10.5"), 0.1), Ok("10.6".into()));
        assert_eq!(plus_float(None, -5.0), Ok("-5".into()));
        assert_eq!(plus_float(Some(b"5.0e3"), 200.0), Ok("5200".into()));
        assert!(plus_float(Some(b"1"), f64::INFINITY).is_err());
        assert!(plus_float(Some(b"abc"), 1.0).is_err());
    }
}

//! Lifetimes: from what a client says to a deadline, and from a deadline to what a client is told.

use henge_versioning::NEVER;

/// How a command counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
}

/// From when a command counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// From now.
    Now,
    /// From 1970.
    Epoch,
}

/// The number cannot be a lifetime here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidExpire;

/// The deadline (milliseconds since 1970) that a number means. Numbers below zero lie in the past;
/// what Redis cannot hold in 63 bits is refused, as it does.
pub(crate) fn deadline(
    value: i64,
    unit: Unit,
    base: Base,
    now_ms: u64,
) -> Result<u64, InvalidExpire> {
    let millis = match unit {
        Unit::Seconds => value.checked_mul(1000).ok_or(InvalidExpire)?,
        Unit::Millis => value,
    };
    let at = match base {
        Base::Now => millis.checked_add_unsigned(now_ms).ok_or(InvalidExpire)?,
        Base::Epoch => millis,
    };
    Ok(u64::try_from(at).unwrap_or(0))
}

/// As [`deadline`], for commands that refuse numbers of zero and below.
pub(crate) fn positive(
    value: i64,
    unit: Unit,
    base: Base,
    now_ms: u64,
) -> Result<u64, InvalidExpire> {
    if value <= 0 {
        Err(InvalidExpire)
    } else {
        deadline(value, unit, base, now_ms)
    }
}

/// What `TTL`, `PTTL`, `EXPIRETIME` and `PEXPIRETIME` answer for a live key: -1 for no deadline.
/// Rounded to the nearest second as Redis does, so that `TTL` right after `EX 120` says 120 even
/// though some milliseconds have passed, and never 121 even though the deadline was made by a node
/// whose clock is a little ahead.
pub(crate) fn told(at: u64, unit: Unit, base: Base, now_ms: u64) -> i64 {
    if at == NEVER {
        return -1;
    }
    let millis = match base {
        Base::Now => at.saturating_sub(now_ms),
        Base::Epoch => at,
    };
    let number = match (unit, base) {
        (Unit::Seconds, _) => millis.saturating_add(500) / 1000,
        (Unit::Millis, _) => millis,
    };
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn deadlines_of_all_four_forms() {
        assert_eq!(
            deadline(120, Unit::Seconds, Base::Now, NOW),
            Ok(NOW + 120_000)
        );
        assert_eq!(deadline(5, Unit::Millis, Base::Now, NOW), Ok(NOW + 5));
        assert_eq!(
            deadline(1_700_000_001, Unit::Seconds, Base::Epoch, NOW),
            Ok(NOW + 1000)
        );
        assert_eq!(deadline(7, Unit::Millis, Base::Epoch, NOW), Ok(7));
        assert_eq!(deadline(-1, Unit::Seconds, Base::Now, NOW), Ok(NOW - 1000));
        assert_eq!(deadline(i64::MIN, Unit::Millis, Base::Epoch, NOW), Ok(0));
    }

    #[test]
    fn what_63_bits_cannot_hold_is_refused() {
        assert_eq!(
            deadline(i64::MAX / 1000 + 1, Unit::Seconds, Base::Epoch, NOW),
            Err(InvalidExpire)
        );
        assert_eq!(
            deadline(i64::MAX, Unit::Millis, Base::Now, NOW),
            Err(InvalidExpire)
        );
        assert_eq!(
            deadline(i64::MIN, Unit::Seconds, Base::Now, NOW),
            Err(InvalidExpire)
        );
        assert_eq!(
            positive(0, Unit::Seconds, Base::Now, NOW),
            Err(InvalidExpire)
        );
        assert_eq!(
            positive(-5, Unit::Millis, Base::Epoch, NOW),
            Err(InvalidExpire)
        );
        assert_eq!(positive(1, Unit::Millis, Base::Now, NOW), Ok(NOW + 1));
    }

    #[test]
    fn a_fresh_lifetime_of_120_seconds_reads_120() {
        for passed in [0, 1, 499] {
            assert_eq!(
                told(NOW + 120_000, Unit::Seconds, Base::Now, NOW + passed),
                120
            );
        }
        assert_eq!(
            told(NOW + 120_000, Unit::Seconds, Base::Now, NOW - 499),
            120,
            "a clock behind"
        );
        assert_eq!(
            told(NOW + 120_000, Unit::Seconds, Base::Now, NOW + 501),
            119
        );
        assert_eq!(told(NOW + 1500, Unit::Millis, Base::Now, NOW), 1500);
        assert_eq!(
            told(NOW + 1500, Unit::Seconds, Base::Epoch, NOW),
            1_700_000_002
        );
        assert_eq!(told(NEVER, Unit::Seconds, Base::Epoch, NOW), -1);
    }
}

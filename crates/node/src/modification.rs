//! What increments make of an old value.
//!
//! A client that reads a number, adds to it and puts it back if nobody was faster has to begin again
//! whenever somebody was: of fifty at once one in eight gave up. A [`Modification`] travels to the node that
//! decides the key's conditional writes, and is made of the value that lies there, in the step that replaces
//! it. So modifications of one key are made one after the other, each of what the last one left, and none
//! is ever in another's way. Numbers are kept as text, as Redis keeps them.

use serde::{Deserialize, Serialize};

/// How a value is made of the one before. The order of variants is wire format: append only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Modification<'a> {
    /// Add to a whole number of 64 bits; of nothing: to 0.
    Add(i64),
    /// Add to a number with a fraction; of nothing: to 0.
    AddFraction(f64),
    /// Append bytes; to nothing: to the empty value.
    Append {
        /// The bytes.
        #[serde(borrow, with = "serde_bytes")]
        tail: &'a [u8],
        /// How many bytes the new value may have, where the key's bucket does not allow fewer.
        most: u64,
    },
    /// Write bytes over those from a place on; zeros between the old value's end and that place.
    Overwrite {
        /// The place of the first of them.
        from: u32,
        /// The bytes.
        #[serde(borrow, with = "serde_bytes")]
        patch: &'a [u8],
        /// How many bytes the new value may have, where the key's bucket does not allow fewer.
        most: u64,
    },
}

/// No value is made longer than this, whatever is wanted: that of no node may be.
const LONGEST: u64 = crate::config::MOST_VALUE as u64;

/// Why a value cannot be modified so; it stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no whole number of 64 bits.
    #[error("the value is not a whole number of 64 bits")]
    NotWhole,
    /// It is no number.
    #[error("the value is not a number")]
    NotFraction,
    /// The sum is no whole number of 64 bits.
    #[error("the sum is out of range")]
    Overflow,
    /// The sum is infinite, or no number.
    #[error("the sum is not finite")]
    NotFinite,
    /// The new value is too long.
    #[error("the value would have {length} bytes, at most {most} are wanted")]
    TooLong {
        /// Bytes that it would have.
        length: u64,
        /// Bytes that it may have.
        most: u64,
    },
}

impl Modification<'_> {
    /// The new value; `None` as the old one: there is none.
    ///
    /// # Errors
    /// [`Unfit`], if there is no such value.
    pub fn of(&self, old: Option<&[u8]>) -> Result<Vec<u8>, Unfit> {
        match self {
            Self::Add(step) => {
                let old = old.map_or(Some(0), whole).ok_or(Unfit::NotWhole)?;
                let sum = old.checked_add(*step).ok_or(Unfit::Overflow)?;
                Ok(sum.to_string().into_bytes())
            }
            Self::AddFraction(step) => {
                let old = old.map_or(Some(0.0), fraction).ok_or(Unfit::NotFraction)?;
                written(old + step).ok_or(Unfit::NotFinite)
            }
            Self::Append { tail, most } => {
                let (old, most) = (old.unwrap_or_default(), *most);
                match old.len() as u64 + tail.len() as u64 {
                    length if length > most => Err(Unfit::TooLong { length, most }),
                    _ => Ok([old, tail].concat()),
                }
            }
            Self::Overwrite { from, patch, most } => {
                let (from, most) = (*from as usize, (*most).min(LONGEST));
                let mut value = old.unwrap_or_default().to_vec();
                match value.len().max(from + patch.len()) {
                    length if length as u64 > most => {
                        let length = length as u64;
                        Err(Unfit::TooLong { length, most })
                    }
                    length => {
                        value.resize(length, 0);
                        value[from..from + patch.len()].copy_from_slice(patch);
                        Ok(value)
                    }
                }
            }
        }
    }

    /// Bytes of value that it carries.
    pub fn len(&self) -> usize {
        match self {
            Self::Add(_) | Self::AddFraction(_) => 0,
            Self::Append { tail, .. } => tail.len(),
            Self::Overwrite { patch, .. } => patch.len(),
        }
    }

    /// Whether it carries no bytes of value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads a whole number as it is written here and by Redis: without `+`, leading zeros or spaces.
pub fn whole(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Reads a number that may have a fraction, or be infinite.
pub fn fraction(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

/// The shortest decimal that reads back as the same number of 64 bits. (Redis counts with 80 bits and shows
/// up to 17 digits, and mostly shows the same.)
fn written(sum: f64) -> Option<Vec<u8>> {
    match sum {
        _ if !sum.is_finite() => None,
        // Not "-0".
        0.0 => Some(b"0".to_vec()),
        _ => Some(sum.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_and_their_limits() {
        let add = |old: &str, step| Modification::Add(step).of(Some(old.as_bytes()));
        assert_eq!(Modification::Add(5).of(None), Ok(b"5".to_vec()));
        assert_eq!(add("-3", 1), Ok(b"-2".to_vec()));
        for wrong in [
            "abc",
            "",
            " 1",
            "+1",
            "01",
            "-0",
            "1.5",
            "9223372036854775808",
        ] {
            assert_eq!(add(wrong, 1), Err(Unfit::NotWhole), "{wrong:?}");
        }
        assert_eq!(add("9223372036854775807", 1), Err(Unfit::Overflow));
        assert_eq!(add("-9223372036854775808", -1), Err(Unfit::Overflow));
    }

    #[test]
    fn fractions() {
        let add = |old: &str, step| Modification::AddFraction(step).of(Some(old.as_bytes()));
        assert_eq!(add("10.5", 0.1), Ok(b"10.6".to_vec()));
        assert_eq!(add("5.0e3", 200.0), Ok(b"5200".to_vec()));
        assert_eq!(add("-1", 1.0), Ok(b"0".to_vec()));
        assert_eq!(add("-0", -0.0), Ok(b"0".to_vec()));
        assert_eq!(Modification::AddFraction(-5.0).of(None), Ok(b"-5".to_vec()));
        assert_eq!(add("1", f64::INFINITY), Err(Unfit::NotFinite));
        assert_eq!(add("inf", 1.0), Err(Unfit::NotFinite));
        for wrong in ["abc", "", " 1", "1 ", "nan"] {
            assert_eq!(add(wrong, 1.0), Err(Unfit::NotFraction), "{wrong:?}");
        }
    }

    #[test]
    fn values_grow_up_to_what_is_wanted() {
        let append = |most| Modification::Append { tail: b"de", most }.of(Some(b"abc"));
        assert_eq!(append(5), Ok(b"abcde".to_vec()));
        let (length, most) = (5, 4);
        assert_eq!(append(4), Err(Unfit::TooLong { length, most }));
    }

    #[test]
    fn bytes_are_written_over_others() {
        let over = |old, from, patch| {
            let most = 8;
            Modification::Overwrite { from, patch, most }.of(old)
        };
        assert_eq!(over(Some(b"abcd"), 1, b"XY"), Ok(b"aXYd".to_vec()));
        assert_eq!(over(Some(b"abcd"), 3, b"XY"), Ok(b"abcXY".to_vec()));
        assert_eq!(over(Some(b"a"), 3, b"XY"), Ok(b"a\0\0XY".to_vec()));
        assert_eq!(over(None, 2, b"X"), Ok(b"\0\0X".to_vec()));
        let (length, most) = (9, 8);
        assert_eq!(over(None, 8, b"X"), Err(Unfit::TooLong { length, most }));
        let endless = Modification::Overwrite {
            from: u32::MAX,
            patch: b"X",
            most: u64::MAX,
        };
        let (length, most) = (1 << 32, LONGEST);
        assert_eq!(endless.of(None), Err(Unfit::TooLong { length, most }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// In whatever order increments are made, the end is the same, and each undoes its opposite.
        #[test]
        fn additions_add_up(start in -1_000_i64..1_000, steps in prop::collection::vec(-1_000_i64..1_000, 0..20)) {
            let all = |steps: &mut dyn Iterator<Item = i64>| {
                steps.fold(start.to_string().into_bytes(), |old, step| {
                    Modification::Add(step).of(Some(&old)).expect("in range")
                })
            };
            let sum = (start + steps.iter().sum::<i64>()).to_string().into_bytes();
            prop_assert_eq!(&all(&mut steps.iter().copied()), &sum);
            prop_assert_eq!(&all(&mut steps.iter().rev().copied()), &sum);
        }

        #[test]
        fn a_whole_number_reads_back(number: i64) {
            prop_assert_eq!(whole(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn what_is_written_reads_back(old: f64, step: f64) {
            if let Ok(sum) = Modification::AddFraction(step).of(Some(old.to_string().as_bytes())) {
                prop_assert_eq!(fraction(&sum), Some(old + step));
            }
        }

        #[test]
        fn appending_is_one_after_the_other(old: Option<Vec<u8>>, a: Vec<u8>, b: Vec<u8>) {
            let append = |old: Option<&[u8]>, tail| Modification::Append { tail, most: 1_000 }.of(old);
            let once = append(old.as_deref(), &a).expect("not too long");
            prop_assert_eq!(append(Some(&once), &b), append(old.as_deref(), &[&a[..], &b].concat()));
        }
    }
}

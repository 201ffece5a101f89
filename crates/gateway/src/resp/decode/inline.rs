//! Inline commands: a line of words, quoted the way Redis' `sdssplitargs` reads them.

use std::ops::Range;

use smallvec::SmallVec;

/// Splits a line into words. Appends their bytes, without quotes and escapes, to `words` and their
/// places to `ranges`. `None`: a quote is not closed, or not followed by a space.
pub(super) fn split<const N: usize>(
    line: &[u8],
    words: &mut Vec<u8>,
    ranges: &mut SmallVec<[Range<usize>; N]>,
) -> Option<()> {
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[blank..];
        if rest.is_empty() {
            return Some(());
        }
        let start = words.len();
        rest = word(rest, words)?;
        ranges.push(start..words.len());
    }
}

/// Reads one word and returns what follows it.
fn word<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match *rest {
            [] => return Some(rest),
            [byte, ..] if is_space(byte) => return Some(&rest[1..]),
            [b'"', ref quoted @ ..] => return closed(double_quoted(quoted, words)?),
            [b'\'', ref quoted @ ..] => return closed(single_quoted(quoted, words)?),
            [byte, ref after @ ..] => {
                words.push(byte);
                rest = after;
            }
        }
    }
}

/// A closing quote must end its word.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [] => Some(rest),
        [byte, ..] if is_space(*byte) => Some(rest),
        _ => None,
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match *rest {
            [] => return None,
            [b'"', ref after @ ..] => return Some(after),
            [b'\\', b'x', high, low, ref after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (nibble(high) << 4 | nibble(low), after)
            }
            [b'\\', escaped, ref after @ ..] => (unescape(escaped), after),
            [byte, ref after @ ..] => (byte, after),
        };
        words.push(byte);
        rest = after;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match *rest {
            [] => return None,
            [b'\'', ref after @ ..] => return Some(after),
            [b'\\', b'\'', ref after @ ..] => (b'\'', after),
            [byte, ref after @ ..] => (byte, after),
        };
        words.push(byte);
        rest = after;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

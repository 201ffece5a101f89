//! The reply scanner of the raw path: one reply at a time, no allocation, bounded.
//!
//! It knows the replies that GET, SET, DEL, EXPIRE, WAIT and `HENGE.QUORUM` can give, in both
//! protocol versions; anything else is refused.

/// Longest line accepted, in bytes.
const MAX_LINE: usize = 4096;

/// Longest bulk string accepted, in bytes.
const MAX_BULK: usize = 64 << 20;

/// One reply, borrowed from the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Bulk(&'a [u8]),
    Null,
}

/// Not a reply this scanner knows, or one beyond its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The first reply in `buf` and its length, or `None` while it is incomplete.
pub(crate) fn scan(buf: &[u8]) -> Result<Option<(Reply<'_>, usize)>, Malformed> {
    let window = &buf[..buf.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if buf.len() >= MAX_LINE {
            Err(Malformed)
        } else {
            Ok(None)
        };
    };
    if end < 2 || buf[end - 1] != b'\r' {
        return Err(Malformed);
    }
    let (line, next) = (&buf[1..end - 1], end + 1);
    let reply = match buf[0] {
        b'+' => Reply::Simple(line),
        b'-' => Reply::Error(line),
        b':' => Reply::Integer(integer(line)?),
        b'_' => Reply::Null,
        b'$' if line == b"-1" => Reply::Null,
        b'$' => return bulk(buf, line, next),
        _ => return Err(Malformed),
    };
    Ok(Some((reply, next)))
}

fn bulk<'a>(
    buf: &'a [u8],
    line: &[u8],
    start: usize,
) -> Result<Option<(Reply<'a>, usize)>, Malformed> {
    let len = usize::try_from(integer(line)?)
        .ok()
        .filter(|len| *len <= MAX_BULK)
        .ok_or(Malformed)?;
    match buf.get(start + len..start + len + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((
            Reply::Bulk(&buf[start..start + len]),
            start + len + 2,
        ))),
        Some(_) => Err(Malformed),
    }
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    let (negative, digits) = match line {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let number = digits
        .iter()
        .fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Ok(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_is_read_with_its_length() {
        let cases: [(&[u8], Reply<'_>); 8] = [
            (b"+OK\r\n", Reply::Simple(b"OK")),
            (b"-ERR no\r\n", Reply::Error(b"ERR no")),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$3\r\na\nb\r\n", Reply::Bulk(b"a\nb")),
            (b"$0\r\n\r\n", Reply::Bulk(b"")),
            (b"$-1\r\n", Reply::Null),
            (b"_\r\n", Reply::Null),
            (b":1\r\n", Reply::Integer(1)),
        ];
        for (wire, reply) in cases {
            let mut longer = wire.to_vec();
            longer.extend_from_slice(b"+next\r\n");
            assert_eq!(scan(&longer), Ok(Some((reply, wire.len()))));
            for cut in 0..wire.len() {
                assert_eq!(
                    scan(&wire[..cut]),
                    Ok(None),
                    "{:?} cut at {cut}",
                    String::from_utf8_lossy(wire)
                );
            }
        }
    }

    #[test]
    fn what_is_no_reply_or_too_long_is_refused() {
        let bad: [&[u8]; 8] = [
            b"OK\r\n",
            b"\r\n",
            b":x\r\n",
            b":\r\n",
            b"$99999999999\r\n",
            b"$-5\r\n",
            b"$1\r\nabc",
            b"+OK\n",
        ];
        for wire in bad {
            assert_eq!(
                scan(wire),
                Err(Malformed),
                "{:?}",
                String::from_utf8_lossy(wire)
            );
        }
        assert_eq!(scan(&[b'+'; MAX_LINE]), Err(Malformed));
        assert_eq!(
            scan(b":1234567890123456789\r\n"),
            Err(Malformed),
            "would overflow"
        );
    }
}

//! A look ahead at the commands of a tick: which keys will they touch?
//!
//! Sixteen commands that wait together, in one pipeline or on several connections, would wait for memory
//! one after the other. So before they are executed the store is told their keys, and fetches all at
//! once. This is only a hint: whatever does not look like a plain command ends the look at its
//! connection, and nothing depends on what is found.

use henge_node::Warm;
use henge_ring::Token;
use smallvec::SmallVec;

/// Commands looked at: more would push each other out of the processor's caches again.
const MOST: usize = 64;

/// Commands that nearly always find that they need change nothing.
const TOUCHES: [&[u8]; 4] = [b"expire", b"pexpire", b"expireat", b"pexpireat"];

/// One in so many commands that write makes it worth while to fetch what writes take for all of them.
const WRITES_ONE_IN: usize = 4;

/// What has been seen.
#[derive(Default)]
pub(super) struct Ahead {
    keys: SmallVec<[Token; MOST]>,
    reads: usize,
    writes: usize,
}

impl Ahead {
    /// Looks at the complete commands at the front of `input`, as many as there is room for.
    pub(super) fn look(&mut self, input: &[u8]) {
        let mut at = 0;
        while !self.is_full() {
            let Some((name, key, next)) = command(input, at) else {
                break;
            };
            if name.eq_ignore_ascii_case(b"get") {
                self.reads += 1;
            } else if !TOUCHES.iter().any(|it| name.eq_ignore_ascii_case(it)) {
                self.writes += 1;
            }
            self.keys.push(Token::of(key));
            at = next;
        }
    }

    /// Whether no more commands are looked at.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= MOST
    }

    /// The keys of the commands seen, in their order.
    pub(super) fn keys(&self) -> &[Token] {
        &self.keys
    }

    /// What is wanted of the keys: as much as most of the commands need.
    pub(super) fn wanted(&self) -> Warm {
        if self.writes * WRITES_ONE_IN >= self.keys.len() && self.writes > 0 {
            Warm::Updates
        } else if self.reads > 0 {
            Warm::Records
        } else {
            Warm::Outlines
        }
    }
}

/// Name and first argument of the command at `at`, and where the next one begins.
fn command(input: &[u8], mut at: usize) -> Option<(&[u8], &[u8], usize)> {
    let arguments = number(input, &mut at, b'*')?;
    if !(2..=16).contains(&arguments) {
        return None;
    }
    let name = bulk(input, &mut at)?;
    let key = bulk(input, &mut at)?;
    for _ in 2..arguments {
        bulk(input, &mut at)?;
    }
    Some((name, key, at))
}

fn bulk<'a>(input: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = number(input, at, b'$')?;
    let text = input.get(*at..at.checked_add(length)?)?;
    *at += length + 2;
    Some(text)
}

/// A short number after `mark`; the position moves behind its line.
fn number(input: &[u8], at: &mut usize, mark: u8) -> Option<usize> {
    let rest = input.get(*at..)?;
    if *rest.first()? != mark {
        return None;
    }
    let mut number = 0;
    for (digits, byte) in rest[1..].iter().take(8).enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b'\r' if digits > 0 => {
                *at += digits + 3;
                return Some(number);
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(input: &[u8]) -> Ahead {
        let mut ahead = Ahead::default();
        ahead.look(input);
        ahead
    }

    const PIPELINE: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nget\r\n$2\r\nbb\r\n";

    #[test]
    fn keys_of_complete_commands_are_found() {
        let ahead = look(PIPELINE);
        assert_eq!(ahead.keys(), [Token::of(b"a"), Token::of(b"bb")]);
        assert_eq!(ahead.wanted(), Warm::Records);
        let set = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nc\r\n";
        let ahead = look(set);
        assert_eq!(ahead.keys(), [Token::of(b"a"), Token::of(b"c")]);
        assert_eq!(ahead.wanted(), Warm::Updates);
    }

    #[test]
    fn several_connections_are_looked_at_up_to_the_most() {
        let mut ahead = Ahead::default();
        ahead.look(PIPELINE);
        ahead.look(b"PING\r\n");
        ahead.look(PIPELINE);
        let (a, b) = (Token::of(b"a"), Token::of(b"bb"));
        assert_eq!(ahead.keys(), [a, b, a, b]);
        for _ in 0..MOST {
            ahead.look(PIPELINE);
        }
        assert!(ahead.is_full());
        assert_eq!(ahead.keys().len(), MOST);
    }

    #[test]
    fn what_is_wanted_is_what_most_of_the_commands_need() {
        let touch = "*3\r\n$7\r\nPEXPIRE\r\n$1\r\na\r\n$2\r\n60\r\n";
        let set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nv\r\n";
        let get = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
        for (pipeline, wanted) in [
            (touch.repeat(3), Warm::Outlines),
            (touch.repeat(4) + set, Warm::Outlines),
            (touch.repeat(3) + set, Warm::Updates),
            (touch.repeat(3) + get, Warm::Records),
        ] {
            assert_eq!(look(pipeline.as_bytes()).wanted(), wanted, "{pipeline}");
        }
    }

    #[test]
    fn anything_else_ends_the_look_ahead() {
        for input in [
            &b"PING\r\n"[..],
            b"*1\r\n$4\r\nPING\r\n",
            b"*2\r\n$-1\r\n",
            b"*99999999999\r\n",
            b"",
        ] {
            assert!(look(input).keys().is_empty());
        }
        assert_eq!(
            look(&PIPELINE[..PIPELINE.len() - 5]).keys().len(),
            1,
            "the second is not complete"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                                  cut in 0usize..40) {
            let mut input = PIPELINE[..cut.min(PIPELINE.len())].to_vec();
            input.extend(bytes);
            look(&input);
        }
    }
}

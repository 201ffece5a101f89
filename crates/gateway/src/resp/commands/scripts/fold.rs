//! A script's text without what does not matter: white space, comments, kinds of quotes, names of local
//! variables, semicolons, capitals in command names.
//!
//! Libraries send the same few scripts in many spellings, and each release has its own. Two texts that
//! fold to the same do the same; the converse need not hold.

use std::collections::BTreeMap;

/// Longer texts are none of those that are known, in bytes.
const LONGEST: usize = 4096;

/// The folded text; `None` for what is no script that could be known.
pub(super) fn fold(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() <= LONGEST && text.is_ascii())?;
    let mut folded = Folded::default();
    let mut rest = text;
    while let Some(token) = next_token(&mut rest)? {
        folded.push(token);
    }
    Some(folded.text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Mark(&'a str),
}

/// The next token, and what follows it. `None`: it is no token of Lua that scripts have.
fn next_token<'a>(rest: &mut &'a str) -> Option<Option<Token<'a>>> {
    loop {
        *rest = rest.trim_start();
        match rest.strip_prefix("--") {
            Some(comment) => *rest = comment.split_once('\n').map_or("", |(_, after)| after),
            None => break,
        }
    }
    let Some(first) = rest.chars().next() else {
        return Some(None);
    };
    let (token, length) = match first {
        'a'..='z' | 'A'..='Z' | '_' | '0'..='9' => {
            let length = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            (Token::Word(&rest[..length]), length)
        }
        '\'' | '"' => {
            let end = rest[1..].find(first)?;
            let text = &rest[1..1 + end];
            // What an escape stands for would have to be known.
            if text.contains('\\') {
                return None;
            }
            (Token::Text(text), end + 2)
        }
        _ => {
            let doubled = ["==", "~=", "<=", ">=", ".."];
            let length = match doubled.iter().any(|mark| rest.starts_with(mark)) {
                true => 2,
                false => 1,
            };
            (Token::Mark(&rest[..length]), length)
        }
    };
    *rest = &rest[length..];
    Some(Some(token))
}

#[derive(Default)]
struct Folded<'a> {
    text: String,
    /// Local variables, by their names.
    locals: BTreeMap<&'a str, usize>,
    /// The last three tokens.
    before: [Option<Token<'a>>; 3],
}

impl<'a> Folded<'a> {
    fn push(&mut self, token: Token<'a>) {
        match token {
            Token::Mark(";") => return,
            Token::Mark(mark) => self.put(mark),
            Token::Text(text) if self.names_a_command() => {
                let text = format!("'{}'", text.to_ascii_lowercase());
                self.put(&text);
            }
            Token::Text(text) => self.put(&format!("'{text}'")),
            Token::Word(word) => {
                if self.before[0] == Some(Token::Word("local")) {
                    let number = self.locals.len();
                    self.locals.entry(word).or_insert(number);
                }
                match self.locals.get(word) {
                    Some(number) => self.put(&format!("v{number}")),
                    None => self.put(word),
                }
            }
        }
        self.before = [Some(token), self.before[0], self.before[1]];
    }

    fn put(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }

    /// Whether the next token is the first argument of `redis.call`.
    fn names_a_command(&self) -> bool {
        let call = [Token::Mark("("), Token::Word("call"), Token::Mark(".")];
        self.before == call.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_matter_is_folded_away() {
        let folded =
            fold(b"local v = redis.call('GET', KEYS[1]); -- look\n return v").expect("one");
        assert_eq!(
            folded,
            "local v0 = redis . call ( 'get' , KEYS [ 1 ] ) return v0"
        );
        for same in [
            "local value=redis.call(\"get\",KEYS[1])\n\n\treturn value;",
            "--[first] line\nlocal x\n= redis.call ('Get', KEYS [1]) return x--",
        ] {
            assert_eq!(fold(same.as_bytes()).as_ref(), Some(&folded), "{same}");
        }
    }

    #[test]
    fn what_matters_stays() {
        let script = "return redis.call('get', KEYS[1]) == ARGV[1]";
        for other in [
            "return redis.call('get', KEYS[1]) ~= ARGV[1]",
            "return redis.call('get', KEYS[2]) == ARGV[1]",
            "return redis.call('set', KEYS[1]) == ARGV[1]",
            "return redis.call('get', KEYS[1]) == 'ARGV[1]'",
            "return redis.call('get', KEYS[1]) == ARGV[12]",
            "return redis.pcall('get', KEYS[1]) == ARGV[1]",
        ] {
            assert_ne!(fold(script.as_bytes()), fold(other.as_bytes()), "{other}");
        }
        assert_ne!(fold(b"return 'A'"), fold(b"return 'a'"));
        assert_ne!(fold(b"return 1 2"), fold(b"return 12"));
    }

    #[test]
    fn what_cannot_be_known_is_none() {
        for text in [
            &b"return 'open"[..],
            b"return 'a\\'b'",
            "return 'ä'".as_bytes(),
            b"\xff",
            &[b' '; LONGEST + 1],
        ] {
            assert_eq!(fold(text), None);
        }
    }

    proptest! {
        #[test]
        fn folding_never_panics_and_is_done_once(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(folded) = fold(&bytes) {
                let _ = fold(folded.as_bytes());
            }
        }

        #[test]
        fn white_space_between_tokens_never_matters(gaps in prop::collection::vec("[ \t\n]{1,4}", 12)) {
            let tokens = [
                "if", "redis", ".", "call", "(", "'get'", ",", "KEYS", ")", "then", "return", "1",
            ];
            let text: String = tokens.iter().zip(&gaps).map(|(token, gap)| format!("{token}{gap}")).collect();
            prop_assert_eq!(fold(text.as_bytes()), fold(tokens.join(" ").as_bytes()));
        }
    }
}

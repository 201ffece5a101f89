//! Patterns of `SCAN MATCH` and `KEYS`: `*`, `?`, `[a-z]`, `[^a]`, `\` to quote.
//!
//! Redis' own matcher calls itself for each `*`, which a hostile pattern turns into exponential
//! time. This one goes back to the last `*` only (Krauss, "Matching Wildcards", 2008), so it takes
//! at most pattern × text steps, and it stops at a budget besides.

/// Steps for one text: enough for every honest pattern, a millisecond at most for the others.
const BUDGET: usize = 1_000_000;

/// Whether the whole `text` matches `pattern`. Past the step budget: no.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    for _ in 0..BUDGET {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, position));
            continue;
        }
        if position == text.len() && at == pattern.len() {
            return true;
        }
        let step = text
            .get(position)
            .and_then(|byte| one(&pattern[at..], *byte));
        if let Some(width) = step {
            at += width;
            position += 1;
        } else if let Some((after_star, from)) = retry.filter(|(_, from)| *from < text.len()) {
            at = after_star;
            position = from + 1;
            retry = Some((after_star, position));
        } else {
            return false;
        }
    }
    false
}

/// Whether every text matches.
pub(crate) fn is_everything(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Matches one byte against the pattern's first element; returns the element's width if it does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', quoted, ..] => (quoted == byte).then_some(2),
        [b'[', ref class @ ..] => {
            let (found, width) = in_class(class, byte);
            found.then_some(1 + width)
        }
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// Whether a class (what follows `[`) holds the byte, and the class's width with its `]`. A class
/// that is not closed ends with the pattern, as in Redis.
fn in_class(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', quoted, ..] => {
                found |= quoted == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The recursive definition, for small inputs.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| defined(rest, &text[skip..])),
            _ => text
                .split_first()
                .and_then(|(byte, rest)| Some(defined(&pattern[one(pattern, *byte)?..], rest)))
                .unwrap_or(false),
        }
    }

    #[test]
    fn each_element() {
        let yes = [
            ("*", ""),
            ("a*c", "abbc"),
            ("?", "x"),
            ("[a-c]", "b"),
            ("[^a]", "b"),
            ("\\*", "*"),
            ("sess:*", "sess:1"),
            ("*:a", "x:a"),
            ("[c-a]", "b"),
            ("[\\]]", "]"),
            ("a[bc", "ab"),
            ("**x", "x"),
        ];
        for (pattern, text) in yes {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("[^a]", "a"),
            ("\\*", "x"),
            ("a*c", "ab"),
            ("ab", "abc"),
        ] {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = [b"a*".repeat(500), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(4000)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?\\[\\]^-]{0,8}", text in "[ab-]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), defined(pattern.as_bytes(), text.as_bytes()));
        }
    }
}

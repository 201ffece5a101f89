//! How names of fields and members of sets are kept, any bytes whatever.
//!
//! A set is a record whose field names are its members behind a mark ([`MEMBER`]), so that members merge
//! one by one as fields do; names that begin with two marks are the cluster's own, and under the empty name
//! lies the value of what is not a hash. So a name that is empty or begins with a mark is kept behind an
//! escape, and so is one that looks like a name kept so: escapes, then nothing or a mark. All others are
//! kept as they are.

use std::borrow::Cow;

/// A field name's first byte that marks a member of a set.
pub(crate) const MEMBER: u8 = 0;

/// Stands before a name that would be taken for something else.
const ESCAPE: u8 = 1;

/// Whether a name is one to escape, or escaped.
#[inline]
pub(super) fn is_marked(name: &[u8]) -> bool {
    let other = name.iter().find(|byte| **byte != ESCAPE);
    other.is_none_or(|byte| *byte == MEMBER)
}

/// The name under which a field is kept.
#[inline]
pub(super) fn field(name: &[u8]) -> Cow<'_, [u8]> {
    match is_marked(name) {
        true => Cow::Owned([&[ESCAPE], name].concat()),
        false => Cow::Borrowed(name),
    }
}

/// The name under which a member is kept.
pub(super) fn member(member: &[u8]) -> Vec<u8> {
    [&[MEMBER], &*field(member)].concat()
}

/// The field that is kept under a name; `None`: that is a member of a set, or a value beside the fields.
#[inline]
pub(super) fn field_of(kept: &[u8]) -> Option<&[u8]> {
    match kept {
        [] | [MEMBER, ..] => None,
        [ESCAPE, name @ ..] if is_marked(name) => Some(name),
        _ => Some(kept),
    }
}

/// The member that is kept under a name; `None`: that is a field.
pub(super) fn member_of(kept: &[u8]) -> Option<&[u8]> {
    match kept {
        [MEMBER, member @ ..] => field_of(member),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All names of up to four of three bytes: a mark, an escape, and another.
    fn all() -> Vec<Vec<u8>> {
        let mut names = vec![Vec::new()];
        let mut longest = names.clone();
        for _ in 0..4 {
            let longer = |name: &Vec<u8>| [0, 1, b'a'].map(|byte| [&name[..], &[byte]].concat());
            longest = longest.iter().flat_map(longer).collect();
            names.extend_from_slice(&longest);
        }
        names
    }

    #[test]
    fn every_name_is_found_again_and_none_is_anothers() {
        let names = all();
        let mut kept = BTreeSet::new();
        for name in &names {
            let (field, member) = (field(name), member(name));
            assert_eq!(field_of(&field), Some(&name[..]));
            assert_eq!(member_of(&member), Some(&name[..]));
            assert_eq!(member_of(&field), None);
            assert_eq!(field_of(&member), None);
            kept.extend([field.into_owned(), member]);
        }
        assert_eq!(kept.len(), 2 * names.len());
        assert!(
            kept.iter()
                .all(|name| !name.is_empty() && !name.starts_with(&[MEMBER, MEMBER]))
        );
    }

    #[test]
    fn usual_names_are_kept_as_they_are() {
        for name in [&b"user"[..], b"\x01a", b"a\0", b"a\x01"] {
            assert!(matches!(field(name), Cow::Borrowed(kept) if kept == name));
        }
        assert_eq!(*field(b""), *b"\x01");
        assert_eq!(*field(b"\0a"), *b"\x01\0a");
        assert_eq!(*field(b"\x01\0a"), *b"\x01\x01\0a");
        assert_eq!(member(b"a"), b"\0a");
        assert_eq!(member(b"\0a"), b"\0\x01\0a");
    }
}

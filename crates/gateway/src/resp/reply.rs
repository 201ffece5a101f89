//! A reply as a value: for every command but the hottest, which write bytes directly.

use std::borrow::Cow;

use bytes::Bytes;

use super::encode::Writer;

/// One reply, of any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A status.
    Simple(&'static str),
    /// An error; its first word is the code.
    Error(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// No value.
    Null,
    /// No array: an `EXEC` that did not happen.
    NullArray,
    /// An ordered list.
    Array(Vec<Reply>),
    /// Pairs.
    Map(Vec<(Reply, Reply)>),
    /// An unordered list without doubles.
    Set(Vec<Reply>),
    /// Text for people.
    Verbatim(String),
    /// Bytes encoded before, in the connection's protocol.
    Encoded(Bytes),
}

impl Reply {
    /// `+OK`.
    pub(crate) const OK: Self = Self::Simple("OK");

    /// An error from its whole text.
    pub(crate) fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }

    /// A bulk with a copy of the text.
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// A bulk, or no value.
    pub(crate) fn bulk_or_null(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::Null, Self::text)
    }

    /// An array of bulks.
    pub(crate) fn texts<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array(texts.into_iter().map(Self::text).collect())
    }

    /// Appends its bytes.
    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Simple(text) => to.simple(text),
            Self::Error(text) => to.error(text),
            Self::Integer(value) => to.integer(*value),
            Self::Bulk(bytes) => to.bulk(bytes),
            Self::Null => to.null(),
            Self::NullArray => to.null_array(),
            Self::Verbatim(text) => to.verbatim(text),
            Self::Encoded(bytes) => to.encoded(bytes),
            Self::Array(items) => {
                to.array(items.len());
                items.iter().for_each(|item| item.write(to));
            }
            Self::Set(items) => {
                to.set(items.len());
                items.iter().for_each(|item| item.write(to));
            }
            Self::Map(pairs) => {
                to.map(pairs.len());
                for (key, value) in pairs {
                    key.write(to);
                    value.write(to);
                }
            }
        }
    }

    /// About how many bytes it takes when written.
    pub(crate) fn size(&self) -> usize {
        16 + match self {
            Self::Bulk(bytes) | Self::Encoded(bytes) => bytes.len(),
            Self::Error(text) => text.len(),
            Self::Verbatim(text) => text.len(),
            Self::Array(items) | Self::Set(items) => items.iter().map(Self::size).sum(),
            Self::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| key.size() + value.size())
                .sum(),
            _ => 0,
        }
    }
}

impl From<bool> for Reply {
    /// 1 or 0, as Redis answers whether something was done.
    fn from(done: bool) -> Self {
        Self::Integer(i64::from(done))
    }
}

//! What travels: questions and answers, postcard, with bounds on each list.
//!
//! The order of variants is wire format: append only. Tokens, digests, ids and symbols are hashes,
//! so they are written as eight bytes and not as varints, which would take ten.

use std::fmt;

use henge_ring::Partition;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};
use serde_bytes::ByteBuf;

use super::Mark;
use crate::sketch::Symbol;

/// Bounds on what travels. They bound what one question costs the answering side, and how long it
/// holds up other traffic of the link.
pub mod limits {
    /// Partitions in one comparison of roll-ups: so many scans, at worst, for one answer.
    pub const ROLL_UPS: usize = 32;
    /// Entries of one list, or records asked for at a time: 64 KiB.
    pub const ENTRIES: usize = 4096;
    /// Coded symbols at a time: 128 KiB.
    pub const SYMBOLS: usize = 8192;
    /// Coded symbols of one snapshot at all. A larger difference is listed.
    pub const ALL_SYMBOLS: usize = 1 << 17;
    /// Bytes of records in one message: at least one record goes, however long.
    pub const RECORD_BYTES: usize = 256 << 10;
    /// Bytes of one message: below the links' frame, above the longest record.
    pub const MESSAGE: usize = 12 << 20;
}

/// Hashes in a row: eight bytes each, little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<u64>);

impl Words {
    /// Token and digest, one after the other.
    pub fn of_pairs(pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let words = pairs.into_iter().flat_map(|(a, b)| [a, b]);
        Self(words.collect())
    }

    /// The reverse of [`Words::of_pairs`].
    pub fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.as_chunks::<2>().0.iter().map(|[a, b]| (*a, *b))
    }

    /// Coded symbols.
    pub fn of_symbols(symbols: &[Symbol]) -> Self {
        Self::of_pairs(symbols.iter().map(|symbol| (symbol.ids, symbol.checks)))
    }

    /// The reverse of [`Words::of_symbols`].
    pub fn symbols(&self) -> Vec<Symbol> {
        let symbol = |(ids, checks)| Symbol { ids, checks };
        self.pairs().map(symbol).collect()
    }

    fn is_pairs(&self, most: usize) -> bool {
        self.0.len().is_multiple_of(2) && self.0.len() / 2 <= most
    }
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a multiple of eight bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Words, E> {
                let (words, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(Words(
                    words.iter().map(|it| u64::from_le_bytes(*it)).collect(),
                ))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Keys with their records.
pub type Records = Vec<(ByteBuf, ByteBuf)>;

/// Which records are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Those with these tokens and digests.
    Listed(Words),
    /// Those that had these ids in the snapshot of this name.
    Ids(u64, Words),
}

/// A question. `at_ms` is the asking side's wall clock when the session began; both sides decide by
/// it which records count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Are these partitions equal?
    RollUps {
        /// The instant.
        at_ms: u64,
        /// Which partitions.
        partitions: Vec<u16>,
        /// The asking side's word for each.
        words: Words,
    },
    /// Coded symbols of a partition.
    Symbols {
        /// Which.
        partition: u16,
        /// The instant.
        at_ms: u64,
        /// The snapshot that the session began with; `None` at its beginning.
        snapshot: Option<u64>,
        /// The first symbol.
        from: u32,
        /// How many.
        count: u32,
    },
    /// What changed since we were level.
    Changes {
        /// Of which partition.
        partition: u16,
        /// The instant.
        at_ms: u64,
        /// The life of the store that the position is of.
        life: u64,
        /// The position.
        since: u64,
    },
    /// Everything there is.
    List {
        /// Of which partition.
        partition: u16,
        /// The instant.
        at_ms: u64,
        /// After this token.
        after: Option<u64>,
    },
    /// Records.
    Records {
        /// Of which partition.
        partition: u16,
        /// The instant.
        at_ms: u64,
        /// Which.
        wanted: Wanted,
    },
    /// Which of these do you lack? Asked by a node that is no replica of the partition, but holds
    /// records of it for those that are.
    Offer {
        /// Of which partition.
        partition: u16,
        /// The instant.
        at_ms: u64,
        /// Token and digest of each.
        entries: Words,
    },
    /// Take these in.
    Take {
        /// Of which partition.
        partition: u16,
        /// The instant.
        at_ms: u64,
        /// The records.
        records: Records,
    },
}

/// What became of one comparison of roll-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compared {
    /// Both sides hold the same, with the answering side's log ending here.
    Same(u64),
    /// They do not.
    Differs,
}

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It cannot be understood, or goes beyond the [`limits`].
    Malformed,
    /// The two nodes do not share the partition, as the answering side knows the ring.
    NotShared,
    /// The two nodes' clocks are too far apart to agree on what counts.
    Clocks,
    /// The answering side is fetching its own data, or stopping.
    NotReady,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::RollUps`], in the same order.
    RollUps {
        /// The life of the answering store.
        life: u64,
        /// What came of each.
        compared: Vec<Compared>,
    },
    /// To [`Ask::Symbols`].
    Symbols {
        /// Where the answering side's log ended before the scan.
        head: Mark,
        /// Name of the snapshot they are of.
        snapshot: u64,
        /// Members of the snapshot.
        members: u64,
        /// The symbols.
        symbols: Words,
    },
    /// To [`Ask::Changes`] and [`Ask::List`].
    Listed {
        /// Where the answering side's log ended before the first record was looked at.
        head: Mark,
        /// Token and digest of each.
        entries: Words,
        /// Where to go on: a position, or the last token. `None`: that is all.
        next: Option<u64>,
    },
    /// To [`Ask::Changes`]: the log does not reach back so far.
    Gap,
    /// To [`Ask::Records`].
    Records {
        /// The records.
        records: Records,
        /// How many of those that were asked for were dealt with, from the first on. The rest is
        /// for the next question.
        done: u32,
    },
    /// To [`Ask::Offer`]: tokens.
    Lacks(Words),
    /// To [`Ask::Take`].
    Taken {
        /// Records that this side now holds.
        kept: u32,
        /// Records that it could not keep.
        refused: u32,
    },
    /// The snapshot that the session began with is gone. Begin again.
    Stale,
    /// No.
    Refused(Refusal),
}

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a reconciliation: {0}")]
pub struct Malformed(pub &'static str);

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Malformed> {
    if bytes.len() > limits::MESSAGE {
        return Err(Malformed("too long"));
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(Malformed("something follows it")),
        Err(_) => Err(Malformed("it cannot be read")),
    }
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    // Plain data into a growing vector: the only errors of postcard are of length and form.
    postcard::to_allocvec(message).unwrap_or_default()
}

impl Ask {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads and checks one.
    ///
    /// # Errors
    /// If the bytes are no question, or one beyond the [`limits`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let ask: Self = decode(bytes)?;
        let (entries, symbols) = (limits::ENTRIES, limits::ALL_SYMBOLS as u64);
        let fits = match &ask {
            Self::RollUps {
                partitions, words, ..
            } => partitions.len() == words.0.len() && partitions.len() <= limits::ROLL_UPS,
            Self::Symbols { from, count, .. } => {
                *count as usize <= limits::SYMBOLS
                    && u64::from(*from) + u64::from(*count) <= symbols
            }
            Self::Records { wanted, .. } => match wanted {
                Wanted::Listed(words) => words.is_pairs(entries),
                Wanted::Ids(_, words) => words.0.len() <= entries,
            },
            Self::Offer { entries: words, .. } => words.is_pairs(entries),
            Self::Changes { .. } | Self::List { .. } | Self::Take { .. } => true,
        };
        if fits {
            Ok(ask)
        } else {
            Err(Malformed("beyond the limits"))
        }
    }

    /// The partitions that it concerns.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> {
        let one = match self {
            Self::RollUps { partitions, .. } => &partitions[..],
            Self::Symbols { partition, .. }
            | Self::Changes { partition, .. }
            | Self::List { partition, .. }
            | Self::Records { partition, .. }
            | Self::Offer { partition, .. }
            | Self::Take { partition, .. } => std::slice::from_ref(partition),
        };
        one.iter().map(|number| Partition(*number))
    }

    /// The instant that both sides decide by.
    pub fn at_ms(&self) -> u64 {
        match self {
            Self::RollUps { at_ms, .. }
            | Self::Symbols { at_ms, .. }
            | Self::Changes { at_ms, .. }
            | Self::List { at_ms, .. }
            | Self::Records { at_ms, .. }
            | Self::Offer { at_ms, .. }
            | Self::Take { at_ms, .. } => *at_ms,
        }
    }
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads and checks one.
    ///
    /// # Errors
    /// If the bytes are no answer, or one beyond the [`limits`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let answer: Self = decode(bytes)?;
        let fits = match &answer {
            Self::RollUps { compared, .. } => compared.len() <= limits::ROLL_UPS,
            Self::Symbols { symbols, .. } => symbols.is_pairs(limits::SYMBOLS),
            // Keys that share a token stay together: a page may end late.
            Self::Listed { entries, .. } => entries.is_pairs(2 * limits::ENTRIES),
            Self::Lacks(tokens) => tokens.0.len() <= limits::ENTRIES,
            Self::Gap
            | Self::Records { .. }
            | Self::Taken { .. }
            | Self::Stale
            | Self::Refused(_) => true,
        };
        if fits {
            Ok(answer)
        } else {
            Err(Malformed("beyond the limits"))
        }
    }
}

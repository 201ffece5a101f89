//! Causal contexts as clients carry them: opaque, authenticated text.
//!
//! ```text
//! token   = base64url( version 2 | context | mac 16 )
//! context = life | (actor 8, count)*
//! ```
//!
//! The MAC (HMAC-SHA256, cut to 128 bits) covers the key too, so a context read from one key cannot
//! be used on another, where it would discard values that its holder never saw.
//!
//! A context serves two purposes. A write to siblings replaces what it has seen (the vector). A read
//! that carries one must show all of it or something later ([`Context::is_in`]), whichever replicas
//! it asks: that is how a client reads its own writes at R=1.
//!
//! Left out: secrecy (a holder can decode actor numbers) and expiry (an old context replaces less,
//! never more, and asks a read for less, never for more).

mod life;
pub use life::Life;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::codec::{Reader, put_varint};
use crate::{DecodeError, RecordRef, VersionVector, siblings};

/// What a client has seen or written of one key, to be handed back with its next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The dots it has seen: what its write to a sibling set replaces.
    pub vector: VersionVector,
    /// The life it has seen and what of it; `None`: of a key without a record.
    pub life: Option<Life>,
}

/// The cluster's secret for contexts.
#[derive(Clone)]
pub struct ContextKey {
    /// Keyed, with nothing authenticated yet.
    mac: Hmac<Sha256>,
}

/// A token is not a context that this cluster issued for this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Longer than any that is issued.
    #[error("the context has {length} characters, more than {limit}")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// Of a format that this node does not know.
    #[error("the context has format {0}, which is unknown here")]
    UnknownFormat(u8),
    /// Not base64url, too short, or not well-formed.
    #[error("the context is malformed")]
    Malformed,
    /// Forged, altered, cut off, or issued for another key or by another cluster.
    #[error("the context was not issued for this key")]
    NotAuthentic,
}

const FORMAT: u8 = 2;
const MAC_LEN: usize = 16;
/// An actor with the longest count.
const LONGEST_ENTRY: usize = 8 + 10;

impl ContextKey {
    /// From secret bytes of any length; 32 random ones are right.
    pub fn new(secret: &[u8]) -> Self {
        // HMAC pads short keys and hashes long ones: there is no length it refuses.
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { mac }
    }

    /// Everything that is authenticated; the key's length separates it from what follows.
    fn authenticate(&self, key: &[u8], payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(b"henge context");
        mac.update(&(key.len() as u64).to_le_bytes());
        mac.update(key);
        mac.update(payload);
        mac
    }
}

impl fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextKey(secret)")
    }
}

impl Context {
    /// The longest token, in characters: room for about 300 actors, while a key seldom has more
    /// than one per replica.
    pub const MAX_LEN: usize = 4096;

    /// What a record or a delta holds. `None`: more fields than a context can name
    /// ([`Life::MOST_FIELDS`]), or counters or sets.
    pub fn of(record: RecordRef<'_>) -> Option<Self> {
        Some(Self {
            life: Some(Life::of(record)?),
            vector: siblings::context(record),
        })
    }

    /// Whether a record holds all that this context names, or what came after it. A greatest stamp
    /// would not tell: another node's later write may have come without the one that is meant. So
    /// each field is looked at by itself. Writes are merged whole, hence a replica that holds a
    /// write passes for what it stamped; and one that passes shows nothing older.
    pub fn is_in(&self, record: Option<RecordRef<'_>>) -> bool {
        let Some(record) = record else {
            return self.life.is_none() && self.vector.is_empty();
        };
        match &self.life {
            Some(life) if life.is_outlived_by(record) => true,
            Some(life) if !life.is_in(record) => false,
            _ => siblings::context(record).descends(&self.vector),
        }
    }

    /// Whether what it names has ended by itself by now, unless somebody prolonged it since. An
    /// answer that holds nothing is no contradiction then.
    pub fn is_over(&self, now_ms: u64) -> bool {
        (self.life.as_ref()).is_some_and(|life| life.until <= now_ms)
    }

    /// Appends it as nodes send it to each other.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out, usize::MAX);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let life = Life::read(&mut input)?;
        let mut vector = VersionVector::new();
        while !input.rest().is_empty() {
            vector.advance(crate::ActorId(input.u64()?), input.varint()?);
        }
        Ok(Self { vector, life })
    }

    /// Appends it; no more actors once `room` bytes are taken.
    fn put(&self, out: &mut Vec<u8>, room: usize) {
        Life::put(self.life.as_ref(), out);
        for (actor, count) in self.vector.iter() {
            if out.len() > room {
                break;
            }
            out.extend_from_slice(&actor.0.to_le_bytes());
            put_varint(out, count);
        }
    }

    /// The token for a client that read or wrote `key` (with its bucket, if keys are only unique in
    /// one): at most 120 characters for a session of one value or of up to five fields that
    /// were written at once.
    ///
    /// A vector too large for [`Self::MAX_LEN`] loses its last actors: a write with such a context
    /// replaces less than its client saw, so values return as siblings, but none is lost.
    pub fn seal(&self, secret: &ContextKey, key: &[u8]) -> String {
        let mut bytes = vec![FORMAT];
        self.put(&mut bytes, Self::MAX_LEN / 4 * 3 - MAC_LEN - LONGEST_ENTRY);
        let mac = secret.authenticate(key, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_LEN]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Checks a token that a client presents for `key`. The MAC is compared in constant time and
    /// before anything it covers is looked at, the format aside.
    ///
    /// # Errors
    /// If it is not one that [`Self::seal`] made with this secret for this key.
    pub fn open(text: &str, secret: &ContextKey, key: &[u8]) -> Result<Self, ContextError> {
        if text.len() > Self::MAX_LEN {
            return Err(ContextError::TooLong {
                length: text.len(),
                limit: Self::MAX_LEN,
            });
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| ContextError::Malformed)?;
        let payload_len = bytes
            .len()
            .checked_sub(MAC_LEN)
            .ok_or(ContextError::Malformed)?;
        let (payload, mac) = bytes.split_at(payload_len);
        match payload.first() {
            Some(&FORMAT) => {}
            Some(&other) => return Err(ContextError::UnknownFormat(other)),
            None => return Err(ContextError::Malformed),
        }
        (secret.authenticate(key, payload).verify_truncated_left(mac))
            .map_err(|_| ContextError::NotAuthentic)?;
        Self::decode(&payload[1..]).map_err(|_| ContextError::Malformed)
    }
}

#[cfg(test)]
mod tests;

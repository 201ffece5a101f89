//! Causal contexts as clients carry them: opaque, authenticated text.
//!
//! ```text
//! base64url( version 1 | has epoch 1 | epoch 16? | seen 16 | (actor 8, count)* | mac 16 )
//! ```
//!
//! The MAC (HMAC-SHA256, cut to 128 bits) covers the key too, so a context read from one key cannot
//! be used on another, where it would discard values that its holder never saw.
//!
//! Left out: secrecy (a holder can decode actor numbers) and expiry (an old context replaces less,
//! never more).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::codec::{Reader, put_stamp, put_varint};
use crate::{DecodeError, Stamp, VersionVector};

/// What a client has seen of one key, to be handed back with its next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The dots it has seen: what its write to a sibling set replaces.
    pub vector: VersionVector,
    /// The life it has seen: what its write to a session belongs to.
    pub epoch: Option<Stamp>,
    /// The greatest stamp it has seen: its write must be stamped later.
    pub seen: Stamp,
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

const FORMAT: u8 = 1;
const MAC_LEN: usize = 16;
/// A stamp, or an actor with the longest count.
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

    /// The token for a client that read `key` (with its bucket, if keys are only unique in one).
    ///
    /// A vector too large for [`Self::MAX_LEN`] loses its last actors: a write with such a context
    /// replaces less than its client saw, so values return as siblings, but none is lost.
    pub fn seal(&self, secret: &ContextKey, key: &[u8]) -> String {
        let mut bytes = vec![FORMAT, u8::from(self.epoch.is_some())];
        self.epoch
            .into_iter()
            .for_each(|epoch| put_stamp(&mut bytes, epoch));
        put_stamp(&mut bytes, self.seen);
        let room = Self::MAX_LEN / 4 * 3 - MAC_LEN - LONGEST_ENTRY;
        for (actor, count) in self.vector.iter() {
            if bytes.len() > room {
                break;
            }
            bytes.extend_from_slice(&actor.0.to_le_bytes());
            put_varint(&mut bytes, count);
        }
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
        Self::read(&payload[1..]).map_err(|_| ContextError::Malformed)
    }

    fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(payload);
        let epoch = match input.byte()? {
            0 => None,
            _ => Some(input.stamp()?),
        };
        let seen = input.stamp()?;
        let mut vector = VersionVector::new();
        while !input.rest().is_empty() {
            vector.advance(crate::ActorId(input.u64()?), input.varint()?);
        }
        Ok(Self {
            vector,
            epoch,
            seen,
        })
    }
}

#[cfg(test)]
mod tests;

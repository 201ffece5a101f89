//! The cluster's key, and what is proven with it.

use std::fmt;

use henge_ring::NodeId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{HelloError, frames::Opening};

/// Names a cluster, so that two clusters on one network do not meet by mistake. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

/// The secret was too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cluster key needs at least {least} bytes, not {len}")]
pub struct KeyTooShort {
    /// Bytes given.
    pub len: usize,
    /// Fewest bytes accepted.
    pub least: usize,
}

/// The pre-shared key of a cluster. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey {
    bytes: [u8; 32],
    well_known: bool,
}

impl ClusterKey {
    /// Fewest bytes of a secret. A dialler shows an impostor a MAC to guess against, so that a
    /// secret must be beyond guessing: 16 random bytes, not a pass phrase.
    pub const LEAST_SECRET: usize = 16;

    /// The key made of a secret of any length from [`Self::LEAST_SECRET`] on.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyTooShort> {
        let (len, least) = (secret.len(), Self::LEAST_SECRET);
        if len < least {
            return Err(KeyTooShort { len, least });
        }
        Ok(Self {
            bytes: digest(b"henge cluster key v1", secret),
            well_known: false,
        })
    }

    /// The key of a cluster without a secret: anyone can compute it. It keeps mistakes apart, not
    /// attackers; a node that uses it may listen on loopback only, which its owner must enforce
    /// (see [`Self::is_well_known`]).
    pub fn well_known(cluster: &ClusterId) -> Self {
        Self {
            bytes: digest(b"henge well-known key v1", &cluster.0),
            well_known: true,
        }
    }

    /// Another secret of the cluster, for this purpose: one that tells nothing of this key nor of
    /// the secret for any other purpose.
    pub fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        digest(purpose, &self.bytes)
    }

    /// Whether anyone can compute this key.
    pub fn is_well_known(&self) -> bool {
        self.well_known
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKey")
            .field("well_known", &self.well_known)
            .finish_non_exhaustive()
    }
}

fn digest(purpose: &[u8], secret: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(purpose);
    hash.update([0]);
    hash.update(secret);
    hash.finalize().into()
}

/// Who proves.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Dialler = 1,
    Acceptor = 2,
}

/// Everything both sides have said, in an order both know. Fixed widths throughout, so that no two
/// conversations have the same bytes.
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    pub(super) fn new(dialler: &Opening, acceptor: &Opening) -> Self {
        let mut bytes = b"henge hello proof v1".to_vec();
        for opening in [dialler, acceptor] {
            opening.encode(&mut bytes);
        }
        Self(bytes)
    }

    /// HMAC-SHA256 over the role and the conversation.
    pub(super) fn proof(&self, key: &ClusterKey, role: Role) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&hmac_block(&key.bytes).into());
        mac.update(&[role as u8]);
        mac.update(&self.0);
        mac.finalize().into_bytes().into()
    }

    /// In constant time.
    pub(super) fn check(
        &self,
        key: &ClusterKey,
        role: Role,
        proof: &[u8; 32],
        peer: NodeId,
    ) -> Result<(), HelloError> {
        if bool::from(self.proof(key, role).ct_eq(proof)) {
            Ok(())
        } else {
            Err(HelloError::BadKey { peer })
        }
    }
}

/// The key padded to HMAC's block: the same MAC as the unpadded key, by RFC 2104.
fn hmac_block(key: &[u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    block
}

//! Where random bytes come from, as a parameter: simulations must be able to seed it.

use std::{fmt, sync::Arc};

/// The operating system gave no random bytes. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes: {0}")]
pub struct EntropyError(pub String);

type Fill = dyn Fn(&mut [u8]) -> Result<(), EntropyError> + Send + Sync;

/// A source of random bytes, shared between threads.
#[derive(Clone)]
pub struct Entropy(Arc<Fill>);

impl Entropy {
    /// The operating system's source. The only one fit for production: a hello is as fresh as its
    /// nonce.
    pub fn os() -> Self {
        Self::from_fn(|bytes| {
            getrandom::fill(bytes).map_err(|error| EntropyError(error.to_string()))
        })
    }

    /// A source of the caller's, for simulations.
    pub fn from_fn(
        fill: impl Fn(&mut [u8]) -> Result<(), EntropyError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(fill))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], EntropyError> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }

    /// A number in `0..bound`; 0 if there is no randomness (jitter is a courtesy, not a promise).
    pub(crate) fn below(&self, bound: u64) -> u64 {
        match self.bytes::<8>() {
            Ok(bytes) if bound > 0 => u64::from_le_bytes(bytes) % bound,
            _ => 0,
        }
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

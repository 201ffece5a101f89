//! The hidden field of a session: whose it is, and since which life of its principal's index.

/// The hidden field's name: see [`crate::hidden`].
pub(crate) const OWNER_FIELD: &[u8] = b"\0\0principal";

/// What the hidden field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    /// The life of the index in which the session's entry lies.
    pub(crate) life: u64,
    /// The principal.
    pub(crate) principal: &'a [u8],
}

impl<'a> Owner<'a> {
    /// `life 8 (little-endian) | principal`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.life.to_le_bytes(), self.principal].concat()
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (life, principal) = bytes.split_first_chunk()?;
        let life = u64::from_le_bytes(*life);
        Some(Self { life, principal })
    }
}

//! The hidden field of a session: whose it is, and since which life of its principal's index.

use henge_versioning::RecordRef;

/// The hidden field's name: sorts before all that applications may use but the unnamed value.
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
    /// That of a record; `None` where it has none. The bytes are a record that was checked.
    #[inline]
    pub(crate) fn of(record: &'a [u8]) -> Option<Self> {
        Self::decode(RecordRef::leading_field(record, OWNER_FIELD)?)
    }

    /// `life 8 (little-endian) | principal`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&self.life.to_le_bytes(), self.principal].concat()
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (life, principal) = bytes.split_first_chunk()?;
        let life = u64::from_le_bytes(*life);
        Some(Self { life, principal })
    }
}

/// The record as clients see it: without the hidden field. `None` where it has none.
pub(crate) fn visible(record: &[u8]) -> Option<Vec<u8>> {
    Owner::of(record)?;
    let mut shown = Vec::new();
    RecordRef::parse(record)
        .ok()?
        .without(OWNER_FIELD, &mut shown);
    Some(shown)
}

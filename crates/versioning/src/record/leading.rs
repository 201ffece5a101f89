//! Registers under reserved names that applications never see: found without reading the others, and
//! left out of what is shown.

use super::{RecordRef, header, header::Header, state, state::Record};
use crate::record::{Cell, Register};

impl<'a> RecordRef<'a> {
    /// The present registers whose names begin with `prefix`, with their values, in bytes that were
    /// checked before ([`RecordRef::parse`]). For a prefix that sorts before all names that
    /// applications use: nothing is looked at beyond the first of those. Costs one comparison where
    /// the record has no named fields.
    #[inline]
    pub fn leading(
        bytes: &'a [u8],
        prefix: &'static [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let has = Self::has_fields(bytes);
        has.then(|| Self::find_leading(bytes, prefix))
            .into_iter()
            .flatten()
    }

    /// Whether bytes that were checked before are a record with named fields; costs one comparison.
    #[inline]
    pub fn has_fields(bytes: &[u8]) -> bool {
        bytes
            .first()
            .is_some_and(|flags| header::has_fields(*flags))
    }

    fn find_leading(
        bytes: &'a [u8],
        prefix: &'static [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let parsed = Header::parse(bytes).ok();
        let cells = parsed.map(|(header, body_at)| state::cells(&header, &bytes[body_at..]));
        let cells = cells.into_iter().flatten();
        // The unnamed register sorts before every name.
        let leading =
            cells.take_while(move |(name, _)| name.is_empty() || name.starts_with(prefix));
        leading.filter_map(|(name, cell)| match cell {
            Cell::Register(Register { value, .. }) if !name.is_empty() => Some((name, value?)),
            _ => None,
        })
    }

    /// Appends this record without what stands under names that begin with `prefix`. The result is for
    /// showing only: merged with the whole record it becomes the whole record again.
    pub fn without(&self, prefix: &[u8], out: &mut Vec<u8>) {
        let mut record = Record::decode(self);
        record.body.retain(|name, _| !name.starts_with(prefix));
        record.encode(out);
    }
}

//! One register under a reserved name that applications never see: found without reading the
//! others, and left out of what is shown.

use super::{RecordRef, header, header::Header, state, state::Record};
use crate::record::{Cell, Register};

impl<'a> RecordRef<'a> {
    /// The value of a present register that stands first, or second behind the unnamed one, in
    /// bytes that were checked before ([`RecordRef::parse`]). For names that sort before all that
    /// applications use. Costs one comparison where the record has no named fields, and does not
    /// look beyond the second.
    #[inline]
    pub fn leading_field(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        match Self::has_fields(bytes) {
            true => Self::find_leading(bytes, name),
            false => None,
        }
    }

    /// Whether bytes that were checked before are a record with named fields; costs one comparison.
    #[inline]
    pub fn has_fields(bytes: &[u8]) -> bool {
        bytes
            .first()
            .is_some_and(|flags| header::has_fields(*flags))
    }

    fn find_leading(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        let (header, body_at) = Header::parse(bytes).ok()?;
        let mut first = state::cells(&header, &bytes[body_at..]).take(2);
        first.find_map(|(field, cell)| match cell {
            Cell::Register(Register { value, .. }) if field == name => value,
            _ => None,
        })
    }

    /// Appends this record without what stands under a name. The result is for showing only: merged
    /// with the whole record it becomes the whole record again.
    pub fn without(&self, name: &[u8], out: &mut Vec<u8>) {
        let mut record = Record::decode(self);
        record.body.remove(name);
        record.encode(out);
    }
}

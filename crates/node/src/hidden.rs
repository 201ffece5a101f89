//! Fields of sessions that applications never see: whose a session is, and which id came before or after
//! this one. All sort before whatever names applications use.

use henge_versioning::RecordRef;

use crate::{
    principals::{OWNER_FIELD, Owner},
    rotation::{PREDECESSOR_FIELD, Predecessor, SUCCESSOR_FIELD, Successor},
};

/// Names that begin like this are no application's.
pub(crate) const RESERVED: &[u8] = b"\0\0";

/// What the hidden fields of a record say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden<'a> {
    /// Whose session it is.
    pub(crate) owner: Option<Owner<'a>>,
    /// The id that it was given after this one.
    pub(crate) successor: Option<Successor<'a>>,
    /// The id that it had before this one.
    pub(crate) predecessor: Option<Predecessor<'a>>,
}

impl<'a> Hidden<'a> {
    /// Those of a record, whose bytes were checked; `None` where it has none. Costs one comparison where
    /// there are no named fields, and a look at the first of them otherwise.
    #[inline]
    pub(crate) fn of(record: &'a [u8]) -> Option<Self> {
        let mut fields = RecordRef::leading(record, RESERVED);
        let first = fields.next()?;
        Some(Self::read(first, fields))
    }

    /// Whether a record has any.
    #[inline]
    pub(crate) fn is_in(record: &[u8]) -> bool {
        RecordRef::leading(record, RESERVED).next().is_some()
    }

    /// Whether a record, of which the outline is enough, was given a new id.
    pub(crate) fn is_handed_over(record: &[u8]) -> bool {
        RecordRef::leading(record, RESERVED).any(|(name, _)| name == SUCCESSOR_FIELD)
    }

    #[cold]
    fn read(
        first: (&'a [u8], &'a [u8]),
        others: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut hidden = Self::default();
        for (name, value) in [first].into_iter().chain(others) {
            match name {
                OWNER_FIELD => hidden.owner = Owner::decode(value),
                SUCCESSOR_FIELD => hidden.successor = Successor::decode(value),
                PREDECESSOR_FIELD => hidden.predecessor = Predecessor::decode(value),
                // Of a later build.
                _ => {}
            }
        }
        hidden
    }
}

/// The record as clients see it: without hidden fields. `None` where it has none.
pub(crate) fn visible(record: &[u8]) -> Option<Vec<u8>> {
    Hidden::is_in(record).then_some(())?;
    let mut shown = Vec::new();
    RecordRef::parse(record).ok()?.without(RESERVED, &mut shown);
    Some(shown)
}

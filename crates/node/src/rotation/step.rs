//! The steps of a rotation, as operations on one key. They are the node's own.

use serde::{Deserialize, Serialize};

/// One step. The order of variants and fields is wire format: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step<'a> {
    /// Read the record as it lies there, with its hidden fields.
    Whole,
    /// Under the new id: be this session. Applies where nothing is, or where an attempt of the same
    /// rotation has been.
    Succeed {
        /// All fields, the hidden ones too; what is there beside them goes.
        #[serde(borrow)]
        fields: Vec<(&'a [u8], &'a [u8])>,
        /// When it ends, in milliseconds since 1970.
        deadline: u64,
        /// When it ends at the latest.
        cap: u64,
    },
    /// Under the old id: from now on the session is under another. Applies to what has this digest, and
    /// to what was handed over to the same id before.
    HandOver {
        /// The new id's key.
        #[serde(borrow)]
        to: &'a [u8],
        /// Until when the old id stands for it, in milliseconds since 1970.
        until_ms: u64,
        /// The digest of the record that was copied.
        digest: u64,
    },
    /// Under the new id: forget the old one. Applies if this is what is known of it.
    Settle {
        /// The field's value.
        #[serde(borrow)]
        predecessor: &'a [u8],
    },
    /// Under the old id: be dead. Applies to what was handed over to this id.
    Retire {
        /// The new id's key.
        #[serde(borrow)]
        to: &'a [u8],
    },
}

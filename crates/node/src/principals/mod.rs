//! Principals: whose sessions are whose, and how all of somebody's sessions end at once.
//!
//! A *principal* (a user; opaque bytes) has one record, its *index*, under a key that clients cannot
//! name. It is a record of the session lattice whose lives are numbered: an index entry per session
//! lies in the present life, and logging out everywhere ends that life.
//!
//! * *Login* ([`Login`]): first the entry is written into the index with W, which tells the life it
//!   went into; then the session with a hidden field that names principal and life. So every
//!   acknowledged session has its entry, and an unacknowledged one at worst has an entry too many.
//! * *Log out everywhere*: the index is read at R, so that a life in which an acknowledged entry lies
//!   is known, and that life is ended with W.
//! * *Read*: the coordinator of a read that finds the hidden field reads the index too, with the same
//!   R. It shows the session if the index is in that life and the life has not ended.
//!
//! With R + W > N this needs no clock and no order of arrival: let a session of life `g` have been
//! acknowledged, and then a logout. The entry had been kept by W replicas in life `g`, so the logout
//! read a life of at least `g` and ended it or a later one; whoever reads the index afterwards meets
//! that. And of a login that begins after the logout was acknowledged the entry goes into a later
//! life, since what it read first was dead. Where a life is in doubt the session is not shown.
//!
//! The index has no lifetime, alive or ended: it outlives every session in it, and the numbers of its
//! lives are never used again.

mod index;
pub use index::MOST_SESSIONS;
pub(crate) use index::{Entry, Index, SETTLED_MS, decide_entries, entries};

mod login;
pub use login::Login;

mod owner;
pub(crate) use owner::{OWNER_FIELD, Owner};

mod service;
pub use service::{LoggedOut, OwnSession, listed};

use crate::{Failure, Operation, Request, hidden::RESERVED};

/// Longest principal, in bytes.
pub const MAX_PRINCIPAL: usize = 256;

/// How the keys of principals' indexes begin.
pub const PRINCIPALS: &[u8] = b"\0principal:";

/// Why a client's request on an index is refused.
pub(crate) const OWN_KEYS: &str =
    "keys that begin with a zero byte and 'principal:' are the cluster's own";

/// The key of a principal's index.
///
/// # Errors
/// [`Failure::Invalid`] if the principal is empty or longer than [`MAX_PRINCIPAL`].
pub fn index_key(principal: &[u8]) -> Result<Vec<u8>, Failure> {
    match principal.len() {
        1..=MAX_PRINCIPAL => Ok([PRINCIPALS, principal].concat()),
        length => Err(Failure::Invalid(format!(
            "a principal has 1 to {MAX_PRINCIPAL} bytes, this one {length}"
        ))),
    }
}

/// What a login is told whose principal has [`MOST_SESSIONS`].
pub(crate) fn too_many() -> Failure {
    Failure::Invalid(format!(
        "the principal has {MOST_SESSIONS} sessions already"
    ))
}

/// Whether a key is that of an index. The first byte settles it for all others.
#[inline]
pub(crate) fn is_index(key: &[u8]) -> bool {
    key.first() == Some(&0) && key.starts_with(PRINCIPALS)
}

/// Refuses what only the node itself may ask: an index by its key, reserved fields, steps of a rotation;
/// and a field without a name, which would be a plain value beside the others.
#[inline]
pub(crate) fn refuse_reserved(request: &Request<'_>) -> Result<(), Failure> {
    if is_index(request.key) {
        return Err(Failure::Invalid(OWN_KEYS.to_owned()));
    }
    let reserved = |name: &[u8]| name.starts_with(RESERVED);
    let names_one = match &request.operation {
        Operation::PutFields { fields, .. } => {
            let mut names = fields.iter().map(|(name, _)| name);
            names.any(|name| name.is_empty() || reserved(name))
        }
        Operation::ReplaceField { name, .. }
        | Operation::Modify {
            field: Some(name), ..
        } => reserved(name),
        Operation::Rotate(_) => true,
        _ => false,
    };
    match names_one {
        true => Err(Failure::Invalid(
            "a field has a name, and those that begin with two zero bytes are the cluster's own"
                .to_owned(),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! Deltas: the small records that writes are made of. Each appends one encoded record to `out`.

use crate::Stamp;

/// Begins a new life with one unnamed value: `epoch` is its stamp too. Deadline in milliseconds
/// since 1970, or [`crate::NEVER`].
pub fn begin(out: &mut Vec<u8>, epoch: Stamp, deadline: u64, value: &[u8]) {
    let _ = (out, epoch, deadline, value);
    unimplemented!()
}

/// Begins a new life with named fields (sorted and deduplicated by the caller: last one wins).
pub fn begin_fields(out: &mut Vec<u8>, epoch: Stamp, deadline: u64, fields: &[(&[u8], &[u8])]) {
    let _ = (out, epoch, deadline, fields);
    unimplemented!()
}

/// Sets the unnamed value within a life; a new deadline too, where given.
pub fn put(out: &mut Vec<u8>, epoch: Stamp, stamp: Stamp, deadline: Option<u64>, value: &[u8]) {
    let _ = (out, epoch, stamp, deadline, value);
    unimplemented!()
}

/// Sets (`Some`) or removes (`None`) named fields within a life; a new deadline too, where given.
pub fn put_fields(
    out: &mut Vec<u8>,
    epoch: Stamp,
    stamp: Stamp,
    deadline: Option<u64>,
    fields: &[(&[u8], Option<&[u8]>)],
) {
    let _ = (out, epoch, stamp, deadline, fields);
    unimplemented!()
}

/// Moves the deadline within a life and nothing else: a touch. Never creates anything visible.
pub fn expire(out: &mut Vec<u8>, epoch: Stamp, stamp: Stamp, deadline: u64) {
    let _ = (out, epoch, stamp, deadline);
    unimplemented!()
}

/// Ends a life: dead, body gone, kept until `horizon` (and longer, if a later one is known).
pub fn bury(out: &mut Vec<u8>, epoch: Stamp, horizon: u64) {
    let _ = (out, epoch, horizon);
    unimplemented!()
}

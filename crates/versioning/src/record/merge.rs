//! Merging two encoded records.

use std::cmp::Ordering;

use super::header::{Header, Shape};
use super::state::Record;
use super::{DecodeError, RecordRef};

/// What a merge did to the local record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The incoming record held nothing new.
    Unchanged,
    /// The incoming record is the result as it stands; `out` was not written.
    Incoming,
    /// `out` holds the join of both.
    Joined,
}

/// Joins two records. `out` is cleared and written only when the answer is [`Merge::Joined`].
///
/// # Errors
/// If either is not a record; `out` is untouched.
pub fn merge(local: &[u8], incoming: &[u8], out: &mut Vec<u8>) -> Result<Merge, DecodeError> {
    Ok(merge_records(
        RecordRef::parse(local)?,
        RecordRef::parse(incoming)?,
        out,
    ))
}

/// [`merge`], for records that have been parsed already.
pub fn merge_records(local: RecordRef<'_>, incoming: RecordRef<'_>, out: &mut Vec<u8>) -> Merge {
    match local.header.epoch.cmp(&incoming.header.epoch) {
        Ordering::Greater => Merge::Unchanged,
        Ordering::Less => Merge::Incoming,
        Ordering::Equal => match choose_body(&local, &incoming) {
            Some((shape, body)) => merge_headers(&local, &incoming, shape, body, out),
            None => merge_decoded(&local, &incoming, out),
        },
    }
}

/// The joined body if it is one of the two as it stands, which is seen without decoding. A body's
/// encoding depends on nothing outside it but the epoch, so it can be copied under a new header.
fn choose_body<'a>(local: &RecordRef<'a>, incoming: &RecordRef<'a>) -> Option<(Shape, &'a [u8])> {
    let ours = (local.header.shape, local.body());
    let theirs = (incoming.header.shape, incoming.body());
    match (ours.0, theirs.0) {
        (Shape::Dead, _) | (_, Shape::Dead) => Some((Shape::Dead, b"")),
        (Shape::Empty, _) => Some(theirs),
        (_, Shape::Empty) => Some(ours),
        (Shape::Value(a), Shape::Value(b)) => Some(if (a, ours.1) >= (b, theirs.1) {
            ours
        } else {
            theirs
        }),
        _ => (ours == theirs).then_some(ours),
    }
}

fn merge_headers(
    local: &RecordRef<'_>,
    incoming: &RecordRef<'_>,
    shape: Shape,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Merge {
    let header = local.header.join(&incoming.header, shape);
    if is(local, &header, body) {
        Merge::Unchanged
    } else if is(incoming, &header, body) {
        Merge::Incoming
    } else {
        out.clear();
        out.reserve(Header::MAX_LEN + body.len());
        header.write(out);
        out.extend_from_slice(body);
        Merge::Joined
    }
}

/// Whether the record is made of this header and body; a body that is its own is not compared.
fn is(record: &RecordRef<'_>, header: &Header, body: &[u8]) -> bool {
    let own = record.body();
    record.header == *header && (std::ptr::eq(own, body) || own == body)
}

fn merge_decoded(local: &RecordRef<'_>, incoming: &RecordRef<'_>, out: &mut Vec<u8>) -> Merge {
    let (ours, theirs) = (Record::decode(local), Record::decode(incoming));
    let joined = ours.join(&theirs);
    if joined == ours {
        Merge::Unchanged
    } else if joined == theirs {
        Merge::Incoming
    } else {
        out.clear();
        out.reserve(local.as_bytes().len() + incoming.as_bytes().len());
        joined.encode(out);
        Merge::Joined
    }
}

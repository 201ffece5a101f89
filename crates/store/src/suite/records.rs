//! Records and keys for the suite, and short forms of the store's operations.

use henge_ring::{Partition, Token};
use henge_versioning::{ActorId, HlcTime, Stamp, VersionVector, delta, siblings};

use crate::{Cursor, Decision, Key, Limits, Store, StoreError, Written};

/// Bits of the stores that the suite makes: four partitions.
pub(super) const BITS: u8 = 2;

/// The grace of the suite's sweeps, which is the same in all of them, as it has to be.
pub(super) const GRACE: u64 = 30;

/// Without a limit, and with the default op log.
pub(super) fn unlimited() -> Limits {
    Limits {
        partition_bits: BITS,
        ..Limits::default()
    }
}

/// A key of the suite begins with the token it claims to have, so that tokens can be equal,
/// adjacent or extreme at will.
pub(super) type Name = [u8; 9];

/// The key with the given token within a partition; `twin` tells keys of one token apart.
pub(super) fn name(partition: u16, number: u64, twin: u8) -> Name {
    let token = (u64::from(partition) << (64 - u32::from(BITS))) | number;
    let mut name = [twin; 9];
    name[..8].copy_from_slice(&token.to_be_bytes());
    name
}

/// The token that a name claims.
pub(super) fn token(name: &[u8]) -> Token {
    let (token, _) = name
        .split_first_chunk()
        .expect("names of the suite begin with a token");
    Token(u64::from_be_bytes(*token))
}

/// A name as a key.
pub(super) fn key(name: &[u8]) -> Key<'_> {
    Key {
        bytes: name,
        token: token(name),
    }
}

pub(super) fn stamp(ms: u64, actor: u64) -> Stamp {
    Stamp {
        time: HlcTime::new(ms, 0),
        actor: ActorId(actor),
    }
}

/// A live record begun at `ms` with one value.
pub(super) fn value(ms: u64, deadline: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    delta::begin(&mut out, stamp(ms, 1), deadline, bytes);
    out
}

/// A set of one sibling, of the life begun at `ms`.
pub(super) fn sibling(ms: u64, deadline: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let unread = VersionVector::default();
    siblings::put(
        None,
        &unread,
        ActorId(1),
        bytes,
        stamp(ms, 1),
        Some(deadline),
        &mut out,
    );
    out
}

/// What makes the deadline of the life begun at `ms` later.
pub(super) fn extension(ms: u64, now: u64, deadline: u64) -> Vec<u8> {
    let mut out = Vec::new();
    delta::expire(&mut out, stamp(ms, 1), stamp(now, 2), deadline);
    out
}

/// The dead record of the life begun at `ms`.
pub(super) fn dead(ms: u64, horizon: u64) -> Vec<u8> {
    let mut out = Vec::new();
    delta::bury(&mut out, stamp(ms, 1), horizon);
    out
}

/// The record and digest under a name.
pub(super) fn get(store: &dyn Store, name: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut found = None;
    store.read(key(name), &mut |stored| {
        found = stored.map(|stored| (stored.bytes.to_vec(), stored.digest));
    });
    found
}

/// Stores a record as it stands, whatever was there.
pub(super) fn put(store: &dyn Store, name: &[u8], record: &[u8]) -> Result<Written, StoreError> {
    store.update(key(name), &mut |_, out| {
        out.extend_from_slice(record);
        Decision::Write
    })
}

/// Joins a record into what is there.
pub(super) fn merge(store: &dyn Store, name: &[u8], record: &[u8]) -> Result<Written, StoreError> {
    store.merge(key(name), henge_versioning::RecordRef::parse(record)?)
}

/// One record of a scan: key (which begins with its token), record, digest.
pub(super) type Row = (Vec<u8>, Vec<u8>, u64);

/// One page of a scan, checked for order. Keys of equal tokens come sorted, since their order is
/// the engine's own.
pub(super) fn page(
    store: &dyn Store,
    partition: u16,
    from: Option<Cursor>,
    limit: usize,
) -> (Vec<Row>, Option<Cursor>) {
    let mut rows: Vec<Row> = Vec::new();
    let next = store.scan(Partition(partition), from, limit, &mut |name, stored| {
        rows.push((name.to_vec(), stored.bytes.to_vec(), stored.digest));
    });
    assert!(
        rows.is_sorted_by_key(|row| token(&row.0)),
        "a scan goes by tokens"
    );
    rows.sort();
    if let Some(next) = next {
        assert!(rows.len() >= limit, "a page that is not the last is full");
        let last = rows.last().map(|row| token(&row.0).0);
        assert_eq!(last, Some(next.0), "a cursor names the last token shown");
    }
    (rows, next)
}

/// All rows of a partition, page by page.
pub(super) fn scan(store: &dyn Store, partition: u16, limit: usize) -> Vec<Row> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let (rows, next) = page(store, partition, from, limit);
        all.extend(rows);
        if next.is_none() {
            return all;
        }
        from = next;
    }
}

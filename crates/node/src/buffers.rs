//! Buffers of batches, used again once they are sent.
//!
//! A batch is handed to the link as [`Bytes`] and freed when its last byte is copied out. Large
//! buffers that come and go this often make the allocator give pages back and ask for them again,
//! which the kernel clears each time.

use std::cell::RefCell;

use bytes::Bytes;

/// Buffers kept per thread, and the largest one: a few batches to each of a few peers.
const MOST: usize = 32;
const LARGEST: usize = 512 * 1024;

/// Buffers of records kept per thread, and the largest one: what a deep pipeline of ordinary
/// sessions needs.
const MOST_RECORDS: usize = 1024;
const LARGEST_RECORD: usize = 4 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static RECORDS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer for a record.
#[inline]
pub(crate) fn record() -> Vec<u8> {
    RECORDS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes back what [`record`] gave, or any other buffer that nobody needs.
#[inline]
pub(crate) fn take_back(mut record: Vec<u8>) {
    let capacity = record.capacity();
    if capacity == 0 || capacity > LARGEST_RECORD {
        return;
    }
    RECORDS.with_borrow_mut(|records| {
        if records.len() < MOST_RECORDS {
            record.clear();
            records.push(record);
        }
    });
}

/// An empty buffer.
pub(crate) fn empty() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// The buffer's bytes; the buffer comes back to the thread that drops the last of them.
pub(crate) fn lend(buffer: Vec<u8>) -> Bytes {
    Bytes::from_owner(Lent(buffer))
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        if buffer.capacity() <= LARGEST {
            // A thread that is ending has no spare buffers any more: then it is just freed.
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < MOST {
                    spare.push(buffer);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_buffer_comes_back_empty() {
        let mut buffer = empty();
        buffer.extend_from_slice(b"batch");
        let place = buffer.as_ptr();
        let bytes = lend(buffer);
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(&part[..], b"at", "the last holder keeps it");
        drop(part);
        let again = empty();
        assert!(again.is_empty() && again.as_ptr() == place);
    }

    #[test]
    fn what_is_too_large_is_freed() {
        drop(lend(Vec::with_capacity(LARGEST + 1)));
        assert!(empty().capacity() <= LARGEST);
    }
}

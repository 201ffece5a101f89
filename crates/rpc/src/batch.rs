//! The batch a tick gathers for one peer.
//!
//! Batching is adaptive because nothing waits for it: whatever a tick of the data thread has for a
//! peer goes into one batch, one message on a quiet node and hundreds on a busy one. The owner
//! appends, and at the end of the tick takes the batch and gives it to the link.

use bytes::{Bytes, BytesMut};

use crate::{Message, OverLimit};

/// Bytes at which a batch is flushed before the tick ends: large enough to hide the cost of a call,
/// small enough to keep the other side busy while the rest is gathered.
const FLUSH_AT: usize = 256 * 1024;

/// What to do after appending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    /// Go on.
    Room,
    /// The batch has reached its size: take it now.
    Full,
}

/// Messages gathered for one peer, encoded.
///
/// Its memory is used again once the batch taken before has been encoded for the socket, which is
/// before the next tick as a rule.
#[derive(Debug)]
pub struct OpenBatch {
    bytes: BytesMut,
    messages: u32,
    flush_at: usize,
}

impl OpenBatch {
    /// An empty batch that is full at 256 KiB.
    pub fn new() -> Self {
        Self::with_flush_at(FLUSH_AT)
    }

    /// An empty batch that is full at so many bytes. One message may go beyond.
    pub fn with_flush_at(flush_at: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            messages: 0,
            flush_at,
        }
    }

    /// Appends a message straight from the slices it borrows.
    pub fn push(&mut self, message: &Message<'_>) -> Result<Pushed, OverLimit> {
        message.encode(&mut self.bytes)?;
        self.messages += 1;
        Ok(if self.bytes.len() >= self.flush_at {
            Pushed::Full
        } else {
            Pushed::Room
        })
    }

    /// The batch and its number of messages; `None` if nothing was gathered.
    pub fn take(&mut self) -> Option<(Bytes, u32)> {
        let messages = std::mem::take(&mut self.messages);
        (messages > 0).then(|| (self.bytes.split().freeze(), messages))
    }

    /// Messages gathered.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Bytes gathered.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }
}

impl Default for OpenBatch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Messages;

    fn repair(record: &[u8]) -> Message<'_> {
        Message::Repair {
            key: b"key",
            record,
        }
    }

    #[test]
    fn a_batch_is_taken_once_and_holds_what_was_pushed() {
        let mut batch = OpenBatch::new();
        assert_eq!(batch.take(), None);
        assert_eq!(batch.push(&repair(b"one")), Ok(Pushed::Room));
        assert_eq!(batch.push(&repair(b"two")), Ok(Pushed::Room));
        let (bytes, messages) = batch.take().expect("two messages");
        let decoded: Result<Vec<_>, _> = Messages::new(&bytes).collect();
        assert_eq!(decoded, Ok(vec![repair(b"one"), repair(b"two")]));
        assert_eq!((messages, batch.is_empty(), batch.take()), (2, true, None));
    }

    #[test]
    fn the_size_says_when_to_flush_early() {
        let one = 1 + 2 + 4 + 3 + 10;
        let mut batch = OpenBatch::with_flush_at(2 * one);
        assert_eq!(batch.push(&repair(&[0; 9])), Ok(Pushed::Room));
        assert_eq!(batch.push(&repair(&[0; 10])), Ok(Pushed::Room));
        assert_eq!(batch.len(), 2 * one - 1);
        let _ = batch.take();
        assert_eq!(batch.push(&repair(&[0; 10])), Ok(Pushed::Room));
        assert_eq!(batch.push(&repair(&[0; 10])), Ok(Pushed::Full));
    }

    #[test]
    fn a_message_over_its_limit_leaves_the_batch_as_it_was() {
        let mut batch = OpenBatch::new();
        let _ = batch.push(&repair(b"one"));
        let before = batch.len();
        assert!(batch.push(&repair(&vec![0; 3 << 20])).is_err());
        assert_eq!((batch.len(), batch.messages()), (before, 1));
    }

    #[test]
    fn memory_is_used_again_after_the_batch_is_dropped() {
        let mut batch = OpenBatch::new();
        let _ = batch.push(&repair(&[1; 10_000]));
        let first = batch.take().expect("a batch").0.as_ptr();
        let _ = batch.push(&repair(&[2; 10_000]));
        let second = batch.take().expect("a batch").0.as_ptr();
        assert_eq!(first, second);
    }
}

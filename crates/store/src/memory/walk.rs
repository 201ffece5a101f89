//! Scanning a partition in token order.
//!
//! The table has no order, so each page is picked out of all tokens: one pass over the partition's
//! slots under its shards' shared locks (no record is read), with a heap of the page's size, and
//! then each token by itself under a short lock. A page costs time in proportion to the partition,
//! however few records it shows: ask for large pages. The number of partitions is chosen to keep
//! each at some 100,000 records at most.

use std::collections::BinaryHeap;

use super::partition::PartitionRef;
use crate::{Cursor, Stored};

/// The next tokens of a partition, in order.
struct Page {
    tokens: Vec<u64>,
    /// Whether there were others after them.
    more: bool,
}

impl PartitionRef<'_> {
    /// [`Store::scan`](crate::Store::scan). A limit of 0 counts as 1, so that a scan moves on.
    pub(super) fn scan(
        &self,
        from: Option<Cursor>,
        limit: usize,
        visit: &mut dyn FnMut(&[u8], Stored<'_>),
    ) -> Option<Cursor> {
        let limit = limit.max(1);
        let (mut shown, mut after) = (0, from);
        loop {
            let page = self.page(after, limit - shown);
            for (index, &token) in page.tokens.iter().enumerate() {
                shown += self.show(token, visit);
                after = Some(Cursor(token));
                if shown >= limit {
                    let last = index + 1 == page.tokens.len() && !page.more;
                    return after.filter(|_| !last);
                }
            }
            // Some of the page may have been removed meanwhile, so that it showed too few.
            if !page.more {
                return None;
            }
        }
    }

    /// The `size` least tokens after `after`.
    fn page(&self, after: Option<Cursor>, size: usize) -> Page {
        let mut least = BinaryHeap::new();
        let mut more = false;
        for slot in self.table.iter() {
            let token = *slot.key();
            if after.is_some_and(|cursor| token <= cursor.0) {
                continue;
            }
            if least.len() < size {
                least.push(token);
                continue;
            }
            more = true;
            if let Some(mut greatest) = least.peek_mut()
                && token < *greatest
            {
                *greatest = token;
            }
        }
        Page {
            tokens: least.into_sorted_vec(),
            more,
        }
    }

    /// Shows the records of one token; tells how many there were.
    pub(super) fn show(&self, token: u64, visit: &mut dyn FnMut(&[u8], Stored<'_>)) -> usize {
        self.look(token, |chain| {
            let entries = chain.map_or(&[][..], |chain| chain.entries());
            entries
                .iter()
                .for_each(|entry| visit(entry.key(), entry.stored()));
            entries.len()
        })
    }
}

//! How large a store may get.

use henge_ring::PARTITION_BITS;

/// How many different keys may share one token; a store refuses a further one with
/// [`StoreError::Crowded`](crate::StoreError::Crowded). It bounds what an operation on one of them
/// costs, since each may have to pass or copy all of them. By chance there are never even two; but
/// the hash is no secret, and keys of equal tokens can be made.
pub const MAX_KEYS_PER_TOKEN: usize = 64;

/// The bounds a store is made with. They do not change while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// There are `2^partition_bits` partitions; `1 ..= 16`.
    pub partition_bits: u8,
    /// Bytes that entries, tables and op logs may take together; `u64::MAX` for no limit. The
    /// node's buffers and the allocator's own waste come on top: leave them a fifth of the machine.
    pub bytes: u64,
    /// The part of `bytes` that the op logs may take, shared out evenly over the partitions. It is
    /// taken as changes come, never ahead, and never at the cost of a write: where nothing is left
    /// the logs forget earlier.
    pub op_log_bytes: u64,
}

impl Default for Limits {
    /// 1,024 partitions, no limit, and 64 MiB of op log: eight million changes, which at 50,000
    /// writes a second lets a peer be away for more than two minutes before it has to be compared
    /// with record by record.
    fn default() -> Self {
        Self {
            partition_bits: PARTITION_BITS,
            bytes: u64::MAX,
            op_log_bytes: 64 << 20,
        }
    }
}

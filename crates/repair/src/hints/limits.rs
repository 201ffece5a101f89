//! Bounds of hinted handoff.

/// What a hint costs beside its key, in bytes: two map entries, a shared key's header, and the
/// allocator's share. About 115 bytes were counted with 200,000 hints; rounded up generously.
pub(super) const OVERHEAD: usize = 192;

/// Bounds of a [`Hints`](crate::Hints). Configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintLimits {
    /// The most hints, for all targets together.
    pub max_hints: usize,
    /// The most bytes they take, keys and 192 bytes of overhead each. Protects a node whose peer is
    /// away for long.
    pub max_bytes: usize,
    /// How long a hint is kept after the newest write it stands for, in milliseconds. A peer that
    /// is away longer is put right by anti-entropy, which is cheaper than that many hints.
    pub max_age_ms: u64,
    /// How long a batch may stay unanswered before it counts as failed, in milliseconds. A safety
    /// net under the driver's own time-out: without it a lost answer would stop a queue for ever.
    pub answer_within_ms: u64,
    /// The first back-off after a failure, in milliseconds; it doubles with each further one.
    pub first_backoff_ms: u32,
    /// The longest back-off, in milliseconds.
    pub max_backoff_ms: u32,
    /// How many bits of a token name the partition (see
    /// [`Token::partition`](henge_ring::Token::partition)).
    pub partition_bits: u8,
}

impl Default for HintLimits {
    /// 200,000 hints, 64 MiB, 3 hours (Cassandra's window), 10 s to answer, back-off 0.25 to 30 s.
    fn default() -> Self {
        Self {
            max_hints: 200_000,
            max_bytes: 64 << 20,
            max_age_ms: 3 * 3_600_000,
            answer_within_ms: 10_000,
            first_backoff_ms: 250,
            max_backoff_ms: 30_000,
            partition_bits: henge_ring::PARTITION_BITS,
        }
    }
}

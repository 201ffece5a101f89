//! What clients of the doors may use up. Every queue and buffer of a connection has its bound here.

use crate::resp::DecodeLimits;

/// Limits of both doors. `Default` is what a node ships with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments, argument bytes and line bytes of one Redis command.
    pub decode: DecodeLimits,
    /// Bytes of one value. Longer ones are refused; `decode.bulk` should not be smaller.
    pub value: usize,
    /// Commands of one connection that may wait for their reply; a client that sends more is not
    /// read until some are answered.
    pub pipeline: usize,
    /// Bytes of one connection, read and not yet executed or answered and not yet written, beyond
    /// which it is not read.
    pub buffered: usize,
    /// Bytes of replies that a client leaves unread before it is cut, and the size of the largest
    /// single reply to a command over many keys.
    pub output: usize,
    /// Seconds without a byte from an authenticated client before it is cut; 0: for ever, as Redis.
    pub idle_s: u32,
    /// Seconds a client has to authenticate, and to finish a command that it sends at less than
    /// 1 KiB per second.
    pub slow_s: u32,
    /// Seconds a client that owes us a read may take without taking any byte.
    pub stuck_s: u32,
    /// Bytes queued in one `MULTI`.
    pub transaction: usize,
    /// Bytes of a `MATCH` pattern.
    pub pattern: usize,
    /// HTTP connections at once.
    pub http_connections: usize,
    /// Bytes of one HTTP request's head.
    pub http_head: usize,
    /// Seconds for an HTTP head to arrive.
    pub http_head_s: u32,
    /// Seconds for an HTTP body to arrive.
    pub http_body_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decode: DecodeLimits::default(),
            value: 8 * 1024 * 1024,
            pipeline: 1024,
            buffered: 16 * 1024 * 1024,
            output: 16 * 1024 * 1024,
            idle_s: 0,
            slow_s: 12,
            stuck_s: 60,
            transaction: 16 * 1024 * 1024,
            pattern: 1024,
            http_connections: 1000,
            http_head: 16 * 1024,
            http_head_s: 10,
            http_body_s: 30,
        }
    }
}

impl Limits {
    /// The defaults with another value limit; arguments may be as long as a value.
    pub fn with_value(value: usize) -> Self {
        let mut limits = Self {
            value,
            ..Self::default()
        };
        limits.decode.bulk = limits.decode.bulk.max(value);
        limits
    }
}

//! How a client behaves, for all its requests.

use std::time::Duration;

/// Which of a key's live primaries gets the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// The first in the preference list: one coordinator per key as long as it lives. Keys spread
    /// over the nodes by themselves.
    #[default]
    First,
    /// Each in turn: spreads the load of one hot key.
    RoundRobin,
    /// The one that answered fastest of late.
    Latency,
}

/// Limits and habits of a [`Client`](crate::Client). The defaults suit a service in the same
/// network.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) password: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) ring_refresh: Duration,
    pub(crate) silence: Duration,
    pub(crate) attempts: u32,
    pub(crate) in_flight: usize,
    pub(crate) max_reply: usize,
    pub(crate) spread: Spread,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            password: None,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(5),
            ring_refresh: Duration::from_secs(10),
            silence: Duration::from_millis(500),
            attempts: 4,
            in_flight: 4096,
            max_reply: 64 << 20,
            spread: Spread::First,
        }
    }
}

impl Options {
    /// Password sent with HELLO on each new connection.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Longest wait for one connection with its handshake. Default 1 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Longest wait for one request, all its attempts together. Default 5 s.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Age at which the ring is fetched again. Default 10 s.
    pub fn ring_refresh(mut self, age: Duration) -> Self {
        self.ring_refresh = age;
        self
    }

    /// How long a node may owe an answer and say nothing; then new requests go to others until it is
    /// heard again. What it was asked before is waited for all the same. Default 500 ms: longer than
    /// an answer that waits for a slow replica, and short beside a request's time.
    pub fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }

    /// How often a safe request is tried in all (at least once). Default 4.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Most requests waiting for an answer on one connection; more wait in the caller. Default 4096.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests.max(1);
        self
    }

    /// Largest reply accepted, in bytes; a larger one breaks the connection. Default 64 MiB.
    pub fn max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = bytes;
        self
    }

    /// How requests spread over a key's primaries. Default [`Spread::First`].
    pub fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }
}

//! What all connections of a door share, on whatever thread they are.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use henge_versioning::ContextKey;

use crate::{
    auth::Auth,
    limits::Limits,
    metrics::Metrics,
    resp::{Card, Client, Scripts},
};

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The password.
    pub(crate) auth: Auth,
    /// What clients may use up.
    pub(crate) limits: Limits,
    /// Counters.
    pub(crate) metrics: Metrics,
    /// Who is connected.
    pub(crate) clients: Clients,
    /// The secret that makes causal contexts.
    pub(crate) context_key: ContextKey,
    /// Scripts that can be named by their sums.
    pub(crate) scripts: Scripts,
    /// Whether clients may destroy everything at once.
    pub(crate) may_flush: AtomicBool,
}

impl Shared {
    /// Whether clients may destroy everything at once.
    pub(crate) fn may_flush(&self) -> bool {
        self.may_flush.load(Ordering::Relaxed)
    }
}

/// The connected clients of the Redis door, for `CLIENT LIST`.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last_id: AtomicU64,
    cards: Mutex<BTreeMap<u64, Card>>,
}

impl Clients {
    /// A number for a new client; it grows.
    pub(crate) fn next_id(&self) -> u64 {
        1 + self.last_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes down what a client says of itself now.
    pub(crate) fn note(&self, client: &Client) {
        self.lock().insert(client.id, client.card());
    }

    /// It is gone.
    pub(crate) fn forget(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// A line for each that is wanted.
    pub(crate) fn list(&self, now_ms: u64, wanted: impl Fn(&Card) -> bool) -> String {
        self.lock()
            .values()
            .filter(|card| wanted(card))
            .map(|card| card.line(now_ms) + "\n")
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Card>> {
        self.cards
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

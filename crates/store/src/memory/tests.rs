//! The suite, and what is the in-memory engine's own.

use std::sync::Arc;

use super::MemoryStore;

crate::engine_suite!(|limits| Arc::new(MemoryStore::new(limits)));

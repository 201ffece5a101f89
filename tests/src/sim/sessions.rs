//! The sessions that simulated clients share: made by one, used by all, logged out by one while
//! the others do not know of it yet.

use std::collections::BTreeSet;

use super::{clients::IGNORANCE, plan::SECOND, rng::Rng};
use crate::history::Micros;

/// How many are in use at a time.
const AT_ONCE: usize = 3;

/// The sessions in use.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Vec<Session>,
    /// Those with a short lifetime.
    short: BTreeSet<String>,
    created: u64,
}

#[derive(Debug)]
struct Session {
    key: String,
    lifetime: Micros,
    /// Whether its creation was acknowledged: before that only its creator knows its id.
    known: bool,
    /// When clients stop using it.
    until: Micros,
}

impl Sessions {
    /// A session that this client may use, with its lifetime; `None`: it should make one.
    pub(crate) fn pick(
        &mut self,
        at: Micros,
        gone: &BTreeSet<String>,
        rng: &mut Rng,
    ) -> Option<(String, Micros)> {
        self.open.retain(|session| session.until > at);
        let usable: Vec<&Session> = self
            .open
            .iter()
            .filter(|it| it.known && !gone.contains(&it.key))
            .collect();
        if usable.is_empty() || (self.open.len() < AT_ONCE && rng.chance(200)) {
            return None;
        }
        let session = rng.pick(&usable);
        Some((session.key.clone(), session.lifetime))
    }

    /// A new session with a name that was never used, and its lifetime: short for half of them.
    pub(crate) fn create(&mut self, at: Micros, rng: &mut Rng) -> (String, Micros) {
        self.created += 1;
        let key = format!("sess:{}", self.created);
        let long = rng.chance(500);
        let lifetime = if long {
            3600 * SECOND
        } else {
            rng.between(5, 12) * SECOND
        };
        // Short ones are used beyond their end, to see that they stay away.
        if !long {
            self.short.insert(key.clone());
        }
        let until = at + if long { 40 * SECOND } else { 20 * SECOND };
        self.open.push(Session {
            key: key.clone(),
            lifetime,
            known: false,
            until,
        });
        (key, lifetime)
    }

    /// Whether it may expire during the run: around its end, nodes rightly disagree about it.
    pub(crate) fn expires(&self, key: &str) -> bool {
        self.short.contains(key)
    }

    /// Its creation was acknowledged.
    pub(crate) fn opened(&mut self, key: &str) {
        if let Some(session) = self.open.iter_mut().find(|session| session.key == key) {
            session.known = true;
        }
    }

    /// It was logged out, or its creation failed: for a while others go on.
    pub(crate) fn closed(&mut self, key: &str, at: Micros) {
        if let Some(session) = self.open.iter_mut().find(|session| session.key == key) {
            session.until = session.until.min(at + IGNORANCE);
        }
    }
}

//! What simulated clients do next.

use std::collections::{BTreeMap, BTreeSet};

use henge_versioning::{Context, VersionVector};

use super::{
    ask::{START_MS, What},
    lineage::Lineage,
    plan::{Plan, SECOND, Workload},
    rng::Rng,
    sessions::Sessions,
};
use crate::history::{Action, Element, Micros, OpId};

/// One client: it asks, waits for the answer, thinks, and asks again.
#[derive(Debug)]
pub(crate) struct Client {
    /// The node it talks to.
    pub node: usize,
    /// What it read last of a key and has not yet written back.
    pub seen: Option<Seen>,
    /// Sessions that it has seen gone.
    pub gone: BTreeSet<String>,
    /// Its last acknowledged write to each session, and the token that came with it.
    pub own: BTreeMap<String, (OpId, Box<Context>)>,
}

/// A read with what is needed to write over it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The key.
    pub key: String,
    /// The read.
    pub read: OpId,
    /// What it showed.
    pub elements: Vec<Element>,
    /// Its causal context; empty for registers.
    pub context: VersionVector,
}

/// The next request, in the node's terms and in the history's.
#[derive(Debug)]
pub(crate) struct Step {
    /// The key.
    pub key: String,
    /// For the node.
    pub what: What,
    /// For the history.
    pub action: Action,
    /// How many siblings the write replaces.
    pub replaces: usize,
}

/// What all clients of a run share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Which element replaced which.
    pub lineage: Lineage,
    /// The sessions in use.
    pub sessions: Sessions,
}

impl Client {
    /// A client that knows nothing yet.
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            seen: None,
            gone: BTreeSet::new(),
            own: BTreeMap::new(),
        }
    }

    /// One of the sessions that it has written, to be read with the token of that write.
    pub(crate) fn own_session(&self, rng: &mut Rng) -> Option<(String, OpId, Box<Context>)> {
        let own: Vec<_> = self.own.iter().collect();
        if own.is_empty() {
            return None;
        }
        let (key, (write, context)) = rng.pick(&own);
        Some(((*key).clone(), *write, context.clone()))
    }

    /// What it asks next.
    pub(crate) fn step(
        &mut self,
        plan: &Plan,
        at: Micros,
        shared: &mut Shared,
        rng: &mut Rng,
    ) -> Step {
        if rng.chance(150) {
            self.node = rng.below(plan.nodes as u64) as usize;
        }
        let siblings = match plan.workload {
            Workload::Mixed => self.seen.is_some() || rng.chance(550),
            Workload::Siblings => true,
            Workload::Sessions | Workload::Principals => false,
            Workload::Registers => return self.register_step(plan, shared, rng),
        };
        if siblings {
            self.sibling_step(plan, shared, rng)
        } else {
            self.session_step(at, shared, rng)
        }
    }

    /// Read, merge, write; now and then a write without having read, or a deletion.
    fn sibling_step(&mut self, plan: &Plan, shared: &mut Shared, rng: &mut Rng) -> Step {
        if let Some(seen) = self.seen.take().filter(|_| rng.chance(900)) {
            if rng.chance(60) && !seen.elements.is_empty() {
                shared.lineage.delete(&seen.elements);
                let action = Action::Delete {
                    context: Some(seen.read),
                };
                return Step::new(seen.key, What::DeleteSiblings(seen.context), action);
            }
            let element = shared.lineage.add(&seen.elements);
            let action = Action::Put {
                element,
                context: Some(seen.read),
                expires: None,
            };
            let what = What::PutSibling(element, seen.context);
            return Step {
                replaces: seen.elements.len(),
                ..Step::new(seen.key, what, action)
            };
        }
        let key = format!("siblings:{}", rng.below(plan.keys));
        if rng.chance(100) {
            let element = shared.lineage.add(&[]);
            let action = Action::Put {
                element,
                context: None,
                expires: None,
            };
            return Step::new(key, What::PutSibling(element, VersionVector::new()), action);
        }
        Step::new(key, What::Get, Action::Get)
    }

    /// The same read-merge-write, on a store that keeps only the last writer's value.
    fn register_step(&mut self, plan: &Plan, shared: &mut Shared, rng: &mut Rng) -> Step {
        let Some(seen) = self.seen.take() else {
            let key = format!("register-{}", rng.below(plan.keys));
            return Step::new(key, What::Get, Action::Get);
        };
        let element = shared.lineage.add(&seen.elements);
        let action = Action::Put {
            element,
            context: Some(seen.read),
            expires: None,
        };
        Step::new(seen.key, What::PutRegister(element), action)
    }

    /// Log in, set fields, touch, look, log out.
    fn session_step(&mut self, at: Micros, shared: &mut Shared, rng: &mut Rng) -> Step {
        let known = shared.sessions.pick(at, &self.gone, rng);
        let Some((key, lifetime)) = known else {
            let (key, lifetime) = shared.sessions.create(at, rng);
            let element = shared.lineage.add(&[]);
            let expires = at + lifetime;
            let action = Action::Put {
                element,
                context: None,
                expires: Some(expires),
            };
            return Step::new(key, What::PutField(element, Some(wall_ms(expires))), action);
        };
        match rng.below(100) {
            0..60 => {
                let element = shared.lineage.add(&[]);
                let action = Action::Put {
                    element,
                    context: None,
                    expires: None,
                };
                Step::new(key, What::PutField(element, None), action)
            }
            60..86 => Step::new(key, What::Get, Action::Get),
            86..95 => {
                // A deadline counts in whole milliseconds.
                let expires = (at + lifetime) / 1000 * 1000;
                Step::new(
                    key,
                    What::Touch(wall_ms(expires)),
                    Action::Touch { expires },
                )
            }
            _ => Step::new(key, What::Logout, Action::Delete { context: None }),
        }
    }
}

impl Step {
    /// A read.
    pub(crate) fn read(key: String) -> Self {
        Self::new(key, What::Get, Action::Get)
    }

    fn new(key: String, what: What, action: Action) -> Self {
        Self {
            key,
            what,
            action,
            replaces: 0,
        }
    }
}

/// The true wall clock's milliseconds at this time of the run.
fn wall_ms(at: Micros) -> u64 {
    START_MS + at / 1000
}

/// How long clients go on using a session that is logged out, not knowing of it.
pub(crate) const IGNORANCE: Micros = 4 * SECOND;

//! Requests of futures on this thread: begun with the engine, their outcomes awaited.

use std::{
    rc::Rc,
    task::{Context, Waker},
};

use super::{CALLS, Shard};
use crate::{Engine, Now, Outcome, Request, Ticket};

pub(super) enum Call {
    Waiting(Option<Waker>),
    Done(Box<Outcome>),
    /// Its future was dropped; the outcome will be too.
    Abandoned,
}

/// A request begun by [`Shard::begin_call`].
pub(crate) struct PendingCall {
    shard: Rc<Shard>,
    token: usize,
}

impl Shard {
    pub(crate) fn begin_call(self: &Rc<Self>, request: &Request<'_>) -> PendingCall {
        self.begin_call_by(Engine::submit, request)
    }

    /// A step of an operation of the node's own: see [`Engine::submit_own`].
    pub(crate) fn begin_own_call(self: &Rc<Self>, request: &Request<'_>) -> PendingCall {
        self.begin_call_by(Engine::submit_own, request)
    }

    fn begin_call_by(
        self: &Rc<Self>,
        submit: impl FnOnce(&mut Engine, Now, &Request<'_>, Ticket),
        request: &Request<'_>,
    ) -> PendingCall {
        let token = self.calls.borrow_mut().insert(Call::Waiting(None));
        let ticket = Ticket {
            sink: CALLS,
            token: token as u64,
        };
        self.submit_by(submit, request, ticket);
        PendingCall {
            shard: Rc::clone(self),
            token,
        }
    }

    pub(super) fn end_call(&self, token: usize, outcome: Outcome) {
        let mut calls = self.calls.borrow_mut();
        match calls.get_mut(token) {
            Some(Call::Abandoned) => {
                calls.remove(token);
            }
            Some(call) => {
                let before = std::mem::replace(call, Call::Done(Box::new(outcome)));
                if let Call::Waiting(Some(waker)) = before {
                    waker.wake();
                }
            }
            None => {}
        }
    }
}

impl PendingCall {
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Option<Outcome> {
        let mut calls = self.shard.calls.borrow_mut();
        match calls.get_mut(self.token) {
            Some(Call::Waiting(waker)) => {
                *waker = Some(context.waker().clone());
                None
            }
            Some(done) => match std::mem::replace(done, Call::Abandoned) {
                Call::Done(outcome) => Some(*outcome),
                Call::Waiting(_) | Call::Abandoned => None,
            },
            None => None,
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let mut calls = self.shard.calls.borrow_mut();
        match calls.get_mut(self.token) {
            Some(call @ Call::Waiting(_)) => *call = Call::Abandoned,
            Some(Call::Done(_) | Call::Abandoned) => {
                calls.remove(self.token);
            }
            None => {}
        }
    }
}

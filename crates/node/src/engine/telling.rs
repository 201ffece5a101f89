//! What a modification has made of a session with hidden fields: told only if the session may be shown.
//!
//! The number tells what the session held, so nobody may hear of it who could not read the session. The
//! look at what the hidden fields name ([`super::showing`]) is taken while the write is under way, and both
//! must have ended before the client is answered.

use henge_versioning::RecordRef;

use super::{Engine, Now, Ticket, showing::Shown};
use crate::{Done, Failure, Outcome, hidden::Hidden};

/// The sink of such a write.
const WRITTEN: u16 = super::FORWARDED - 3;
/// The sink of the look at what was there before it.
const SHOWN: u16 = super::FORWARDED - 4;
/// Sinks from here on are the engine's own.
pub(super) const FIRST_OWN_SINK: u16 = SHOWN;

/// A modification that waits to be told.
#[derive(Debug)]
pub(super) struct Telling {
    ticket: Ticket,
    /// What is told if the session may be shown; `None`: it is being written yet.
    written: Option<Outcome>,
    /// Whether it may, or why that is not known; `None`: it is being looked at yet.
    may_be_shown: Option<Result<bool, Failure>>,
}

impl Engine {
    /// Where the outcome of a modification is to go, `before` being what was there: if that is live and has
    /// hidden fields, to a [`Telling`], and the look begins now. What begins anew hides nothing.
    #[cold]
    pub(super) fn tell_if_shown(&mut self, now: Now, shown: Shown<'_>, before: &[u8]) -> Ticket {
        let is_live = RecordRef::parse(before).is_ok_and(|it| it.is_live(now.wall_ms));
        if !is_live || !Hidden::is_in(before) {
            return shown.ticket;
        }
        let telling = Telling {
            ticket: shown.ticket,
            written: None,
            may_be_shown: None,
        };
        let token = self.tellings.insert(telling) as u64;
        let look = Outcome {
            result: Ok(Done {
                record: Some(before.to_vec()),
                ..Done::default()
            }),
            receipt: None,
        };
        // What is about to be sent lies there.
        let delta = std::mem::take(&mut self.delta);
        let ticket = Ticket { sink: SHOWN, token };
        self.show_record(now, Shown { ticket, ..shown }, look);
        self.delta = delta;
        Ticket {
            sink: WRITTEN,
            token,
        }
    }

    /// One of the two has ended.
    pub(super) fn telling_step_ended(&mut self, ticket: Ticket, outcome: Outcome) {
        let at = ticket.token as usize;
        let Some(telling) = self.tellings.get_mut(at) else {
            return;
        };
        match ticket.sink {
            WRITTEN => telling.written = Some(outcome),
            _ => telling.may_be_shown = Some(outcome.result.map(|done| done.record.is_some())),
        }
        if telling.written.is_none() || telling.may_be_shown.is_none() {
            return;
        }
        let telling = self.tellings.remove(at);
        if let (Some(written), Some(may_be_shown)) = (telling.written, telling.may_be_shown) {
            self.complete(telling.ticket, told(written, may_be_shown));
        }
    }
}

/// What the client hears of a write.
fn told(mut written: Outcome, may_be_shown: Result<bool, Failure>) -> Outcome {
    if written.result.is_ok() {
        match may_be_shown {
            Ok(true) => {}
            // The session is as good as destroyed.
            Ok(false) => {
                written.result = Ok(Done {
                    absorbed: true,
                    ..Done::default()
                });
            }
            Err(why) => written.result = Err(untold(&why)),
        }
    }
    written
}

/// The failure of a write that happened, of which it cannot be told what it came to.
fn untold(why: &Failure) -> Failure {
    match *why {
        Failure::Failed { needed, got, .. } | Failure::Unknown { needed, got } => {
            Failure::Unknown { needed, got }
        }
        _ => Failure::Unknown { needed: 1, got: 0 },
    }
}

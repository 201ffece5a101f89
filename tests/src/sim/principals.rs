//! Users who log in, are listed, and are logged out everywhere, amid the simulator's faults; and what
//! was promised to them, judged as the answers come.
//!
//! * A session whose login was acknowledged before a logout everywhere began is, once that is
//!   acknowledged, never shown again.
//! * One whose login began after every logout of its user that was ever tried had ended is shown.
//! * And it is in every list of its user's sessions that begins after its login was acknowledged.
//!
//! A logout of which nobody knows what became may be carried out at any later time.

use std::collections::{BTreeMap, BTreeSet};

use henge_node::{
    Condition, Expiry, Operation, Options, Outcome, Request,
    principals::{Login, index_key, listed},
};
use henge_versioning::RecordRef;

use super::rng::Rng;
use crate::history::{Micros, OpId, Quorum};

/// How many users there are: few, so that logins and logouts of one meet.
const USERS: u64 = 3;
/// Sessions that reads choose from: the latest.
const RECENT: usize = 30;
/// Acknowledged logins that a run must have to prove something.
const ENOUGH_LOGINS: usize = 20;

/// A step of one of the operations, as the node takes it.
#[derive(Clone, Debug)]
pub enum OwnStep {
    /// The present step of a login.
    Login(Box<Login>),
    /// Reads a user's index.
    List(Vec<u8>, Options),
    /// Ends the index' life.
    End(Vec<u8>, Options),
    /// Reads a session.
    Read(String, Options),
}

impl OwnStep {
    /// The key that it is about.
    pub(crate) fn key(&self) -> Vec<u8> {
        self.with_request(|request| request.key.to_vec())
    }

    /// Shows the step in the node's own terms.
    pub(crate) fn with_request<T>(&self, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        let (key, operation, options) = match self {
            Self::Login(login) => return use_it(&login.request()),
            Self::List(key, options) => (&key[..], Operation::Get, options),
            Self::End(key, options) => {
                let condition = Condition::Always;
                (&key[..], Operation::Delete { condition }, options)
            }
            Self::Read(key, options) => (key.as_bytes(), Operation::Get, options),
        };
        let options = *options;
        use_it(&Request {
            key,
            operation,
            options,
        })
    }
}

/// An operation of one client, under way.
#[derive(Debug)]
struct Errand {
    client: usize,
    node: usize,
    begun: Micros,
    what: What,
}

#[derive(Debug)]
enum What {
    Login {
        login: Box<Login>,
        user: u64,
        key: String,
    },
    List {
        user: u64,
    },
    End {
        /// Its place among the attempts.
        attempt: usize,
    },
    Read {
        /// Its place among the sessions.
        session: usize,
    },
}

/// A session whose login was acknowledged.
#[derive(Debug)]
struct Session {
    key: String,
    user: u64,
    begun: Micros,
    acked: Micros,
}

/// A logout everywhere that was tried.
#[derive(Debug)]
struct Attempt {
    user: u64,
    begun: Micros,
    /// `None`: it may still be carried out.
    ended: Option<Micros>,
    acked: bool,
}

/// All that the run knows of users.
#[derive(Debug, Default)]
pub(super) struct Principals {
    errands: BTreeMap<OpId, Errand>,
    sessions: Vec<Session>,
    attempts: Vec<Attempt>,
    made: u64,
    acked_logouts: usize,
}

/// What becomes of an operation after an answer.
pub(super) enum Next {
    /// The client is free again.
    Done(usize),
    /// The same client asks the same node for the next step.
    Step(usize, OwnStep),
}

impl Principals {
    /// What a client does next: the step, under the operation's number.
    pub(super) fn begin(
        &mut self,
        (op, client, node): (OpId, usize, usize),
        at: Micros,
        quorum: Quorum,
        timeout_ms: u64,
        rng: &mut Rng,
    ) -> OwnStep {
        let options = Options {
            r: Some(quorum.r.into()),
            w: Some(quorum.w.into()),
            strict: Some(quorum.strict),
            timeout_ms: Some(timeout_ms),
            receipt: false,
        };
        let user = rng.below(USERS);
        let (what, step) = match rng.below(100) {
            0..40 => self.log_in(user, options),
            40..48 => {
                self.attempts.push(Attempt {
                    user,
                    begun: at,
                    ended: None,
                    acked: false,
                });
                let attempt = self.attempts.len() - 1;
                (What::End { attempt }, OwnStep::End(index(user), options))
            }
            48..58 => (What::List { user }, OwnStep::List(index(user), options)),
            _ if self.sessions.is_empty() => self.log_in(user, options),
            _ => {
                let recent = self.sessions.len().min(RECENT) as u64;
                let session = self.sessions.len() - 1 - rng.below(recent) as usize;
                let key = self.sessions[session].key.clone();
                (What::Read { session }, OwnStep::Read(key, options))
            }
        };
        let begun = at;
        let errand = Errand {
            client,
            node,
            begun,
            what,
        };
        self.errands.insert(op, errand);
        step
    }

    fn log_in(&mut self, user: u64, options: Options) -> (What, OwnStep) {
        self.made += 1;
        let key = format!("sess:{}", self.made);
        let request = Request {
            key: key.as_bytes(),
            operation: Operation::Put {
                value: b"secret",
                expiry: Expiry::Clear,
                condition: Condition::Always,
            },
            options,
        };
        let login = Login::new(&request, name(user).as_bytes());
        drop(request);
        // An unconditional value under a short name.
        let login = Box::new(login.expect("it can be a login"));
        let step = OwnStep::Login(login.clone());
        (What::Login { login, user, key }, step)
    }

    /// The client waits no longer, or there was no process to ask: the client, if it was waiting.
    pub(super) fn give_up(&mut self, op: OpId) -> Option<usize> {
        Some(self.errands.remove(&op)?.client)
    }

    /// Whether an operation of a user's is under way under this number.
    pub(super) fn has(&self, op: OpId) -> bool {
        self.errands.contains_key(&op)
    }

    /// A node has taken a step. `now_ms`: by its clock.
    pub(super) fn ended(
        &mut self,
        op: OpId,
        at: Micros,
        now_ms: u64,
        outcome: Outcome,
        broken: &mut Vec<String>,
    ) -> Option<Next> {
        let errand = self.errands.remove(&op)?;
        let Errand {
            client,
            node,
            begun,
            what,
        } = errand;
        match what {
            What::Login {
                mut login,
                user,
                key,
            } => match login.answered(outcome) {
                None => {
                    let step = OwnStep::Login(login.clone());
                    let what = What::Login { login, user, key };
                    let errand = Errand {
                        client,
                        node,
                        begun,
                        what,
                    };
                    self.errands.insert(op, errand);
                    return Some(Next::Step(node, step));
                }
                Some(ended) if ended.result.as_ref().is_ok_and(|done| done.applied) => {
                    let acked = at;
                    self.sessions.push(Session {
                        key,
                        user,
                        begun,
                        acked,
                    });
                }
                Some(_) => {}
            },
            What::End { attempt } if outcome.result.is_ok() => {
                let attempt = &mut self.attempts[attempt];
                (attempt.ended, attempt.acked) = (Some(at), true);
                self.acked_logouts += 1;
            }
            What::End { .. } => {}
            What::List { user } => {
                if let Ok(done) = outcome.result {
                    self.judge_list(user, begun, at, done.record.as_deref(), broken);
                }
            }
            What::Read { session } => {
                if let Ok(done) = outcome.result {
                    let record = done.record.as_deref().map(RecordRef::parse);
                    let is_shown = record
                        .and_then(Result::ok)
                        .is_some_and(|it| it.is_live(now_ms));
                    self.judge_read(&self.sessions[session], is_shown, begun, at, broken);
                }
            }
        }
        Some(Next::Done(client))
    }

    fn judge_read(
        &self,
        session: &Session,
        is_shown: bool,
        begun: Micros,
        at: Micros,
        broken: &mut Vec<String>,
    ) {
        let Session { key, user, .. } = session;
        let ended = |attempt: &&Attempt| {
            attempt.user == *user
                && attempt.acked
                && attempt.begun >= session.acked
                && attempt.ended.is_some_and(|ended| ended <= begun)
        };
        if is_shown && let Some(attempt) = self.attempts.iter().find(ended) {
            broken.push(format!(
                "{key} is shown at {at} after its user was logged out everywhere at {}",
                attempt.begun
            ));
        }
        if !is_shown && !self.may_have_ended(session, at) {
            broken.push(format!("{key} is not shown at {at} and nobody ended it"));
        }
    }

    fn judge_list(
        &self,
        user: u64,
        begun: Micros,
        at: Micros,
        index: Option<&[u8]>,
        broken: &mut Vec<String>,
    ) {
        let listed: BTreeSet<Vec<u8>> = listed(index).into_keys().collect();
        for session in &self.sessions {
            let is_due = session.user == user && session.acked <= begun;
            if is_due
                && !self.may_have_ended(session, at)
                && !listed.contains(session.key.as_bytes())
            {
                let key = &session.key;
                broken.push(format!(
                    "{key} is not in the list of its user's sessions at {at}"
                ));
            }
        }
    }

    /// Whether a logout everywhere that was tried may have come after the session's login began, and
    /// before this time.
    fn may_have_ended(&self, session: &Session, at: Micros) -> bool {
        self.attempts.iter().any(|attempt| {
            let over_before = attempt.ended.is_some_and(|ended| ended < session.begun);
            attempt.user == session.user && attempt.begun <= at && !over_before
        })
    }

    /// What is wrong with a run in which too little happened.
    pub(super) fn proves_nothing(&self) -> Option<String> {
        let (logins, logouts) = (self.sessions.len(), self.acked_logouts);
        (logins < ENOUGH_LOGINS || logouts == 0).then(|| {
            format!("{logins} logins and {logouts} logouts everywhere were acknowledged: too few")
        })
    }
}

fn name(user: u64) -> String {
    format!("user-{user}")
}

fn index(user: u64) -> Vec<u8> {
    // A short name is one that can be.
    index_key(name(user).as_bytes()).unwrap_or_default()
}

//! A rotation, step by step.

use henge_versioning::{ActorId, RecordRef};

use super::{PREDECESSOR_FIELD, Predecessor, SUCCESSOR_FIELD, Step, Successor};
use crate::{
    Expiry, Failure, FieldWrites, Operation, Options, Outcome, Request, Shortage,
    hidden::Hidden,
    principals::{self, Index},
};

/// How many times a session is copied that changes meanwhile. Each copy is lost to a write that came in
/// between, so somebody makes progress.
const MOST_LOOKS: u8 = 16;

/// What became of a rotation that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The new id opens the session, and so does the old one until then.
    Done {
        /// Milliseconds since 1970.
        until_ms: u64,
    },
    /// There is no session under the old id: it has expired, or was destroyed or logged out everywhere.
    Gone,
    /// The session has another new id already. Nothing was changed.
    Elsewhere,
    /// The new id is, or was, a session of its own. Nothing was changed.
    Taken,
}

impl Rotated {
    /// Why the session is not under the new id; `None`: it is.
    pub fn why_not(self) -> Option<&'static str> {
        match self {
            Self::Done { .. } => None,
            Self::Gone => Some("there is no session under the old id"),
            Self::Elsewhere => Some("the session has another new id already"),
            Self::Taken => Some("the new id is, or was, a session of its own"),
        }
    }
}

/// A rotation in progress. The driver sends [`Rotation::request`], hands what came of it to
/// [`Rotation::answered`], and goes on until that gives the end.
///
/// ```text
///   ┌─────────────────────────── changed meanwhile ───────────────────────┐
///   ▼                                                                     │
/// look ──live──► enter (if it has an owner) ──► succeed ──► hand over ────┴──► done
///   └──handed over to this id before──────────────────────────►┘
/// ```
#[derive(Debug)]
pub struct Rotation {
    old: Vec<u8>,
    new: Vec<u8>,
    grace_ms: u64,
    options: Options,
    looks: u8,
    at: At,
}

#[derive(Debug)]
enum At {
    Look,
    Enter { index: Vec<u8>, copied: Copied },
    Succeed(Copied),
    HandOver { digest: u64, until_ms: u64 },
}

/// The session as it was when it was looked at.
#[derive(Debug)]
struct Copied {
    record: Vec<u8>,
    digest: u64,
    predecessor: Vec<u8>,
}

impl Copied {
    fn fields(&self) -> Vec<(&[u8], &[u8])> {
        let record = RecordRef::parse(&self.record).ok();
        let fields = record.into_iter().flat_map(|record| record.fields());
        let own = |name: &[u8]| name == PREDECESSOR_FIELD || name == SUCCESSOR_FIELD;
        let fields = fields.filter(|(name, _)| !own(name));
        fields
            .chain([(PREDECESSOR_FIELD, &self.predecessor[..])])
            .collect()
    }
}

impl Rotation {
    /// Of the session under `old`, which is to be under `new` and under the old key for `grace_ms` more.
    ///
    /// # Errors
    /// [`Failure::Invalid`] of keys that are the cluster's own, too long or the same, and of a grace above
    /// [`super::MAX_GRACE_MS`].
    pub fn new(old: &[u8], new: &[u8], grace_ms: u64, options: Options) -> Result<Self, Failure> {
        let invalid = |text: &str| Err(Failure::Invalid(text.to_owned()));
        if principals::is_index(old) || principals::is_index(new) {
            return invalid(principals::OWN_KEYS);
        }
        if old == new {
            return invalid("the new id is the old one");
        }
        let most = henge_rpc::Limits::DEFAULT.key;
        if new.len() > most {
            let length = new.len();
            return invalid(&format!(
                "a key has at most {most} bytes, this one {length}"
            ));
        }
        if grace_ms > super::MAX_GRACE_MS {
            let most = super::MAX_GRACE_MS;
            return invalid(&format!("the grace is {most} ms at most, not {grace_ms}"));
        }
        Ok(Self {
            old: old.to_vec(),
            new: new.to_vec(),
            grace_ms,
            options: Options {
                receipt: false,
                ..options
            },
            looks: 0,
            at: At::Look,
        })
    }

    /// The present step. To be carried out as the node's own: clients may not ask for it.
    pub fn request(&self) -> Request<'_> {
        let (key, operation) = match &self.at {
            At::Look => (&self.old, Operation::Rotate(Step::Whole)),
            At::Enter { index, .. } => (index, self.entry()),
            At::Succeed(copied) => (&self.new, Operation::Rotate(succeed(copied))),
            At::HandOver { digest, until_ms } => {
                let step = Step::HandOver {
                    to: &self.new,
                    until_ms: *until_ms,
                    digest: *digest,
                };
                (&self.old, Operation::Rotate(step))
            }
        };
        Request {
            key,
            operation,
            options: self.options,
        }
    }

    fn entry(&self) -> Operation<'_> {
        Operation::PutFields {
            fields: FieldWrites::from_iter([(&self.new[..], Some(&b""[..]))]),
            expiry: Expiry::Keep,
        }
    }

    /// What the step came to, at that time; gives the end when the rotation is over.
    pub fn answered(&mut self, outcome: Outcome, now_ms: u64) -> Option<Result<Rotated, Failure>> {
        let done = match outcome.result {
            Ok(done) => done,
            Err(failure) => return Some(Err(failure)),
        };
        let at = std::mem::replace(&mut self.at, At::Look);
        let next = match at {
            At::Look => self.looked(done.record, now_ms),
            At::Enter { copied, .. } => entered(copied, done.applied, done.record),
            At::Succeed(copied) if done.applied => Ok(At::HandOver {
                digest: copied.digest,
                until_ms: now_ms.saturating_add(self.grace_ms),
            }),
            At::Succeed(_) => Err(Ok(Rotated::Taken)),
            At::HandOver { until_ms, .. } if done.applied => Err(Ok(Rotated::Done { until_ms })),
            At::HandOver { .. } => Ok(At::Look),
        };
        match next {
            Ok(at) => {
                self.at = at;
                None
            }
            Err(ended) => Some(ended),
        }
    }

    fn looked(
        &mut self,
        record: Option<Vec<u8>>,
        now_ms: u64,
    ) -> Result<At, Result<Rotated, Failure>> {
        let Some(bytes) = record else {
            return Err(Ok(Rotated::Gone));
        };
        let Ok(record) = RecordRef::parse(&bytes) else {
            return Err(Ok(Rotated::Gone));
        };
        self.looks += 1;
        if self.looks > MOST_LOOKS {
            return Err(Err(Failure::Failed {
                needed: 1,
                got: 0,
                why: Shortage::Changing,
            }));
        }
        let hidden = Hidden::of(&bytes).unwrap_or_default();
        if let Some(Successor { until_ms, key }) = hidden.successor {
            let digest = record.digest();
            return match key == self.new {
                // W replicas may not know yet.
                true if record.is_live(now_ms) => Ok(At::HandOver { digest, until_ms }),
                true => Err(Ok(Rotated::Gone)),
                false => Err(Ok(Rotated::Elsewhere)),
            };
        }
        if !record.is_live(now_ms) || record.epoch().actor != ActorId(0) {
            return Err(Ok(Rotated::Gone));
        }
        let predecessor = Predecessor {
            life: record.epoch().time.0,
            key: &self.old,
        };
        let (digest, predecessor) = (record.digest(), predecessor.encode());
        let index = hidden.owner.map(|it| principals::index_key(it.principal));
        let copied = Copied {
            record: bytes,
            digest,
            predecessor,
        };
        match index {
            None => Ok(At::Succeed(copied)),
            Some(Ok(index)) => Ok(At::Enter { index, copied }),
            Some(Err(failure)) => Err(Err(failure)),
        }
    }
}

/// Goes on if the entry lies in the life that the session began in: if it lies in a later one, its user
/// has been logged out everywhere.
fn entered(
    copied: Copied,
    applied: bool,
    before: Option<Vec<u8>>,
) -> Result<At, Result<Rotated, Failure>> {
    if !applied {
        return Err(Err(principals::too_many()));
    }
    let before = before.as_deref().map(RecordRef::parse);
    let index = Index::of(before.and_then(Result::ok).as_ref());
    let hidden = Hidden::of(&copied.record).unwrap_or_default();
    match hidden.owner {
        Some(owner) if owner.life == index.next_entry() => Ok(At::Succeed(copied)),
        _ => Err(Ok(Rotated::Gone)),
    }
}

fn succeed(copied: &Copied) -> Step<'_> {
    let record = RecordRef::parse(&copied.record).ok();
    Step::Succeed {
        fields: copied.fields(),
        deadline: record.map_or(0, |record| record.deadline().at),
        cap: record.map_or(0, |record| record.cap()),
    }
}
